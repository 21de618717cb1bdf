//! A version of a plugin that is being rolled out.

use super::{Counts, Ordered};
use crate::control::status::RolloutStatus;
use crate::rollout::{ShadowReading, VersionVitals};
use portolan_core::rollout::Stage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The countries and changes of region that are shown, the most frequent ones.
const SHOWN: usize = 20;

/// A version of a plugin that is being rolled out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its digest.
    pub digest: String,
    /// `shadow` or `canary`.
    pub stage: String,
    /// The share of clients whose requests it decides, in percent.
    pub share_percent: f64,
    /// For how long it has been in this stage, in seconds.
    pub elapsed_seconds: f64,
    /// The time until it goes on, in seconds; `null` when an operator promotes it.
    pub remaining_seconds: Option<f64>,
    /// What comes after this stage: stages, then `active`.
    pub next: Vec<String>,
    /// When it began, from where and why.
    pub ordered: Ordered,
    /// What was counted of it since it began.
    pub candidate: Version,
    /// What was counted of the active version in the same time.
    pub active: Version,
    /// How its decisions differ, while it is in shadow.
    #[serde(default)]
    pub shadow: Option<Shadow>,
}

/// What was counted of a version during a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Its calls.
    pub calls: u64,
    /// Calls that failed, by fault.
    pub faults: Counts,
    /// How long a call takes on average, in microseconds.
    pub cost_us: f64,
    /// Requests that it decided and that have ended.
    pub requests: u64,
    /// Of those, the ones whose first region failed, or that got an error.
    pub failures: u64,
}

/// How the decisions of a version in shadow differ from the active version's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// Decisions that were compared.
    pub compared: u64,
    /// The share of those with another first region, in percent.
    pub differ_percent: f64,
    /// Copies of requests that were dropped.
    pub dropped: u64,
    /// How the estimated round trip of clients would change on average, in milliseconds; `null` without clients that have a place.
    pub round_trip_change_ms: Option<f64>,
    /// The share of decisions with another first region in percent, by country; the 20 countries with the most decisions.
    pub countries: BTreeMap<String, f64>,
    /// How often which region would take the place of which, as `FROM → TO`; the 20 most frequent.
    pub changes: BTreeMap<String, u64>,
}

impl Rollout {
    pub(in crate::admin) fn of(status: &RolloutStatus) -> Self {
        let trial = &status.trial;
        let later = status.plan.steps.iter().skip(status.at + 1);
        let next = later.map(|step| step.stage.to_string());
        Self {
            digest: trial.version.digest.clone(),
            stage: trial.stage.as_str().to_owned(),
            share_percent: match trial.stage {
                Stage::Shadow => 0.0,
                Stage::Canary(share) => f64::from(share.as_permille()) / 10.0,
            },
            elapsed_seconds: status.elapsed.as_secs_f64(),
            remaining_seconds: status.remaining.map(|time| time.as_secs_f64()),
            next: next.chain(["active".to_owned()]).collect(),
            ordered: (&status.ordered).into(),
            candidate: Version::of(&trial.vitals.candidate),
            active: Version::of(&trial.vitals.active),
            shadow: trial.shadow.as_ref().map(|shadow| Shadow::of(&shadow.read())),
        }
    }
}

impl Version {
    fn of(vitals: &VersionVitals) -> Self {
        let counts = vitals.counts();
        let faults = vitals.faults().into_iter();
        Self {
            calls: counts.calls,
            faults: faults.map(|(fault, count)| (fault.to_owned(), count)).collect(),
            cost_us: counts.mean_cost().as_secs_f64() * 1e6,
            requests: counts.requests,
            failures: counts.failures,
        }
    }
}

impl Shadow {
    fn of(reading: &ShadowReading) -> Self {
        let percent = |(compared, differed): (u64, u64)| match compared {
            0 => 0.0,
            _ => 100.0 * differed as f64 / compared as f64,
        };
        let mut countries: Vec<_> = reading.countries.iter().collect();
        countries.sort_by_key(|(_, (compared, _))| std::cmp::Reverse(*compared));
        let mut changes: Vec<_> = reading.changes.iter().collect();
        changes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        Self {
            compared: reading.compared,
            differ_percent: percent((reading.compared, reading.differed)),
            dropped: reading.dropped,
            round_trip_change_ms: (reading.estimated > 0)
                .then(|| reading.round_trip_change_ms / reading.estimated as f64),
            countries: countries
                .into_iter()
                .take(SHOWN)
                .map(|(country, counts)| (country.to_string(), percent(*counts)))
                .collect(),
            changes: changes
                .into_iter()
                .take(SHOWN)
                .map(|((from, to), count)| (format!("{from} → {to}"), *count))
                .collect(),
        }
    }
}
