//! The leader's desk: what it has read, what it plans, what is under way. Watched by whoever wants to know.

use crate::ledger::Ledger;
use crate::origin::Observed;
use crate::plan::Plan;
use crate::target::About;
use std::sync::Arc;
use tokio::time::Instant;

/// So much of what others did is remembered.
const MOST_TOLD: usize = 20;

/// What lies on the desk. Empty on an instance that neither leads nor rehearses.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    /// Whether this instance leads.
    pub leads: bool,
    /// What leaders hand on; the leader's own copy is newer than the one in the council.
    pub ledger: Option<Arc<Ledger>>,
    /// The origins as last read, and when.
    pub observed: Option<(Arc<Observed>, Instant)>,
    /// What is to be done.
    pub plan: Option<Arc<Plan>>,
    /// What others changed of late: beside our members, and of our members what was put back.
    pub others: Vec<String>,
    /// Facts about the Front Door, once read.
    pub about: Option<About>,
    /// What went wrong last, and when.
    pub error: Option<(String, Instant)>,
    /// Whether the origins cannot be read at present.
    pub blind: bool,
    /// The service pointed its report of an operation at another host.
    pub foreign: Option<String>,
}

impl Desk {
    /// Remembers what others did.
    pub(super) fn others_did(&mut self, told: impl IntoIterator<Item = String>) {
        self.others.extend(told);
        let old = self.others.len().saturating_sub(MOST_TOLD);
        self.others.drain(..old);
    }
}
