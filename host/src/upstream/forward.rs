//! Carries out an attempt plan.
//!
//! Every choice was made when the plan was. Here attempts are run and watched, and the plan is asked what follows. An
//! attempt says one thing of its gateway: a failure at once, a success when the response's body is whole.

use super::body::{UpstreamBody, UpstreamBodyError};
use super::budget::SharedBudget;
use super::connection::{Connection, ExchangeError};
use super::connections::{ConnectError, Connections, Flight};
use super::race::ASK_AGAIN;
use super::replay::{ClientBodyError, ReplayBody, Upload};
use super::request::Outbound;
use super::response::Head;
use super::target::GatewayTarget;
use arrayvec::ArrayVec;
use http::Response;
use portolan_core::config::{Retry, Timeouts};
use portolan_core::id::Slot;
use portolan_core::plan::{AttemptPlan, Beside, GaveUp, Outcome, Verdict, is_idempotent};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::time::sleep_until;

/// A client that keeps us waiting has had its time before this is over, and then that is known.
const A_MOMENT: Duration = Duration::from_secs(1);

/// How many attempts of a request are told.
pub const TOLD_ATTEMPTS: usize = 8;

/// What forwarding a request needs of its worker and its service.
#[derive(Clone, Copy)]
pub struct Forwarder<'a, T> {
    /// The worker's connections.
    pub connections: &'a Connections,
    /// The service's retry budget.
    pub budget: &'a SharedBudget,
    /// How failures are retried.
    pub retry: &'a Retry,
    /// Time bounds.
    pub timeouts: &'a Timeouts,
    /// The gateway of a slot.
    pub target: T,
}

/// What came of forwarding a request.
#[derive(Debug)]
pub struct Forwarded {
    /// The response to give to the client, or why there is none.
    pub result: Result<Response<UpstreamBody>, ForwardError>,
    /// The attempts in the order in which they ended; the last is the one whose response is given. Beyond eight, the
    /// earliest and the last are told.
    pub attempts: ArrayVec<Attempt, TOLD_ATTEMPTS>,
    /// When that was known.
    pub at: Instant,
}

/// One attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The region.
    pub slot: Slot,
    /// How it ended.
    pub outcome: Outcome,
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ForwardError {
    /// The client did not send its body: its own fault.
    #[error(transparent)]
    ClientBody(#[from] ClientBodyError),
    /// No region gave a response.
    #[error("no region answered ({})", reason.as_str())]
    GaveUp {
        /// Why nothing more was tried.
        reason: GaveUp,
        /// How the last attempt ended; `None` when there was none.
        last: Option<Outcome>,
    },
}

/// An attempt without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    outcome: Outcome,
    /// Whether it is to be counted against the gateway.
    is_counted: bool,
}

impl Failure {
    /// By the gateway.
    fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            is_counted: true,
        }
    }

    /// One that says nothing of the gateway, or has said it already.
    fn uncounted(outcome: Outcome) -> Self {
        Self {
            outcome,
            is_counted: false,
        }
    }
}

/// How an attempt ended.
pub(super) type Ended = Result<Response<UpstreamBody>, Failure>;

/// A request's course so far.
pub(super) struct Course<'r> {
    pub(super) plan: AttemptPlan,
    pub(super) request: &'r Outbound<'r>,
    pub(super) body: &'r ReplayBody,
    attempts: ArrayVec<Attempt, TOLD_ATTEMPTS>,
}

impl<'a, T> Forwarder<'a, T>
where
    T: Fn(Slot) -> Option<&'a Arc<GatewayTarget>>,
{
    /// Sends a request as the plan says, beginning now.
    ///
    /// Dropping the future closes the connections of the attempts that run, and says nothing of their gateways.
    pub async fn forward(
        &self,
        plan: AttemptPlan,
        request: &Outbound<'_>,
        body: &ReplayBody,
        mut now: Instant,
    ) -> Forwarded {
        self.budget.deposit(self.connections.worker());
        let mut course = Course {
            plan,
            request,
            body,
            attempts: ArrayVec::new(),
        };
        let mut next = course.plan.begin();
        let mut last = None;
        let mut reason = GaveUp::NoneLeft;
        while let Some(slot) = next.take() {
            let (slot, ended) = self.run(&mut course, slot, now).await;
            now = Instant::now();
            if let (Err(_), Some(error)) = (&ended, body.failure()) {
                return course.over(Err(error.into()), now);
            }
            let outcome = self.judge(&mut course, slot, &ended);
            last = Some(outcome);
            let replayable = body.is_replayable();
            let verdict = course
                .plan
                .after(outcome, replayable, now, |now| self.budget.withdraw(now));
            match (verdict, ended) {
                (Verdict::Try(slot), ended) => {
                    next = Some(slot);
                    if let Ok(response) = ended {
                        response.into_body().discard();
                    }
                }
                (_, Ok(mut response)) => {
                    response.body_mut().vouch(outcome.evidence());
                    return course.over(Ok(response), now);
                }
                (Verdict::GiveUp(why), Err(_)) => reason = why,
                // There is nothing to deliver, which the plan knows.
                (Verdict::Deliver, Err(_)) => {}
            }
        }
        course.over(Err(ForwardError::GaveUp { reason, last }), now)
    }

    /// Runs an attempt, and perhaps others beside it when it is slow. Gives the one that counts.
    async fn run(&self, course: &mut Course<'_>, slot: Slot, began: Instant) -> (Slot, Ended) {
        let span = (began, course.plan.deadline());
        let mut attempt = pin!(self.attempt(slot, course.request, course.body, span));
        let mut ask_at = self.retry.hedge_after.map(|after| began + after);
        loop {
            if let Some(ended) = self.watch(attempt.as_mut(), course, began, ask_at).await {
                return (slot, ended);
            }
            let (at_hand, now) = (course.body.is_at_hand(), Instant::now());
            match course.plan.beside(at_hand, now, |now| self.budget.withdraw(now)) {
                // Rare, and large: it must not make every request's future larger.
                Beside::Try(second) => return Box::pin(self.race(course, (slot, attempt, began), second)).await,
                Beside::NotNow => ask_at = Some(now + ASK_AGAIN),
                Beside::Never => ask_at = None,
            }
        }
    }

    /// Waits for an attempt until it has run out of time. `None` when `pause` comes before.
    async fn watch<A>(
        &self,
        mut attempt: Pin<&mut A>,
        course: &Course<'_>,
        began: Instant,
        pause: Option<Instant>,
    ) -> Option<Ended>
    where
        A: Future<Output = Ended>,
    {
        let look = |end: Instant| tokio::time::Instant::from(pause.map_or(end, |pause| pause.min(end)));
        let mut alarm = pin!(sleep_until(look(self.end_of_time(course, began))));
        poll_fn(|context| {
            loop {
                if let Poll::Ready(ended) = attempt.as_mut().poll(context) {
                    return Poll::Ready(Some(ended));
                }
                let end = self.end_of_time(course, began);
                // That may have come nearer: perhaps the gateway has the whole request by now.
                if look(end) < alarm.deadline() {
                    alarm.as_mut().reset(look(end));
                }
                ready!(alarm.as_mut().poll(context));
                let now = Instant::now();
                if now >= end {
                    return Poll::Ready(Some(TIMED_OUT));
                }
                if pause.is_some_and(|pause| now >= pause) {
                    return Poll::Ready(None);
                }
                alarm.as_mut().reset(look(end));
            }
        })
        .await
    }

    /// When an attempt that began then has run out of time, as things stand: its time counts from when the gateway has
    /// the whole request. As long as there is no connection, connecting has a time of its own.
    pub(super) fn end_of_time(&self, course: &Course<'_>, began: Instant) -> Instant {
        let per_try = self.retry.per_try_timeout;
        match course.body.upload() {
            Upload::Running(last_read) => last_read.max(began) + self.timeouts.idle,
            Upload::Asked(last_read) => last_read.max(began) + self.timeouts.idle + A_MOMENT,
            Upload::Waiting => course.plan.deadline(),
            Upload::Ended(at) if at > began => at + per_try.min(course.plan.patience()),
            Upload::Ended(_) | Upload::None => (began + per_try).min(course.plan.deadline()),
        }
    }

    /// Sends the request to one gateway, from `began` on, and waits for the head of its response. There has to be a
    /// connection by `deadline`.
    pub(super) async fn attempt(
        &self,
        slot: Slot,
        request: &Outbound<'_>,
        body: &ReplayBody,
        (began, deadline): (Instant, Instant),
    ) -> Ended {
        // The plan names no region without a gateway.
        let target = (self.target)(slot).ok_or(Failure::uncounted(Outcome::NotSent))?;
        let pool = self.connections.pool(target);
        let flight = pool.enter();
        let answered = || target.vitals.answered(self.connections.worker(), began.elapsed());
        // A request without Host gets one all the same: the gateway's own.
        let host = (!target.preserve_host || !request.has_host()).then_some(&target.authority);
        let may_repeat = self.retry.non_idempotent || is_idempotent(request.method());
        if !may_repeat {
            // Let the news of closed connections in first: on one of those, nobody could tell what became of it.
            tokio::task::yield_now().await;
        }
        if let Some(mut connection) = pool.idle() {
            match connection.exchange(request, host, body.reader()).await {
                Ok(head) => {
                    answered();
                    return self.receive(head, connection, flight).await;
                }
                // Closed while it was idle: a fresh one may know better.
                Err(ExchangeError::Unsent) if body.is_replayable() => {}
                // That is no fault of the gateway's, but what was read of the body is gone.
                Err(ExchangeError::Unsent) => return Err(Failure::uncounted(Outcome::NotSent)),
                // The same, and perhaps nobody heard the request.
                Err(ExchangeError::Unanswered(_)) if may_repeat && body.is_replayable() => {}
                Err(error) => return Err(broken(target, &error)),
            }
        }
        let patience = deadline
            .saturating_duration_since(Instant::now())
            .min(self.timeouts.connect);
        // Rare, and large: it must not make every request's future larger.
        let connected = Box::pin(pool.connect(target, patience)).await;
        let mut connection = connected.map_err(|error| {
            tracing::debug!(gateway = %target.vitals.key.region, %error, "no connection");
            match error {
                ConnectError::Exhausted(_) => Failure::uncounted(Outcome::NotSent),
                _ => Failure::new(Outcome::NotSent),
            }
        })?;
        match connection.exchange(request, host, body.reader()).await {
            Ok(head) => {
                answered();
                self.receive(head, connection, flight).await
            }
            Err(ExchangeError::Unsent) => Err(Failure::new(Outcome::NotSent)),
            Err(error) => Err(broken(target, &error)),
        }
    }

    /// Makes a response ready for the client.
    async fn receive(&self, head: Head, connection: Box<Connection>, flight: Flight) -> Ended {
        let mut body = UpstreamBody::new(connection, flight, self.timeouts.idle);
        if self.retry.hold_back_bytes > 0 {
            Box::pin(body.hold_back(self.retry.hold_back_bytes))
                .await
                .map_err(|error| match error {
                    UpstreamBodyError::Cut(_) => Failure::new(Outcome::Broken),
                    UpstreamBodyError::Stalled => Failure::new(Outcome::TimedOut),
                    UpstreamBodyError::Abandoned => Failure::uncounted(Outcome::Broken),
                })?;
        }
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Ok(response)
    }

    /// Writes down how an attempt ended, for the request's record and against the gateway.
    pub(super) fn judge(&self, course: &mut Course<'_>, slot: Slot, ended: &Ended) -> Outcome {
        let outcome = match ended {
            Ok(response) => Outcome::Answered(response.status()),
            Err(failure) => failure.outcome,
        };
        let evidence = outcome.evidence();
        let is_counted = evidence.is_failure() && ended.as_ref().err().is_none_or(|failure| failure.is_counted);
        if is_counted && let Some(target) = (self.target)(slot) {
            target.vitals.observe(self.connections.worker(), evidence);
        }
        if course.attempts.is_full() {
            course.attempts.pop();
        }
        course.attempts.push(Attempt { slot, outcome });
        outcome
    }
}

/// It had its time.
pub(super) const TIMED_OUT: Ended = Err(Failure {
    outcome: Outcome::TimedOut,
    is_counted: true,
});

impl Course<'_> {
    fn over(self, result: Result<Response<UpstreamBody>, ForwardError>, at: Instant) -> Forwarded {
        Forwarded {
            result,
            attempts: self.attempts,
            at,
        }
    }
}

fn broken(target: &GatewayTarget, error: &ExchangeError) -> Failure {
    tracing::debug!(gateway = %target.vitals.key.region, %error, "the connection broke");
    Failure::new(Outcome::Broken)
}
