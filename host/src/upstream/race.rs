//! Attempts beside each other, when one is slow: the first answer that can be given is used, and the others are dropped.

use super::forward::{Course, Ended, Forwarder, TIMED_OUT};
use super::target::GatewayTarget;
use portolan_core::health::Evidence;
use portolan_core::id::Slot;
use portolan_core::plan::{Beside, Verdict};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

/// When the budget allows no attempt beside, it is asked again after this long.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(50);

/// An attempt that runs.
struct Runner<'f> {
    slot: Slot,
    began: Instant,
    attempt: Pin<Box<dyn Future<Output = Ended> + 'f>>,
}

impl<'a, T> Forwarder<'a, T>
where
    T: Fn(Slot) -> Option<&'a Arc<GatewayTarget>>,
{
    /// Runs an attempt that is slow and a second one beside it; further ones follow when those are slow or fail, as the plan
    /// allows. Gives the one that counts; what has to be said of the others is said.
    pub(super) async fn race<A>(
        &self,
        course: &mut Course<'_>,
        (slot, attempt, began): (Slot, Pin<&mut A>, Instant),
        second: Slot,
    ) -> (Slot, Ended)
    where
        A: Future<Output = Ended>,
    {
        let (request, body, deadline) = (course.request, course.body, course.plan.deadline());
        let runner = |slot| {
            let began = Instant::now();
            let attempt = Box::pin(self.attempt(slot, request, body, (began, deadline)));
            Runner { slot, began, attempt }
        };
        let first = Runner {
            slot,
            began,
            attempt: Box::pin(attempt),
        };
        let mut runners = vec![first, runner(second)];
        let patience = self.retry.hedge_after.unwrap_or(self.retry.per_try_timeout);
        let mut ask_at = Some(Instant::now() + patience);
        loop {
            let (slot, ended) = match self.next_of(&mut runners, course, ask_at).await {
                Some(ended) => ended,
                None => {
                    let now = Instant::now();
                    let withdraw = |now| self.budget.withdraw(now);
                    match course.plan.beside(course.body.is_at_hand(), now, withdraw) {
                        Beside::Try(slot) => {
                            runners.push(runner(slot));
                            ask_at = Some(now + patience);
                        }
                        Beside::NotNow => ask_at = Some(now + ASK_AGAIN),
                        Beside::Never => ask_at = None,
                    }
                    continue;
                }
            };
            if is_good(&ended) {
                // They had their time, and another needed less.
                let now = Instant::now();
                for late in runners.iter().filter(|it| now >= it.began + patience) {
                    self.judge(course, late.slot, &TIMED_OUT);
                }
                return (slot, ended);
            }
            if runners.is_empty() {
                return (slot, ended);
            }
            let outcome = self.judge(course, slot, &ended);
            let (replayable, now) = (course.body.is_at_hand(), Instant::now());
            let verdict = course
                .plan
                .after(outcome, replayable, now, |now| self.budget.withdraw(now));
            if let Verdict::Try(slot) = verdict {
                runners.push(runner(slot));
            }
        }
    }

    /// The next of them that ends, or runs out of time; it is taken out. `None` when `ask_at` comes before.
    async fn next_of(
        &self,
        runners: &mut Vec<Runner<'_>>,
        course: &Course<'_>,
        ask_at: Option<Instant>,
    ) -> Option<(Slot, Ended)> {
        let ends = runners.iter().map(|it| self.end_of_time(course, it.began));
        let first_look = ends.chain(ask_at).min().unwrap_or_else(Instant::now);
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
            let now = Instant::now();
            let late = runners.iter().position(|it| now >= self.end_of_time(course, it.began));
            late.map(|index| (index, TIMED_OUT))
        });
        ended.map(|(index, ended)| (runners.remove(index).slot, ended))
    }
}

/// Whether a response is one to give to the client without looking for another.
fn is_good(ended: &Ended) -> bool {
    ended
        .as_ref()
        .is_ok_and(|response| Evidence::of_status(response.status()) != Evidence::GatewayError)
}
