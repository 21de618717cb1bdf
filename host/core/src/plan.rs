//! The attempts of a request: which region is tried first, and what follows a failure.
//!
//! The plan is made before the first byte is sent. While forwarding, [`AttemptPlan::after`] returns the next step.

use crate::config::{Retry, Timeouts};
use crate::health::Evidence;
use crate::id::Slot;
use crate::rank::Ranking;
use http::{Method, StatusCode};
use std::time::{Duration, Instant};

/// Time for a request when all its regions are unresponsive: long enough for an answer if one has recovered.
pub const UNRESPONSIVE_TIMEOUT: Duration = Duration::from_millis(900);

/// Default time for one attempt. It applies when another region could be tried afterwards.
pub const DEFAULT_PER_TRY_TIMEOUT: Duration = Duration::from_secs(15);

/// The attempts of a request in order, each in a different region, and their deadline.
#[derive(Clone, Debug)]
pub struct AttemptPlan {
    ranking: Ranking,
    /// The next position in the ranking.
    next: usize,
    /// Attempts started, without those that did not reach a gateway.
    begun: u8,
    attempts: u8,
    repeatable: bool,
    per_try: Option<Duration>,
    request_timeout: Duration,
    deadline: Instant,
    unresponsive: bool,
}

/// How one attempt ended, before anything of it went to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The gateway sent the head of a response.
    Answered(StatusCode),
    /// Nothing of the request was sent: the connection failed.
    NotSent,
    /// The connection broke after part of the request may have arrived.
    Broken,
    /// No response head within the time of one attempt.
    TimedOut,
}

impl Outcome {
    /// The observation for health.
    pub fn evidence(self) -> Evidence {
        match self {
            Self::Answered(status) => Evidence::of_status(status),
            Self::NotSent => Evidence::ConnectFailed,
            Self::Broken => Evidence::Reset,
            Self::TimedOut => Evidence::TimedOut,
        }
    }
}

/// Whether to hedge a request whose attempts have not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hedge {
    /// Yes: start another attempt in this region.
    Try(Slot),
    /// Not now: the retry budget is exhausted.
    NotNow,
    /// No: wait for the running attempts.
    Never,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send this response to the client, success or error.
    Deliver,
    /// Start another attempt in this region.
    Try(Slot),
    /// There is no response, and no further attempt is possible.
    GiveUp(GaveUp),
}

/// Why no further attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GaveUp {
    /// The gateway may have processed the request, and it is not idempotent.
    NotRepeatable,
    /// Every region was tried, or the configured number of attempts is reached.
    NoneLeft,
    /// The retry budget is exhausted.
    NoBudget,
    /// The request timed out.
    Deadline,
    /// All its regions are unresponsive, and none answered within [`UNRESPONSIVE_TIMEOUT`]. It may be sent again.
    Unresponsive,
}

impl GaveUp {
    /// The reason in metrics and logs.
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

/// Whether a request may be sent again although it may have arrived (RFC 9110, section 9.2.2).
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
            request_timeout: timeouts.request,
            deadline: start + timeouts.request,
            unresponsive: false,
        }
    }

    /// The same plan for a request whose regions are all unresponsive: it is answered within a second of `start`.
    #[must_use]
    pub fn unresponsive(self, start: Instant) -> Self {
        let request_timeout = self.request_timeout.min(UNRESPONSIVE_TIMEOUT);
        Self {
            request_timeout,
            deadline: start + request_timeout,
            unresponsive: true,
            ..self
        }
    }

    /// The first region to try; `None` when there is none.
    pub fn begin(&mut self) -> Option<Slot> {
        self.advance()
    }

    /// At this time no attempt starts, and running ones end.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The time for a request, counted from when all of it has been received.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// Time for the current attempt until the head of its response; `None` when only the request's own timeout limits
    /// it. `replayable` is as for [`AttemptPlan::after`].
    ///
    /// Unless configured, an attempt times out only when another region could be tried afterwards.
    pub fn per_try_timeout(&self, replayable: bool) -> Option<Duration> {
        let gains = || self.repeatable && replayable && self.has_more();
        self.per_try.or_else(|| gains().then_some(DEFAULT_PER_TRY_TIMEOUT))
    }

    /// The regions in order.
    pub fn ranking(&self) -> &Ranking {
        &self.ranking
    }

    /// The next step after an attempt ended, whether or not hedged attempts still run. `replayable`: whether the
    /// request's body can still be sent from its beginning. `withdraw` takes one token from the retry budget,
    /// if there is one.
    ///
    /// An attempt that did not reach a gateway adds no load. It costs no budget, does not count as an attempt, and is
    /// retried for every method.
    pub fn after(
        &mut self,
        outcome: Outcome,
        replayable: bool,
        now: Instant,
        withdraw: impl FnOnce(Instant) -> bool,
    ) -> Verdict {
        let reached = outcome != Outcome::NotSent;
        self.begun = self.begun.saturating_sub(u8::from(!reached));
        let reason = match outcome {
            Outcome::Answered(status) if !retryable(status) => return Verdict::Deliver,
            _ if now >= self.deadline && self.unresponsive && self.repeatable => Some(GaveUp::Unresponsive),
            _ if now >= self.deadline => Some(GaveUp::Deadline),
            _ if !replayable || reached && !self.repeatable => Some(GaveUp::NotRepeatable),
            _ if !self.has_more() => Some(GaveUp::NoneLeft),
            _ if reached && !withdraw(now) => Some(GaveUp::NoBudget),
            _ => None,
        };
        match (reason, outcome) {
            // The gateway's error is more specific than one of the proxy.
            (Some(_), Outcome::Answered(_)) => Verdict::Deliver,
            (Some(reason), _) => Verdict::GiveUp(reason),
            (None, _) => self.advance().map_or(Verdict::GiveUp(GaveUp::NoneLeft), Verdict::Try),
        }
    }

    /// Whether the request is hedged now, because its attempts have not answered within
    /// [`hedge_after`](Retry::hedge_after). `replayable`: whether all of the request's body has been received; `withdraw` is
    /// as for [`AttemptPlan::after`].
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

/// Statuses that are retried: another gateway may be able to answer.
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
        // An attempt that did not reach a gateway does not count.
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
        assert_eq!(get.per_try_timeout(false), None, "its body was not kept");
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
            assert!(
                plan.deadline() < start + Duration::from_secs(1) && plan.request_timeout() < Duration::from_secs(1)
            );
            let verdict = plan.after(Outcome::TimedOut, true, plan.deadline(), |_| true);
            assert_eq!(verdict, Verdict::GiveUp(why), "{method}");
        }
        let short = Timeouts {
            request: Duration::from_millis(100),
            ..Timeouts::default()
        };
        let ranking = (0..5).map(Slot).collect();
        let plan = AttemptPlan::new(ranking, &Retry::default(), &short, &Method::GET, start).unresponsive(start);
        assert_eq!(plan.deadline(), start + short.request);
    }
}
