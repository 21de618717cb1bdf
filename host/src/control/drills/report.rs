//! The report of a drill, as the administration and the command line show it.

use super::Terms;
use crate::drill::{Drill, DrillPhase, DrillTotals};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The report of a drill that runs or has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillReport {
    /// The region that is lost.
    pub region: String,
    /// The share of the clients.
    pub share: String,
    /// `before`, `during`, `after`, or `ended`.
    pub phase: String,
    /// Why it ends or has ended: `completed`, or why early; empty while it goes on.
    pub result: String,
    /// Seconds from the loss until all services that have the region had detected it, with probes and outlier detection as they are
    /// configured.
    pub seconds_to_detect: Option<f64>,
    /// Seconds from the loss until the last request began that tried the region.
    pub seconds_to_shift: Option<f64>,
    /// Its clients before.
    pub before: PhaseReport,
    /// Its clients while the region is lost to them.
    pub during: PhaseReport,
    /// Its clients afterwards.
    pub after: PhaseReport,
}

/// What was counted of the clients of a drill in a part of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseReport {
    /// Requests.
    pub requests: u64,
    /// Those that failed: a 5xx, or no response.
    pub errors: u64,
    /// Those with more than one attempt.
    pub retried: u64,
    /// The median of the time to the head of the response, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The 99th percentile.
    pub p99_ms: Option<f64>,
}

impl DrillReport {
    pub(super) fn of(drill: &Drill, terms: &Terms, phase: &str, result: &str) -> Self {
        let part = |phase| PhaseReport::of(&drill.totals(phase));
        Self {
            region: terms.region.to_string(),
            share: terms.share.to_string(),
            phase: phase.to_owned(),
            result: result.to_owned(),
            seconds_to_detect: drill.time_to_detect().map(|time| time.as_secs_f64()),
            seconds_to_shift: drill.time_to_shift().map(|time| time.as_secs_f64()),
            before: part(DrillPhase::Before),
            during: part(DrillPhase::During),
            after: part(DrillPhase::After),
        }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.phase == "ended"
    }
}

impl PhaseReport {
    fn of(totals: &DrillTotals) -> Self {
        let millis = |quantile| totals.took.quantile(quantile).map(millis);
        Self {
            requests: totals.requests,
            errors: totals.errors,
            retried: totals.retried,
            p50_ms: millis(0.5),
            p99_ms: millis(0.99),
        }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
