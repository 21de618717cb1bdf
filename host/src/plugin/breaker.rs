//! Leaves a plugin that keeps failing alone for a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many faults within [`WINDOW`] open the breaker.
const FAULTS: usize = 5;
const WINDOW: Duration = Duration::from_secs(10);
/// The first time a plugin is left alone. Doubles every time, up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// After so long without a fault since it was last left alone, everything is forgiven.
const FORGIVEN: Duration = Duration::from_secs(60);

/// The faults of one plugin on one worker.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    faults: VecDeque<Instant>,
    resting_until: Option<Instant>,
    rest: Option<Duration>,
}

impl Breaker {
    /// Whether the plugin may be asked.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        match self.resting_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                self.resting_until = None;
                true
            }
        }
    }

    /// Notes a fault; says for how long the plugin is left alone, when it now is. After a rest one more fault is enough.
    pub(super) fn fault(&mut self, now: Instant) -> Option<Duration> {
        let since = |then: Instant| now.saturating_duration_since(then);
        let forgiven = self.rest.unwrap_or_default() + FORGIVEN;
        if self.faults.back().is_some_and(|last| since(*last) >= forgiven) {
            self.rest = None;
        }
        while self.faults.front().is_some_and(|first| since(*first) >= WINDOW) {
            self.faults.pop_front();
        }
        self.faults.push_back(now);
        if self.faults.len() < FAULTS && self.rest.is_none() {
            return None;
        }
        let rest = self.rest.map_or(SHORTEST, |rest| (rest * 2).min(LONGEST));
        self.rest = Some(rest);
        self.resting_until = Some(now + rest);
        self.faults.clear();
        self.faults.push_back(now);
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn five_faults_in_ten_seconds_are_too_many() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        for second in 0..4 {
            assert_eq!(breaker.fault(at(start, f64::from(second))), None);
        }
        assert!(breaker.allows(at(start, 3.5)));
        assert_eq!(breaker.fault(at(start, 4.0)), Some(SHORTEST));
        assert!(!breaker.allows(at(start, 4.99)));
        assert!(breaker.allows(at(start, 5.0)));
    }

    #[test]
    fn rare_faults_never_open_it() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        for fault in 0..1_000 {
            assert_eq!(breaker.fault(at(start, 2.5 * f64::from(fault))), None, "fault {fault}");
        }
    }

    #[test]
    fn rests_double_to_a_minute_and_are_forgiven() {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 0..4 {
            breaker.fault(now);
        }
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(breaker.fault(now), Some(Duration::from_secs(seconds)));
            assert!(!breaker.allows(now));
            now += Duration::from_secs(seconds);
            assert!(breaker.allows(now));
        }
        now += FORGIVEN;
        assert_eq!(breaker.fault(now), None);
    }
}
