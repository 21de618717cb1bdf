//! Limits on requests, of a route and of the whole instance.

use super::quantities::{MIB, Size};
use super::section::section;
use super::values::{Whole, words};
use portolan_core::admission::{Limits, Overload, Priority};

section! {
    /// Limits of a route.
    LimitsSection {
        /// The longest body of a request. A longer one is answered with 413: before a gateway sees anything where its length is known,
        /// else as soon as it is too long. Default: no limit.
        optional request_body: Size<0, { 1024 * 1024 * MIB }>,
        /// Concurrent requests, of all workers. More are answered with 503. Default: no limit.
        optional concurrent_requests: Whole<1, 1_000_000>,
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
    pub(super) fn settings(&self) -> Limits {
        Limits {
            request_body: self.request_body.map(|size| size.0),
            concurrent_requests: self.concurrent_requests.map(|count| count.0 as u32),
        }
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
