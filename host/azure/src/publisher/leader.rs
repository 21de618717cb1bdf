//! The leader: reads the origins, plans, sends what is due, waits for it. One request at a time, each bounded in time, none
//! without a lease that lasts longer than the request may. In a dry run it only reads and plans.
//!
//! It works in turns. A turn does at most one thing and leaves everything written down, so that another can go on from
//! there at any point.

mod changes;

use super::council::Council;
use super::counters::Counters;
use super::desk::Desk;
use super::elector::jittered;
use crate::desired::Rules;
use crate::diff::others;
use crate::lease::Term;
use crate::ledger::{Ledger, StoreTime};
use crate::origin::Observed;
use crate::pace::{Haste, Remedy, pause};
use crate::plan::Plan;
use crate::settings::{Mode, Settings, Timing};
use crate::store::{Blob, Store, StoreError};
use crate::target::{Target, TargetError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// A leader that stepped down does not run again for so long.
const SIT_OUT: Duration = Duration::from_secs(10 * 60);
/// Failed readings are repeated at least this often, unless the service asks for longer.
const LONGEST_BLINDNESS: Duration = Duration::from_secs(5 * 60);

/// Leads when it may.
pub(super) struct Leader {
    pub(super) settings: Arc<Settings>,
    pub(super) store: Arc<dyn Store>,
    pub(super) target: Arc<dyn Target>,
    pub(super) haste: Haste,
    pub(super) council: watch::Receiver<Arc<Council>>,
    pub(super) term: watch::Receiver<Option<Term>>,
    pub(super) resign: mpsc::Sender<Duration>,
    pub(super) desk: watch::Sender<Desk>,
    pub(super) counters: Arc<Counters>,
}

/// What a leader has in hand during one term.
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
    blind_since: Option<Instant>,
    /// Whether the facts about the Front Door were asked for.
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
                // A term that is over is not begun again, even if the elector has not noticed its end yet.
                let next = |term: &Option<Term>| term.as_ref().is_some_and(|term| term.number > last);
                let Ok(term) = self.term.wait_for(next).await.map(|term| term.clone()) else {
                    return;
                };
                let number = term.as_ref().map_or(last, |term| term.number);
                if self.lead(term).await {
                    last = number;
                }
            }
            self.desk.send_modify(|desk| {
                *desk = Desk {
                    about: desk.about.take(),
                    error: desk.error.take(),
                    ..Desk::default()
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
                _ = self.council.changed() => {}
                _ = self.term.changed(), if work.term.is_some() => {}
            }
        }
        true
    }

    /// Takes the ledger over: reads it, numbers the epoch, writes it under the lease.
    async fn take_over(&mut self, term: Option<Term>) -> Option<Work> {
        // The store's clock has to be known before anything can be spaced by it.
        self.council.wait_for(|council| council.clock.is_some()).await.ok()?;
        let patience = self.settings.timing.request_timeout;
        let read = timeout(patience, self.store.read(&Blob::Leader)).await;
        let found = match read {
            Ok(Ok(read)) => read.found,
            failed => {
                self.note(&format!("cannot read the ledger: {failed:?}"));
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
            blind_since: None,
            asked_about: self.desk.borrow().about.is_some(),
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
            tracing::info!(epoch = work.ledger.epoch, "leading");
        }
        Some(work)
    }

    async fn turn(&mut self, work: &mut Work) -> Result<(), Over> {
        self.check(work)?;
        if work.term.is_none() {
            // Nobody's ledger but the leader's: it is read anew, never kept.
            work.ledger = (*self.council.borrow_and_update().ledger).clone();
        }
        work.ledger.heed_clock(self.now(), &self.settings.timing);
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
        // After a failed reading the next one is waited for: it would fail here, too.
        if plan.is_due() && work.saved && work.failures == 0 && work.term.is_some() {
            return self.begin(work).await;
        }
        settle(&plan, &observed, work);
        self.show(work, Some(plan));
        if !work.asked_about {
            work.asked_about = true;
            let about = timeout(self.settings.timing.request_timeout, self.target.about()).await;
            self.desk
                .send_modify(|desk| desk.about = about.ok().and_then(Result::ok));
        }
        Ok(())
    }

    async fn read(&mut self, work: &mut Work) -> Result<(), Over> {
        let timing = self.settings.timing;
        let read = timeout(timing.request_timeout, self.target.observe()).await;
        self.check(work)?;
        self.counters.reads.add();
        let now = Instant::now();
        match read.unwrap_or_else(|_| Err(TargetError::Unavailable("the origins: no answer in time".to_owned()))) {
            Ok(observed) => {
                let changed = work
                    .observed
                    .as_ref()
                    .map(|earlier| others(earlier, &observed))
                    .unwrap_or_default();
                for change in &changed {
                    tracing::info!(%change, "changed by somebody else");
                }
                let observed = Arc::new(observed);
                work.observed = Some(observed.clone());
                work.failures = 0;
                work.blind_since = None;
                work.read_due = now + jittered(timing.reconcile);
                self.desk.send_modify(|desk| {
                    desk.observed = Some((observed, now));
                    desk.blind = false;
                    desk.others_did(changed);
                });
            }
            Err(error) => {
                self.counters.read_errors.add();
                self.note_target(&error);
                self.desk.send_modify(|desk| desk.blind = true);
                work.failures = work.failures.saturating_add(1);
                work.read_due = now + look_again(&error, work.failures, &timing);
                let since = *work.blind_since.get_or_insert(now);
                let blind_for = now.saturating_duration_since(since);
                if blind_for >= self.settings.lease.step_down && self.settings.vantages.len() > 1 && work.term.is_some()
                {
                    tracing::warn!("cannot read Front Door: making room for another leader");
                    let _ = self.resign.try_send(SIT_OUT);
                    return Err(Over);
                }
            }
        }
        Ok(())
    }

    fn plan(&self, work: &Work, observed: &Observed) -> Plan {
        let council = self.council.borrow().clone();
        let rules = Rules::from(&*self.settings);
        Plan::make(rules, &council.tally, &work.ledger, observed, self.haste, self.now())
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
                // The elector may see nothing of it: a lease that ran out can be renewed while nobody else has taken it.
                let _ = self.resign.try_send(Duration::ZERO);
                return Err(Over);
            }
            Ok(Err(error)) => self.note(&format!("cannot write the ledger: {error}")),
            Err(_) => self.note("cannot write the ledger: no answer in time"),
        }
        self.check(work).map(|_| ())
    }

    fn now(&self) -> StoreTime {
        let clock = self.council.borrow().clock;
        clock.map(|clock| clock.now()).unwrap_or_default()
    }

    fn show(&self, work: &Work, plan: Option<Plan>) {
        self.desk.send_modify(|desk| {
            desk.leads = work.term.is_some();
            desk.ledger = Some(Arc::new(work.ledger.clone()));
            desk.plan = plan.map(Arc::new).or(desk.plan.take());
            if work.ledger.pending.is_none() {
                desk.foreign = None;
            }
        });
    }

    fn note_target(&self, error: &TargetError) {
        if matches!(error, TargetError::Throttled(_)) {
            self.counters.throttled.add();
        }
        self.note(&error.to_string());
    }

    fn note(&self, error: &str) {
        tracing::debug!(%error, "front door");
        self.desk
            .send_modify(|desk| desk.error = Some((error.to_owned(), Instant::now())));
    }
}

/// The pause after a reading or a poll that failed.
fn look_again(error: &TargetError, failures: u32, timing: &Timing) -> Duration {
    let own = pause(Remedy::Soon(None), failures, timing).min(LONGEST_BLINDNESS);
    match error {
        TargetError::Throttled(Some(asked)) => own.max((*asked).min(timing.retry_most)),
        _ => own,
    }
}

/// Where an origin is as it should be, that is what we have left it as, whoever made it so.
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
