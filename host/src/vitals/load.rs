//! The request limit of a gateway, and how busy it says it is.

use portolan_core::capacity::Load;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A report counts in full for this long...
const FRESH: Duration = Duration::from_secs(2);
/// ... and then less and less until here: a region that gets no requests because it said that it was busy gets some again.
const EXPIRES: Duration = Duration::from_secs(10);

/// A new report moves what is known by this part: a gateway may have several servers, and each reports its own load.
const SMOOTHING: i32 = 4;

/// More is not told apart. Gateways may say that they are more than busy.
const MOST: f64 = 10.0;

/// The limit and the reports of a gateway. Workers read and write it without waiting; of two reports at once, one is lost.
#[derive(Debug)]
pub struct RegionLoad {
    /// `u32::MAX`: none.
    limit: AtomicU32,
    /// Milliseconds since `begun`, then 16 bits of thousandths; 0 before the first report.
    report: AtomicU64,
    begun: Instant,
}

impl RegionLoad {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            limit: AtomicU32::new(u32::MAX),
            report: AtomicU64::new(0),
            begun: now,
        }
    }

    /// At most this many attempts may be in flight.
    pub fn limit_to(&self, limit: Option<u32>) {
        self.limit.store(limit.unwrap_or(u32::MAX), Relaxed);
    }

    /// How many attempts may be in flight; `None`: any number.
    #[inline]
    pub fn limit(&self) -> Option<u32> {
        Some(self.limit.load(Relaxed)).filter(|limit| *limit != u32::MAX)
    }

    /// The gateway said that it is so busy: 1 is all of its capacity.
    pub fn reported(&self, utilization: f64, now: Instant) {
        let said = (utilization.clamp(0.0, MOST) * 1000.0) as i32;
        let next = match self.at(now) {
            Some((known, _)) => i32::from(known) + (said - i32::from(known)) / SMOOTHING,
            None => said,
        };
        // Not 0, which is no report.
        let millis = self.millis(now).max(1);
        self.report.store(millis << 16 | u64::from(next as u16), Relaxed);
    }

    /// How busy it is by its reports, in thousandths; `None` without one that counts.
    pub fn utilization(&self, now: Instant) -> Option<u16> {
        let (known, age) = self.at(now)?;
        let left = EXPIRES.saturating_sub(age.max(FRESH)).as_millis();
        Some((u128::from(known) * left / (EXPIRES - FRESH).as_millis()) as u16)
    }

    /// Its load beside so many attempts in flight.
    pub fn beside(&self, in_flight: u32, now: Instant) -> Load {
        Load {
            in_flight,
            reported: self.utilization(now).unwrap_or(0),
        }
    }

    /// The last report that has not expired, and its age.
    fn at(&self, now: Instant) -> Option<(u16, Duration)> {
        let report = self.report.load(Relaxed);
        let age = Duration::from_millis(self.millis(now).saturating_sub(report >> 16));
        (report != 0 && age < EXPIRES).then_some((report as u16, age))
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begun).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_and_is_forgotten_by_and_by() {
        let begun = Instant::now();
        let load = RegionLoad::new(begun);
        let at = |millis| load.utilization(begun + Duration::from_millis(millis));
        assert_eq!(at(0), None);
        load.reported(0.8, begun);
        assert_eq!(
            [0, 2_000, 6_000, 9_999, 10_002].map(at),
            [Some(800), Some(800), Some(400), Some(0), None]
        );
        // Another server of the gateway.
        load.reported(1.2, begun + Duration::from_millis(100));
        assert_eq!(at(100), Some(900));
        load.reported(f64::MAX, begun + Duration::from_secs(60));
        assert_eq!(at(60_000), Some(10_000));
        assert_eq!(load.beside(3, begun + Duration::from_secs(60)).reported, 10_000);
    }

    #[test]
    fn a_gateway_without_a_limit_is_never_over_it() {
        let load = RegionLoad::new(Instant::now());
        assert_eq!(load.limit(), None);
        load.limit_to(Some(7));
        assert_eq!(load.limit(), Some(7));
        load.limit_to(None);
        assert_eq!(load.limit(), None);
    }
}
