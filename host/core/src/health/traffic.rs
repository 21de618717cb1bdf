//! A reading of a gateway's traffic.

use super::Evidence;
use std::time::Duration;

/// How a gateway's attempts ended since the last reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    counts: [u64; Evidence::ALL.len()],
    /// Attempts in flight now.
    pub in_flight: u32,
    /// Overtaken attempts, of this reading or of earlier ones, that the gateway did not answer for long after that.
    pub unanswered: u64,
    /// Answers to requests that had been given up because the gateway was unresponsive.
    pub late: u64,
    /// What an answer took on average; `None` without answers.
    pub answer_time: Option<Duration>,
    /// Failures, of this reading or of earlier ones, that may be the requests' own: the same request failed in the same way in
    /// other regions, and none answered it. Never failed connections.
    pub disputed: u64,
}

impl Traffic {
    /// Sets the number of attempts in flight.
    #[must_use]
    pub fn with_in_flight(self, in_flight: u32) -> Self {
        Self { in_flight, ..self }
    }

    /// Sets the number of overtaken attempts that were never answered.
    #[must_use]
    pub fn with_unanswered(self, unanswered: u64) -> Self {
        Self { unanswered, ..self }
    }

    /// Sets the number of answers to requests that had been given up.
    #[must_use]
    pub fn with_late(self, late: u64) -> Self {
        Self { late, ..self }
    }

    /// Sets what an answer took.
    #[must_use]
    pub fn with_answer_time(self, answer_time: Option<Duration>) -> Self {
        Self { answer_time, ..self }
    }

    /// Sets the number of failures that may be the requests' own.
    #[must_use]
    pub fn with_disputed(self, disputed: u64) -> Self {
        Self { disputed, ..self }
    }

    /// The same without its successes.
    pub(super) fn without_successes(mut self) -> Self {
        self.counts[Evidence::Success as usize] = 0;
        self
    }

    /// How many ended with this outcome.
    pub fn of(&self, evidence: Evidence) -> u64 {
        self.counts[evidence as usize]
    }

    /// How many ended with an answer or a failure. Overtaken and cancelled attempts are not included.
    pub fn ended(&self) -> u64 {
        self.successes() + self.failures()
    }

    /// How many were overtaken by the answer of another region.
    pub fn overtaken(&self) -> u64 {
        self.of(Evidence::Overtaken)
    }

    /// How many succeeded.
    pub fn successes(&self) -> u64 {
        self.of(Evidence::Success)
    }

    /// How many failed.
    pub fn failures(&self) -> u64 {
        let failures = Evidence::ALL.into_iter().filter(|evidence| evidence.is_failure());
        failures.map(|evidence| self.of(evidence)).sum()
    }

    /// Failures that are the gateway's rather than the application's: all but [`Evidence::ServerError`].
    pub fn gateway_failures(&self) -> u64 {
        self.failures() - self.of(Evidence::ServerError)
    }

    /// How many got an answer, good or bad.
    pub fn answered(&self) -> u64 {
        self.successes() + self.of(Evidence::GatewayError) + self.of(Evidence::ServerError)
    }
}

impl FromIterator<(Evidence, u64)> for Traffic {
    fn from_iter<I: IntoIterator<Item = (Evidence, u64)>>(counts: I) -> Self {
        let mut traffic = Self::default();
        for (evidence, count) in counts {
            traffic.counts[evidence as usize] += count;
        }
        traffic
    }
}
