//! Bounds how often the same kind of error is logged.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The interval between two lines.
const PAUSE: Duration = Duration::from_secs(10);

/// Lets one log line in ten seconds through. Shared by all workers; used for errors only.
#[derive(Debug)]
pub(super) struct LogLimit {
    epoch: Instant,
    /// The next line may come so many milliseconds after the epoch.
    next: AtomicU64,
    /// How many errors there were when the last line came.
    logged: AtomicU64,
}

impl LogLimit {
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            next: AtomicU64::new(0),
            logged: AtomicU64::new(0),
        }
    }

    /// Whether an error is to be logged now, and how many were not since the last line. `total`: all errors so far, this
    /// one included.
    pub(super) fn admit(&self, total: u64, now: Instant) -> Option<u64> {
        let now = now.saturating_duration_since(self.epoch).as_millis() as u64;
        let next = self.next.load(Relaxed);
        let wins = now >= next
            && self
                .next
                .compare_exchange(next, now + PAUSE.as_millis() as u64, Relaxed, Relaxed)
                .is_ok();
        wins.then(|| total.saturating_sub(self.logged.swap(total, Relaxed) + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_ten_seconds_with_the_number_of_those_left_out() {
        let start = Instant::now();
        let limit = LogLimit::new(start);
        assert_eq!(limit.admit(1, start), Some(0));
        assert_eq!(limit.admit(2, start), None);
        assert_eq!(limit.admit(3, start + Duration::from_secs(9)), None);
        assert_eq!(limit.admit(4, start + PAUSE), Some(2));
        assert_eq!(limit.admit(5, start + PAUSE), None);
    }
}
