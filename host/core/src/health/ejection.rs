//! How long an ejection lasts.

use super::later;
use super::outlier::Fault;
use crate::config::OutlierDetection;
use std::time::Instant;

/// The ejections of one gateway: each lasts twice as long as the one before. The count decreases by one for every
/// [`base_ejection_time`](OutlierDetection::base_ejection_time) without an ejection, as in Envoy.
#[derive(Clone, Debug)]
pub(super) struct Ejections {
    current: Option<Ejection>,
    /// Consecutive ejections, the current one included.
    count: u32,
    /// When the last one ended.
    back: Instant,
}

#[derive(Clone, Debug)]
struct Ejection {
    fault: Fault,
    until: Instant,
    /// The ejection time is over.
    served: bool,
    /// Probes failed too, or must have: passing probes may end the ejection early.
    seen_by_probes: bool,
    /// Enough probes in a row have passed, and not enough have failed since.
    passes: bool,
}

impl Ejections {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            current: None,
            count: 0,
            back: now,
        }
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.current.is_some()
    }

    /// The cause of the current ejection.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.current.as_ref().map(|ejection| ejection.fault)
    }

    /// When the current ejection ends.
    pub(super) fn until(&self) -> Option<Instant> {
        self.current.as_ref().map(|ejection| ejection.until)
    }

    /// The next moment at which time alone changes something. `passing_since` is as for [`serve`](Self::serve).
    pub(super) fn poll_timeout(&self, passing_since: Option<Instant>) -> Option<Instant> {
        let ejection = self.current.as_ref().filter(|it| !it.served)?;
        Some(ejection.ends(passing_since))
    }

    pub(super) fn begin(&mut self, fault: Fault, limits: &OutlierDetection, now: Instant) {
        let base = limits.base_ejection_time;
        let stayed = now.saturating_duration_since(self.back).as_nanos();
        let forgotten = stayed.checked_div(base.as_nanos()).unwrap_or(u128::MAX);
        self.count = self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX)) + 1;
        let length = base
            .saturating_mul(doubled(1, self.count))
            .min(limits.max_ejection_time);
        self.current = Some(Ejection {
            fault,
            until: later(now, length),
            served: false,
            seen_by_probes: fault.shows_in_probes(),
            passes: false,
        });
    }

    /// Enough probes in a row failed.
    pub(super) fn probes_failed(&mut self) {
        if let Some(ejection) = &mut self.current {
            ejection.seen_by_probes = true;
            ejection.passes = false;
        }
    }

    /// Enough probes in a row passed.
    pub(super) fn probes_passed(&mut self) {
        if let Some(ejection) = &mut self.current {
            ejection.passes = true;
        }
    }

    /// Whether it is ejected although its probes pass, by their thresholds.
    pub(super) fn is_passing(&self) -> bool {
        self.current.as_ref().is_some_and(|ejection| ejection.passes)
    }

    /// Whether the ejection time is over at `now`. Time in which probes pass, the first of them at `passing_since`, counts
    /// twice.
    pub(super) fn serve(&mut self, passing_since: Option<Instant>, now: Instant) -> bool {
        let Some(ejection) = &mut self.current else {
            return false;
        };
        ejection.served |= now >= ejection.ends(passing_since);
        ejection.served
    }

    /// How many consecutive successful probes end it early: twice the healthy `threshold`, doubled with every repetition.
    /// `None`: only time ends it.
    pub(super) fn early(&self, threshold: u32) -> Option<u32> {
        let ejection = self.current.as_ref()?;
        ejection.seen_by_probes.then(|| doubled(threshold, self.count + 1))
    }

    /// Ends it.
    pub(super) fn end(&mut self, now: Instant) {
        self.current = None;
        self.back(now);
    }

    /// Takes it back: it counts for nothing.
    pub(super) fn take_back(&mut self) {
        self.current = None;
        self.count = self.count.saturating_sub(1);
    }

    /// The gateway gets traffic again: from now on the count decreases.
    pub(super) fn back(&mut self, now: Instant) {
        self.back = now;
    }
}

impl Ejection {
    fn ends(&self, passing_since: Option<Instant>) -> Instant {
        match passing_since {
            Some(since) => since + self.until.saturating_duration_since(since) / 2,
            None => self.until,
        }
    }
}

/// `first` for the first time, twice as much for each further one.
fn doubled(first: u32, time: u32) -> u32 {
    first.saturating_mul(1 << time.saturating_sub(1).min(16))
}
