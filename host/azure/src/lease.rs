//! Until when a leader may write. Pure: by the monotonic clock, and with a margin.
//!
//! The lease begins at the store some time after the request for it was sent, so it ends no earlier than counted from the
//! sending. A leader that stops a margin before that never writes under a lease that another instance may hold.

use crate::settings::LeaseTiming;
use crate::store::LeaseId;
use std::time::Duration;
use tokio::time::Instant;

/// A leader's term, from the acquisition of the lease to its end.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    /// Numbers the terms of this process.
    pub number: u64,
    /// The lease id, sent with every write under the lease.
    pub lease: LeaseId,
    /// From here on the lease counts as lost, unless it is renewed before.
    pub ends: Instant,
}

impl Term {
    /// A term whose lease was asked for at `asked`.
    pub(crate) fn begun(number: u64, lease: LeaseId, asked: Instant, timing: &LeaseTiming) -> Self {
        Self {
            number,
            lease,
            ends: Self::end(asked, timing),
        }
    }

    /// The same term, its lease renewed by a request sent at `asked`.
    #[must_use]
    pub(crate) fn renewed(&self, asked: Instant, timing: &LeaseTiming) -> Self {
        Self {
            ends: Self::end(asked, timing).max(self.ends),
            ..self.clone()
        }
    }

    /// How long it is still safe to write. `None`: not at all.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        self.ends.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    fn end(asked: Instant, timing: &LeaseTiming) -> Instant {
        asked + timing.duration.saturating_sub(timing.margin)
    }
}

#[cfg(test)]
mod tests;
