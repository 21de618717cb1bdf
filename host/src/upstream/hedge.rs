//! Hedged requests: when an attempt is slow, further attempts start in other regions. The first usable answer is used.

use super::clock;
use super::ending;
use super::forward::{ASK_AGAIN, Course, Ended, Forwarder};
use super::progress::Phase;
use super::replay::Upload;
use super::target::GatewayTarget;
use portolan_core::config::Retry;
use portolan_core::health::Evidence;
use portolan_core::id::Slot;
use portolan_core::plan::{Hedge, Outcome, Verdict};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

/// An attempt that runs.
struct Runner<'f> {
    slot: Slot,
    began: Instant,
    attempt: Pin<Box<dyn Future<Output = Ended> + 'f>>,
}

/// An attempt that ended.
struct Finished {
    slot: Slot,
    began: Instant,
    ended: Ended,
}

impl<'a, T> Forwarder<'a, T>
where
    T: Fn(Slot) -> Option<&'a Arc<GatewayTarget>>,
{
    /// Starts a second attempt while a slow one runs; further ones follow when those are slow or fail, as the plan allows.
    /// Returns the attempt whose result is used; the others have been recorded.
    pub(super) async fn hedge<'f, A>(
        &'f self,
        course: &mut Course<'f>,
        (slot, attempt, began): (Slot, Pin<&mut A>, Instant),
        second: Slot,
    ) -> (Slot, Ended)
    where
        A: Future<Output = Ended>,
    {
        let after = self.retry.hedge_after.unwrap_or(ASK_AGAIN);
        let first = Runner {
            slot,
            began,
            attempt: Box::pin(attempt),
        };
        let mut runners = vec![first, self.runner(course, second)];
        let mut hedge_at = Some(clock::now() + after);
        loop {
            let Some(finished) = self.next_of(&mut runners, course, hedge_at).await else {
                let now = clock::now();
                let withdraw = |now| self.budget.withdraw(now);
                match course.plan.hedge(course.body.is_complete(), now, withdraw) {
                    Hedge::Try(slot) => {
                        runners.push(self.runner(course, slot));
                        hedge_at = Some(now + after);
                    }
                    Hedge::NotNow => hedge_at = Some(now + ASK_AGAIN),
                    Hedge::Never => hedge_at = None,
                }
                continue;
            };
            let Finished { slot, began, ended } = finished;
            if is_good(&ended, course.request.is_call(), self.retry) {
                self.overtake(course, &runners, (slot, began));
                return (slot, ended);
            }
            if runners.is_empty() {
                return (slot, ended);
            }
            let outcome = self.judge(course, slot, &ended);
            let (replayable, now) = (course.body.is_complete(), clock::now());
            let verdict = course
                .plan
                .after(outcome, replayable, now, |now| self.budget.withdraw(now));
            if let Verdict::Try(slot) = verdict {
                runners.push(self.runner(course, slot));
            }
        }
    }

    fn runner<'f>(&'f self, course: &mut Course<'f>, slot: Slot) -> Runner<'f> {
        let began = clock::now();
        course.begin_span(slot, began);
        let attempt = Box::pin(self.attempt(slot, course, began));
        Runner { slot, began, attempt }
    }

    /// The attempt `winner`, with its beginning, answered before these. They did not fail: only their latency is observed.
    fn overtake(&self, course: &mut Course<'_>, runners: &[Runner<'_>], winner: (Slot, Instant)) {
        // A gateway's time counts from when it has the whole request.
        let sent = match course.body.upload() {
            Upload::Ended(at) => Some(at),
            _ => None,
        };
        let now = clock::now();
        let took = |since: Instant| now.saturating_duration_since(sent.map_or(since, |sent| sent.max(since)));
        let winner = match course.progress.phase(winner.0, winner.1) {
            Phase::Connecting(since) | Phase::Exchanging(since) => took(since),
        };
        for Runner { slot, began, .. } in runners {
            let evidence = match course.progress.phase(*slot, *began) {
                Phase::Exchanging(since) => Evidence::of_hedge(took(since), winner),
                Phase::Connecting(since) => self.unconnected(*slot, now.saturating_duration_since(since)),
            };
            if evidence == Evidence::Overtaken {
                course.progress.overtake(*slot);
            }
            if !self.is_removed(course, *slot) {
                self.observe(*slot, evidence);
            }
            course.record(*slot, evidence);
            course.end_span(*slot, |span| span.error = Some(evidence.as_str()));
        }
    }

    /// The observation for an attempt that has been waiting for a connection. It is no more than what the connection itself shows:
    /// nothing while it may still come about, or while the name has no address.
    fn unconnected(&self, slot: Slot, waited: Duration) -> Evidence {
        let Some(target) = (self.target)(slot) else {
            return Evidence::Cancelled;
        };
        let is_resolved = !target.vitals.endpoints.candidates(0, clock::now()).is_empty();
        // TLS and HTTP/2 have as long again.
        let limit = self.timeouts.connect * target.connect_steps();
        if is_resolved && waited >= limit {
            Evidence::ConnectFailed
        } else {
            Evidence::Cancelled
        }
    }

    /// Removes and returns the next attempt that ends or times out. `None` when `hedge_at` comes first.
    async fn next_of(
        &self,
        runners: &mut Vec<Runner<'_>>,
        course: &Course<'_>,
        hedge_at: Option<Instant>,
    ) -> Option<Finished> {
        let ends = runners.iter().map(|it| self.end_of_time(course, it.slot, it.began));
        let first_look = ends.chain(hedge_at).min().unwrap_or_else(clock::now);
        let mut alarm = pin!(sleep_until(first_look.into()));
        let ended = poll_fn(|context| {
            for (index, runner) in runners.iter_mut().enumerate() {
                if let Poll::Ready(ended) = runner.attempt.as_mut().poll(context) {
                    return Poll::Ready(Some((index, ended)));
                }
            }
            alarm.as_mut().poll(context).map(|()| None)
        });
        let ended = ended.await.or_else(|| {
            let now = clock::now();
            let late = runners
                .iter()
                .position(|it| now >= self.end_of_time(course, it.slot, it.began));
            late.map(|index| {
                course.time_over(now);
                let Runner { slot, began, .. } = runners[index];
                (index, Err(self.timed_out(course, slot, began, now)))
            })
        });
        ended.map(|(index, ended)| {
            let Runner { slot, began, .. } = runners.remove(index);
            Finished { slot, began, ended }
        })
    }
}

/// Whether a response is sent to the client without a further attempt.
fn is_good(ended: &Ended, is_call: bool, retry: &Retry) -> bool {
    ended
        .as_ref()
        .is_ok_and(|response| match ending::outcome(response, is_call) {
            Outcome::Answered(status) => !retry.retry_on.has_status(status),
            Outcome::Grpc(status) => !retry.retry_on.has_grpc(status),
            Outcome::NotSent | Outcome::Full | Outcome::Broken | Outcome::TimedOut => false,
        })
}
