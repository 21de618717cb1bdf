//! What is counted of the clients of a drill.

use super::DrillPhase;
use crate::vitals::{Counter, Durations, Histogram};
use portolan_core::drill::Seen;
use portolan_core::id::Slot;
use std::time::{Duration, Instant};

/// A request that was forwarded, or could not be.
#[derive(Clone, Copy, Debug)]
pub struct Handled<'a> {
    /// When it began.
    pub began: Instant,
    /// Whether it failed: a 5xx, or no response.
    pub failed: bool,
    /// The regions of its attempts.
    pub attempts: &'a [Slot],
    /// The time to the head of the response, or until there was none.
    pub took: Duration,
}

/// One worker's counts. Aligned so that two workers do not share a cache line.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shard {
    phases: [Counts; DrillPhase::ALL.len()],
    lost: Box<[Counter]>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: Counter,
    errors: Counter,
    retried: Counter,
    took: Histogram,
}

/// The counts of all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrillTotals {
    /// Requests.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those with more than one attempt.
    pub retried: u64,
    /// Times to the head of the response.
    pub took: Durations,
}

impl Shard {
    pub(super) fn new(services: usize) -> Self {
        Self {
            phases: Default::default(),
            lost: (0..services).map(|_| Counter::default()).collect(),
        }
    }

    pub(super) fn count(&self, phase: usize, service: usize, handled: &Handled<'_>, lost: u64) {
        let counts = &self.phases[phase];
        counts.requests.add(1);
        counts.errors.add(u64::from(handled.failed));
        counts.retried.add(u64::from(handled.attempts.len() > 1));
        counts.took.record(handled.took);
        if let Some(counter) = self.lost.get(service) {
            counter.add(lost);
        }
    }

    pub(super) fn lost_attempts(&self, service: usize) -> u64 {
        self.lost.get(service).map_or(0, Counter::get)
    }

    pub(super) fn add_to(&self, phase: usize, totals: &mut DrillTotals) {
        let counts = &self.phases[phase];
        totals.requests += counts.requests.get();
        totals.errors += counts.errors.get();
        totals.retried += counts.retried.get();
        totals.took.add(&counts.took);
    }
}

impl DrillTotals {
    /// What came since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            retried: self.retried.saturating_sub(earlier.retried),
            took: self.took.since(&earlier.took),
        }
    }

    /// For the condition that ends a drill.
    pub fn seen(&self) -> Seen {
        Seen {
            requests: self.requests,
            errors: self.errors,
            p99: self.took.quantile(0.99),
        }
    }
}
