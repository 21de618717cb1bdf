//! The worker threads: starting them, and restarting one that panics.

use super::supervisor::Supervisor;
use super::{AppError, system};
use crate::chance::Chance;
use crate::front_door::SnapshotCell;
use crate::plugin::{PluginEngine, PluginWorker};
use crate::record::{DecisionRecord, DecisionSink, Recorder};
use crate::server::{self, Assignments, Drain, ListenerSet};
use crate::table::{Pins, Tables};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::ServiceVitals;
use crate::telemetry::spans::Spans;
use crate::upstream::{Connections, Dialer};
use crate::vitals::{Rejections, TrafficSamples};
use crate::worker::Worker;
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tokio::runtime::{self, LocalOptions};
use tokio::sync::mpsc;

/// The worker threads, with everything a worker is started with.
#[derive(Clone)]
pub(super) struct WorkerThreads {
    pub(super) workers: usize,
    pub(super) tables: Arc<Tables>,
    pub(super) engine: PluginEngine,
    pub(super) listeners: Arc<ListenerSet>,
    pub(super) unrouted: Arc<ServiceVitals>,
    pub(super) rejections: Arc<Rejections>,
    pub(super) samples: Arc<TrafficSamples>,
    pub(super) decisions: SyncSender<DecisionRecord>,
    pub(super) access_log: Option<Arc<AccessLog>>,
    pub(super) spans: Arc<Spans>,
    pub(super) front_door: Arc<SnapshotCell>,
    pub(super) drain: Drain,
    pub(super) supervisor: Supervisor,
    /// Held by every worker for as long as it lives.
    pub(super) alive: mpsc::Sender<Infallible>,
}

/// Withdraws a worker's sockets when it is dropped: nobody accepts what would come to them.
struct Withdrawal<'a>(&'a ListenerSet, usize);

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        let Self(listeners, worker) = self;
        listeners.withdraw(*worker);
    }
}

/// Releases what a new table no longer has, also without requests: the previous table, and plugin instances.
async fn retire(worker: Rc<Worker>, tables: Arc<Tables>) {
    let mut generations = tables.subscribe();
    while generations.changed().await.is_ok() {
        let table = worker.pins.pin();
        let mut plugins = worker.plugins.borrow_mut();
        plugins.retire(&|version| table.services.iter().any(|service| service.has_plugin(version)));
    }
}

impl WorkerThreads {
    /// One thread for each worker, each with its socket of every listener.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(&self) -> Result<Vec<JoinHandle<()>>, AppError> {
        let threads = (0..self.workers).map(|index| {
            let sockets = self.listeners.assignments(index)?;
            let threads = self.clone();
            let thread = thread::Builder::new().name(format!("worker-{index}"));
            thread
                .spawn(move || threads.keep_working(index, sockets))
                .map_err(system("a worker thread"))
        });
        threads.collect()
    }

    /// The life of a worker's thread. A restarted worker binds its sockets again.
    fn keep_working(self, index: usize, sockets: Assignments) {
        let task = self.supervisor.task(format!("worker-{index}"));
        let mut first = Some(sockets);
        task.keep_blocking(|| {
            let sockets = match first.take() {
                Some(sockets) => sockets,
                None => self.listeners.assignments(index).map_err(io::Error::other)?,
            };
            // However it ends.
            let _withdrawn = Withdrawal(&self.listeners, index);
            // Of one thread, whose tasks run without a `LocalSet` between them and it (decision 183).
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default())?;
            let work = runtime.spawn_local(self.clone().work(index, sockets));
            match runtime.block_on(work) {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // It is never aborted.
                _ => Ok::<_, io::Error>(()),
            }
        });
        // The app waits until the last of these is dropped.
        drop(self.alive);
    }

    /// Serves every listener until the drain is over.
    async fn work(self, index: usize, sockets: Assignments) {
        let chance = Chance::new();
        let sink = self.access_log.as_ref().and_then(|log| log.sink(index));
        let spans = self.spans.sink(index);
        let tables = Arc::clone(&self.tables);
        let now = Instant::now();
        let sampler = self.samples.sampler(index, now);
        let decisions = DecisionSink::new(self.decisions, self.workers, now);
        let worker = Rc::new(Worker {
            pins: Pins::new(self.tables),
            connections: Connections::new(index, Dialer::tcp()),
            plugins: RefCell::new(PluginWorker::new(self.engine, index, chance.roll())),
            chance,
            recorder: Rc::new(Recorder::new(
                index,
                self.unrouted,
                self.rejections,
                (sampler, decisions),
                sink,
                spans,
            )),
            front_door: self.front_door,
        });
        tokio::task::spawn_local(retire(Rc::clone(&worker), tables));
        server::run(sockets, self.drain, worker).await;
    }
}
