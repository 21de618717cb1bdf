//! The worker threads: what they are made from, and keeping them at work.

use super::supervisor::Supervisor;
use super::{AppError, system};
use crate::chance::Chance;
use crate::front_door::Board;
use crate::pipeline;
use crate::plugin::{PluginEngine, PluginWorker};
use crate::record::Recorder;
use crate::server::{self, Drain, Limits};
use crate::table::{Pins, Tables};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::ServiceVitals;
use crate::upstream::Connections;
use crate::worker::Worker;
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

/// What all workers are made from.
#[derive(Clone)]
pub(super) struct Crew {
    pub(super) workers: usize,
    pub(super) tables: Arc<Tables>,
    pub(super) engine: PluginEngine,
    pub(super) unrouted: Arc<ServiceVitals>,
    pub(super) access_log: Option<Arc<AccessLog>>,
    pub(super) front_door: Arc<Board>,
    pub(super) drain: Drain,
    pub(super) supervisor: Supervisor,
    /// Held by every worker for as long as it lives.
    pub(super) alive: mpsc::Sender<Infallible>,
}

/// A listener's socket of one worker: the one that was bound at the start, and bound again when it is needed again.
struct Socket {
    address: SocketAddr,
    bound: RefCell<Option<TcpListener>>,
}

/// Binds a socket of an address for every worker: the system shares connections out among them.
///
/// # Errors
/// When the address cannot be listened on.
pub(super) fn bind(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, AppError> {
    let listen = |address| server::bind(address).map_err(|error| AppError::Listen { address, error });
    let first = listen(address)?;
    // With port 0 the system has chosen one by now.
    let address = first
        .local_addr()
        .map_err(|error| AppError::Listen { address, error })?;
    let others = (1..workers).map(|_| listen(address));
    std::iter::once(Ok(first)).chain(others).collect()
}

impl Crew {
    /// One thread for each worker, each with its socket of every listener.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(&self, sockets: Vec<Vec<TcpListener>>) -> Result<Vec<JoinHandle<()>>, AppError> {
        let mut sockets: Vec<_> = sockets.into_iter().map(Vec::into_iter).collect();
        let threads = (0..self.workers).map(|index| {
            let own = sockets.iter_mut().filter_map(Iterator::next).map(Socket::new);
            let own = own.collect::<io::Result<Vec<_>>>().map_err(system("a listener"))?;
            let crew = self.clone();
            let thread = thread::Builder::new().name(format!("worker-{index}"));
            thread
                .spawn(move || crew.keep_working(index, own))
                .map_err(system("a worker thread"))
        });
        threads.collect()
    }

    /// The life of a worker's thread.
    fn keep_working(self, index: usize, sockets: Vec<Socket>) {
        let sockets = Rc::new(sockets);
        let task = self.supervisor.task(format!("worker-{index}"));
        task.keep_blocking(|| {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, self.clone().work(index, Rc::clone(&sockets)));
            Ok::<_, io::Error>(())
        });
        // Whoever waits for the workers sees the last of these go.
        drop(self.alive);
    }

    /// Serves every listener until the drain is over.
    async fn work(self, index: usize, sockets: Rc<Vec<Socket>>) {
        let chance = Chance::new();
        let sink = self.access_log.as_ref().and_then(|log| log.sink(index));
        let worker = Rc::new(Worker {
            pins: Pins::new(self.tables),
            connections: Connections::new(index),
            plugins: RefCell::new(PluginWorker::new(self.engine, index, chance.roll())),
            chance,
            recorder: Rc::new(Recorder::new(index, self.unrouted, sink)),
            front_door: self.front_door,
        });
        let mut serving = JoinSet::new();
        for listener in 0..sockets.len() {
            let (worker, sockets, drain) = (Rc::clone(&worker), Rc::clone(&sockets), self.drain.clone());
            let task = &sockets[listener].address;
            let task = self.supervisor.task(format!("listener {task} of worker-{index}"));
            serving.spawn_local(async move {
                task.keep(async || {
                    let worker = Rc::clone(&worker);
                    let handler =
                        move |downstream, request| pipeline::handle(Rc::clone(&worker), listener, downstream, request);
                    let socket = sockets[listener].take()?;
                    server::serve(socket, Limits::default(), drain.clone(), handler).await
                })
                .await;
            });
        }
        while serving.join_next().await.is_some() {}
    }
}

impl Socket {
    fn new(bound: TcpListener) -> io::Result<Self> {
        Ok(Self {
            address: bound.local_addr()?,
            bound: RefCell::new(Some(bound)),
        })
    }

    /// The socket, or one that is bound anew where it was taken before.
    fn take(&self) -> io::Result<TcpListener> {
        let bound = self.bound.take();
        bound.map_or_else(|| server::bind(self.address), Ok)
    }
}
