//! The publisher: three tasks around the pure parts. The voter votes and counts, the election keeps the lease, the leader
//! reads, plans and sends. None of them is on the path of a request, and every wait is bounded.

mod counters;
mod election;
mod leader;
mod leader_state;
mod once;
pub mod status;
mod votes;

pub use counters::{Counter, Counters};
pub use leader_state::{LastError, LeaderState};
pub use once::{OnceError, Outcome, apply_once, plan_once};
pub use votes::{StoreClock, Votes};

use crate::arm::Arm;
use crate::health::LocalView;
use crate::identity::Identity;
use crate::net::{Net, TrustError};
use crate::pace::Haste;
use crate::settings::{FrontDoorResource, Mistake, Mode, Settings};
use crate::store::{BlobStore, MemoryStore, Store, StoreError};
use crate::target::{ClassicTarget, StandardTarget, Target};
use election::Election;
use leader::Leader;
use status::Status;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use votes::Voter;

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

/// The store and the Front Door that a publisher works with. Tests bring their own.
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
            FrontDoorResource::Standard {
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
            FrontDoorResource::Classic {
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
    votes: watch::Receiver<Arc<Votes>>,
    leader: watch::Receiver<LeaderState>,
    election_error: watch::Receiver<Option<StoreError>>,
    counters: Arc<Counters>,
    target: Arc<dyn Target>,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    election: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Starts it, on the current runtime: one that carries no requests. `health` is this instance's view, its vote.
    ///
    /// # Errors
    /// When the settings hold mistakes, or the mode is off.
    pub fn start(settings: Settings, parts: Parts, health: watch::Receiver<LocalView>) -> Result<Self, StartError> {
        Self::run(settings, parts, Some(health), Haste::Never)
    }

    fn run(
        settings: Settings,
        parts: Parts,
        health: Option<watch::Receiver<LocalView>>,
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
        let (votes_out, votes) = watch::channel(Arc::new(Voter::none_read(&settings)));
        let (state_out, state) = watch::channel(LeaderState::default());
        let (error_out, election_error) = watch::channel(None);
        let (term_out, term) = watch::channel(None);
        let (resign_out, resign) = mpsc::channel(1);
        let (stop, stopped) = watch::channel(false);
        let Parts { store, target } = parts;
        let voter = Voter {
            settings: settings.clone(),
            store: store.clone(),
            health,
            votes: votes_out,
            counters: counters.clone(),
        };
        let leader = Leader {
            settings: settings.clone(),
            store: store.clone(),
            target: target.clone(),
            haste,
            votes: votes.clone(),
            term,
            resign: resign_out,
            state: state_out,
            counters: counters.clone(),
        };
        let election = Election {
            settings: settings.clone(),
            store,
            term: term_out,
            resign,
            votes: votes.clone(),
            error: error_out,
            stop: stopped,
        };
        // A dry run never leads: it must not keep an instance that publishes from leading.
        let election = (settings.mode == Mode::Apply).then(|| tokio::spawn(election.run()));
        Ok(Self {
            settings,
            votes,
            leader: state,
            election_error,
            counters,
            target,
            stop,
            workers: vec![tokio::spawn(leader.run()), tokio::spawn(voter.run())],
            election,
        })
    }

    /// The status at this moment.
    pub fn status(&self) -> Status {
        Status {
            settings: self.settings.clone(),
            votes: self.votes.borrow().clone(),
            leader: self.leader.borrow().clone(),
            election_error: self.election_error.borrow().clone(),
            counters: self.counters.clone(),
            allowance: self.target.allowance(),
            ended: self.workers.iter().chain(&self.election).any(JoinHandle::is_finished),
            down: None,
        }
    }

    /// The votes, for the answers to probes.
    pub fn votes(&self) -> watch::Receiver<Arc<Votes>> {
        self.votes.clone()
    }

    /// Waits for a status like this.
    pub async fn until(&self, mut like: impl FnMut(&Status) -> bool) -> Status {
        let (mut votes, mut leader) = (self.votes.clone(), self.leader.clone());
        let mut election_error = self.election_error.clone();
        loop {
            let status = self.status();
            if like(&status) {
                return status;
            }
            tokio::select! {
                Ok(()) = votes.changed() => {}
                Ok(()) = leader.changed() => {}
                Ok(()) = election_error.changed() => {}
                // A task has ended that never should: no other status will come.
                else => std::future::pending().await,
            }
        }
    }

    /// Stops: first the work, then releases the lease, so that another leads at once.
    pub async fn stop(mut self) {
        for worker in self.workers.drain(..) {
            worker.abort();
            let _ = worker.await;
        }
        self.stop.send_replace(true);
        if let Some(election) = self.election.take() {
            let _ = election.await;
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        for task in self.workers.iter().chain(&self.election) {
            task.abort();
        }
    }
}
