//! The publisher: three tasks around the pure parts. The council votes and counts, the elector keeps the lease, the leader
//! reads, plans and sends. None of them is on the way of a request, and none waits for anything without an end.

mod council;
mod counters;
mod desk;
mod elector;
mod leader;
mod once;
pub mod status;

pub use council::{Council, StoreClock};
pub use counters::{Counter, Counters};
pub use desk::Desk;
pub use once::{OnceError, apply_once, plan_once};

use crate::arm::Arm;
use crate::health::RegionHealth;
use crate::identity::Identity;
use crate::net::{Net, TrustError};
use crate::pace::Haste;
use crate::settings::{FrontDoor, Mistake, Mode, Settings};
use crate::store::{BlobStore, MemoryStore, Store};
use crate::target::{ClassicTarget, StandardTarget, Target};
use council::Seat;
use elector::Elector;
use leader::Leader;
use status::Status;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Why a publisher does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Mistakes in the settings.
    #[error("mistakes in the settings: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Settings(Vec<Mistake>),
    /// The mode is off.
    #[error("front_door.mode is off")]
    Off,
    /// The file of further certificates cannot be read.
    #[error("cannot read {0}: {1}")]
    CaFile(PathBuf, std::io::Error),
    /// There is nothing to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// What the publisher works with. Tests bring their own.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Where instances meet.
    pub store: Arc<dyn Store>,
    /// The Front Door.
    pub target: Arc<dyn Target>,
}

impl Parts {
    /// The real ones, as the settings name them. Nothing is called yet.
    ///
    /// # Errors
    /// When there are no certificates to trust.
    pub fn connect(settings: &Settings) -> Result<Self, StartError> {
        let cloud = &settings.cloud;
        let more = match &cloud.ca_file {
            Some(path) => Some(std::fs::read(path).map_err(|error| StartError::CaFile(path.clone(), error))?),
            None => None,
        };
        let timing = settings.timing;
        let net = Net::new(more.as_deref(), timing.request_timeout)?;
        let identity = Arc::new(Identity::new(settings.credential.clone(), cloud, net.clone()));
        let arm = Arm::new(net.clone(), identity.clone(), cloud.arm.clone(), cloud.scope.clone());
        let target: Arc<dyn Target> = match &settings.front_door {
            FrontDoor::Standard {
                subscription,
                resource_group,
                profile,
                origin_group,
            } => Arc::new(StandardTarget::new(
                arm,
                subscription,
                resource_group,
                profile,
                origin_group,
                timing,
            )),
            FrontDoor::Classic {
                subscription,
                resource_group,
                front_door,
                backend_pool,
            } => Arc::new(ClassicTarget::new(
                arm,
                subscription,
                resource_group,
                front_door,
                backend_pool,
                timing,
            )),
        };
        let store: Arc<dyn Store> = match &settings.store {
            Some(store) => Arc::new(BlobStore::new(store.clone(), identity, net)),
            None => Arc::new(MemoryStore::default()),
        };
        Ok(Self { store, target })
    }
}

/// A running publisher. Dropped, it ends as if the process had died: its lease runs out by itself.
#[derive(Debug)]
pub struct Publisher {
    settings: Arc<Settings>,
    council: watch::Receiver<Arc<Council>>,
    desk: watch::Receiver<Desk>,
    counters: Arc<Counters>,
    target: Arc<dyn Target>,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    elector: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Starts it, on the current runtime: one that carries no requests. `health` is this instance's view, its vote.
    ///
    /// # Errors
    /// When the settings hold mistakes, or the mode is off.
    pub fn start(
        settings: Settings,
        parts: Parts,
        health: watch::Receiver<Vec<RegionHealth>>,
    ) -> Result<Self, StartError> {
        Self::run(settings, parts, Some(health), Haste::Never)
    }

    fn run(
        settings: Settings,
        parts: Parts,
        health: Option<watch::Receiver<Vec<RegionHealth>>>,
        haste: Haste,
    ) -> Result<Self, StartError> {
        let mistakes = settings.check();
        if !mistakes.is_empty() {
            return Err(StartError::Settings(mistakes));
        }
        if settings.mode == Mode::Off {
            return Err(StartError::Off);
        }
        let settings = Arc::new(settings);
        let counters = Arc::new(Counters::default());
        let (council_out, council) = watch::channel(Arc::new(Seat::empty(&settings)));
        let (desk_out, desk) = watch::channel(Desk::default());
        let (term_out, term) = watch::channel(None);
        let (resign_out, resign) = mpsc::channel(1);
        let (stop, stopped) = watch::channel(false);
        let Parts { store, target } = parts;
        let seat = Seat {
            settings: settings.clone(),
            store: store.clone(),
            health,
            council: council_out,
            counters: counters.clone(),
        };
        let leader = Leader {
            settings: settings.clone(),
            store: store.clone(),
            target: target.clone(),
            haste,
            council: council.clone(),
            term,
            resign: resign_out,
            desk: desk_out,
            counters: counters.clone(),
        };
        let elector = Elector {
            settings: settings.clone(),
            store,
            term: term_out,
            resign,
            stop: stopped,
        };
        // A dry run never leads: it must not keep an instance that publishes from leading.
        let elector = (settings.mode == Mode::Apply).then(|| tokio::spawn(elector.run()));
        Ok(Self {
            settings,
            council,
            desk,
            counters,
            target,
            stop,
            workers: vec![tokio::spawn(leader.run()), tokio::spawn(seat.sit())],
            elector,
        })
    }

    /// What is known and done now.
    pub fn status(&self) -> Status {
        Status {
            settings: self.settings.clone(),
            council: self.council.borrow().clone(),
            desk: self.desk.borrow().clone(),
            counters: self.counters.clone(),
            allowance: self.target.allowance(),
            ended: self.workers.iter().chain(&self.elector).any(JoinHandle::is_finished),
            down: None,
        }
    }

    /// What is known of the votes: for the fast path.
    pub fn council(&self) -> watch::Receiver<Arc<Council>> {
        self.council.clone()
    }

    /// Waits for a status like this.
    pub async fn until(&self, mut like: impl FnMut(&Status) -> bool) -> Status {
        let (mut council, mut desk) = (self.council.clone(), self.desk.clone());
        loop {
            let status = self.status();
            if like(&status) {
                return status;
            }
            tokio::select! {
                Ok(()) = council.changed() => {}
                Ok(()) = desk.changed() => {}
                // A task has ended that never should: no other status will come.
                else => std::future::pending().await,
            }
        }
    }

    /// Stops: first the work, then gives the lease back, so that another leads at once.
    pub async fn stop(mut self) {
        for worker in self.workers.drain(..) {
            worker.abort();
            let _ = worker.await;
        }
        self.stop.send_replace(true);
        if let Some(elector) = self.elector.take() {
            let _ = elector.await;
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        for task in self.workers.iter().chain(&self.elector) {
            task.abort();
        }
    }
}
