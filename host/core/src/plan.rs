//! What is tried, and what is tried next when that fails.
//!
//! The plan is made before the first byte leaves. While forwarding, the only question left is [`AttemptPlan::after`].

use crate::budget::RetryBudget;
use crate::config::{Retry, Timeouts};
use crate::health::Evidence;
use crate::id::Slot;
use crate::rank::Ranking;
use http::{Method, StatusCode};
use std::time::Instant;

/// The ordered tries of a request, each in another region, with their deadline.
#[derive(Clone, Debug)]
pub struct AttemptPlan {
    ranking: Ranking,
    /// The next position in the ranking.
    next: usize,
    /// Attempts of which something may have reached a gateway.
    sent: u8,
    attempts: u8,
    repeatable: bool,
    deadline: Instant,
}

/// How one attempt ended, before anything of it went to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The head of a response came.
    Answered(StatusCode),
    /// Nothing of the request left: no connection came about.
    NotSent,
    /// The connection broke after something may have arrived.
    Broken,
    /// No response head within the time of one attempt.
    TimedOut,
}

impl Outcome {
    /// What it says of the gateway.
    pub fn evidence(self) -> Evidence {
        match self {
            Self::Answered(status) => Evidence::of_status(status),
            Self::NotSent => Evidence::ConnectFailed,
            Self::Broken => Evidence::Reset,
            Self::TimedOut => Evidence::TimedOut,
        }
    }
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The client gets this response, good or bad.
    Deliver,
    /// Another attempt, in this region.
    Try(Slot),
    /// There is no response to give, and nothing more to try.
    GiveUp(GaveUp),
}

/// Why nothing more is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GaveUp {
    /// The request may have been carried out, and doing it twice is not the same as once.
    NotRepeatable,
    /// Every region was tried, or as many as the policy allows.
    NoneLeft,
    /// The retry budget is used up.
    NoBudget,
    /// The request's time is over.
    Deadline,
}

impl GaveUp {
    /// The word for it in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRepeatable => "not_repeatable",
            Self::NoneLeft => "none_left",
            Self::NoBudget => "no_budget",
            Self::Deadline => "deadline",
        }
    }
}

/// Whether a request that may have arrived may be sent again (RFC 9110, section 9.2.2).
pub fn is_idempotent(method: &Method) -> bool {
    method.is_idempotent()
}

impl AttemptPlan {
    /// The plan for a request of this method that began at `start`.
    pub fn new(ranking: Ranking, retry: &Retry, timeouts: &Timeouts, method: &Method, start: Instant) -> Self {
        Self {
            ranking,
            next: 0,
            sent: 0,
            attempts: retry.attempts.max(1),
            repeatable: retry.non_idempotent || is_idempotent(method),
            deadline: start + timeouts.request,
        }
    }

    /// The first region to try; `None` when nobody may answer.
    pub fn begin(&mut self) -> Option<Slot> {
        self.advance()
    }

    /// The moment after which no attempt starts and none goes on.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The regions in order.
    pub fn ranking(&self) -> &Ranking {
        &self.ranking
    }

    /// What follows an attempt that ended like this. `replayable` says whether the request's body can still be sent
    /// from its beginning.
    ///
    /// An attempt that reached nobody adds no load anywhere, so it costs neither budget nor one of the attempts, and
    /// may be repeated whatever the method.
    pub fn after(&mut self, outcome: Outcome, replayable: bool, budget: &mut RetryBudget, now: Instant) -> Verdict {
        let reached = outcome != Outcome::NotSent;
        self.sent += u8::from(reached);
        let refused = match outcome {
            Outcome::Answered(status) if !retryable(status) => return Verdict::Deliver,
            _ if now >= self.deadline => Some(GaveUp::Deadline),
            _ if !replayable || reached && !self.repeatable => Some(GaveUp::NotRepeatable),
            _ if self.next >= self.ranking.order().len() || self.sent >= self.attempts => Some(GaveUp::NoneLeft),
            _ if reached && !budget.withdraw(now) => Some(GaveUp::NoBudget),
            _ => None,
        };
        match (refused, outcome) {
            // A bad answer is better than none: it says more than we could.
            (Some(_), Outcome::Answered(_)) => Verdict::Deliver,
            (Some(reason), _) => Verdict::GiveUp(reason),
            (None, _) => self.advance().map_or(Verdict::GiveUp(GaveUp::NoneLeft), Verdict::Try),
        }
    }

    /// The region for a second attempt beside the one that runs and has not answered yet; `None` when it has to be
    /// waited for. `replayable` says whether all of the request's body is at hand.
    pub fn beside(&mut self, replayable: bool, budget: &mut RetryBudget, now: Instant) -> Option<Slot> {
        let possible = self.repeatable
            && replayable
            && now < self.deadline
            && self.next < self.ranking.order().len()
            && self.sent + 1 < self.attempts;
        if possible && budget.withdraw(now) {
            self.advance()
        } else {
            None
        }
    }

    /// One of two attempts that ran beside each other ended, and the other goes on: it is counted, nothing follows.
    pub fn overtaken(&mut self, outcome: Outcome) {
        self.sent += u8::from(outcome != Outcome::NotSent);
    }

    fn advance(&mut self) -> Option<Slot> {
        let slot = self.ranking.order().get(self.next).copied();
        self.next += usize::from(slot.is_some());
        slot
    }
}

/// Statuses by which a gateway says that it could not, so that another one may be able to.
fn retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504)
}
