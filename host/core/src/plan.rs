//! What is tried, and what is tried next when that fails.
//!
//! The plan is made before the first byte leaves. While forwarding, the only question left is [`AttemptPlan::after`].

use crate::config::{Retry, Timeouts};
use crate::health::Evidence;
use crate::id::Slot;
use crate::rank::Ranking;
use http::{Method, StatusCode};
use std::time::{Duration, Instant};

/// How long a request waits when no region has answered anybody lately: long enough for one that is back, and then the
/// client is told.
pub const PATIENCE_WITH_THE_SILENT: Duration = Duration::from_millis(900);

/// The ordered tries of a request, each in another region, with their deadline.
#[derive(Clone, Debug)]
pub struct AttemptPlan {
    ranking: Ranking,
    /// The next position in the ranking.
    next: usize,
    /// Attempts that were begun, but for those of which nothing can have reached a gateway.
    begun: u8,
    attempts: u8,
    repeatable: bool,
    patience: Duration,
    deadline: Instant,
    silent: bool,
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

/// What happens beside an attempt that has not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Another attempt, in this region.
    Try(Slot),
    /// The retry budget does not allow it now.
    NotNow,
    /// Nothing: it has to be waited for.
    Never,
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
    /// No region has answered anybody lately, and none answered this request soon. It may be sent again.
    Silence,
}

impl GaveUp {
    /// The word for it in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRepeatable => "not_repeatable",
            Self::NoneLeft => "none_left",
            Self::NoBudget => "no_budget",
            Self::Deadline => "deadline",
            Self::Silence => "silence",
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
            begun: 0,
            attempts: retry.attempts.max(1),
            repeatable: retry.non_idempotent || is_idempotent(method),
            patience: timeouts.request,
            deadline: start + timeouts.request,
            silent: false,
        }
    }

    /// The same when no region has answered anybody lately: the client is told within a second of `start`.
    #[must_use]
    pub fn in_silence(self, start: Instant) -> Self {
        let patience = self.patience.min(PATIENCE_WITH_THE_SILENT);
        Self {
            patience,
            deadline: start + patience,
            silent: true,
            ..self
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

    /// The time a request has, once all of it is there.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The regions in order.
    pub fn ranking(&self) -> &Ranking {
        &self.ranking
    }

    /// What follows an attempt that ended like this, whether or not others run beside it. `replayable` says whether the
    /// request's body can still be sent from its beginning; `withdraw` takes one extra attempt out of the retry budget,
    /// if it is affordable.
    ///
    /// An attempt that reached nobody adds no load anywhere, so it costs neither budget nor one of the attempts, and
    /// may be repeated whatever the method.
    pub fn after(
        &mut self,
        outcome: Outcome,
        replayable: bool,
        now: Instant,
        withdraw: impl FnOnce(Instant) -> bool,
    ) -> Verdict {
        let reached = outcome != Outcome::NotSent;
        self.begun = self.begun.saturating_sub(u8::from(!reached));
        let refused = match outcome {
            Outcome::Answered(status) if !retryable(status) => return Verdict::Deliver,
            _ if now >= self.deadline && self.silent && self.repeatable => Some(GaveUp::Silence),
            _ if now >= self.deadline => Some(GaveUp::Deadline),
            _ if !replayable || reached && !self.repeatable => Some(GaveUp::NotRepeatable),
            _ if !self.has_more() => Some(GaveUp::NoneLeft),
            _ if reached && !withdraw(now) => Some(GaveUp::NoBudget),
            _ => None,
        };
        match (refused, outcome) {
            // A bad answer is better than none: it says more than we could.
            (Some(_), Outcome::Answered(_)) => Verdict::Deliver,
            (Some(reason), _) => Verdict::GiveUp(reason),
            (None, _) => self.advance().map_or(Verdict::GiveUp(GaveUp::NoneLeft), Verdict::Try),
        }
    }

    /// What happens beside the attempts that run and have not answered in the usual time. `replayable` says whether all
    /// of the request's body is at hand; `withdraw` is as for [`AttemptPlan::after`].
    pub fn beside(&mut self, replayable: bool, now: Instant, withdraw: impl FnOnce(Instant) -> bool) -> Beside {
        if !self.repeatable || !replayable || now >= self.deadline || !self.has_more() {
            Beside::Never
        } else if !withdraw(now) {
            Beside::NotNow
        } else {
            self.advance().map_or(Beside::Never, Beside::Try)
        }
    }

    /// Whether there is another region to try, and another attempt to make.
    fn has_more(&self) -> bool {
        self.next < self.ranking.order().len() && self.begun < self.attempts
    }

    fn advance(&mut self) -> Option<Slot> {
        let slot = self.ranking.order().get(self.next).copied();
        self.next += usize::from(slot.is_some());
        self.begun = self.begun.saturating_add(u8::from(slot.is_some()));
        slot
    }
}

/// Statuses by which a gateway says that it could not, so that another one may be able to.
fn retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(method: &Method, start: Instant) -> AttemptPlan {
        let ranking = (0..5).map(Slot).collect();
        AttemptPlan::new(ranking, &Retry::default(), &Timeouts::default(), method, start)
    }

    #[test]
    fn attempts_beside_each_other_are_no_more_than_attempts_in_turn() {
        let now = Instant::now();
        let mut plan = plan(&Method::GET, now);
        assert_eq!(plan.begin(), Some(Slot(0)));
        assert_eq!(plan.beside(true, now, |_| true), Beside::Try(Slot(1)));
        assert_eq!(plan.beside(true, now, |_| false), Beside::NotNow);
        assert_eq!(plan.beside(true, now, |_| true), Beside::Try(Slot(2)));
        assert_eq!(plan.beside(true, now, |_| true), Beside::Never, "three are running");
        // One that reached nobody was none.
        assert_eq!(
            plan.after(Outcome::NotSent, true, now, |_| false),
            Verdict::Try(Slot(3))
        );
        let none_left = Verdict::GiveUp(GaveUp::NoneLeft);
        assert_eq!(plan.after(Outcome::TimedOut, true, now, |_| true), none_left);
    }

    #[test]
    fn what_may_not_be_repeated_runs_alone() {
        let now = Instant::now();
        let mut post = plan(&Method::POST, now);
        post.begin();
        assert_eq!(post.beside(true, now, |_| true), Beside::Never);
        let mut streamed = plan(&Method::PUT, now);
        streamed.begin();
        assert_eq!(streamed.beside(false, now, |_| true), Beside::Never);
    }

    #[test]
    fn in_silence_a_client_is_told_within_a_second() {
        let start = Instant::now();
        for (method, why) in [(Method::GET, GaveUp::Silence), (Method::POST, GaveUp::Deadline)] {
            let mut plan = plan(&method, start).in_silence(start);
            plan.begin();
            assert!(plan.deadline() < start + Duration::from_secs(1) && plan.patience() < Duration::from_secs(1));
            let verdict = plan.after(Outcome::TimedOut, true, plan.deadline(), |_| true);
            assert_eq!(verdict, Verdict::GiveUp(why), "{method}");
        }
        let impatient = Timeouts {
            request: Duration::from_millis(100),
            ..Timeouts::default()
        };
        let ranking = (0..5).map(Slot).collect();
        let plan = AttemptPlan::new(ranking, &Retry::default(), &impatient, &Method::GET, start).in_silence(start);
        assert_eq!(plan.deadline(), start + impatient.request);
    }
}
