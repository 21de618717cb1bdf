//! How long to pause after a failure. Pure.

use crate::settings::Timing;
use std::time::Duration;

/// When a failed request may be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing was accepted and the cause may pass: soon, but not before `Retry-After`.
    Soon(Option<Duration>),
    /// The service rejected it, or the operation failed: the same request would fail again, so slowly.
    Slowly,
}

/// How long to pause after the `failures`-th failure in a row, 1 for the first.
pub(crate) fn pause(remedy: Remedy, failures: u32, timing: &Timing) -> Duration {
    let doubled = |first: Duration| first.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let pause = match remedy {
        Remedy::Soon(asked) => doubled(timing.retry_least).max(asked.unwrap_or_default()),
        Remedy::Slowly => doubled(timing.spacing),
    };
    pause.min(timing.retry_most.max(timing.retry_least))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_honour_retry_after() {
        let timing = Timing::default();
        let secs = |remedy, failures| pause(remedy, failures, &timing).as_secs();
        assert_eq!([1, 2, 3, 99].map(|n| secs(Remedy::Soon(None), n)), [10, 20, 40, 3600]);
        assert_eq!([1, 2, 3].map(|n| secs(Remedy::Slowly, n)), [1200, 2400, 3600]);
        let asked = |seconds| Remedy::Soon(Some(Duration::from_secs(seconds)));
        assert_eq!(secs(asked(120), 1), 120);
        assert_eq!(secs(asked(5), 1), 10);
        // A `Retry-After` of days is cut to an hour.
        assert_eq!(secs(asked(1_000_000), 1), 3600);
    }
}
