//! What the health task counts of a gateway: its probes and its ejections. The health task alone writes.

use super::{Durations, Histogram, Tally};
use portolan_core::health::outlier::Fault;
use portolan_core::health::probing::{ProbeFailure, ProbeResult};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The words for how a probe ends.
const RESULTS: usize = 1 + ProbeFailure::WORDS.len();

/// Counters of the health task for one gateway.
#[derive(Debug)]
pub struct Checks {
    /// What the moments below are counted from.
    created: Instant,
    probes: Tally<RESULTS>,
    probe_duration: Histogram,
    /// Nanoseconds that the last probe took which passed; 0 before the first.
    last_passed: AtomicU64,
    /// Nanoseconds from `created` to the next probe; [`NO_PROBE`]: none is due.
    next: AtomicU64,
    ejections: Tally<{ Fault::ALL.len() }>,
}

/// No probe is due: one is in flight, or there are no health checks.
const NO_PROBE: u64 = u64::MAX;

impl Checks {
    /// None so far. `now` is only what moments are counted from.
    pub fn new(now: Instant) -> Self {
        Self {
            created: now,
            probes: Tally::default(),
            probe_duration: Histogram::default(),
            last_passed: AtomicU64::new(0),
            next: AtomicU64::new(NO_PROBE),
            ejections: Tally::default(),
        }
    }

    /// When the next probe begins; `None` while one is in flight, and without health checks.
    pub fn schedule(&self, next: Option<Instant>) {
        let nanos = next.map(|next| next.saturating_duration_since(self.created).as_nanos());
        let nanos = nanos.and_then(|nanos| u64::try_from(nanos).ok());
        self.next.store(nanos.unwrap_or(NO_PROBE), Relaxed);
    }

    /// When the next probe begins, as it was last scheduled.
    pub fn next_probe(&self) -> Option<Instant> {
        match self.next.load(Relaxed) {
            NO_PROBE => None,
            nanos => self.created.checked_add(Duration::from_nanos(nanos)),
        }
    }

    /// A probe ended.
    pub fn probed(&self, result: ProbeResult) {
        match result {
            Ok(took) => {
                self.probes.count(0);
                self.probe_duration.record(took);
                let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                self.last_passed.store(nanos.max(1), Relaxed);
            }
            Err(failure) => self.probes.count(1 + failure.index()),
        }
    }

    /// Outlier detection ejected the gateway.
    pub fn ejected(&self, fault: Fault) {
        self.ejections.count(fault as usize);
    }

    /// Its probes by how they ended.
    pub fn probes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let mut counts = [0; RESULTS];
        self.probes.add_to(&mut counts);
        ["passed"].into_iter().chain(ProbeFailure::WORDS).zip(counts)
    }

    /// How long the probes took that passed.
    pub fn probe_duration(&self) -> Durations {
        let mut durations = Durations::default();
        durations.add(&self.probe_duration);
        durations
    }

    /// How long the last probe took that passed; `None` before the first.
    pub fn last_passed(&self) -> Option<Duration> {
        let nanos = self.last_passed.load(Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// Its ejections by cause.
    pub fn ejections(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let mut counts = [0; Fault::ALL.len()];
        self.ejections.add_to(&mut counts);
        Fault::ALL.into_iter().map(Fault::as_str).zip(counts)
    }
}
