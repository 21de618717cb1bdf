//! The health of one endpoint: one of several addresses under a gateway's name.
//!
//! It decides which of the addresses get new connections. The health of the gateway as a whole, on which routing depends, is
//! in [`health`](crate::health).

use crate::config::{HealthCheck, OutlierDetection, Service};
use std::time::{Duration, Instant};

/// After a failed connection the endpoint is not used for this long; twice as long after each further one, up to
/// [`base_ejection_time`](OutlierDetection::base_ejection_time).
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

/// The part of a service's configuration that endpoints are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointLimits {
    /// Failures in a row that eject it.
    pub consecutive_failures: u32,
    /// How long the first ejection lasts; each further one twice as long.
    pub base_ejection_time: Duration,
    /// No ejection lasts longer.
    pub max_ejection_time: Duration,
    /// Probes in a row that it must pass to return.
    pub healthy_threshold: u32,
    /// Failed probes in a row that take it out.
    pub unhealthy_threshold: u32,
}

/// How an endpoint failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointFailure {
    /// It did not accept a connection, or another endpoint did earlier although it was tried later.
    Connect,
    /// It answered a request with 502, 503 or 504, or not to the end.
    Exchange,
}

/// Why an endpoint is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// It is used.
    Available,
    /// Failures ejected it.
    Ejected,
    /// Its probes failed.
    Unhealthy,
}

/// The health of one endpoint.
#[derive(Clone, Debug, Default)]
pub struct EndpointHealth {
    /// Failed exchanges in a row.
    streak: u32,
    ejection: Option<Ejection>,
    /// Consecutive ejections by each kind of failure.
    counts: [u32; 2],
    /// When the last ejection ended.
    back: Option<Instant>,
    passed: u32,
    failed: u32,
    is_down: bool,
}

#[derive(Clone, Copy, Debug)]
struct Ejection {
    until: Instant,
    cause: EndpointFailure,
}

impl EndpointLimits {
    /// Those of a service.
    pub fn of(service: &Service) -> Self {
        Self::new(&service.outlier_detection, service.health_check.as_ref())
    }

    fn new(outliers: &OutlierDetection, check: Option<&HealthCheck>) -> Self {
        let default = HealthCheck::default();
        let check = check.unwrap_or(&default);
        Self {
            consecutive_failures: outliers.consecutive_failures.max(1),
            base_ejection_time: outliers.base_ejection_time,
            max_ejection_time: outliers.max_ejection_time,
            healthy_threshold: check.healthy_threshold,
            unhealthy_threshold: check.unhealthy_threshold,
        }
    }
}

impl EndpointState {
    /// Its name in metrics and in the administration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Ejected => "ejected",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl EndpointHealth {
    /// Whether it is used.
    pub fn state(&self) -> EndpointState {
        match self.ejection {
            _ if self.is_down => EndpointState::Unhealthy,
            Some(_) => EndpointState::Ejected,
            None => EndpointState::Available,
        }
    }

    /// When its ejection ends, unless probes end it earlier.
    pub fn ejected_until(&self) -> Option<Instant> {
        self.ejection.map(|ejection| ejection.until)
    }

    /// Whether it failed since it last succeeded.
    pub fn is_failing(&self) -> bool {
        self.streak > 0
    }

    /// A connection or an exchange failed. Returns whether that ejects it.
    pub fn failed(&mut self, failure: EndpointFailure, limits: &EndpointLimits, now: Instant) -> bool {
        let (first, longest) = match failure {
            EndpointFailure::Connect => (CONNECT_PAUSE, limits.base_ejection_time),
            EndpointFailure::Exchange => {
                self.streak = self.streak.saturating_add(1);
                if self.streak < limits.consecutive_failures {
                    return false;
                }
                (limits.base_ejection_time, limits.max_ejection_time)
            }
        };
        if self.ejection.is_some() {
            return false;
        }
        let is_new = self
            .back
            .is_some_and(|back| now.saturating_duration_since(back) >= longest);
        let count = &mut self.counts[failure as usize];
        *count = if is_new { 1 } else { count.saturating_add(1) };
        let length = first.saturating_mul(1 << (*count - 1).min(16)).min(longest);
        self.ejection = Some(Ejection {
            until: now + length,
            cause: failure,
        });
        self.passed = 0;
        true
    }

    /// An exchange succeeded.
    pub fn succeeded(&mut self) {
        self.streak = 0;
    }

    /// A probe of it ended.
    pub fn probed(&mut self, passed: bool, limits: &EndpointLimits, now: Instant) {
        if !passed {
            self.passed = 0;
            self.failed = self.failed.saturating_add(1);
            self.is_down |= self.failed >= limits.unhealthy_threshold;
            return;
        }
        self.failed = 0;
        self.passed = self.passed.saturating_add(1);
        if self.passed < limits.healthy_threshold {
            return;
        }
        self.is_down = false;
        // Probes connect as requests do. They need not fail as requests do.
        if self.ejection.is_some_and(|it| it.cause == EndpointFailure::Connect) {
            self.end(now);
        }
    }

    /// Ends an ejection whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ejection.is_some_and(|ejection| now >= ejection.until) {
            self.end(now);
        }
    }

    fn end(&mut self, now: Instant) {
        self.ejection = None;
        self.back = Some(now);
        self.streak = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EndpointFailure::{Connect, Exchange};

    const S: Duration = Duration::from_secs(1);

    fn limits() -> EndpointLimits {
        EndpointLimits::new(&OutlierDetection::default(), None)
    }

    /// How long it is out after a failure.
    fn ejected_for(health: &mut EndpointHealth, failure: EndpointFailure, now: Instant) -> Duration {
        assert!(health.failed(failure, &limits(), now));
        health.ejected_until().expect("ejected") - now
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_ends_the_row() {
        let now = Instant::now();
        let mut health = EndpointHealth::default();
        for _ in 0..4 {
            assert!(!health.failed(Exchange, &limits(), now));
        }
        health.succeeded();
        for _ in 0..4 {
            assert!(!health.failed(Exchange, &limits(), now));
        }
        assert_eq!(health.state(), EndpointState::Available);
        assert_eq!(ejected_for(&mut health, Exchange, now), 30 * S);
        assert!(!health.failed(Exchange, &limits(), now), "it is ejected already");
        health.handle_timeout(now + 29 * S);
        assert_eq!(health.state(), EndpointState::Ejected);
        health.handle_timeout(now + 30 * S);
        assert_eq!((health.state(), health.is_failing()), (EndpointState::Available, false));
    }

    #[test]
    fn a_failed_connection_ejects_at_once_and_longer_each_time() {
        let mut now = Instant::now();
        let mut health = EndpointHealth::default();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(ejected_for(&mut health, Connect, now), seconds * S);
            now += seconds * S;
            health.handle_timeout(now);
        }
        // It was well for long enough.
        assert_eq!(ejected_for(&mut health, Connect, now + 30 * S), S);
    }

    #[test]
    fn probes_take_it_out_and_bring_it_back() {
        let now = Instant::now();
        let mut health = EndpointHealth::default();
        for state in [
            EndpointState::Available,
            EndpointState::Available,
            EndpointState::Unhealthy,
        ] {
            health.probed(false, &limits(), now);
            assert_eq!(health.state(), state);
        }
        health.probed(true, &limits(), now);
        assert_eq!(health.state(), EndpointState::Unhealthy);
        health.probed(true, &limits(), now);
        assert_eq!(health.state(), EndpointState::Available);
    }

    #[test]
    fn passing_probes_end_the_ejection_of_one_that_did_not_connect() {
        let now = Instant::now();
        for (failures, cause, state) in [
            (1, Connect, EndpointState::Available),
            (5, Exchange, EndpointState::Ejected),
        ] {
            let mut health = EndpointHealth::default();
            for _ in 0..failures {
                health.failed(cause, &limits(), now);
            }
            for _ in 0..2 {
                health.probed(true, &limits(), now);
            }
            assert_eq!(health.state(), state, "{cause:?}");
        }
    }
}
