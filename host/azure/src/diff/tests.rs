use super::*;
use crate::origin::{Priority, Provisioning, Weight};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

fn there(members: Members) -> ObservedOrigin {
    ObservedOrigin {
        members,
        provisioning: Provisioning::Succeeded,
        rest: BTreeMap::new(),
    }
}

fn wanted(index: usize, state: OriginState) -> Wanted {
    Wanted {
        region: RegionName::new(format!("r{index}")),
        origin: format!("O{index}"),
        was: Intent::Baseline,
        intent: Intent::Baseline,
        state,
    }
}

fn any_state() -> impl Strategy<Value = OriginState> {
    (1_u32..=5, 1_u32..=1000, any::<bool>()).prop_map(|(priority, weight, enabled)| OriginState {
        priority: Priority::new(priority).unwrap(),
        weight: Weight::new(weight).unwrap(),
        enabled,
    })
}

fn any_members() -> impl Strategy<Value = Members> {
    (
        prop::option::of(0_u32..9),
        prop::option::of(1_u32..=1000),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|(priority, weight, enabled)| Members {
            priority,
            weight,
            enabled,
        })
}

fn any_case() -> impl Strategy<Value = (Vec<Wanted>, Observed)> {
    let wants = prop::collection::vec(any_state(), 1..5).prop_map(|states| {
        states
            .into_iter()
            .enumerate()
            .map(|(index, state)| wanted(index, state))
            .collect()
    });
    let observed = prop::collection::vec(prop::option::of(any_members()), 1..7).prop_map(|all| Observed {
        origins: all
            .into_iter()
            .enumerate()
            .filter_map(|(index, members)| Some((format!("o{index}"), there(members?))))
            .collect(),
    });
    (wants, observed)
}

fn applied(observed: &Observed, changes: &[Change]) -> Observed {
    let mut after = observed.clone();
    changes.iter().for_each(|change| apply(&mut after, change));
    after
}

proptest! {
    #[test]
    fn after_its_changes_there_is_no_difference((wants, observed) in any_case()) {
        let changes = diff(&wants, &observed);
        prop_assert_eq!(diff(&wants, &applied(&observed, &changes)), []);
    }

    /// Only members that differ are sent, and every change sends one at least.
    #[test]
    fn changes_are_minimal((wants, observed) in any_case()) {
        for change in diff(&wants, &observed) {
            let there = observed.get(&change.origin).unwrap().members;
            prop_assert_ne!(change.set, Members::default());
            for (set, is) in [
                (change.set.priority.map(u64::from), there.priority.map(u64::from)),
                (change.set.weight.map(u64::from), there.weight.map(u64::from)),
                (change.set.enabled.map(u64::from), there.enabled.map(u64::from)),
            ] {
                prop_assert!(set.is_none() || set != is);
            }
        }
    }

    /// Nothing is created, nothing of others is touched.
    #[test]
    fn only_our_origins_that_are_there((wants, observed) in any_case()) {
        let after = applied(&observed, &diff(&wants, &observed));
        prop_assert_eq!(after.origins.len(), observed.origins.len());
        for (name, origin) in &observed.origins {
            if !wants.iter().any(|wanted| key(&wanted.origin) == *name) {
                prop_assert_eq!(after.get(name), Some(origin));
            }
        }
    }

    /// At no point of carrying the changes out is the last enabled origin disabled.
    #[test]
    fn some_origin_stays_enabled_all_the_way((wants, observed) in any_case()) {
        let enabled = |observed: &Observed| observed.origins.values().filter(|it| it.members.enabled == Some(true)).count();
        let (changes, _) = without_last_enabled(diff(&wants, &observed), &observed);
        let mut model = observed;
        for change in changes {
            let before = enabled(&model);
            apply(&mut model, &change);
            prop_assert!(enabled(&model) > 0 || before == 0, "{change:?}");
        }
    }
}

#[test]
fn changes_that_add_capacity_go_first() {
    let state = OriginState::default();
    let wants = [
        wanted(0, state.disabled()),
        wanted(1, state.demoted()),
        wanted(2, state),
    ];
    let observed = Observed {
        origins: [state, state, state.demoted()]
            .into_iter()
            .enumerate()
            .map(|(index, state)| (format!("o{index}"), there(state.into())))
            .collect(),
    };
    let order: Vec<_> = diff(&wants, &observed)
        .into_iter()
        .map(|change| change.origin)
        .collect();
    assert_eq!(order, ["O2", "O1", "O0"]);
}

#[test]
fn a_disabled_sibling_does_not_count_as_enabled() {
    let state = OriginState::default();
    let observed = Observed {
        origins: BTreeMap::from([
            ("o0".to_owned(), there(state.into())),
            ("o1".to_owned(), there(state.disabled().into())),
        ]),
    };
    let changes = diff(&[wanted(0, state.disabled())], &observed);
    let (kept, rejected) = without_last_enabled(changes, &observed);
    assert!(kept.is_empty());
    assert_eq!(rejected.len(), 1);
}

#[test]
fn changes_by_others_are_reported() {
    let with = |host: &str| {
        let mut origin = there(Members::default());
        origin.rest.insert("hostName".to_owned(), json!(host));
        origin
    };
    let earlier = Observed {
        origins: BTreeMap::from([("a".to_owned(), with("x")), ("b".to_owned(), with("x"))]),
    };
    let now = Observed {
        origins: BTreeMap::from([("a".to_owned(), with("y")), ("c".to_owned(), with("x"))]),
    };
    assert_eq!(
        others(&earlier, &now),
        [
            "origin a: hostName changed from \"x\" to \"y\"",
            "origin c was added",
            "origin b was removed"
        ]
    );
    assert!(others(&now, &now).is_empty());
}
