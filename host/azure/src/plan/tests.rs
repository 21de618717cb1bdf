use super::*;
use crate::ledger::Pending;
use crate::origin::{ObservedOrigin, OriginState, Provisioning};
use crate::quorum::{Count, RegionTally};
use crate::settings::{Caps, DrainAction, Timing};
use std::time::Duration;

/// Three regions, each with an origin, and what is there of them.
struct Scene {
    origins: Vec<Baseline>,
    caps: Caps,
    timing: Timing,
    ledger: Ledger,
    observed: Observed,
    tally: Tally,
}

fn scene() -> Scene {
    let names = ["eus", "sea", "weu"];
    let origins = names.map(|region| Baseline {
        region: region.into(),
        origin: format!("o-{region}"),
        state: OriginState::default(),
    });
    let there = ObservedOrigin {
        members: OriginState::default().into(),
        provisioning: Provisioning::Succeeded,
        rest: BTreeMap::new(),
    };
    Scene {
        observed: Observed {
            origins: origins
                .iter()
                .map(|origin| (origin.origin.clone(), there.clone()))
                .collect(),
        },
        tally: Tally {
            doubted: 0,
            settled_for: Duration::MAX,
            live: 3,
            majority: 2,
            configured: 3,
            regions: names.map(|region| (region.into(), RegionTally::default())).into(),
        },
        origins: origins.to_vec(),
        caps: Caps::default(),
        timing: Timing::default(),
        ledger: Ledger::default(),
    }
}

impl Scene {
    fn plan(&self) -> Plan {
        let rules = Rules {
            origins: &self.origins,
            caps: self.caps,
            timing: &self.timing,
        };
        Plan::make(
            rules,
            &self.tally,
            &self.ledger,
            &self.observed,
            Haste::Never,
            StoreTime(10_000_000),
        )
    }

    fn bad(mut self, region: &str, minutes: u64) -> Self {
        let count = Count {
            votes: 3,
            agreed_for: Some(Duration::from_secs(minutes * 60)),
        };
        self.tally.regions.get_mut(&RegionName::from(region)).unwrap().unhealthy = count;
        self
    }

    fn draining(mut self, region: &str) -> Self {
        let count = Count {
            votes: 3,
            agreed_for: Some(Duration::ZERO),
        };
        self.tally.regions.get_mut(&RegionName::from(region)).unwrap().draining = count;
        self
    }

    fn found(mut self, region: &str, state: OriginState) -> Self {
        self.observed.origins.get_mut(&format!("o-{region}")).unwrap().members = state.into();
        self
    }

    fn left(mut self, region: &str, intent: Intent, state: OriginState) -> Self {
        self.ledger.intents.insert(region.into(), intent);
        self.ledger.published.insert(region.into(), state);
        self
    }
}

fn changes(plan: &Plan) -> Vec<String> {
    plan.changes
        .iter()
        .map(|change| {
            format!(
                "{} {} {}",
                change.why(),
                change.origin,
                serde_json::to_string(&change.set).unwrap()
            )
        })
        .collect()
}

#[test]
fn nothing_wrong_nothing_to_do() {
    let plan = scene().plan();
    assert!(plan.changes.is_empty() && !plan.is_due());
    assert_eq!(
        plan.to_string(),
        "nothing to change\n  = eus  o-eus  as configured\n  = sea  o-sea  as configured\n  = weu  o-weu  as configured\n"
    );
}

#[test]
fn a_dead_region_is_one_small_change() {
    let plan = scene().bad("weu", 6).plan();
    assert_eq!(changes(&plan), [r#"demote o-weu {"priority":5}"#]);
    assert!(plan.is_due());
    let text = plan.to_string();
    assert!(text.starts_with("1 change\n"), "{text}");
    assert!(
        text.contains("  ~ weu  o-weu  demote\n      priority  1 -> 5\n"),
        "{text}"
    );
}

#[test]
fn what_an_operator_changed_is_reported_and_reverted() {
    let theirs = OriginState {
        priority: crate::origin::Priority::new(3).unwrap(),
        ..OriginState::default()
    };
    let plan = scene()
        .left("eus", Intent::Baseline, OriginState::default())
        .found("eus", theirs)
        .plan();
    assert_eq!(changes(&plan), [r#"correct o-eus {"priority":1}"#]);
    assert_eq!(plan.drift.len(), 1);
    let text = plan.to_string();
    assert!(
        text.contains("drift: left as priority 1 weight 50 enabled true, found as priority 3 weight 50 enabled true"),
        "{text}"
    );
}

#[test]
fn our_own_change_is_recognised_when_the_ledger_is_lost() {
    let demoted = OriginState::default().demoted();
    let plan = scene().found("sea", demoted).plan();
    assert!(plan.changes.is_empty(), "{plan}");
    assert_eq!(plan.wanted[1].intent, Intent::Demoted);
    // With a ledger it was another client.
    let plan = scene()
        .left("sea", Intent::Baseline, OriginState::default())
        .found("sea", demoted)
        .plan();
    assert_eq!(changes(&plan), [r#"correct o-sea {"priority":1}"#]);
}

#[test]
fn members_never_set_are_set_once() {
    let mut scene = scene();
    scene.observed.origins.get_mut("o-eus").unwrap().members = Members {
        enabled: Some(true),
        ..Members::default()
    };
    assert_eq!(changes(&scene.plan()), [r#"correct o-eus {"priority":1,"weight":50}"#]);
}

#[test]
fn the_last_enabled_origin_is_never_disabled() {
    let off = OriginState::default().disabled();
    let mut scene = scene().draining("weu").found("eus", off).found("sea", off);
    for origin in &mut scene.origins[..2] {
        origin.state.enabled = false;
    }
    scene.caps.min_active = 0;
    let plan = scene.plan();
    assert!(plan.changes.is_empty(), "{plan}");
    assert!(
        plan.decision
            .holds
            .iter()
            .any(|hold| hold.why == HoldReason::LastEnabled)
    );
    assert!(
        plan.to_string()
            .contains("held: draining it is the last enabled origin"),
        "{plan}"
    );
}

#[test]
fn a_drain_disables_or_demotes_as_configured() {
    let mut scene = scene().draining("weu");
    assert_eq!(changes(&scene.plan()), [r#"drain o-weu {"enabled":false}"#]);
    scene.caps.drain = DrainAction::Demote;
    assert_eq!(changes(&scene.plan()), [r#"drain o-weu {"priority":5}"#]);
}

#[test]
fn nothing_is_sent_while_a_change_is_in_progress() {
    let mut busy = scene().bad("weu", 6);
    busy.observed.origins.get_mut("o-eus").unwrap().provisioning = Provisioning::Running;
    assert_eq!(busy.plan().wait, Some(Wait::Busy));
    let mut pending = scene().bad("weu", 6);
    pending.ledger.pending = Some(Pending {
        changes: Vec::new(),
        done: 0,
        carried: 1,
        operation: None,
        started: StoreTime(0),
        previous: None,
    });
    assert!(!pending.plan().is_due());
}

#[test]
fn without_quorum_not_even_drift_is_corrected() {
    let mut scene = scene()
        .left("eus", Intent::Baseline, OriginState::default())
        .found("eus", OriginState::default().disabled());
    scene.tally.live = 1;
    let plan = scene.plan();
    assert!(plan.changes.is_empty());
    assert_eq!(plan.drift.len(), 1);
    assert!(
        plan.to_string()
            .starts_with("nothing may be changed: no quorum: 1 of 3 votes count, 2 are needed\n")
    );
}

#[test]
fn a_missing_origin_is_reported_and_never_created() {
    let mut scene = scene().bad("weu", 6);
    scene.observed.origins.remove("o-weu");
    let plan = scene.plan();
    assert!(plan.changes.is_empty());
    assert!(
        plan.to_string().contains("  ? weu  o-weu  is not in the group\n"),
        "{plan}"
    );
}
