//! The election: acquires the lease, renews it, releases it.

use super::votes::Votes;
use crate::lease::Term;
use crate::settings::Settings;
use crate::store::{LeaseId, Store, StoreError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// When no instance has held the lease for this many times [`LeaseTiming::renew`](crate::settings::LeaseTiming::renew), no other
/// instance wants it: each tries once per `renew`.
const TRIES_OF_OTHERS: u32 = 3;

/// Runs for leader until stopped.
pub(super) struct Election {
    pub(super) settings: Arc<Settings>,
    pub(super) store: Arc<dyn Store>,
    pub(super) term: watch::Sender<Option<Term>>,
    /// The leader steps down, and leaves the lease to others for so long.
    pub(super) resign: mpsc::Receiver<Duration>,
    pub(super) votes: watch::Receiver<Arc<Votes>>,
    /// Why the lease could not be acquired, unless another instance holds it.
    pub(super) error: watch::Sender<Option<StoreError>>,
    pub(super) stop: watch::Receiver<bool>,
}

/// How a term ended.
enum End {
    Lost,
    Resigned(Duration),
    Stopped,
}

impl Election {
    /// Runs for leader, leads, runs again.
    pub(super) async fn run(mut self) {
        let lease = LeaseId::random();
        let mut terms = 0;
        loop {
            let asked = Instant::now();
            let timing = self.settings.lease;
            let acquired = timeout(timing.renew, self.store.acquire(&lease, timing.duration)).await;
            let failed = match &acquired {
                Ok(Err(error)) if *error != StoreError::Held => Some(error.clone()),
                _ => None,
            };
            if let Some(error) = &failed {
                tracing::debug!(%error, "failed to acquire the lease");
            }
            self.error.send_if_modified(|known| {
                let is_new = *known != failed;
                *known = failed;
                is_new
            });
            if let Ok(Ok(())) = acquired {
                terms += 1;
                let term = Term::begun(terms, lease.clone(), asked, &timing);
                match self.keep(term, asked).await {
                    End::Stopped => return self.release(&lease).await,
                    End::Lost => {}
                    End::Resigned(pause) => {
                        self.release(&lease).await;
                        if self.leave_to_others(pause).await.is_break() {
                            return;
                        }
                    }
                }
            }
            // Several instances see the same lease end; the jitter spreads them.
            tokio::select! {
                () = sleep(jittered(timing.renew)) => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Leaves the lease to others: for `pause` while one of them has it, and not much longer than they need to acquire it
    /// when none does. Breaks when stopped.
    async fn leave_to_others(&mut self, pause: Duration) -> ControlFlow<()> {
        let began = Instant::now();
        let tries = self.settings.lease.renew * TRIES_OF_OTHERS;
        loop {
            let unled_since = self.votes.borrow_and_update().unled_since;
            let unled = unled_since.map(|since| since.max(began) + tries);
            let until = unled.map_or(began + pause, |unled| unled.min(began + pause));
            tokio::select! {
                () = sleep_until(until) => return ControlFlow::Continue(()),
                changed = self.votes.changed() => if changed.is_err() { return ControlFlow::Break(()) },
                _ = self.stop.wait_for(|stop| *stop) => return ControlFlow::Break(()),
            }
        }
    }

    /// Renews the lease for as long as it can.
    async fn keep(&mut self, mut term: Term, acquired: Instant) -> End {
        let timing = self.settings.lease;
        // Of an earlier term.
        while self.resign.try_recv().is_ok() {}
        let mut renew_at = acquired + timing.renew;
        self.term.send_replace(Some(term.clone()));
        let end = loop {
            tokio::select! {
                () = sleep_until(renew_at.min(term.ends)) => {}
                Some(pause) = self.resign.recv() => break End::Resigned(pause),
                _ = self.stop.wait_for(|stop| *stop) => break End::Stopped,
            }
            let asked = Instant::now();
            if term.left(asked).is_none() {
                break End::Lost;
            }
            let patience = term.ends.min(asked + timing.renew);
            match timeout_at(patience, self.store.renew(&term.lease)).await {
                Ok(Ok(())) => {
                    term = term.renewed(asked, &timing);
                    self.term.send_replace(Some(term.clone()));
                    renew_at = asked + timing.renew;
                }
                Ok(Err(StoreError::Lost | StoreError::Held)) => break End::Lost,
                // It may still work before the lease ends.
                Ok(Err(_)) | Err(_) => renew_at = Instant::now() + timing.renew / 5,
            }
        };
        self.term.send_replace(None);
        end
    }

    async fn release(&self, lease: &LeaseId) {
        // If it cannot be released it ends by itself.
        let _ = timeout(self.settings.lease.margin, self.store.release(lease)).await;
    }
}

/// 90 to 110 per cent of a time.
pub(super) fn jittered(time: Duration) -> Duration {
    let chance = RandomState::new().build_hasher().finish() % 2001;
    time.mul_f64(0.9 + chance as f64 / 10_000.0)
}
