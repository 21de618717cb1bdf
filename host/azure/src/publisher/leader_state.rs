//! What the leader has read and plans, and the change set in progress, for status and metrics.

use crate::ledger::{Failure, Ledger};
use crate::origin::Observed;
use crate::plan::Plan;
use crate::target::About;
use std::sync::Arc;
use tokio::time::Instant;

/// How many changes by other clients are kept.
const MOST_REMEMBERED: usize = 20;

/// The state of the leader. Empty on an instance that neither leads nor makes a dry run.
#[derive(Clone, Debug, Default)]
pub struct LeaderState {
    /// Whether this instance leads.
    pub leads: bool,
    /// The ledger; the leader's own copy is newer than the one that was last read.
    pub ledger: Option<Arc<Ledger>>,
    /// The origins as last read, and when.
    pub observed: Option<(Arc<Observed>, Instant)>,
    /// What is to be done.
    pub plan: Option<Arc<Plan>>,
    /// Recent changes by other clients: of members that are not managed here, and of managed ones, which were reverted.
    pub others: Vec<String>,
    /// Facts about the Front Door, once read.
    pub about: Option<About>,
    /// What went wrong last.
    pub error: Option<LastError>,
    /// How the last change set failed. `None` when it did not, or there was none.
    pub failure: Option<Failure>,
    /// Whether the last reading of the origins failed.
    pub unreadable: bool,
    /// The operation URL on another host.
    pub foreign: Option<String>,
}

/// What went wrong last.
#[derive(Clone, Debug)]
pub struct LastError {
    /// The error.
    pub text: String,
    /// When.
    pub at: Instant,
    /// Whether the same call would fail the same way again.
    pub is_definite: bool,
}

impl LeaderState {
    /// Remembers changes by others.
    pub(super) fn remember_others(&mut self, changes: impl IntoIterator<Item = String>) {
        self.others.extend(changes);
        let old = self.others.len().saturating_sub(MOST_REMEMBERED);
        self.others.drain(..old);
    }
}
