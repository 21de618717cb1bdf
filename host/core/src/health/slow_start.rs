//! Slow start: a returning gateway gets its traffic back step by step.

use super::{GatewayHealth, later};
use std::time::{Duration, Instant};

/// A slow start begins with a tenth of the traffic and adds a tenth with each of this many equal steps.
const STEPS: u16 = 9;
const SHARE: u16 = GatewayHealth::FULL_SHARE / (STEPS + 1);

/// A slow start in progress.
#[derive(Clone, Debug)]
pub(super) struct SlowStart {
    since: Instant,
    step: u16,
}

impl SlowStart {
    /// One that began at this moment.
    pub(super) fn new(since: Instant) -> Self {
        Self { since, step: 0 }
    }

    /// How long it has lasted.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// In thousandths, 100 to 1000.
    pub(super) fn share(&self) -> u16 {
        SHARE * (1 + self.step)
    }

    /// Advances to the step that is due. Returns whether it was the last one.
    pub(super) fn advance(&mut self, length: Duration, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.since).as_nanos();
        let step = (elapsed * u128::from(STEPS)).checked_div(length.as_nanos());
        let step = step.map_or(STEPS, |step| u16::try_from(step).unwrap_or(STEPS).min(STEPS));
        // A longer slow start from a new configuration does not reduce the current share.
        self.step = self.step.max(step);
        self.step >= STEPS
    }

    /// When the next step is due.
    pub(super) fn poll_timeout(&self, length: Duration) -> Instant {
        let next = (length.as_nanos() * u128::from(self.step + 1)).div_ceil(u128::from(STEPS));
        later(
            self.since,
            Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX)),
        )
    }
}
