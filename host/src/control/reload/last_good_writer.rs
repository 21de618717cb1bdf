//! Keeps what is active for the next start, where there is a state directory.

use super::off_thread;
use crate::control::last_good::{Content, LastGood, StateError};
use crate::control::overrides::Overrides;
use crate::control::status::Status;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pause before a failed write is retried.
const RETRY: Duration = Duration::from_secs(1);

/// Writes to the state directory. Failed writes are retried: the disk may be full for a while, and after a takeover the
/// other instance may still own the directory.
#[derive(Debug)]
pub(super) struct LastGoodWriter {
    last_good: Option<LastGood>,
    overrides: Arc<Overrides>,
    status: Arc<Status>,
    /// The contents to write, and whether other stored contents are kept.
    due: Option<(Vec<Content>, bool)>,
    overrides_due: bool,
    /// When the last attempt failed.
    failed: Option<Instant>,
}

impl LastGoodWriter {
    pub(super) fn new(last_good: Option<LastGood>, overrides: Arc<Overrides>, status: Arc<Status>) -> Self {
        Self {
            last_good,
            overrides,
            status,
            due: None,
            overrides_due: false,
            failed: None,
        }
    }

    /// These contents are active now, and no others.
    pub(super) fn keep_only(&mut self, contents: Vec<Content>) {
        self.due = self.last_good.is_some().then_some((contents, false));
    }

    /// These contents are active now, besides the others.
    pub(super) fn keep(&mut self, contents: Vec<Content>) {
        if self.last_good.is_some() {
            let (due, _) = self.due.get_or_insert((Vec::new(), true));
            due.retain(|old| contents.iter().all(|new| new.path != old.path));
            due.extend(contents);
        }
    }

    /// The overrides have changed.
    pub(super) fn keep_overrides(&mut self) {
        self.overrides_due = self.last_good.is_some();
    }

    /// Writes what is due.
    pub(super) async fn write(&mut self) {
        let Some(last_good) = self.last_good.clone() else {
            return;
        };
        if self.failed.is_some_and(|failed| failed.elapsed() < RETRY) {
            return;
        }
        if self.overrides_due {
            let overrides = Arc::clone(&self.overrides);
            let saved = off_thread(move || overrides.save()).await;
            self.overrides_due = saved.is_err();
            self.note(saved);
        }
        let Some((contents, others_stay)) = self.due.take() else {
            return;
        };
        let (contents, kept) = off_thread(move || {
            let kept = if others_stay {
                last_good.keep(&contents)
            } else {
                last_good.keep_only(&contents)
            };
            (contents, kept)
        })
        .await;
        if kept.is_err() {
            self.due = Some((contents, others_stay));
        }
        self.note(kept);
    }

    fn note(&mut self, written: Result<(), StateError>) {
        match written {
            Ok(()) => {
                // What was ordered meanwhile could not be written either.
                self.overrides_due |= self.failed.take().is_some();
                self.status.kept(true);
            }
            Err(error) => {
                if self.failed.replace(Instant::now()).is_none() {
                    match error {
                        StateError::InUse { process, .. } => {
                            tracing::info!("the last good state is kept when {process} has ended");
                        }
                        StateError::Io { .. } => {
                            tracing::error!(
                                "failed to keep the last good state for the next start, trying again: {error}"
                            );
                        }
                    }
                    self.status.kept(false);
                }
            }
        }
    }
}
