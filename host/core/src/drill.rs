//! Drills: a share of the clients is routed as if a region were lost. When that is safe, and when it has to end.

use crate::config::Config;
use crate::health::{HealthView, State};
use crate::id::{RegionName, ServiceName};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// A condition counts from this many requests on: one error of two is not 50 % of anything.
const MIN_REQUESTS: u64 = 20;

/// What ends a drill early, such as `error_rate > 1%` or `p99 > 500ms`, of the clients that it is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// More than this part of the requests failed, 0 to 1.
    ErrorRate(f64),
    /// The 99th percentile of the time to the head of the response is longer.
    Slow(Duration),
}

/// A text that is no condition.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no condition: write error_rate > 1% or p99 > 500ms")]
pub struct BadCondition(String);

impl FromStr for Condition {
    type Err = BadCondition;

    fn from_str(text: &str) -> Result<Self, BadCondition> {
        let bad = || BadCondition(text.to_owned());
        let (metric, above) = text.split_once('>').ok_or_else(bad)?;
        let above = above.trim();
        let number = |unit: &str| {
            let number: f64 = above.strip_suffix(unit)?.trim().parse().ok()?;
            (number.is_finite() && number >= 0.0).then_some(number)
        };
        match metric.trim() {
            "error_rate" => {
                let percent = number("%").filter(|percent| *percent <= 100.0);
                percent.map(|percent| Self::ErrorRate(percent / 100.0)).ok_or_else(bad)
            }
            "p99" => {
                let millis = number("ms").or_else(|| number("s").map(|seconds| seconds * 1000.0));
                // Longer than any request.
                let millis = millis.filter(|millis| *millis < 1e9).ok_or_else(bad)?;
                Ok(Self::Slow(Duration::from_secs_f64(millis / 1000.0)))
            }
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErrorRate(part) => write!(f, "error_rate > {}%", part * 100.0),
            Self::Slow(time) => write!(f, "p99 > {}ms", time.as_secs_f64() * 1000.0),
        }
    }
}

/// What was seen of the clients of a drill in a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// Their requests.
    pub requests: u64,
    /// Those that failed: a 5xx, or no response.
    pub errors: u64,
    /// The 99th percentile of the time to the head of the response; `None` without requests.
    pub p99: Option<Duration>,
}

impl Condition {
    /// Why the drill has to end; `None` when it may go on.
    pub fn met(&self, seen: &Seen) -> Option<String> {
        if seen.requests < MIN_REQUESTS {
            return None;
        }
        match self {
            Self::ErrorRate(most) => {
                let rate = seen.errors as f64 / seen.requests as f64;
                (rate > *most).then(|| format!("{self}: it was {:.1}%", rate * 100.0))
            }
            Self::Slow(most) => {
                let p99 = seen.p99.filter(|p99| p99 > most)?;
                Some(format!("{self}: it was {:.0}ms", p99.as_secs_f64() * 1000.0))
            }
        }
    }
}

/// Why a region must not be lost, not even in a drill.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unsafe {
    /// No service has it.
    #[error("no service has a region {0}")]
    NoRegion(RegionName),
    /// It gets no traffic that could be displaced.
    #[error("{region} is {state} in service {service}: there is nothing to lose", state = .state.as_str())]
    AlreadyOut {
        /// The region.
        region: RegionName,
        /// The service.
        service: ServiceName,
        /// Its state there.
        state: State,
    },
    /// Not enough others would be left.
    #[error(
        "without {region}, service {service} would have {left} serving regions, and {least} are needed (min_regions)"
    )]
    TooFew {
        /// The region.
        region: RegionName,
        /// The service.
        service: ServiceName,
        /// How many would be left.
        left: usize,
        /// How many are needed.
        least: usize,
    },
}

/// Whether a region may be lost in a drill: it gets traffic, and at least `least` others of each of its services do.
///
/// # Errors
/// Why not.
pub fn check(config: &Config, health: &HealthView, region: &RegionName, least: usize) -> Result<(), Unsafe> {
    let mut is_known = false;
    for (service, health) in config.services().iter().zip(health.services()) {
        let Some(slot) = service.slot_of(region) else { continue };
        is_known = true;
        let out = health.unhealthy() | health.draining();
        if out.contains(slot) {
            return Err(Unsafe::AlreadyOut {
                region: region.clone(),
                service: service.name.clone(),
                state: health.gateway(slot).state,
            });
        }
        let mut others = service.slots() - out;
        others.remove(slot);
        if others.len() < least {
            return Err(Unsafe::TooFew {
                region: region.clone(),
                service: service.name.clone(),
                left: others.len(),
                least,
            });
        }
    }
    if is_known {
        Ok(())
    } else {
        Err(Unsafe::NoRegion(region.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_as_they_are_written() {
        for (text, condition) in [
            ("error_rate > 1%", Some(Condition::ErrorRate(0.01))),
            ("error_rate>0.5 %", Some(Condition::ErrorRate(0.005))),
            (" p99 > 500ms ", Some(Condition::Slow(Duration::from_millis(500)))),
            ("p99 > 1.5s", Some(Condition::Slow(Duration::from_millis(1500)))),
            ("error_rate > 1", None),
            ("error_rate < 1%", None),
            ("error_rate > -1%", None),
            ("error_rate > 101%", None),
            ("p99 > NaNs", None),
            ("p99 > 5e300s", None),
            ("errors > 1%", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), condition, "{text}");
            if let Some(condition) = condition {
                assert_eq!(condition.to_string().parse(), Ok(condition));
            }
        }
    }

    #[test]
    fn a_condition_needs_enough_requests() {
        let condition = Condition::ErrorRate(0.1);
        let seen = |requests, errors| Seen {
            requests,
            errors,
            p99: Some(Duration::from_millis(100)),
        };
        assert_eq!(condition.met(&seen(19, 19)), None);
        assert_eq!(condition.met(&seen(20, 2)), None);
        assert_eq!(
            condition.met(&seen(20, 3)).as_deref(),
            Some("error_rate > 10%: it was 15.0%")
        );
        assert_eq!(Condition::Slow(Duration::from_millis(100)).met(&seen(20, 0)), None);
        assert!(Condition::Slow(Duration::from_millis(99)).met(&seen(20, 0)).is_some());
    }
}
