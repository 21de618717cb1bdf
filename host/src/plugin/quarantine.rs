//! Quarantine of a plugin that keeps failing: it is not called for a while.

use super::error::PluginFault;
use portolan_core::id::PluginName;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Faults within [`WINDOW`] that start a quarantine.
const FAULTS: usize = 5;
const WINDOW: Duration = Duration::from_secs(10);
/// The first quarantine. Doubles every time, up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// After this long without a fault since the last quarantine, the duration starts over.
const FORGIVEN: Duration = Duration::from_secs(60);

/// Quarantines that wait to be reported at most; what comes later is in the log only.
const REPORTED: usize = 64;

/// A worker has put a plugin into quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The plugin.
    pub plugin: PluginName,
    /// The digest of its version.
    pub digest: String,
    /// The last fault.
    pub fault: PluginFault,
    /// What is known of it.
    pub detail: String,
    /// For how long it is not called.
    pub rest: Duration,
}

/// Quarantines of all workers, until they are reported. A quarantine is rare, so a lock is cheap enough.
#[derive(Debug, Default)]
pub(super) struct Quarantines(Mutex<Vec<Quarantined>>);

impl Quarantines {
    pub(super) fn add(&self, quarantined: Quarantined) {
        let mut waiting = self.waiting();
        if waiting.len() < REPORTED {
            waiting.push(quarantined);
        }
    }

    pub(super) fn take(&self) -> Vec<Quarantined> {
        std::mem::take(&mut self.waiting())
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Quarantined>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The faults of one plugin on one worker.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    faults: VecDeque<Instant>,
    resting_until: Option<Instant>,
    rest: Option<Duration>,
}

impl Quarantine {
    /// Whether the plugin may be called.
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

    /// Records a fault. Returns the duration when a quarantine begins; after a quarantine one more fault is enough.
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
        let (mut quarantine, start) = (Quarantine::default(), Instant::now());
        for second in 0..4 {
            assert_eq!(quarantine.fault(at(start, f64::from(second))), None);
        }
        assert!(quarantine.allows(at(start, 3.5)));
        assert_eq!(quarantine.fault(at(start, 4.0)), Some(SHORTEST));
        assert!(!quarantine.allows(at(start, 4.99)));
        assert!(quarantine.allows(at(start, 5.0)));
    }

    #[test]
    fn rare_faults_never_open_it() {
        let (mut quarantine, start) = (Quarantine::default(), Instant::now());
        for fault in 0..1_000 {
            assert_eq!(
                quarantine.fault(at(start, 2.5 * f64::from(fault))),
                None,
                "fault {fault}"
            );
        }
    }

    #[test]
    fn rests_double_to_a_minute_and_are_forgiven() {
        let (mut quarantine, mut now) = (Quarantine::default(), Instant::now());
        for _ in 0..4 {
            quarantine.fault(now);
        }
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(quarantine.fault(now), Some(Duration::from_secs(seconds)));
            assert!(!quarantine.allows(now));
            now += Duration::from_secs(seconds);
            assert!(quarantine.allows(now));
        }
        now += FORGIVEN;
        assert_eq!(quarantine.fault(now), None);
    }
}
