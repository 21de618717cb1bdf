//! The snapshot of Front Door: the control task stores it, workers and administration load it.
//!
//! `probes` answers Front Door's own probes, [`view`] is the administration's JSON, `metrics` its numbers.

mod metrics;
mod probes;
pub mod view;

use crate::config::FrontDoorSettings;
use arc_swap::ArcSwapOption;
use portolan_azure::probe::ProbeAnswers;
use portolan_azure::publisher::status::Status;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Holds the latest snapshot. One writer, many readers that never wait.
#[derive(Debug, Default)]
pub struct SnapshotCell {
    latest: ArcSwapOption<Snapshot>,
    leaving: AtomicBool,
}

/// The answers to probes and the publisher's status at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The configuration.
    pub settings: Arc<FrontDoorSettings>,
    /// The answers to probes.
    pub answers: Arc<ProbeAnswers>,
    /// The publisher's status. `None` when no Front Door is configured.
    pub status: Option<Status>,
}

impl SnapshotCell {
    /// Replaces the snapshot. Only the control task calls this.
    pub fn store(&self, snapshot: Option<Snapshot>) {
        self.latest.store(snapshot.map(Arc::new));
    }

    /// From now on every probe of a listener is answered with 503: the program is about to stop.
    pub fn leave(&self) {
        self.leaving.store(true, Relaxed);
    }

    /// Whether the program is about to stop.
    fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }

    /// The latest snapshot. `None` when Front Door is not configured.
    pub fn load(&self) -> Option<Arc<Snapshot>> {
        self.latest.load_full()
    }
}

impl Snapshot {
    /// Why the publisher does not run, if it should and does not.
    pub fn trouble(&self) -> Option<&str> {
        self.status.as_ref()?.down.as_deref()
    }
}
