//! What is tried, and what is tried next when that fails.
//!
//! The plan is made before the first byte leaves. While forwarding, the only question left is [`AttemptPlan::after`].

use crate::config::{Retry, Timeouts};
use crate::health::Evidence;
use crate::id::Slot;
use crate::rank::Ranking;
use http::{Method, StatusCode};
use std::time::{Duration, Instant};

/// Time for a request when all its regions are unresponsive: long enough for one that is back.
pub const UNRESPONSIVE_TIMEOUT: Duration = Duration::from_millis(900);

/// Time for one attempt, unless configured: when another region could be tried after it.
pub const DEFAULT_PER_TRY_TIMEOUT: Duration = Duration::from_secs(15);

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
    per_try: Option<Duration>,
    patience: Duration,
    deadline: Instant,
    unresponsive: bool,
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
    /// What it shows of the gateway.
    pub fn evidence(self) -> Evidence {
        match self {
            Self::Answered(status) => Evidence::of_status(status),
            Self::NotSent => Evidence::ConnectFailed,
            Self::Broken => Evidence::Reset,
            Self::TimedOut => Evidence::TimedOut,
        }
    }
}

/// Whether a request is hedged whose attempts have not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hedge {
    /// With another attempt, in this region.
    Try(Slot),
    /// The retry budget does not allow it now.
    NotNow,
    /// No: its attempts have to be waited for.
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
    /// The request may have been carried out, and is not idempotent.
    NotRepeatable,
    /// Every region was tried, or as many as the policy allows.
    NoneLeft,
    /// The retry budget is used up.
    NoBudget,
    /// The request's time is over.
    Deadline,
    /// All its regions are unresponsive, and none answered within [`UNRESPONSIVE_TIMEOUT`]. It may be sent again.
    Unresponsive,
}

impl GaveUp {
    /// The word for it in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRepeatable => "not_repeatable",
            Self::NoneLeft => "attempts_exhausted",
            Self::NoBudget => "retry_budget_exhausted",
            Self::Deadline => "request_timeout",
            Self::Unresponsive => "unresponsive",
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
            per_try: retry.per_try_timeout,
            patience: timeouts.request,
            deadline: start + timeouts.request,
            unresponsive: false,
        }
    }

    /// The same for a request whose regions are all unresponsive: it gets its answer within a second of `start`.
    #[must_use]
    pub fn unresponsive(self, start: Instant) -> Self {
        let patience = self.patience.min(UNRESPONSIVE_TIMEOUT);
        Self {
            patience,
            deadline: start + patience,
            unresponsive: true,
            ..self
        }
    }

    /// The first region to try; `None` when there is none.
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

    /// Time for an attempt that runs now, until the head of its response; `None` when only the request's own time bounds
    /// it. `replayable` is as for [`AttemptPlan::after`].
    ///
    /// Unless it is configured, giving an attempt up has to gain something: another region to be tried.
    pub fn per_try_timeout(&self, replayable: bool) -> Option<Duration> {
        let gains = || self.repeatable && replayable && self.has_more();
        self.per_try.or_else(|| gains().then_some(DEFAULT_PER_TRY_TIMEOUT))
    }

    /// The regions in order.
    pub fn ranking(&self) -> &Ranking {
        &self.ranking
    }

    /// What follows an attempt that ended like this, whether or not hedged ones still run. `replayable`: whether the
    /// request's body can still be sent from its beginning. `withdraw` takes one extra attempt out of the retry budget,
    /// if there is one.
    ///
    /// An attempt that reached no gateway adds no load, so it costs neither budget nor one of the attempts, and may be
    /// repeated whatever the method.
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
            _ if now >= self.deadline && self.unresponsive && self.repeatable => Some(GaveUp::Unresponsive),
            _ if now >= self.deadline => Some(GaveUp::Deadline),
            _ if !replayable || reached && !self.repeatable => Some(GaveUp::NotRepeatable),
            _ if !self.has_more() => Some(GaveUp::NoneLeft),
            _ if reached && !withdraw(now) => Some(GaveUp::NoBudget),
            _ => None,
        };
        match (refused, outcome) {
            // The gateway's own error says more than one of ours.
            (Some(_), Outcome::Answered(_)) => Verdict::Deliver,
            (Some(reason), _) => Verdict::GiveUp(reason),
            (None, _) => self.advance().map_or(Verdict::GiveUp(GaveUp::NoneLeft), Verdict::Try),
        }
    }

    /// Whether the request is hedged now, because its attempts have not answered within
    /// [`hedge_after`](Retry::hedge_after). `replayable`: whether all of the request's body is at hand; `withdraw` is as
    /// for [`AttemptPlan::after`].
    pub fn hedge(&mut self, replayable: bool, now: Instant, withdraw: impl FnOnce(Instant) -> bool) -> Hedge {
        if !self.repeatable || !replayable || now >= self.deadline || !self.has_more() {
            Hedge::Never
        } else if !withdraw(now) {
            Hedge::NotNow
        } else {
            self.advance().map_or(Hedge::Never, Hedge::Try)
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

/// Statuses that are retried: the gateway could not answer, another one may be able to.
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
    fn hedged_attempts_count_as_attempts() {
        let now = Instant::now();
        let mut plan = plan(&Method::GET, now);
        assert_eq!(plan.begin(), Some(Slot(0)));
        assert_eq!(plan.hedge(true, now, |_| true), Hedge::Try(Slot(1)));
        assert_eq!(plan.hedge(true, now, |_| false), Hedge::NotNow);
        assert_eq!(plan.hedge(true, now, |_| true), Hedge::Try(Slot(2)));
        assert_eq!(plan.hedge(true, now, |_| true), Hedge::Never, "three are running");
        // One that reached no gateway does not count.
        assert_eq!(
            plan.after(Outcome::NotSent, true, now, |_| false),
            Verdict::Try(Slot(3))
        );
        let none_left = Verdict::GiveUp(GaveUp::NoneLeft);
        assert_eq!(plan.after(Outcome::TimedOut, true, now, |_| true), none_left);
    }

    #[test]
    fn by_default_an_attempt_is_bounded_only_when_another_region_could_be_tried() {
        let now = Instant::now();
        let mut get = plan(&Method::GET, now);
        get.begin();
        assert_eq!(get.per_try_timeout(true), Some(DEFAULT_PER_TRY_TIMEOUT));
        assert_eq!(get.per_try_timeout(false), None, "its body is gone");
        let mut post = plan(&Method::POST, now);
        post.begin();
        assert_eq!(post.per_try_timeout(true), None);
        let only = |retry: &Retry| {
            let ranking = [Slot(0)].into_iter().collect();
            let mut plan = AttemptPlan::new(ranking, retry, &Timeouts::default(), &Method::GET, now);
            plan.begin();
            plan.per_try_timeout(true)
        };
        assert_eq!(only(&Retry::default()), None, "there is no other region");
        let configured = Retry {
            per_try_timeout: Some(Duration::from_secs(3)),
            ..Retry::default()
        };
        assert_eq!(only(&configured), configured.per_try_timeout);
        // The last attempt of three.
        for _ in 0..2 {
            get.after(Outcome::Broken, true, now, |_| true);
        }
        assert_eq!(get.per_try_timeout(true), None);
    }

    #[test]
    fn what_may_not_be_repeated_is_not_hedged() {
        let now = Instant::now();
        let mut post = plan(&Method::POST, now);
        post.begin();
        assert_eq!(post.hedge(true, now, |_| true), Hedge::Never);
        let mut streamed = plan(&Method::PUT, now);
        streamed.begin();
        assert_eq!(streamed.hedge(false, now, |_| true), Hedge::Never);
    }

    #[test]
    fn unresponsive_regions_are_given_up_within_a_second() {
        let start = Instant::now();
        for (method, why) in [(Method::GET, GaveUp::Unresponsive), (Method::POST, GaveUp::Deadline)] {
            let mut plan = plan(&method, start).unresponsive(start);
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
        let plan = AttemptPlan::new(ranking, &Retry::default(), &impatient, &Method::GET, start).unresponsive(start);
        assert_eq!(plan.deadline(), start + impatient.request);
    }
}
