//! Carries out an attempt plan.
//!
//! The plan decides; this module runs the attempts with their timeouts and asks the plan for the next step. An attempt is
//! observed once: a failure immediately, a success when the response's body is complete.

use super::blame::Blame;
use super::body::{UpstreamBody, UpstreamBodyError};
use super::budget::SharedBudget;
use super::clock;
use super::ending::{self, Ending};
use super::exchange::{AttemptError, Exchange, is_fair};
use super::in_flight::report;
use super::pool::Connections;
use super::progress::{AttemptProgress, Phase, Progress};
use super::replay::{ClientBodyError, ReplayBody, Upload};
use super::request::Outbound;
use super::target::GatewayTarget;
use super::terms::Terms;
use arrayvec::ArrayVec;
use http::{Response, StatusCode};
use http_body::Body;
use portolan_core::config::{Retry, Timeouts};
use portolan_core::endpoint::EndpointFailure;
use portolan_core::health::Evidence;
use portolan_core::id::Slot;
use portolan_core::plan::{AttemptPlan, GaveUp, Hedge, Outcome, Verdict, is_idempotent};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};
use thiserror::Error;

#[cfg(test)]
mod tests;

/// The body itself times out a client that stops sending, before this is over.
const A_MOMENT: Duration = Duration::from_secs(1);

/// When the retry budget is exhausted, a hedge is tried again after this time.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(50);

/// How many attempts of a request are recorded.
pub const RECORDED_ATTEMPTS: usize = 8;

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

/// The result of forwarding a request.
#[derive(Debug)]
pub struct Forwarded {
    /// The response for the client, or why there is none.
    pub result: Result<Box<Response<UpstreamBody>>, ForwardError>,
    /// The attempts in the order in which they ended; the last is the one whose response is given. Beyond eight, the
    /// earliest and the last are recorded.
    pub attempts: ArrayVec<Attempt, RECORDED_ATTEMPTS>,
    /// When the result was known.
    pub at: Instant,
    /// The attempts as spans, in the order in which they began, where spans of the request are recorded.
    pub spans: Vec<AttemptSpan>,
}

/// One attempt of a request of which spans are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptSpan {
    /// The region.
    pub slot: Slot,
    /// When it began.
    pub began: Instant,
    /// When it ended; for the response that is delivered: when its head came. `None`: it goes on.
    pub ended: Option<Instant>,
    /// The status of its response.
    pub status: Option<StatusCode>,
    /// Why it has none, or why that is not used.
    pub error: Option<&'static str>,
    /// The address that the request was sent to.
    pub peer: Option<SocketAddr>,
}

/// One attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The region.
    pub slot: Slot,
    /// How it ended.
    pub evidence: Evidence,
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ForwardError {
    /// The client's body failed.
    #[error(transparent)]
    ClientBody(#[from] ClientBodyError),
    /// No region sent a response.
    #[error("no region answered ({})", reason.as_str())]
    GaveUp {
        /// Why no further attempt was made.
        reason: GaveUp,
        /// How the last attempt ended; `None` when there was none.
        last: Option<Outcome>,
    },
}

/// How an attempt ended.
pub(super) type Ended = Result<Exchange, AttemptError>;

/// A request's course so far.
pub(super) struct Course<'r> {
    pub(super) plan: AttemptPlan<'r>,
    pub(super) request: &'r Outbound<'r>,
    pub(super) body: &'r ReplayBody,
    pub(super) progress: &'r Progress,
    blame: Blame,
    attempts: ArrayVec<Attempt, RECORDED_ATTEMPTS>,
    spans: Vec<AttemptSpan>,
}

impl<'a, T> Forwarder<'a, T>
where
    T: Fn(Slot) -> Option<&'a Arc<GatewayTarget>>,
{
    /// Sends a request as the plan says, beginning now.
    ///
    /// Dropping the future closes the connections of the attempts that run; they are not observed.
    pub async fn forward(
        &self,
        plan: AttemptPlan<'_>,
        request: &Outbound<'_>,
        body: &ReplayBody,
        mut now: Instant,
    ) -> Forwarded {
        self.budget.deposit(self.connections.worker());
        let progress = Progress::default();
        let mut course = Course {
            plan,
            request,
            body,
            progress: &progress,
            blame: Blame::default(),
            attempts: ArrayVec::new(),
            spans: Vec::new(),
        };
        let mut next = course.plan.begin();
        let mut last = None;
        let mut reason = GaveUp::NoneLeft;
        while let Some(slot) = next.take() {
            let (slot, ended) = self.run(&mut course, slot, now).await;
            now = clock::now();
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
                    if outcome.evidence().is_failure() {
                        self.dispute(&course);
                    }
                    self.bound(&course, &mut response);
                    response.body_mut().deliver(outcome.evidence());
                    return course.over(Ok(response), now);
                }
                (Verdict::GiveUp(why), Err(_)) => reason = why,
                // The plan never delivers without a response.
                (Verdict::Deliver, Err(_)) => {}
            }
        }
        self.dispute(&course);
        course.over(Err(ForwardError::GaveUp { reason, last }), now)
    }

    /// What ends the response besides its body, from now on.
    fn bound(&self, course: &Course<'_>, response: &mut Response<UpstreamBody>) {
        let (is_call, end) = (course.request.is_call(), course.plan.end());
        if (is_call || end.is_some()) && !response.body().is_end_stream() {
            let ending = Ending::of(response, is_call, end);
            response.body_mut().ends(ending, self.timeouts.idle_of(is_call));
        }
        if is_call {
            course.body.is_answered();
        }
    }

    /// The request failed. If it did so in the same way in several regions, it may be at fault itself.
    fn dispute(&self, course: &Course<'_>) {
        for slot in course.blame.disputed().iter() {
            if let Some(target) = (self.target)(slot) {
                target.vitals.dispute(self.connections.worker());
            }
        }
    }

    /// Runs an attempt, and hedges it when it is slow. Returns the attempt whose result is used.
    async fn run<'f>(&'f self, course: &mut Course<'f>, slot: Slot, began: Instant) -> (Slot, Ended) {
        course.begin_span(slot, began);
        let mut attempt = pin!(self.attempt(slot, course, began));
        let mut hedge_at = self.retry.hedge_after.map(|after| began + after);
        loop {
            if let Some(ended) = self.watch(attempt.as_mut(), course, (slot, began), hedge_at).await {
                return (slot, ended);
            }
            let (complete, now) = (course.body.is_complete(), clock::now());
            match course.plan.hedge(complete, now, |now| self.budget.withdraw(now)) {
                // Rare and large: boxed, so that it does not enlarge the future of every request.
                Hedge::Try(second) => return Box::pin(self.hedge(course, (slot, attempt, began), second)).await,
                Hedge::NotNow => hedge_at = Some(now + ASK_AGAIN),
                Hedge::Never => hedge_at = None,
            }
        }
    }

    /// Waits for an attempt until it times out. `None` when `pause` comes first.
    async fn watch<A>(
        &self,
        mut attempt: Pin<&mut A>,
        course: &Course<'_>,
        (slot, began): (Slot, Instant),
        pause: Option<Instant>,
    ) -> Option<Ended>
    where
        A: Future<Output = Ended>,
    {
        let look = |end: Instant| tokio::time::Instant::from(pause.map_or(end, |pause| pause.min(end)));
        let timers = self.connections.timers();
        let mut alarm = timers.until(look(self.end_of_time(course, slot, began)));
        let ended = poll_fn(|context| {
            loop {
                if let Poll::Ready(ended) = attempt.as_mut().poll(context) {
                    return Poll::Ready(Some(ended));
                }
                let end = self.end_of_time(course, slot, began);
                // The deadline may be earlier now: the gateway may have received the whole request.
                if look(end) < alarm.deadline() {
                    alarm.as_mut().reset(look(end));
                }
                ready!(alarm.as_mut().poll(context));
                let now = clock::now();
                if now >= end {
                    course.time_over(now);
                    return Poll::Ready(Some(Err(self.timed_out(course, slot, began, now))));
                }
                if pause.is_some_and(|pause| now >= pause) {
                    return Poll::Ready(None);
                }
                alarm.as_mut().reset(look(end));
            }
        })
        .await;
        timers.give_back(alarm);
        ended
    }

    /// When an attempt times out, as of now. Its time counts from when the gateway has the whole request. Connecting has a
    /// timeout of its own.
    pub(super) fn end_of_time(&self, course: &Course<'_>, slot: Slot, began: Instant) -> Instant {
        let end = self.end_of_attempt(course, slot, began);
        course.plan.end().map_or(end, |over| over.min(end))
    }

    /// The same by the time of an attempt.
    fn end_of_attempt(&self, course: &Course<'_>, slot: Slot, began: Instant) -> Instant {
        let per_try = self.per_try(course);
        let idle = || self.timeouts.idle_of(course.request.is_call());
        let since = match course.progress.phase(slot, began) {
            Phase::Connecting(_) => return course.plan.deadline(),
            Phase::Exchanging(since) => since,
        };
        match course.body.upload() {
            Upload::Running(last_read) => last_read.max(began) + idle(),
            Upload::Asked(last_read) => last_read.max(began) + idle() + A_MOMENT,
            Upload::Waiting => course.plan.deadline(),
            Upload::Ended(at) if at > began => at + per_try,
            Upload::Ended(_) | Upload::None => (since + per_try).min(course.plan.deadline()),
        }
    }

    /// The error of an attempt that timed out. It says something of the gateway only if that had a fair part of the time for
    /// an attempt: the rest may have been lost to other regions, to connecting, or to a name that was not resolved yet.
    pub(super) fn timed_out(&self, course: &Course<'_>, slot: Slot, began: Instant, now: Instant) -> AttemptError {
        let is_its_own = match (course.progress.phase(slot, began), course.body.upload()) {
            (Phase::Connecting(_), _) => false,
            (_, Upload::Running(_) | Upload::Asked(_)) => course.plan.end().is_none_or(|end| now < end),
            (Phase::Exchanging(since), upload) => {
                let sent = match upload {
                    Upload::Ended(at) => at.max(since),
                    _ => since,
                };
                is_fair(now.saturating_duration_since(sent), self.per_try(course))
            }
        };
        if is_its_own {
            AttemptError::TimedOut
        } else {
            AttemptError::OutOfTime
        }
    }

    /// The time for the current attempt, at most that of the request.
    fn per_try(&self, course: &Course<'_>) -> Duration {
        let limit = course.plan.request_timeout();
        let per_try = course.plan.per_try_timeout(course.body.is_replayable());
        per_try.map_or(limit, |per_try| per_try.min(limit))
    }

    /// Sends the request to one gateway and waits for the head of its response.
    pub(super) fn attempt<'f>(
        &'f self,
        slot: Slot,
        course: &Course<'f>,
        began: Instant,
    ) -> impl Future<Output = Ended> + use<'a, 'f, T> {
        let (request, body) = (course.request, course.body);
        let terms = Terms {
            began,
            deadline: course.plan.deadline(),
            connect: self.timeouts.connect.min(course.plan.request_timeout()),
            idle: self.timeouts.idle,
            may_repeat: self.retry.non_idempotent || is_idempotent(request.method()),
            progress: AttemptProgress {
                slot,
                all: course.progress,
            },
        };
        async move {
            let target = (self.target)(slot).ok_or(AttemptError::NoGateway)?;
            let pool = self.connections.pool(target);
            let mut response = pool.exchange(target, request, body, terms).await?;
            if request.is_call() {
                // It is streamed: its client may have to answer before it goes on.
                if ending::lacks_status(&response) {
                    return Err(UpstreamBodyError::NoGrpcStatus.into());
                }
            } else if self.retry.hold_back_bytes > 0 {
                Box::pin(response.body_mut().hold_back(self.retry.hold_back_bytes)).await?;
            }
            Ok(response)
        }
    }

    /// Records how an attempt ended, and observes it when it failed.
    pub(super) fn judge(&self, course: &mut Course<'_>, slot: Slot, ended: &Ended) -> Outcome {
        let (outcome, is_of_gateway) = match ended {
            Ok(response) => (ending::outcome(response, course.request.is_call()), true),
            Err(error) => {
                self.report(slot, error);
                (error.outcome(), error.is_of_gateway())
            }
        };
        let evidence = outcome.evidence();
        if evidence.is_failure() && is_of_gateway && !self.is_removed(course, slot) {
            self.observe(slot, evidence);
            course.blame.add(slot, evidence);
        }
        if let Err(AttemptError::TimedOut) = ended {
            self.endpoint_failed(course, slot);
        }
        course.record(slot, evidence);
        if course.request.is_recorded() {
            self.end_span(course, slot, ended, evidence);
        }
        outcome
    }

    /// An attempt of which a span is recorded ended.
    #[cold]
    fn end_span(&self, course: &mut Course<'_>, slot: Slot, ended: &Ended, evidence: Evidence) {
        let (status, error) = match ended {
            Ok(response) => (Some(response.status()), None),
            Err(error) => (None, error.kind().map(|kind| kind.as_str()).or(Some(evidence.as_str()))),
        };
        let endpoint = course.progress.endpoint(slot);
        let endpoints = (self.target)(slot).map(|target| &target.vitals.endpoints);
        let peer = endpoints
            .zip(endpoint)
            .and_then(|(all, endpoint)| all.address(endpoint));
        course.end_span(slot, |span| {
            (span.status, span.error, span.peer) = (status, error, peer);
        });
    }

    /// Whether the last attempt in a region was made at an address that its gateway does not have any more. That shows nothing
    /// of the gateway.
    pub(super) fn is_removed(&self, course: &Course<'_>, slot: Slot) -> bool {
        let target = (self.target)(slot);
        let endpoint = course.progress.endpoint(slot);
        target
            .zip(endpoint)
            .is_some_and(|(target, endpoint)| !target.vitals.endpoints.has(endpoint))
    }

    /// The endpoint of the last attempt in a region did not answer in time.
    fn endpoint_failed(&self, course: &Course<'_>, slot: Slot) {
        if let Some((target, endpoint)) = (self.target)(slot).zip(course.progress.endpoint(slot)) {
            let endpoints = &target.vitals.endpoints;
            endpoints.failed(endpoint, EndpointFailure::Exchange, clock::now());
        }
    }

    /// Counts an observation of a gateway.
    pub(super) fn observe(&self, slot: Slot, evidence: Evidence) {
        if let Some(target) = (self.target)(slot) {
            target.vitals.observe(self.connections.worker(), evidence);
        }
    }

    fn report(&self, slot: Slot, error: &AttemptError) {
        if let (Some(kind), Some(target)) = (error.kind(), (self.target)(slot)) {
            report(&target.vitals, self.connections.worker(), kind, error);
        }
    }
}

impl Course<'_> {
    /// An attempt timed out. If that ends a request to unresponsive regions, they may answer it all the same: they may be slow.
    pub(super) fn time_over(&self, now: Instant) {
        if self.plan.is_unresponsive() && now >= self.plan.deadline() {
            self.progress.give_up();
        }
    }

    /// An attempt begins.
    #[inline]
    pub(super) fn begin_span(&mut self, slot: Slot, began: Instant) {
        if self.request.is_recorded() {
            self.spans.push(AttemptSpan {
                slot,
                began,
                ended: None,
                status: None,
                error: None,
                peer: None,
            });
        }
    }

    /// An attempt ended.
    pub(super) fn end_span(&mut self, slot: Slot, with: impl FnOnce(&mut AttemptSpan)) {
        if let Some(span) = self.spans.iter_mut().find(|span| span.slot == slot) {
            span.ended = Some(clock::now());
            with(span);
        }
    }

    /// Records the end of an attempt.
    pub(super) fn record(&mut self, slot: Slot, evidence: Evidence) {
        if self.attempts.is_full() {
            self.attempts.pop();
        }
        self.attempts.push(Attempt { slot, evidence });
    }

    fn over(self, result: Result<Exchange, ForwardError>, at: Instant) -> Forwarded {
        Forwarded {
            result,
            attempts: self.attempts,
            at,
            spans: self.spans,
        }
    }
}
