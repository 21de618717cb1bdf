//! Change sets: begun, sent, followed, confirmed. Each step is persisted before the next.

use super::{Leader, Over, Work, look_again};
use crate::backoff::Remedy;
use crate::diff::{Change, diff};
use crate::ledger::Failure;
use crate::operation::{Progress, Started};
use crate::pace::Haste;
use crate::plan::Drift;
use crate::target::TargetError;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A request is not sent with less of the lease left than this.
const LEAST_LEFT: Duration = Duration::from_secs(2);

impl Leader {
    /// Reads the origins once more, and begins the change set that then is due.
    pub(super) async fn begin(&mut self, work: &mut Work) -> Result<(), Over> {
        self.read(work).await?;
        let Some(observed) = work.observed.clone().filter(|_| work.failures == 0) else {
            return Ok(());
        };
        let plan = self.plan(work, &observed);
        if plan.is_due() {
            tracing::info!(changes = plan.changes.len(), "publishing:\n{plan}");
            self.report(&plan.drift);
            work.ledger
                .begin(plan.changes.clone(), &self.settings.timing, self.now());
            self.haste = Haste::Never;
            self.send(work).await?;
        }
        self.show(work, Some(plan));
        Ok(())
    }

    /// Reports drift: the change set that follows reverts it, and nothing shows it afterwards.
    fn report(&self, drift: &[Drift]) {
        for drift in drift {
            tracing::warn!(%drift, "origin changed by another");
            self.counters.drift.add();
        }
        if !drift.is_empty() {
            let changes = drift.iter().map(ToString::to_string);
            self.state.send_modify(|state| state.remember_others(changes));
        }
    }

    /// Sends the next request of the change set. It is persisted before, and its result after.
    async fn send(&mut self, work: &mut Work) -> Result<(), Over> {
        let Some(pending) = &mut work.ledger.pending else {
            return Ok(());
        };
        pending.carried = self.target.carries(pending.left());
        pending.operation = None;
        let changes = pending.under_way().to_vec();
        work.poll_due = Instant::now();
        work.saved = false;
        self.save(work).await?;
        let left = self.check(work)?;
        if !work.saved || left < LEAST_LEFT {
            // Not sent: polling shows that, and it is retried.
            return Ok(());
        }
        // Shown before it is sent: that may take as long as a request may.
        self.show(work, None);
        self.counters.writes.add();
        let budget = left.min(self.settings.timing.request_timeout);
        let sent = timeout(budget, self.target.send(&changes)).await;
        let sent = sent.unwrap_or_else(|_| Err(TargetError::Unsure(format!("no answer within {budget:?}"))));
        work.poll_due = Instant::now() + self.settings.timing.poll_default;
        match sent {
            Ok(Started::Done) => work.poll_due = Instant::now(),
            Ok(Started::Watch) => {}
            Ok(Started::Poll(operation)) => {
                if let Some(pending) = &mut work.ledger.pending {
                    pending.operation = Some(operation);
                }
                work.saved = false;
                self.save(work).await?;
            }
            Ok(Started::Foreign(url)) => {
                tracing::warn!(%url, "the operation is reported on another host: watching the origins instead");
                self.state.send_modify(|state| state.foreign = Some(url));
            }
            Err(error) => {
                self.counters.write_errors.add();
                self.note_target(&error);
                if !matches!(error, TargetError::Unsure(_)) {
                    self.fail(work, Failure::NotAccepted, error.remedy(), error.to_string());
                }
            }
        }
        Ok(())
    }

    /// Polls the request in progress, and goes on when it is done.
    pub(super) async fn follow(&mut self, work: &mut Work) -> Result<(), Over> {
        let Some(pending) = work.ledger.pending.clone() else {
            return Ok(());
        };
        self.counters.polls.add();
        let patience = self.settings.timing.request_timeout;
        let asked = match &pending.operation {
            Some(operation) => timeout(patience, self.target.poll(operation)).await,
            None => timeout(patience, self.target.watch(pending.under_way())).await,
        };
        self.check(work)?;
        let asked = asked.unwrap_or_else(|_| Err(TargetError::Unavailable(format!("no answer within {patience:?}"))));
        let overdue = self.now().since(pending.started) > self.settings.timing.operation_deadline;
        match asked {
            Ok(Progress::Succeeded) => return self.confirm(work).await,
            Ok(Progress::Failed { code, message }) => {
                self.fail(
                    work,
                    Failure::Failed,
                    Remedy::Slowly,
                    format!("operation failed: {code} {message}"),
                );
            }
            _ if overdue => {
                let deadline = self.settings.timing.operation_deadline;
                self.fail(
                    work,
                    Failure::Overdue,
                    Remedy::Slowly,
                    format!("operation not done within {deadline:?}"),
                );
            }
            Ok(Progress::Running(after)) => {
                work.failures = 0;
                work.poll_due = Instant::now() + after;
            }
            Ok(Progress::Unreadable) => {
                if let Some(pending) = &mut work.ledger.pending {
                    pending.operation = None;
                }
                work.saved = false;
                work.poll_due = Instant::now();
            }
            Err(error) => {
                self.note_target(&error);
                work.failures = work.failures.saturating_add(1);
                work.poll_due = Instant::now() + look_again(&error, work.failures, &self.settings.timing);
            }
        }
        Ok(())
    }

    /// The service reports success: compares with what was sent, and goes on with what is still wanted of the rest.
    async fn confirm(&mut self, work: &mut Work) -> Result<(), Over> {
        self.read(work).await?;
        let (Some(observed), Some(pending)) = (work.observed.clone(), work.ledger.pending.clone()) else {
            return Ok(());
        };
        work.poll_due = work.read_due;
        if work.failures > 0 {
            return Ok(());
        }
        if observed.busy() {
            work.poll_due = Instant::now() + self.settings.timing.poll_default;
            return Ok(());
        }
        let plan = self.plan(work, &observed);
        let took = |change: &Change| {
            observed
                .get(&change.origin)
                .is_some_and(|there| there.members.are(&change.state))
        };
        if !pending.under_way().iter().all(took) {
            let (how, remedy) = match pending.operation {
                // The answer to the change was lost, and so was the change.
                None => (Failure::NotAccepted, Remedy::Soon(None)),
                Some(_) => (Failure::Failed, Remedy::Slowly),
            };
            self.fail(work, how, remedy, "the origin does not show the change".to_owned());
            return Ok(());
        }
        work.saved = false;
        // While nothing may be changed, the rest of what was begun is not sent either.
        let wanted = match plan.decision.suspended {
            None => diff(&plan.wanted, &observed),
            Some(_) => Vec::new(),
        };
        if work.ledger.advance(&wanted) {
            return self.send(work).await;
        }
        self.counters.published.add();
        self.state.send_modify(|state| state.failure = None);
        tracing::info!("published");
        self.save(work).await
    }

    fn fail(&mut self, work: &mut Work, how: Failure, remedy: Remedy, why: String) {
        tracing::warn!(%why, "a change set failed");
        self.counters.failed.add();
        self.note(&why);
        self.state.send_modify(|state| state.failure = Some(how));
        work.ledger.fail(how, remedy, why, &self.settings.timing, self.now());
        work.saved = false;
        work.read_due = Instant::now();
    }
}
