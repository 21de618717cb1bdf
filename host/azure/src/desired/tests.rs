use super::*;
use crate::quorum::Count;
use proptest::prelude::*;

const MIN: u64 = 60;

fn origins(count: usize) -> Vec<Baseline> {
    (0..count)
        .map(|index| Baseline {
            region: RegionName::new(format!("r{index}")),
            origin: format!("o{index}"),
            state: OriginState::default(),
        })
        .collect()
}

/// The votes on a region: unhealthy, healthy or draining for so many seconds.
#[derive(Clone, Copy, Debug)]
enum Said {
    Nothing,
    Bad(u64),
    Well(u64),
    Draining,
}

fn tally(live: usize, said: &[Said]) -> Tally {
    let count = |seconds: u64| Count {
        votes: 2,
        agreed_for: Some(Duration::from_secs(seconds)),
    };
    let region = |said: &Said| match *said {
        Said::Nothing => RegionTally::default(),
        Said::Bad(for_s) => RegionTally {
            unhealthy: count(for_s),
            ..RegionTally::default()
        },
        Said::Well(for_s) => RegionTally {
            healthy: count(for_s),
            ..RegionTally::default()
        },
        Said::Draining => RegionTally {
            draining: count(0),
            ..RegionTally::default()
        },
    };
    Tally {
        live,
        doubted: 0,
        settled_for: Duration::MAX,
        majority: 2,
        configured: 3,
        regions: said
            .iter()
            .enumerate()
            .map(|(index, said)| (RegionName::new(format!("r{index}")), region(said)))
            .collect(),
    }
}

fn decided(said: &[Said], past: &[Intent], demoted_ago: Option<u64>, min_active: usize) -> (Vec<Intent>, Decision) {
    let origins = origins(said.len());
    let timing = Timing::default();
    let rules = Rules {
        origins: &origins,
        caps: Caps {
            min_active,
            drain: DrainAction::Disable,
        },
        timing: &timing,
    };
    let now = StoreTime(1_000_000_000);
    let intents = past
        .iter()
        .enumerate()
        .map(|(index, intent)| (RegionName::new(format!("r{index}")), *intent))
        .collect();
    let demotions: Vec<Demotion> = demoted_ago
        .map(|seconds| Demotion {
            region: RegionName::from("r9"),
            at: StoreTime(now.0 - seconds as i64 * 1000),
        })
        .into_iter()
        .collect();
    let past = Past {
        intents: &intents,
        demotions: &demotions,
    };
    let decision = decide(rules, &tally(3, said), past, now);
    (decision.intents.values().copied().collect(), decision)
}

use Intent::{Baseline as B, Demoted as D, Drained as X};
use Said::{Bad, Draining, Nothing, Well};

#[test]
fn decisions() {
    let long = Bad(6 * MIN);
    type Case = (&'static str, Vec<Said>, Vec<Intent>, Option<u64>, usize, Vec<Intent>);
    let cases: Vec<Case> = vec![
        (
            "bad for long: demoted",
            vec![long, Nothing, Nothing],
            vec![],
            None,
            1,
            vec![D, B, B],
        ),
        (
            "bad, not for long: held",
            vec![Bad(4 * MIN), Nothing, Nothing],
            vec![],
            None,
            1,
            vec![B, B, B],
        ),
        (
            "well again, not for long: stays",
            vec![Well(14 * MIN), Nothing, Nothing],
            vec![D],
            None,
            1,
            vec![D, B, B],
        ),
        (
            "well for long: restored",
            vec![Well(15 * MIN), Nothing, Nothing],
            vec![D],
            None,
            1,
            vec![B, B, B],
        ),
        (
            "nobody knows: stays",
            vec![Nothing, Nothing, Nothing],
            vec![D],
            None,
            1,
            vec![D, B, B],
        ),
        (
            "drained at once",
            vec![Draining, Well(9), Well(9)],
            vec![],
            None,
            1,
            vec![X, B, B],
        ),
        (
            "drain over, well for long",
            vec![Well(16 * MIN), Well(9), Well(9)],
            vec![X],
            None,
            1,
            vec![B, B, B],
        ),
        (
            "drain over, but bad",
            vec![long, Well(9), Well(9)],
            vec![X],
            None,
            1,
            vec![D, B, B],
        ),
        (
            "all bad: nothing",
            vec![long, long, long],
            vec![],
            None,
            1,
            vec![B, B, B],
        ),
        (
            "most bad: nothing, not even back",
            vec![long, long, Well(99 * MIN)],
            vec![B, B, D],
            None,
            1,
            vec![B, B, D],
        ),
        (
            "most just beginning to look bad",
            vec![long, Bad(1), Nothing],
            vec![],
            None,
            1,
            vec![B, B, B],
        ),
        (
            "two of four: the longer one goes",
            vec![long, Bad(9 * MIN), Nothing, Nothing],
            vec![],
            None,
            1,
            vec![B, D, B, B],
        ),
        (
            "one per window",
            vec![long, Nothing, Nothing],
            vec![],
            Some(59 * MIN),
            1,
            vec![B, B, B],
        ),
        (
            "the next window",
            vec![long, Nothing, Nothing],
            vec![],
            Some(60 * MIN),
            1,
            vec![D, B, B],
        ),
        (
            "demoted already: no window",
            vec![long, Nothing, Nothing],
            vec![D],
            Some(5),
            1,
            vec![D, B, B],
        ),
        (
            "min_active stays",
            vec![long, Nothing, Nothing],
            vec![B, D, B],
            None,
            2,
            vec![B, D, B],
        ),
        (
            "a drain keeps min_active, too",
            vec![Draining, Nothing],
            vec![],
            None,
            2,
            vec![B, B],
        ),
        (
            "of two drains one",
            vec![Draining, Draining],
            vec![],
            None,
            1,
            vec![X, B],
        ),
        (
            "a drain goes before a demotion",
            vec![long, Draining, Nothing],
            vec![],
            None,
            2,
            vec![B, X, B],
        ),
        ("a single region", vec![long], vec![], None, 1, vec![B]),
    ];
    for (what, said, past, demoted_ago, min_active, expected) in cases {
        let (intents, decision) = decided(&said, &past, demoted_ago, min_active);
        assert_eq!(intents, expected, "{what}: {decision:?}");
    }
}

#[test]
fn what_is_not_done_has_a_reason() {
    let said = |decision: Decision| {
        decision
            .holds
            .iter()
            .map(|hold| hold.why.to_string())
            .collect::<Vec<_>>()
    };
    let (_, decision) = decided(&[Bad(100), Nothing, Nothing], &[], None, 1);
    assert_eq!(said(decision), ["for 1m40s of 5m"]);
    let (_, decision) = decided(&[Well(100), Nothing, Nothing], &[D], None, 1);
    assert_eq!(said(decision), ["for 1m40s of 15m"]);
    let (_, decision) = decided(&[Bad(600), Nothing], &[], None, 2);
    assert_eq!(said(decision), ["2 must stay as configured (min_active)"]);
    let (_, decision) = decided(&[Bad(600), Bad(600), Nothing], &[], None, 1);
    let why = decision.suspended.unwrap().to_string();
    assert_eq!(why, "2 of 3 regions look unhealthy: the votes are doubted");
}

/// What held before a suspension ended counts from its end.
#[test]
fn observations_count_from_the_end_of_a_suspension() {
    let (origins, timing) = (origins(3), Timing::default());
    let rules = Rules {
        origins: &origins,
        caps: Caps::default(),
        timing: &timing,
    };
    let intents = BTreeMap::from([(RegionName::from("r1"), D)]);
    let past = Past {
        intents: &intents,
        demotions: &[],
    };
    let decided = |settled_for: u64| {
        let tally = Tally {
            settled_for: Duration::from_secs(settled_for),
            ..tally(3, &[Bad(9999), Well(9999), Nothing])
        };
        let decision = decide(rules, &tally, past, StoreTime(0));
        decision.intents.into_values().collect::<Vec<_>>()
    };
    assert_eq!(decided(0), [B, D, B]);
    assert_eq!(decided(299), [B, D, B]);
    assert_eq!(decided(300), [D, D, B]);
    assert_eq!(decided(899), [D, D, B]);
    assert_eq!(decided(900), [D, B, B]);
}

#[test]
fn without_quorum_nothing_changes() {
    let (origins, timing) = (origins(3), Timing::default());
    let rules = Rules {
        origins: &origins,
        caps: Caps::default(),
        timing: &timing,
    };
    let intents = BTreeMap::from([(RegionName::from("r1"), D)]);
    let past = Past {
        intents: &intents,
        demotions: &[],
    };
    let decision = decide(rules, &tally(1, &[Bad(9999), Well(9999), Nothing]), past, StoreTime(0));
    assert_eq!(decision.intents.into_values().collect::<Vec<_>>(), [B, D, B]);
    assert!(matches!(
        decision.suspended,
        Some(Suspended::NoQuorum {
            live: 1,
            majority: 2,
            ..
        })
    ));
}

#[test]
fn a_region_that_the_operator_disabled_is_left_alone() {
    let mut origins = origins(3);
    origins[0].state.enabled = false;
    let timing = Timing::default();
    let caps = Caps {
        min_active: 2,
        ..Caps::default()
    };
    let rules = Rules {
        origins: &origins,
        caps,
        timing: &timing,
    };
    let past = Past {
        intents: &BTreeMap::new(),
        demotions: &[],
    };
    let decision = decide(rules, &tally(3, &[Bad(600), Bad(600), Nothing]), past, StoreTime(0));
    assert!(decision.suspended.is_some());
    let decision = decide(rules, &tally(3, &[Bad(600), Nothing, Nothing]), past, StoreTime(0));
    assert_eq!(decision.intents.into_values().collect::<Vec<_>>(), [B, B, B]);
    // It is none of the two that must stay.
    let decision = decide(rules, &tally(3, &[Nothing, Bad(600), Nothing]), past, StoreTime(0));
    assert_eq!(decision.intents.into_values().collect::<Vec<_>>(), [B, B, B]);
}

#[test]
fn members_follow_from_the_intent() {
    let baseline = OriginState::default();
    assert_eq!(wanted(&baseline, D, DrainAction::Disable), baseline.demoted());
    assert_eq!(wanted(&baseline, X, DrainAction::Disable), baseline.disabled());
    assert_eq!(wanted(&baseline, X, DrainAction::Demote), baseline.demoted());
    assert!(wanted(&baseline, D, DrainAction::Disable).enabled);
}

fn any_said() -> impl Strategy<Value = Said> {
    prop_oneof![
        Just(Nothing),
        (0..1200_u64).prop_map(Bad),
        (0..2400_u64).prop_map(Well),
        Just(Draining)
    ]
}

proptest! {
    /// Whatever the votes are: never fewer than `min_active` at baseline by our changes, at most one new demotion, none in a
    /// window that has one, and the same again changes nothing.
    #[test]
    fn caps_hold(
        said in prop::collection::vec(any_said(), 1..7),
        past in prop::collection::vec(prop_oneof![Just(B), Just(D), Just(X)], 7),
        recent in prop::option::of(0..7200_u64),
        min_active in 1_usize..4,
    ) {
        let past = &past[..said.len()];
        let (intents, decision) = decided(&said, past, recent, min_active);
        let at_baseline = |intents: &[Intent]| intents.iter().filter(|intent| **intent == B).count();
        let fresh = |to: Intent| past.iter().zip(&intents).filter(|(was, is)| **was == B && **is == to).count();
        if fresh(D) + fresh(X) > 0 {
            prop_assert!(at_baseline(&intents) >= min_active);
        }
        prop_assert!(fresh(D) <= 1);
        if recent.is_some_and(|seconds| seconds < 3600) {
            prop_assert_eq!(fresh(D), 0);
        }
        if decision.suspended.is_some() {
            prop_assert_eq!(&intents[..], past);
        }
        let demoted_now = if fresh(D) > 0 { Some(0) } else { recent };
        let (again, _) = decided(&said, &intents, demoted_now, min_active);
        prop_assert_eq!(again, intents);
    }
}
