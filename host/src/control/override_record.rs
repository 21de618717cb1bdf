//! The file format of overrides.

use super::moment;
use portolan_core::rollout::{Plan, Share, Stage, Step, Thresholds};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Who orders what the instance does by itself.
const ITSELF: &str = "portolan";

/// The time and origin of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// When.
    #[serde(with = "moment")]
    pub since: SystemTime,
    /// Who asked the administration: an address, with the subject of a client certificate where there was one, or the user of
    /// a Unix socket. The instance itself is `portolan`.
    pub from: String,
    /// Why; empty when no reason was given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Ordered {
    /// Ordered now.
    pub fn now(from: impl Into<String>) -> Self {
        Self {
            since: SystemTime::now(),
            from: from.into(),
            reason: String::new(),
        }
    }

    /// By the instance itself.
    pub fn by_itself() -> Self {
        Self::now(ITSELF)
    }

    /// The operator; `None` when the instance itself did it.
    pub fn author(&self) -> Option<&str> {
        (self.from != ITSELF).then_some(self.from.as_str())
    }

    /// For this reason.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }
}

/// Why another version than the configured one is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinKind {
    /// The configured one was rolled back.
    #[default]
    Rollback,
    /// An operator has deployed another one.
    Deploy,
    /// The configured one is being rolled out.
    Rollout,
}

/// All overrides, as the state directory has them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) drains: BTreeMap<String, Ordered>,
    pub(super) rollbacks: BTreeMap<String, PinRecord>,
    pub(super) off: BTreeMap<String, Ordered>,
    /// By plugin, then by digest.
    pub(super) suspended: BTreeMap<String, BTreeMap<String, Ordered>>,
    pub(super) rollouts: BTreeMap<String, RolloutRecord>,
}

/// Another version than the configured one is active; its component is kept in the same directory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PinRecord {
    #[serde(default)]
    pub(super) kind: PinKind,
    pub(super) configured: String,
    pub(super) active: String,
    #[serde(flatten)]
    pub(super) ordered: Ordered,
}

/// A rollout; the component of its version is kept in the same directory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RolloutRecord {
    pub(super) configured: String,
    pub(super) version: String,
    pub(super) steps: Vec<StepRecord>,
    /// The index of the step that it is in.
    pub(super) step: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rollback: Option<ThresholdsRecord>,
    #[serde(flatten)]
    pub(super) ordered: Ordered,
}

/// A stage of a rollout: shadow, unless it has a share.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StepRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permille: Option<u16>,
    /// Until it is promoted, when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ThresholdsRecord {
    faults: u64,
    fault_rate: f64,
    cost_micros: u64,
    failure_rate: f64,
}

impl RolloutRecord {
    /// The steps and thresholds of a plan, for the record.
    pub(super) fn of_plan(plan: &Plan) -> (Vec<StepRecord>, Option<ThresholdsRecord>) {
        let steps = plan.steps.iter().map(|step| StepRecord {
            permille: match step.stage {
                Stage::Shadow => None,
                Stage::Canary(share) => Some(share.as_permille()),
            },
            seconds: step.lasts.map(|lasts| lasts.as_secs_f64()),
        });
        let thresholds = plan.thresholds.as_ref().map(|it| ThresholdsRecord {
            faults: it.faults,
            fault_rate: it.fault_rate,
            cost_micros: u64::try_from(it.cost.as_micros()).unwrap_or(u64::MAX),
            failure_rate: it.failure_rate,
        });
        (steps.collect(), thresholds)
    }

    /// The plan, without steps that cannot be read.
    pub(super) fn plan(&self) -> Plan {
        let steps = self.steps.iter().filter_map(|step| {
            Some(Step {
                stage: match step.permille {
                    None => Stage::Shadow,
                    Some(permille) => Stage::Canary(Share::permille(permille)?),
                },
                lasts: match step.seconds {
                    None => None,
                    Some(seconds) => Some(Duration::try_from_secs_f64(seconds).ok()?),
                },
            })
        });
        Plan {
            steps: steps.collect(),
            thresholds: self.rollback.as_ref().map(|it| Thresholds {
                faults: it.faults,
                fault_rate: it.fault_rate,
                cost: Duration::from_micros(it.cost_micros),
                failure_rate: it.failure_rate,
            }),
        }
    }
}

impl Record {
    /// The digests of the components that are needed.
    pub(super) fn components(&self) -> impl Iterator<Item = &str> {
        let active = self.rollbacks.values().map(|record| record.active.as_str());
        active.chain(self.rollouts.values().map(|record| record.version.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_comes_back_as_it_was_written() {
        let plan = Plan {
            steps: vec![
                Step {
                    stage: Stage::Shadow,
                    lasts: Some(Duration::from_secs(300)),
                },
                Step {
                    stage: Stage::Canary(Share::permille(15).expect("a share")),
                    lasts: None,
                },
            ],
            thresholds: Some(Thresholds::default()),
        };
        let (steps, rollback) = RolloutRecord::of_plan(&plan);
        let record = RolloutRecord {
            configured: "a".to_owned(),
            version: "b".to_owned(),
            steps,
            step: 1,
            rollback,
            ordered: Ordered::by_itself().because("its file changed"),
        };
        let text = serde_json::to_string(&record).expect("written");
        let read: RolloutRecord = serde_json::from_str(&text).expect("read");
        assert_eq!(read.plan(), plan, "{text}");
        assert_eq!((read.ordered.from.as_str(), read.step), ("portolan", 1));
    }

    #[test]
    fn records_of_earlier_versions_are_read() {
        let text = r#"{ "drains": {}, "rollbacks": { "p": { "configured": "a", "active": "b", "since": "2026-11-01T00:00:00Z", "from": "x" } } }"#;
        let record: Record = serde_json::from_str(text).expect("read");
        assert_eq!(record.rollbacks["p"].kind, PinKind::Rollback);
        assert_eq!(record.components().collect::<Vec<_>>(), ["b"]);
    }
}
