//! The leader: reads the origins, plans, sends the changes that are due, waits for them. One request at a time, each bounded
//! in time, none without a lease that lasts longer than the request may. In a dry run it only reads and plans.
//!
//! It works in turns. A turn does at most one thing and persists its state first, so that another leader can go on from any
//! point.

mod changes;

use super::counters::Counters;
use super::election::jittered;
use super::leader_state::{LastError, LeaderState};
use super::votes::Votes;
use crate::backoff::{Remedy, pause};
use crate::desired::Rules;
use crate::diff::others;
use crate::lease::Term;
use crate::ledger::Ledger;
use crate::origin::Observed;
use crate::pace::Haste;
use crate::plan::Plan;
use crate::settings::{Mode, Settings, Timing};
use crate::store::{Blob, Store, StoreError};
use crate::store_time::StoreTime;
use crate::target::{Target, TargetError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The longest pause after a read that the service denied or rejected: the next one would be, too.
const LONGEST_PAUSE_AFTER_REFUSAL: Duration = Duration::from_secs(5 * 60);

/// Leads when it may.
pub(super) struct Leader {
    pub(super) settings: Arc<Settings>,
    pub(super) store: Arc<dyn Store>,
    pub(super) target: Arc<dyn Target>,
    pub(super) haste: Haste,
    pub(super) votes: watch::Receiver<Arc<Votes>>,
    pub(super) term: watch::Receiver<Option<Term>>,
    pub(super) resign: mpsc::Sender<Duration>,
    pub(super) state: watch::Sender<LeaderState>,
    pub(super) counters: Arc<Counters>,
}

/// A leader's working state during one term.
struct Work {
    /// `None` in a dry run.
    term: Option<Term>,
    ledger: Ledger,
    /// Whether the ledger is as it is in the store.
    saved: bool,
    observed: Option<Arc<Observed>>,
    read_due: Instant,
    poll_due: Instant,
    /// Failures to read or poll since the last success, and since when.
    failures: u32,
    unreadable_since: Option<Instant>,
    /// Whether the facts about the Front Door were requested.
    asked_about: bool,
}

/// The term is over.
struct Over;

impl Leader {
    /// Leads whenever it may, until dropped.
    pub(super) async fn run(mut self) {
        let mut last = 0;
        loop {
            if self.settings.mode == Mode::DryRun {
                self.lead(None).await;
            } else {
                // A term that is over is not begun again, even if the election has not noticed its end yet.
                let next = |term: &Option<Term>| term.as_ref().is_some_and(|term| term.number > last);
                let Ok(term) = self.term.wait_for(next).await.map(|term| term.clone()) else {
                    return;
                };
                let number = term.as_ref().map_or(last, |term| term.number);
                if self.lead(term).await {
                    last = number;
                }
            }
            self.state.send_modify(|state| {
                *state = LeaderState {
                    about: state.about.take(),
                    error: state.error.take(),
                    ..LeaderState::default()
                }
            });
        }
    }

    /// Leads to the end of the term. Returns false when it could not even begin.
    async fn lead(&mut self, term: Option<Term>) -> bool {
        let Some(mut work) = self.take_over(term).await else {
            return false;
        };
        while self.turn(&mut work).await.is_ok() {
            let due = match &work.ledger.pending {
                Some(_) if work.term.is_some() => work.poll_due,
                _ => work.read_due,
            };
            tokio::select! {
                () = sleep_until(due) => {}
                _ = self.votes.changed() => {}
                _ = self.term.changed(), if work.term.is_some() => {}
            }
        }
        true
    }

    /// Takes the ledger over: reads it, numbers the epoch, writes it under the lease.
    async fn take_over(&mut self, term: Option<Term>) -> Option<Work> {
        // Spacing needs the store's clock.
        self.votes.wait_for(|votes| votes.clock.is_some()).await.ok()?;
        let patience = self.settings.timing.request_timeout;
        let read = timeout(patience, self.store.read(&Blob::Leader)).await;
        let found = match read {
            Ok(Ok(read)) => read.found,
            Ok(Err(error)) => {
                self.note(&format!("failed to read the ledger: {error}"));
                sleep(self.settings.lease.renew / 5).await;
                return None;
            }
            Err(_) => {
                self.note("failed to read the ledger: no answer in time");
                sleep(self.settings.lease.renew / 5).await;
                return None;
            }
        };
        let now = Instant::now();
        let bytes = found.map(|found| found.bytes).unwrap_or_default();
        let mut work = Work {
            ledger: serde_json::from_slice(&bytes).unwrap_or_default(),
            saved: true,
            observed: None,
            read_due: now,
            poll_due: now,
            failures: 0,
            unreadable_since: None,
            asked_about: self.state.borrow().about.is_some(),
            term,
        };
        if work.term.is_some() {
            work.ledger.take_over(self.settings.vantage.clone());
            work.saved = false;
            if self.save(&mut work).await.is_err() || !work.saved {
                sleep(self.settings.lease.renew / 5).await;
                return None;
            }
            self.counters.terms.add();
            // Shown before the first reading, which may take as long as a request may.
            self.show(&work, None);
            tracing::info!(epoch = work.ledger.epoch, "leading");
        }
        Some(work)
    }

    async fn turn(&mut self, work: &mut Work) -> Result<(), Over> {
        self.check(work)?;
        if work.term.is_none() {
            // The ledger is the leader's: it is read anew, never kept.
            work.ledger = (*self.votes.borrow_and_update().ledger).clone();
        }
        work.ledger.clamp_to_clock(self.now(), &self.settings.timing);
        self.save(work).await?;
        let now = Instant::now();
        if work.ledger.pending.is_some() && work.term.is_some() {
            if now >= work.poll_due {
                self.follow(work).await?;
            }
        } else if now >= work.read_due {
            self.read(work).await?;
        }
        let Some(observed) = work.observed.clone() else {
            self.show(work, None);
            return Ok(());
        };
        let plan = self.plan(work, &observed);
        // After a failed read the next one is waited for: a change would fail, too.
        if plan.is_due() && work.saved && work.failures == 0 && work.term.is_some() {
            return self.begin(work).await;
        }
        settle(&plan, &observed, work);
        self.show(work, Some(plan));
        if !work.asked_about {
            work.asked_about = true;
            let about = timeout(self.settings.timing.request_timeout, self.target.about()).await;
            self.state
                .send_modify(|state| state.about = about.ok().and_then(Result::ok));
        }
        Ok(())
    }

    async fn read(&mut self, work: &mut Work) -> Result<(), Over> {
        let timing = self.settings.timing;
        let read = timeout(timing.request_timeout, self.target.observe()).await;
        self.check(work)?;
        self.counters.reads.add();
        let now = Instant::now();
        match read.unwrap_or_else(|_| {
            Err(TargetError::Unavailable(
                "failed to read the origins: no answer in time".to_owned(),
            ))
        }) {
            Ok(observed) => {
                let changed = work
                    .observed
                    .as_ref()
                    .map(|earlier| others(earlier, &observed))
                    .unwrap_or_default();
                for change in &changed {
                    tracing::info!(%change, "origin changed by another");
                }
                let observed = Arc::new(observed);
                work.observed = Some(observed.clone());
                work.failures = 0;
                work.unreadable_since = None;
                work.read_due = now + jittered(timing.reconcile);
                self.state.send_modify(|state| {
                    state.observed = Some((observed, now));
                    state.unreadable = false;
                    state.remember_others(changed);
                });
            }
            Err(error) => {
                self.counters.read_errors.add();
                self.note_target(&error);
                self.state.send_modify(|state| state.unreadable = true);
                work.failures = work.failures.saturating_add(1);
                work.read_due = now + look_again(&error, work.failures, &timing);
                let since = *work.unreadable_since.get_or_insert(now);
                let lease = &self.settings.lease;
                let is_long = now.saturating_duration_since(since) >= lease.step_down;
                if is_long && self.settings.vantages.len() > 1 && work.term.is_some() {
                    tracing::warn!(%error, "failed to read Front Door for too long: stepping down");
                    let _ = self.resign.try_send(lease.step_down_pause);
                    return Err(Over);
                }
            }
        }
        Ok(())
    }

    fn plan(&self, work: &Work, observed: &Observed) -> Plan {
        let votes = self.votes.borrow().clone();
        let rules = Rules::from(&*self.settings);
        Plan::make(rules, &votes.tally, &work.ledger, observed, self.haste, self.now())
    }

    /// Whether this term still lasts, and how long it is safe to write. In a dry run for ever.
    fn check(&self, work: &Work) -> Result<Duration, Over> {
        let Some(ours) = &work.term else {
            return Ok(Duration::MAX);
        };
        let current = self.term.borrow();
        let same = current.as_ref().filter(|term| term.number == ours.number);
        same.and_then(|term| term.left(Instant::now())).ok_or(Over)
    }

    /// Writes the ledger, under the lease, when it has changed. It stays unsaved when the store cannot be reached: then
    /// nothing is sent either.
    async fn save(&mut self, work: &mut Work) -> Result<(), Over> {
        let Some(term) = work.term.as_ref().filter(|_| !work.saved) else {
            return Ok(());
        };
        let left = self.check(work)?;
        let bytes = serde_json::to_vec(&work.ledger).unwrap_or_default();
        let budget = left.min(self.settings.timing.request_timeout);
        match timeout(budget, self.store.write(&Blob::Leader, bytes, Some(&term.lease))).await {
            Ok(Ok(())) => work.saved = true,
            Ok(Err(StoreError::Lost | StoreError::Held)) => {
                // The election may not notice: an expired lease can be renewed while no other instance holds it.
                let _ = self.resign.try_send(Duration::ZERO);
                return Err(Over);
            }
            Ok(Err(error)) => self.note(&format!("failed to write the ledger: {error}")),
            Err(_) => self.note("failed to write the ledger: no answer in time"),
        }
        self.check(work).map(|_| ())
    }

    fn now(&self) -> StoreTime {
        let clock = self.votes.borrow().clock;
        clock.map(|clock| clock.now()).unwrap_or_default()
    }

    fn show(&self, work: &Work, plan: Option<Plan>) {
        self.state.send_modify(|state| {
            state.leads = work.term.is_some();
            state.ledger = Some(Arc::new(work.ledger.clone()));
            state.plan = plan.map(Arc::new).or(state.plan.take());
            if work.ledger.pending.is_none() {
                state.foreign = None;
            }
        });
    }

    fn note_target(&self, error: &TargetError) {
        if matches!(error, TargetError::Throttled(_)) {
            self.counters.throttled.add();
        }
        self.note_as(&error.to_string(), error.is_definite());
    }

    fn note(&self, error: &str) {
        self.note_as(error, false);
    }

    fn note_as(&self, text: &str, is_definite: bool) {
        tracing::debug!(error = text, "front door");
        let error = LastError {
            text: text.to_owned(),
            at: Instant::now(),
            is_definite,
        };
        self.state.send_modify(|state| state.error = Some(error));
    }
}

/// The pause after a failed read or poll.
fn look_again(error: &TargetError, failures: u32, timing: &Timing) -> Duration {
    let longest = match error.remedy() {
        // The first look after an outage comes soon after its end.
        Remedy::Soon(_) => timing.reconcile.max(timing.retry_least),
        Remedy::Slowly => LONGEST_PAUSE_AFTER_REFUSAL,
    };
    let own = pause(Remedy::Soon(None), failures, timing).min(longest);
    match error {
        TargetError::Throttled(Some(asked)) => own.max((*asked).min(timing.retry_most)),
        _ => own,
    }
}

/// An origin in its desired state counts as published, whichever client changed it.
fn settle(plan: &Plan, observed: &Observed, work: &mut Work) {
    if work.term.is_none() || work.ledger.pending.is_some() || plan.decision.suspended.is_some() {
        return;
    }
    for wanted in &plan.wanted {
        if !observed
            .get(&wanted.origin)
            .is_some_and(|there| there.members.are(&wanted.state))
        {
            continue;
        }
        let intent = work.ledger.intents.insert(wanted.region.clone(), wanted.intent);
        let state = work.ledger.published.insert(wanted.region.clone(), wanted.state);
        work.saved &= intent == Some(wanted.intent) && state == Some(wanted.state);
    }
}
