//! Which requests are admitted: the limits of a route, and load shedding by priority when the instance has as many requests as it
//! may.

use crate::rate_limit::RateLimit;
use thiserror::Error;

/// How important the requests of a route are: the order in which overload sheds, the lowest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Shed first: what users do not wait for.
    Low,
    /// What users wait for.
    #[default]
    Normal,
    /// Shed last.
    High,
}

impl Priority {
    /// All of them, the lowest first, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// Its name in the configuration and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// Its part of the limit in percent. A fifth is kept from low priority, as Stripe's load shedder keeps it from all requests that
    /// are not critical; a twentieth is for high priority alone.
    fn percent(self) -> u32 {
        match self {
            Self::Low => 80,
            Self::Normal => 95,
            Self::High => 100,
        }
    }
}

/// How many requests an instance works on at a time, by priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload {
    limits: [u32; Priority::ALL.len()],
}

impl Overload {
    /// At most this many concurrent requests, at least 1. Each priority may use its part of them, rounded down, and at least one.
    pub fn new(concurrent_requests: u32) -> Self {
        let part = |priority: Priority| {
            let part = u64::from(concurrent_requests) * u64::from(priority.percent()) / 100;
            // Not more than it was.
            (part as u32).max(1)
        };
        Self {
            limits: Priority::ALL.map(part),
        }
    }

    /// The number of concurrent requests, of all priorities together, at which those of this priority are shed.
    pub fn limit(&self, priority: Priority) -> u32 {
        self.limits[priority as usize]
    }

    /// Whether a request of this priority is admitted beside so many others.
    ///
    /// # Errors
    /// When it is shed.
    pub fn admit(&self, priority: Priority, in_flight: u32) -> Result<(), Shed> {
        match in_flight < self.limit(priority) {
            true => Ok(()),
            false => Err(Shed::Overload(priority)),
        }
    }
}

/// Limits of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The longest body of a request in bytes. `None`: any.
    pub request_body: Option<u64>,
    /// Most concurrent requests, at least 1. `None`: any number.
    pub concurrent_requests: Option<u32>,
    /// How many requests a client may send in a time. `None`: any number.
    pub rate: Option<Rate>,
}

/// The rate limit of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What each client network may send.
    pub limit: RateLimit,
    /// How many client networks are told apart at a time.
    pub networks: u32,
}

impl Limits {
    /// Whether a request is admitted beside so many others of its route.
    ///
    /// # Errors
    /// When it is shed.
    pub fn admit(&self, in_flight: impl FnOnce() -> u32) -> Result<(), Shed> {
        match self.concurrent_requests {
            Some(limit) if in_flight() >= limit => Err(Shed::RouteFull),
            _ => Ok(()),
        }
    }

    /// Whether a body of this length, as far as that is known, is admitted.
    pub fn admits_body(&self, length: Option<u64>) -> bool {
        let is_within = |limit| length.is_none_or(|length| length <= limit);
        self.request_body.is_none_or(is_within)
    }
}

/// Why a request is shed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum Shed {
    /// The instance works on as many requests as it may for those of this priority.
    #[error("this proxy is overloaded")]
    Overload(Priority),
    /// The route has as many concurrent requests as it may.
    #[error("too many concurrent requests for this route")]
    RouteFull,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_priority_has_its_part_of_the_limit() {
        for (limit, parts) in [
            (1, [1, 1, 1]),
            (2, [1, 1, 2]),
            (10, [8, 9, 10]),
            (20, [16, 19, 20]),
            (1000, [800, 950, 1000]),
            (u32::MAX, [3_435_973_836, 4_080_218_930, u32::MAX]),
        ] {
            let overload = Overload::new(limit);
            assert_eq!(Priority::ALL.map(|priority| overload.limit(priority)), parts, "{limit}");
        }
    }

    #[test]
    fn a_route_without_limits_does_not_count() {
        assert_eq!(Limits::default().admit(|| unreachable!("counted")), Ok(()));
        assert!(Limits::default().admits_body(Some(u64::MAX)));
        let limits = Limits {
            request_body: Some(10),
            concurrent_requests: Some(2),
            rate: None,
        };
        assert_eq!(limits.admit(|| 1), Ok(()));
        assert_eq!(limits.admit(|| 2), Err(Shed::RouteFull));
        for (length, admitted) in [(None, true), (Some(10), true), (Some(11), false)] {
            assert_eq!(limits.admits_body(length), admitted, "{length:?}");
        }
    }

    #[test]
    fn every_priority_has_its_place_and_its_word() {
        for (index, priority) in Priority::ALL.into_iter().enumerate() {
            assert_eq!(priority as usize, index);
        }
        assert_eq!(Priority::ALL.map(Priority::as_str), ["low", "normal", "high"]);
    }
}
