//! What is shown to Azure Front Door, and to people of it: the control task posts it on a board, workers and
//! administration read it there.
//!
//! `probes` answers Front Door's own probes, [`view`] is the administration's JSON, `metrics` its numbers.

mod metrics;
mod probes;
pub mod view;

use crate::config::FrontDoor;
use arc_swap::ArcSwapOption;
use portolan_azure::probe::ProbeAnswers;
use portolan_azure::publisher::status::Status;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Where the notice of the moment is posted. One writer, many readers that never wait.
#[derive(Debug, Default)]
pub struct Board {
    posted: ArcSwapOption<Notice>,
    leaving: AtomicBool,
}

/// What is shown at one moment.
#[derive(Clone, Debug)]
pub struct Notice {
    /// What the configuration says.
    pub settings: Arc<FrontDoor>,
    /// The answers to probes.
    pub answers: Arc<ProbeAnswers>,
    /// What the publisher knows and does. `None` when no Front Door is described.
    pub status: Option<Status>,
}

impl Board {
    /// Replaces the notice. Only the control task calls this.
    pub fn post(&self, notice: Option<Notice>) {
        self.posted.store(notice.map(Arc::new));
    }

    /// From now on every probe of a listener is answered with 503: the program is about to stop.
    pub fn leave(&self) {
        self.leaving.store(true, Relaxed);
    }

    /// Whether the program is about to stop.
    fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }

    /// The notice of the moment. `None` when the configuration says nothing of Front Door.
    pub fn posted(&self) -> Option<Arc<Notice>> {
        self.posted.load_full()
    }
}

impl Notice {
    /// Why the publisher does not run, though it should.
    pub fn trouble(&self) -> Option<&str> {
        self.status.as_ref()?.down.as_deref()
    }
}
