//! The attempts of a request: which region is tried first, and what follows a failure.
//!
//! The plan is made before the first byte is sent. While forwarding, [`AttemptPlan::after`] returns the next step.

use crate::config::{Retry, Timeouts};
use crate::grpc::GrpcStatus;
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
pub struct AttemptPlan<'a> {
    ranking: Ranking,
    /// The next position in the ranking.
    next: usize,
    /// Attempts started, without those that did not reach a gateway.
    begun: u8,
    retry: &'a Retry,
    repeatable: bool,
    request_timeout: Duration,
    deadline: Instant,
    end: Option<Instant>,
    unresponsive: bool,
}

/// How one attempt ended, before anything of it went to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The gateway sent the head of a response.
    Answered(StatusCode),
    /// The gateway ended a call of gRPC with this status, in the head of the response: there is no message.
    Grpc(GrpcStatus),
    /// Nothing of the request was sent: the connection failed.
    NotSent,
    /// Nothing of the request was sent: the region was at its request limit by now.
    Full,
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
            Self::Grpc(status) => Evidence::of_grpc(status),
            Self::NotSent => Evidence::ConnectFailed,
            Self::Full => Evidence::Cancelled,
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
    /// Failures like this one are not in [`Retry::retry_on`].
    NotInRetryOn,
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
            Self::NotInRetryOn => "not_in_retry_on",
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

impl<'a> AttemptPlan<'a> {
    /// The plan for a request of this method that began at `start`.
    pub fn new(ranking: Ranking, retry: &'a Retry, timeouts: &Timeouts, method: &Method, start: Instant) -> Self {
        Self {
            ranking,
            next: 0,
            begun: 0,
            retry,
            repeatable: retry.non_idempotent || is_idempotent(method),
            request_timeout: timeouts.request,
            deadline: start + timeouts.request,
            end: None,
            unresponsive: false,
        }
        .until(timeouts.total.map(|total| start + total))
    }

    /// The same plan for a request that is over at `end`, however far it is, if that is given: its deadline is not later. The
    /// time that an attempt is entitled to stays the same.
    #[must_use]
    pub fn until(self, end: Option<Instant>) -> Self {
        let Some(end) = end else { return self };
        let end = self.end.map_or(end, |before| before.min(end));
        Self {
            deadline: self.deadline.min(end),
            end: Some(end),
            ..self
        }
    }

    /// The same plan for a request whose regions are all unresponsive: it is answered within a second of `start`.
    #[must_use]
    pub fn unresponsive(self, start: Instant) -> Self {
        let request_timeout = self.request_timeout.min(UNRESPONSIVE_TIMEOUT);
        let deadline = start + request_timeout;
        Self {
            request_timeout,
            deadline: self.end.map_or(deadline, |end| end.min(deadline)),
            unresponsive: true,
            ..self
        }
    }

    /// Whether all its regions are unresponsive.
    pub fn is_unresponsive(&self) -> bool {
        self.unresponsive
    }

    /// The first region to try; `None` when there is none.
    pub fn begin(&mut self) -> Option<Slot> {
        self.advance()
    }

    /// At this time no attempt starts, and running ones end.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// At this time the request is over, its response included; `None`: no such time.
    pub fn end(&self) -> Option<Instant> {
        self.end
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
        let gains = || self.repeatable && replayable && self.retry.retry_on.reset && self.has_more();
        self.retry
            .per_try_timeout
            .or_else(|| gains().then_some(DEFAULT_PER_TRY_TIMEOUT))
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
    /// retried for every method. So is a status of gRPC that is to be retried.
    pub fn after(
        &mut self,
        outcome: Outcome,
        replayable: bool,
        now: Instant,
        withdraw: impl FnOnce(Instant) -> bool,
    ) -> Verdict {
        let reached = !matches!(outcome, Outcome::NotSent | Outcome::Full);
        // Nearly all calls of gRPC are POST. Who names a status says that it is no harm to call again.
        let may_repeat = self.repeatable || matches!(outcome, Outcome::Grpc(_));
        self.begun = self.begun.saturating_sub(u8::from(!reached));
        let reason = match outcome {
            Outcome::Answered(status) if !self.retry.retry_on.has_status(status) => return Verdict::Deliver,
            Outcome::Grpc(status) if !self.retry.retry_on.has_grpc(status) => return Verdict::Deliver,
            _ if now >= self.deadline && self.unresponsive && self.repeatable => Some(GaveUp::Unresponsive),
            _ if now >= self.deadline => Some(GaveUp::Deadline),
            Outcome::NotSent if !self.retry.retry_on.connect_failure => Some(GaveUp::NotInRetryOn),
            Outcome::Broken | Outcome::TimedOut if !self.retry.retry_on.reset => Some(GaveUp::NotInRetryOn),
            _ if !replayable || reached && !may_repeat => Some(GaveUp::NotRepeatable),
            _ if !self.has_more() => Some(GaveUp::NoneLeft),
            _ if reached && !withdraw(now) => Some(GaveUp::NoBudget),
            _ => None,
        };
        match (reason, outcome) {
            // The gateway's error is more specific than one of the proxy.
            (Some(_), Outcome::Answered(_) | Outcome::Grpc(_)) => Verdict::Deliver,
            (Some(reason), _) => Verdict::GiveUp(reason),
            (None, _) => self.advance().map_or(Verdict::GiveUp(GaveUp::NoneLeft), Verdict::Try),
        }
    }

    /// Whether the request is hedged now, because its attempts have not answered within
    /// [`hedge_after`](Retry::hedge_after). `replayable`: whether all of the request's body has been received; `withdraw` is
    /// as for [`AttemptPlan::after`].
    pub fn hedge(&mut self, replayable: bool, now: Instant, withdraw: impl FnOnce(Instant) -> bool) -> Hedge {
        let may_repeat = self.repeatable && replayable && self.retry.retry_on.reset;
        if !may_repeat || now >= self.deadline || !self.has_more() {
            Hedge::Never
        } else if !withdraw(now) {
            Hedge::NotNow
        } else {
            self.advance().map_or(Hedge::Never, Hedge::Try)
        }
    }

    /// Whether there is another region to try, and another attempt to make.
    fn has_more(&self) -> bool {
        self.next < self.ranking.order().len() && self.begun < self.retry.attempts.max(1)
    }

    fn advance(&mut self) -> Option<Slot> {
        let slot = self.ranking.order().get(self.next).copied();
        self.next += usize::from(slot.is_some());
        self.begun = self.begun.saturating_add(u8::from(slot.is_some()));
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RetryOn;
    use std::sync::LazyLock;

    static RETRY: LazyLock<Retry> = LazyLock::new(Retry::default);

    fn plan(method: &Method, start: Instant) -> AttemptPlan<'static> {
        plan_of(&RETRY, method, start)
    }

    fn plan_of<'a>(retry: &'a Retry, method: &Method, start: Instant) -> AttemptPlan<'a> {
        let ranking = (0..5).map(Slot).collect();
        let mut plan = AttemptPlan::new(ranking, retry, &Timeouts::default(), method, start);
        plan.begin();
        plan
    }

    #[test]
    fn only_what_retry_on_names_is_retried() {
        let now = Instant::now();
        let answered = |status| Outcome::Answered(StatusCode::from_u16(status).expect("a status"));
        let failures = [
            answered(429),
            answered(500),
            answered(503),
            Outcome::NotSent,
            Outcome::Broken,
            Outcome::TimedOut,
        ];
        let next = |retry_on: &RetryOn, outcome| {
            let retry = Retry {
                retry_on: retry_on.clone(),
                ..Retry::default()
            };
            plan_of(&retry, &Method::GET, now).after(outcome, true, now, |_| true)
        };
        let mut too_many = RetryOn::NONE;
        too_many.insert(429);
        let mut no_reset = RetryOn::default();
        no_reset.reset = false;
        let (again, denied) = (Verdict::Try(Slot(1)), Verdict::GiveUp(GaveUp::NotInRetryOn));
        for (retry_on, expected) in [
            (
                RetryOn::default(),
                [Verdict::Deliver, Verdict::Deliver, again, again, again, again],
            ),
            (
                RetryOn::NONE,
                [
                    Verdict::Deliver,
                    Verdict::Deliver,
                    Verdict::Deliver,
                    denied,
                    denied,
                    denied,
                ],
            ),
            (
                too_many,
                [again, Verdict::Deliver, Verdict::Deliver, denied, denied, denied],
            ),
            (
                no_reset.clone(),
                [Verdict::Deliver, Verdict::Deliver, again, again, denied, denied],
            ),
        ] {
            assert_eq!(
                failures.map(|outcome| next(&retry_on, outcome)),
                expected,
                "{retry_on:?}"
            );
        }
        let retry = Retry {
            retry_on: no_reset,
            ..Retry::default()
        };
        let mut unhedged = plan_of(&retry, &Method::GET, now);
        assert_eq!(unhedged.hedge(true, now, |_| true), Hedge::Never);
        assert_eq!(unhedged.per_try_timeout(true), None, "nothing would follow");
    }

    #[test]
    fn a_status_of_grpc_is_retried_where_it_is_named_whatever_the_method() {
        let now = Instant::now();
        let mut retry = Retry::default();
        retry.retry_on.insert_grpc(GrpcStatus::Unavailable);
        let after = |retry: &Retry, status, replayable, budget| {
            plan_of(retry, &Method::POST, now).after(Outcome::Grpc(status), replayable, now, |_| budget)
        };
        let again = Verdict::Try(Slot(1));
        assert_eq!(after(&retry, GrpcStatus::Unavailable, true, true), again);
        for (retry, status, replayable, budget) in [
            (&retry, GrpcStatus::Internal, true, true),
            (&retry, GrpcStatus::Unavailable, false, true),
            (&retry, GrpcStatus::Unavailable, true, false),
            (&RETRY, GrpcStatus::Unavailable, true, true),
        ] {
            assert_eq!(after(retry, status, replayable, budget), Verdict::Deliver, "{status:?}");
        }
        let mut last = plan_of(&retry, &Method::POST, now);
        for _ in 0..2 {
            last.after(Outcome::Grpc(GrpcStatus::Unavailable), true, now, |_| true);
        }
        let verdict = last.after(Outcome::Grpc(GrpcStatus::Unavailable), true, now, |_| true);
        assert_eq!(
            verdict,
            Verdict::Deliver,
            "the gateway's status, when nothing is left to try"
        );
        // What was not answered is repeated only if idempotent, as for every POST.
        let mut broken = plan_of(&retry, &Method::POST, now);
        let verdict = broken.after(Outcome::Broken, true, now, |_| true);
        assert_eq!(verdict, Verdict::GiveUp(GaveUp::NotRepeatable));
    }

    #[test]
    fn the_end_of_a_request_comes_before_its_deadline_and_takes_nothing_from_an_attempt() {
        let start = Instant::now();
        let seconds = |count| start + Duration::from_secs(count);
        let full = plan(&Method::POST, start).request_timeout();
        let plan_until = |end| plan(&Method::POST, start).until(end);
        for (end, deadline) in [(None, 15), (Some(5), 5), (Some(60), 15)] {
            let plan = plan_until(end.map(seconds));
            assert_eq!((plan.deadline(), plan.end()), (seconds(deadline), end.map(seconds)));
            assert_eq!(plan.request_timeout(), full);
        }
        let mut over = plan_until(Some(seconds(5)));
        let verdict = over.after(Outcome::TimedOut, true, seconds(5), |_| true);
        assert_eq!(verdict, Verdict::GiveUp(GaveUp::Deadline));
        let earlier = plan_until(Some(seconds(5)))
            .until(Some(seconds(2)))
            .until(Some(seconds(9)));
        assert_eq!((earlier.deadline(), earlier.end()), (seconds(2), Some(seconds(2))));
        let nearly = start + Duration::from_millis(10);
        assert_eq!(plan_until(Some(nearly)).unresponsive(start).deadline(), nearly);
        let timeouts = Timeouts {
            total: Some(Duration::from_secs(3)),
            ..Timeouts::default()
        };
        let plan = AttemptPlan::new((0..5).map(Slot).collect(), &RETRY, &timeouts, &Method::GET, start);
        assert_eq!((plan.deadline(), plan.end()), (seconds(3), Some(seconds(3))));
    }

    #[test]
    fn hedged_attempts_count_as_attempts() {
        let now = Instant::now();
        let mut plan = plan(&Method::GET, now);
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
        assert_eq!(get.per_try_timeout(true), Some(DEFAULT_PER_TRY_TIMEOUT));
        assert_eq!(get.per_try_timeout(false), None, "its body was not kept");
        let post = plan(&Method::POST, now);
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
        assert_eq!(post.hedge(true, now, |_| true), Hedge::Never);
        let mut streamed = plan(&Method::PUT, now);
        assert_eq!(streamed.hedge(false, now, |_| true), Hedge::Never);
    }

    #[test]
    fn unresponsive_regions_are_given_up_within_a_second() {
        let start = Instant::now();
        for (method, why) in [(Method::GET, GaveUp::Unresponsive), (Method::POST, GaveUp::Deadline)] {
            let mut plan = plan(&method, start).unresponsive(start);
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
        let plan = AttemptPlan::new(ranking, &RETRY, &short, &Method::GET, start).unresponsive(start);
        assert_eq!(plan.deadline(), start + short.request);
    }
}
