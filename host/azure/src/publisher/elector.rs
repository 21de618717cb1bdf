//! The election: gets the lease, keeps it, gives it back.

use crate::lease::Term;
use crate::settings::Settings;
use crate::store::{LeaseId, Store, StoreError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Runs for leader until told to stop.
pub(super) struct Elector {
    pub(super) settings: Arc<Settings>,
    pub(super) store: Arc<dyn Store>,
    pub(super) term: watch::Sender<Option<Term>>,
    /// The leader steps down, and does not run again for so long.
    pub(super) resign: mpsc::Receiver<Duration>,
    pub(super) stop: watch::Receiver<bool>,
}

/// How a term ended.
enum End {
    Lost,
    Resigned(Duration),
    Stopped,
}

impl Elector {
    /// Runs for leader, leads, runs again.
    pub(super) async fn run(mut self) {
        let lease = LeaseId::random();
        let mut terms = 0;
        loop {
            let asked = Instant::now();
            let timing = self.settings.lease;
            let acquired = timeout(timing.renew, self.store.acquire(&lease, timing.duration)).await;
            let pause = match acquired {
                Ok(Ok(())) => {
                    terms += 1;
                    let term = Term::begun(terms, lease.clone(), asked, &timing);
                    match self.keep(term, asked).await {
                        End::Stopped => return self.release(&lease).await,
                        End::Lost => timing.renew,
                        End::Resigned(rest) => {
                            self.release(&lease).await;
                            rest
                        }
                    }
                }
                Ok(Err(StoreError::Held)) | Err(_) => timing.renew,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "cannot run for leader");
                    timing.renew
                }
            };
            // Several instances see the same lease end; the jitter spreads them.
            tokio::select! {
                () = sleep(jittered(pause)) => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Keeps the lease for as long as it can.
    async fn keep(&mut self, mut term: Term, acquired: Instant) -> End {
        let timing = self.settings.lease;
        // What was said of an earlier term.
        while self.resign.try_recv().is_ok() {}
        let mut renew_at = acquired + timing.renew;
        self.term.send_replace(Some(term.clone()));
        let end = loop {
            tokio::select! {
                () = tokio::time::sleep_until(renew_at.min(term.ends)) => {}
                Some(rest) = self.resign.recv() => break End::Resigned(rest),
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
        // If it cannot be given back it ends by itself.
        let _ = timeout(self.settings.lease.margin, self.store.release(lease)).await;
    }
}

/// 90 to 110 per cent of a time.
pub(super) fn jittered(time: Duration) -> Duration {
    let chance = RandomState::new().build_hasher().finish() % 2001;
    time.mul_f64(0.9 + chance as f64 / 10_000.0)
}
