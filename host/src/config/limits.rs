//! Limits on requests, of a route and of the whole instance.

use super::compound::At;
use super::error::Mistakes;
use super::quantities::{H, MIB, S, Size, Time};
use super::section::section;
use super::values::{Whole, words};
use portolan_core::admission::{Limits, Overload, Priority, Rate};
use portolan_core::rate_limit::RateLimit;
use std::time::Duration;

/// How many client networks a rate limit tells apart by default.
const DEFAULT_NETWORKS: u32 = 65_536;

section! {
    /// Limits of a route.
    LimitsSection {
        /// The longest body of a request. A longer one is answered with 413: before a gateway sees anything where its length is known,
        /// else as soon as it is too long. Default: no limit.
        optional request_body: Size<0, { 1024 * 1024 * MIB }>,
        /// Concurrent requests, of all workers. More are answered with 503. Default: no limit.
        optional concurrent_requests: Whole<1, 1_000_000>,
        /// How many requests each client may send: an IPv4 address, or the /64 of an IPv6 address. More are answered with 429 and
        /// Retry-After. Default: no limit.
        optional rate: RateSection,
    }
}

section! {
    /// A rate limit, as a token bucket for each client network, of all workers together.
    RateSection {
        /// Requests in each `per`, evenly.
        required requests: At<Whole<1, 1_000_000>>,
        /// Default: 1s.
        optional per: Time<{ S }, { H }>,
        /// Requests at once, after a time without any. Default: requests.
        optional burst: Whole<1, 1_000_000>,
        /// How many client networks are told apart at a time, for 8 bytes of memory each. When more are sending, some begin with a full
        /// bucket again. Default: 65536.
        optional networks: Whole<1024, 16_777_216>,
    }
}

section! {
    /// Load shedding.
    OverloadSection {
        /// Concurrent requests of all routes, from the head of a request to the end of its response. Requests of low priority are
        /// answered with 503 at 80 % of it, of normal priority at 95 %, of high priority at 100 %.
        required concurrent_requests: Whole<1, 10_000_000>,
    }
}

words! {
    /// The order in which overload sheds.
    PriorityWord {
        /// First.
        Low = "low",
        /// Then.
        Normal = "normal",
        /// Last.
        High = "high",
    }
}

impl LimitsSection {
    pub(super) fn settings(&self, mistakes: &mut Mistakes<'_>) -> Limits {
        Limits {
            request_body: self.request_body.map(|size| size.0),
            concurrent_requests: self.concurrent_requests.map(|count| count.0 as u32),
            rate: self.rate.as_ref().and_then(|rate| rate.settings(mistakes)),
        }
    }
}

impl RateSection {
    /// `None` only when something has been reported.
    fn settings(&self, mistakes: &mut Mistakes<'_>) -> Option<Rate> {
        let requests = self.requests.as_ref()?;
        let per = self.per.map_or(Duration::from_secs(1), |time| time.0);
        let burst = self.burst.map_or(requests.value.0, |burst| burst.0);
        let Some(limit) = RateLimit::new(requests.value.0 as u32, per, burst as u32) else {
            mistakes.at(
                requests.id,
                "an empty bucket would take longer than a day to become full: wanted a smaller burst, or more requests",
            );
            return None;
        };
        Some(Rate {
            limit,
            networks: self.networks.map_or(DEFAULT_NETWORKS, |count| count.0 as u32),
        })
    }
}

impl OverloadSection {
    /// `None` only when something has been reported.
    pub(super) fn settings(&self) -> Option<Overload> {
        Some(Overload::new(self.concurrent_requests?.0 as u32))
    }
}

impl From<PriorityWord> for Priority {
    fn from(word: PriorityWord) -> Self {
        match word {
            PriorityWord::Low => Self::Low,
            PriorityWord::Normal => Self::Normal,
            PriorityWord::High => Self::High,
        }
    }
}
