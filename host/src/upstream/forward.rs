//! Carries out an attempt plan.
//!
//! Every choice was made when the plan was. Here attempts are run and watched, and the plan is asked what follows. An
//! attempt says one thing of its gateway: a failure at once, a success when the response's body is whole.

use super::body::{Exchange, UpstreamBody, UpstreamBodyError};
use super::connection::{Connection, ExchangeError};
use super::connections::{ConnectError, Connections, Flight};
use super::replay::{ClientBodyError, ReplayBody, Upload};
use super::request::Outbound;
use super::response::Head;
use super::target::GatewayTarget;
use arrayvec::ArrayVec;
use http::Response;
use portolan_core::budget::RetryBudget;
use portolan_core::config::{Retry, Timeouts};
use portolan_core::health::Evidence;
use portolan_core::id::Slot;
use portolan_core::plan::{AttemptPlan, GaveUp, Outcome, Verdict, is_idempotent};
use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Instant;
use thiserror::Error;
use tokio::time::sleep_until;

/// How many attempts of a request are told.
pub const TOLD_ATTEMPTS: usize = 8;

/// What forwarding a request needs of its worker and its service.
#[derive(Clone, Copy)]
pub struct Forwarder<'a, T> {
    /// The worker's connections.
    pub connections: &'a Connections,
    /// The worker's share of the service's retry budget.
    pub budget: &'a RefCell<RetryBudget>,
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
struct Failure {
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

type Ended = Result<Response<UpstreamBody>, Failure>;

/// A request's course so far.
struct Course<'r> {
    plan: AttemptPlan,
    request: &'r Outbound<'r>,
    body: &'r ReplayBody,
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
        self.budget.borrow_mut().deposit(now);
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
            let verdict = {
                let budget = &mut self.budget.borrow_mut();
                course.plan.after(outcome, body.is_replayable(), budget, now)
            };
            match (verdict, ended) {
                (Verdict::Try(slot), ended) => {
                    next = Some(slot);
                    if let Ok(response) = ended {
                        response.into_body().discard();
                    }
                }
                (_, Ok(response)) => return course.over(Ok(response), now),
                (Verdict::GiveUp(why), Err(_)) => reason = why,
                // There is nothing to deliver, which the plan knows.
                (Verdict::Deliver, Err(_)) => {}
            }
        }
        course.over(Err(ForwardError::GaveUp { reason, last }), now)
    }

    /// Runs an attempt, and perhaps another beside it when it is slow. Gives the one that counts.
    async fn run(&self, course: &mut Course<'_>, slot: Slot, began: Instant) -> (Slot, Ended) {
        let mut attempt = pin!(self.attempt(slot, course.request, course.body));
        let hedge_at = self.retry.hedge_after.map(|after| began + after);
        if let Some(ended) = self.watch(attempt.as_mut(), course, began, hedge_at).await {
            return (slot, ended);
        }
        let now = Instant::now();
        let second = course
            .plan
            .beside(course.body.is_at_hand(), &mut self.budget.borrow_mut(), now);
        match second {
            // Rare, and large: it must not make every request's future larger.
            Some(second) => Box::pin(self.race(course, (slot, attempt, began), second)).await,
            None => (
                slot,
                self.watch(attempt, course, began, None).await.unwrap_or(TIMED_OUT),
            ),
        }
    }

    /// Two attempts beside each other. A response that can be given wins, and the other attempt is dropped.
    async fn race<A>(
        &self,
        course: &mut Course<'_>,
        (first_slot, first, began): (Slot, Pin<&mut A>, Instant),
        second_slot: Slot,
    ) -> (Slot, Ended)
    where
        A: Future<Output = Ended>,
    {
        let (lost, winner) = {
            let attempt = pin!(self.attempt(second_slot, course.request, course.body));
            let mut first = pin!(self.watch(first, course, began, None));
            let mut second = pin!(self.watch(attempt, course, Instant::now(), None));
            tokio::select! {
                ended = &mut first => match ended.unwrap_or(TIMED_OUT) {
                    ended if is_good(&ended) => (None, (first_slot, ended)),
                    ended => (Some((first_slot, ended)), (second_slot, second.await.unwrap_or(TIMED_OUT))),
                },
                ended = &mut second => match ended.unwrap_or(TIMED_OUT) {
                    // Overtaken: it had its time, and the other needed less.
                    ended if is_good(&ended) => (Some((first_slot, TIMED_OUT)), (second_slot, ended)),
                    ended => (Some((second_slot, ended)), (first_slot, first.await.unwrap_or(TIMED_OUT))),
                },
            }
        };
        if let Some((slot, ended)) = lost {
            let outcome = self.judge(course, slot, &ended);
            course.plan.overtaken(outcome);
        }
        winner
    }

    /// Waits for an attempt until it has run out of time. `None` when `pause` comes before.
    async fn watch<A>(
        &self,
        mut attempt: Pin<&mut A>,
        course: &Course<'_>,
        began: Instant,
        mut pause: Option<Instant>,
    ) -> Option<Ended>
    where
        A: Future<Output = Ended>,
    {
        let first_look = pause.unwrap_or_else(|| self.end_of_time(course, began));
        let mut alarm = pin!(sleep_until(first_look.into()));
        loop {
            tokio::select! {
                biased;
                ended = &mut attempt => return Some(ended),
                () = &mut alarm => {}
            }
            let end = self.end_of_time(course, began);
            let now = Instant::now();
            if now >= end {
                return Some(TIMED_OUT);
            }
            if pause.take().is_some_and(|pause| now >= pause) {
                return None;
            }
            alarm.as_mut().reset(end.into());
        }
    }

    /// When an attempt that began then has run out of time, as things stand: its time counts from when the gateway has
    /// the whole request.
    fn end_of_time(&self, course: &Course<'_>, began: Instant) -> Instant {
        let per_try = self.retry.per_try_timeout;
        match course.body.upload() {
            Upload::Running(last_read) => last_read.max(began) + self.timeouts.idle,
            Upload::Ended(at) if at > began => at + per_try.min(self.timeouts.request),
            Upload::Ended(_) | Upload::None => (began + per_try).min(course.plan.deadline()),
        }
    }

    /// Sends the request to one gateway and waits for the head of its response.
    async fn attempt(&self, slot: Slot, request: &Outbound<'_>, body: &ReplayBody) -> Ended {
        // The plan names no region without a gateway.
        let target = (self.target)(slot).ok_or(Failure::uncounted(Outcome::NotSent))?;
        let pool = self.connections.pool(target);
        let flight = pool.enter();
        let host = (!target.preserve_host).then_some(&target.authority);
        let may_repeat = self.retry.non_idempotent || is_idempotent(request.method());
        if !may_repeat {
            // Let the news of closed connections in first: on one of those, nobody could tell what became of it.
            tokio::task::yield_now().await;
        }
        if let Some(mut connection) = pool.idle() {
            match connection.exchange(request, host, body.reader()).await {
                Ok(head) => return self.receive(head, connection, flight).await,
                Err(ExchangeError::Unsent) => {}
                // Closed while it was idle, and nobody heard the request: a fresh one may know better.
                Err(ExchangeError::Unanswered(_)) if may_repeat && body.is_replayable() => {}
                Err(error) => return Err(broken(target, &error)),
            }
        }
        let connected = pool.connect(target, self.timeouts.connect).await;
        let mut connection = connected.map_err(|error| {
            tracing::debug!(gateway = %target.vitals.key.region, %error, "no connection");
            match error {
                ConnectError::Exhausted(_) => Failure::uncounted(Outcome::NotSent),
                _ => Failure::new(Outcome::NotSent),
            }
        })?;
        match connection.exchange(request, host, body.reader()).await {
            Ok(head) => self.receive(head, connection, flight).await,
            Err(ExchangeError::Unsent) => Err(Failure::new(Outcome::NotSent)),
            Err(error) => Err(broken(target, &error)),
        }
    }

    /// Makes a response ready for the client.
    async fn receive(&self, head: Head, connection: Box<Connection>, flight: Flight) -> Ended {
        let evidence = Evidence::of_status(head.status);
        let evidence = (!evidence.is_failure()).then_some(evidence);
        let exchange = Exchange {
            connection,
            flight,
            evidence,
        };
        let mut body = UpstreamBody::new(exchange, self.timeouts.idle);
        if self.retry.hold_back_bytes > 0 {
            body.hold_back(self.retry.hold_back_bytes)
                .await
                .map_err(|error| match error {
                    UpstreamBodyError::Cut(_) | UpstreamBodyError::Abandoned => Failure::uncounted(Outcome::Broken),
                    UpstreamBodyError::Stalled => Failure::uncounted(Outcome::TimedOut),
                })?;
        }
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Ok(response)
    }

    /// Writes down how an attempt ended, for the request's record and against the gateway.
    fn judge(&self, course: &mut Course<'_>, slot: Slot, ended: &Ended) -> Outcome {
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

const TIMED_OUT: Ended = Err(Failure {
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

/// Whether a response is one to give to the client without looking for another.
fn is_good(ended: &Ended) -> bool {
    ended
        .as_ref()
        .is_ok_and(|response| Evidence::of_status(response.status()) != Evidence::GatewayError)
}

fn broken(target: &GatewayTarget, error: &ExchangeError) -> Failure {
    tracing::debug!(gateway = %target.vitals.key.region, %error, "the connection broke");
    Failure::new(Outcome::Broken)
}
