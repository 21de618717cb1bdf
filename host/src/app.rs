//! Startup and shutdown: binds, loads, spawns; and stops everything in order.

pub mod activation;
mod administration;
mod control;
mod exporter;
mod instance;
pub mod notify;
mod observer;
pub mod open_files;
mod signals;
pub mod successor;
mod supervisor;
mod upgrade;
mod workers;

use crate::admin::{AdminTls, SocketFile, TokenError};
use crate::config::{AccessLog as AccessLogSettings, AdminAddress, Configuration, Fixed, LogDestination};
use crate::control::drills::Drills;
use crate::control::events::Events;
use crate::control::front_door;
use crate::control::health;
use crate::control::history::History;
use crate::control::learned::LearnedTask;
use crate::control::load::LoadError;
use crate::control::publisher::Publisher;
use crate::control::reload::{self, Reloader};
use crate::control::start::Start;
use crate::control::status::Status;
use crate::control::waits::Waits;
use crate::dns::Resolver;
use crate::front_door::SnapshotCell;
use crate::learned::Learned;
use crate::plugin::PluginEngine;
use crate::record;
use crate::server::{self, DrainSwitch, ListenError, ListenerSet};
use crate::table::Tables;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::log_writer::Destination;
use crate::telemetry::metrics::ServiceVitals;
use crate::telemetry::spans::Spans;
use crate::vitals::{Rejections, TrafficSamples};
use administration::{Administration, administration};
use control::{Control, Handover, Health};
use exporter::Exporter;
use instance::RunningInstance;
use observer::Observer;
use signals::Signal;
pub use signals::Signals;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};
use successor::Upgrade;
use supervisor::Supervisor;
use thiserror::Error;
use tokio::runtime;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout_at;
use upgrade::{Inherited, Predecessor};
use workers::WorkerThreads;

/// How long closing connections may take when the program ends at once.
const CUT_OFF: Duration = Duration::from_secs(1);

/// What stopping may take besides its phases: the last good state is kept, the lease is released.
const STOPPING_MARGIN: Duration = Duration::from_secs(15);

/// Capacity of the health task's queue of orders: one for every region that can be configured.
const ORDERS: usize = 1024;

/// How long listeners stay closed while gateways' names are resolved for the first time.
const NAMES_PATIENCE: Duration = Duration::from_secs(5);

/// Why the program cannot start.
#[derive(Debug, Error)]
pub enum AppError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The administration cannot listen.
    #[error("failed to listen on {address}: {error}")]
    Admin {
        /// Where.
        address: AdminAddress,
        /// Why not.
        error: io::Error,
    },
    /// A database or a plugin cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A token of the administration cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The access log cannot be opened.
    #[error("failed to open the access log {destination}: {error}")]
    AccessLog {
        /// Its file, or standard output.
        destination: String,
        /// Why not.
        error: io::Error,
    },
    /// A thread, socket or runtime cannot be created.
    #[error("failed to start {what}: {error}")]
    System {
        /// What it was for.
        what: &'static str,
        /// Why not.
        error: io::Error,
    },
}

/// An error of the system while something was started.
fn system(what: &'static str) -> impl Fn(io::Error) -> AppError {
    move |error| AppError::System { what, error }
}

/// The running program.
pub struct App {
    listeners: Arc<ListenerSet>,
    admin: AdminAddress,
    probes: Option<SocketAddr>,
    tables: Arc<Tables>,
    resolver: Arc<Resolver>,
    status: Arc<Status>,
    front_door: Arc<SnapshotCell>,
    orders: mpsc::Sender<reload::Order>,
    access_log: Option<Arc<AccessLog>>,
    drain: DrainSwitch,
    workers: Vec<JoinHandle<()>>,
    /// Ends when the last worker does.
    workers_alive: mpsc::Receiver<Infallible>,
    control: Option<(Arc<Notify>, JoinHandle<()>)>,
    /// Whether another process has taken over.
    replaced: watch::Receiver<bool>,
    /// The one that this process has taken over from.
    predecessor: Option<Predecessor>,
    upgrade: Upgrade,
    /// Removed when the threads have ended, and their sockets with them.
    _admin_file: Option<SocketFile>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("listeners", &self.listeners)
            .field("admin", &self.admin)
            .field("probes", &self.probes)
            .finish_non_exhaustive()
    }
}

impl App {
    /// Starts everything: when this returns, every listener accepts.
    ///
    /// # Errors
    /// When an address is in use, or a file that the configuration names cannot be loaded.
    pub fn begin(mut start: Start) -> Result<Self, AppError> {
        let status = Arc::new(Status::default());
        let (path, last_good, takeover) = (start.path.clone(), start.last_good.clone(), start.takeover);
        let (upgradable, passed) = (start.upgradable, std::mem::take(&mut start.passed));
        let overrides = Arc::clone(&start.overrides);
        let waits = Arc::new(Waits::open(last_good.as_ref()));
        let compiled = last_good.as_ref().map(|it| it.compiled());
        let engine = |configuration: &Configuration| {
            PluginEngine::with_cache(workers(&configuration.fixed), compiled.as_deref())
        };
        let (mut load, engine) = start.load(&status, engine)?;
        load.loaded.settings.sources.locate(&mut load.warnings);
        for warning in &load.warnings {
            tracing::warn!("{warning}");
        }
        let admin_tls = load.loaded.tls.admin().cloned();
        let (loaded, fixed) = (load.loaded.clone(), load.fixed.clone());
        let settings = Arc::clone(&loaded.settings);
        let workers = workers(&fixed);

        let mut inherited = Inherited::of_other(takeover, &settings.listeners);
        inherited.add_passed(passed, &settings.listeners, &fixed.admin);
        let sockets = std::mem::take(&mut inherited.sockets);
        let listeners = Arc::new(ListenerSet::new(workers, takeover, sockets));
        let alarm = Arc::new(Notify::new());
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(system("the control runtime"))?;
        let resolver = Arc::new(Resolver::system(runtime.handle().clone()));
        let (publisher, tables) = Publisher::new(
            loaded,
            Arc::clone(&overrides),
            &waits,
            workers,
            Arc::clone(&alarm),
            Arc::clone(&resolver),
            listeners.open().clone(),
        );
        settle(&runtime, &resolver).map_err(system("the control thread"))?;
        let prepared = listeners.prepare(&settings.listeners)?;
        let (admin_tls, tls) = admin_tls.map(watch::channel).unzip();
        let tls = tls.map(AdminTls::new);
        let (replacing, replaced) = watch::channel(false);
        let Administration {
            sockets: admin,
            file: mut admin_file,
        } = administration(&fixed.admin, &mut inherited, tls.clone(), replaced.clone())?;
        let mut addresses = admin.iter().map(|(socket, _)| socket.address());
        let admin_address = addresses.next().unwrap_or_else(|| Ok(fixed.admin.address.clone()));
        let admin_address = admin_address.map_err(system("the administration"))?;
        let probes = addresses.next().and_then(|address| address.ok()?.tcp());

        let handover = upgradable.then(upgrade::listen).flatten().map(|socket| Handover {
            socket,
            admin: admin.iter().filter_map(|(socket, _)| socket.try_clone().ok()).collect(),
            replacing,
        });
        let (switch, drain) = server::drain();
        let access_log = access_log(&fixed.access_log, workers)?;
        let (spans, finished) = Spans::new(workers);
        let span_counts = Arc::clone(spans.counts());
        let unrouted = Arc::new(ServiceVitals::new("".into(), workers));
        let rejections = Arc::new(Rejections::new(workers));
        let samples = Arc::new(TrafficSamples::new(workers));
        let (decisions, decided) = record::decision_log();
        let board = Arc::new(SnapshotCell::default());
        let learned = Arc::new(Learned::default());
        let (reporter, front_door) = front_door::task(Arc::clone(&tables), Arc::clone(&board), Arc::clone(&learned));
        let supervisor = Supervisor::default();
        let (alive, workers_alive) = mpsc::channel(1);
        let worker_threads = WorkerThreads {
            workers,
            tables: Arc::clone(&tables),
            engine: engine.clone(),
            listeners: Arc::clone(&listeners),
            unrouted: Arc::clone(&unrouted),
            rejections: Arc::clone(&rejections),
            samples: Arc::clone(&samples),
            decisions,
            access_log: access_log.clone(),
            spans: Arc::new(spans),
            front_door: Arc::clone(&board),
            drain: drain.clone(),
            supervisor: supervisor.clone(),
            alive,
        };
        engine.begin_serving();
        let threads = worker_threads.start()?;
        drop(worker_threads);
        listeners.commit(prepared, Instant::now());

        let (updates, inbox) = mpsc::unbounded_channel();
        let (orders, order_inbox) = mpsc::channel(16);
        let (health_orders, health_inbox) = mpsc::channel(ORDERS);
        let events = Arc::new(Events::default());
        let drills = Drills::new(
            Arc::clone(&tables),
            updates.clone(),
            health_orders.clone(),
            Arc::clone(&events),
            Arc::clone(&alarm),
        );
        let started = SystemTime::now();
        let instance = Arc::new(RunningInstance {
            started,
            history: Arc::new(History::new(started)),
            traffic: Arc::default(),
            decisions: Arc::default(),
            peers: Arc::default(),
            tables: Arc::clone(&tables),
            status: Arc::clone(&status),
            events: Arc::clone(&events),
            overrides: Arc::clone(&overrides),
            access_log: access_log.clone(),
            spans: span_counts,
            front_door: Arc::clone(&board),
            learned: Arc::clone(&learned),
            unrouted,
            rejections,
            listeners: listeners.open().clone(),
            admin_tls: tls,
            engine: engine.clone(),
            drain: drain.clone(),
            supervisor: supervisor.clone(),
            reload: orders.clone(),
            health: health_orders,
            drills,
        });
        let health = Health {
            inputs: health::Inputs {
                watched: publisher.watched(),
                alarm,
                orders: health_inbox,
                overrides: Arc::clone(&overrides),
                waits,
            },
            resolver: Arc::clone(&resolver),
            reporter,
            updates: updates.clone(),
            events: Arc::clone(&events),
        };
        let learned = LearnedTask::new(
            Arc::clone(&tables),
            learned,
            Arc::clone(&listeners),
            updates.clone(),
            last_good.clone(),
        );
        let parts = reload::Parts {
            path,
            last_good,
            overrides,
            engine,
            updates,
            listeners: Arc::clone(&listeners),
            tables: Arc::clone(&tables),
            status: Arc::clone(&status),
            events,
            decisions: Arc::clone(&instance.decisions),
            workers,
            admin_tls,
        };
        let control = Control {
            supervisor,
            tables: Arc::clone(&tables),
            publisher,
            updates: inbox,
            reloader: Reloader::new(parts, load),
            orders: order_inbox,
            health,
            front_door,
            learned,
            drain,
            admin,
            handover,
            replaced: replaced.clone(),
            listeners: Arc::clone(&listeners),
            exporter: Exporter::new(Arc::clone(&instance), Arc::clone(&tables), Arc::clone(&resolver)),
            finished,
            observer: Observer::new(Arc::clone(&instance), Arc::clone(&tables), (samples, decided)),
            instance,
        };
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("control".into());
        let thread = thread.spawn(move || control.run(runtime, &stopped));
        let thread = thread.map_err(system("the control thread"))?;
        listeners.announce();
        tracing::info!(listeners = ?listeners.addresses(), admin = %admin_address, ?probes, workers, "serving");
        let predecessor = inherited.serving();
        admin_file.iter_mut().for_each(SocketFile::keep);
        Ok(Self {
            listeners,
            admin: admin_address,
            probes,
            tables,
            resolver,
            status,
            front_door: board,
            orders,
            access_log,
            drain: switch,
            workers: threads,
            workers_alive,
            control: Some((stop, thread)),
            replaced,
            predecessor,
            upgrade: Upgrade::default(),
            _admin_file: admin_file,
        })
    }

    /// Where the listeners listen now, in configured order.
    pub fn listeners(&self) -> Vec<SocketAddr> {
        self.listeners.addresses()
    }

    /// Where the administration listens.
    pub fn admin(&self) -> &AdminAddress {
        &self.admin
    }

    /// Where liveness, readiness and metrics can be read as well, when that is configured.
    pub fn probes(&self) -> Option<SocketAddr> {
        self.probes
    }

    /// The routing tables.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// The answers to Front Door's probes, and the status of publishing.
    pub fn front_door(&self) -> &Arc<SnapshotCell> {
        &self.front_door
    }

    /// The results of all loads.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// From now on readiness and probe paths answer 503, and everything is still accepted.
    pub fn begin_lame_duck(&self) {
        self.front_door.leave();
        self.drain.lame_duck();
    }

    /// Begins to drain: no new connections; what runs is finished within the drain time.
    pub fn begin_drain(&self) {
        self.front_door.leave();
        let drain_time = self.tables.current().settings.drain_time;
        self.listeners.close();
        self.drain.begin(Instant::now() + drain_time);
    }

    /// Loads the configuration and all it names again, looks all names up anew, and reopens the logs. Gives why the
    /// configuration was rejected, if it was; an error when the queue is full: it holds orders to reload already.
    pub fn reload(&self) -> oneshot::Receiver<Result<(), String>> {
        self.resolver.refresh();
        let (reply, replied) = oneshot::channel();
        let _ = self.orders.try_send(reload::Order::Reload { force: false, reply });
        self.reopen_logs();
        replied
    }

    /// Opens the access log's file again, so that the old one may be moved away.
    pub fn reopen_logs(&self) {
        if let Some(access_log) = &self.access_log {
            access_log.reopen();
        }
    }

    /// Serves until SIGTERM or SIGINT. Then readiness fails for the time of `lame_duck`, listeners close, and what runs is
    /// finished within `drain_time`; a second SIGTERM or SIGINT ends that at once. SIGHUP reloads and reopens logs, SIGUSR1
    /// reopens logs.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub fn run_until_signalled(mut self, signals: &mut Signals) -> io::Result<()> {
        signals.obey_stop()?;
        let is_replaced = !self.obey(signals, upgrade::replaced(self.replaced.clone()));
        let settings = Arc::clone(&self.tables.current().settings);
        let (lame_duck, drain_time) = (settings.lame_duck, settings.drain_time);
        if !is_replaced {
            notify::stopping(lame_duck + drain_time + STOPPING_MARGIN);
        }
        // Another process that has taken over accepts what comes, and answers probes.
        if !is_replaced {
            tracing::info!(
                ?lame_duck,
                ?drain_time,
                "stopping: readiness fails, everything is still accepted"
            );
            self.begin_lame_duck();
            let ended_early = self.obey(signals, async { tokio::time::sleep(lame_duck).await });
            if ended_early {
                return self.end_at_once(signals);
            }
        }
        tracing::info!(within = ?drain_time, "draining: listeners are closed");
        self.begin_drain();
        let mut alive = std::mem::replace(&mut self.workers_alive, mpsc::channel(1).1);
        let predecessor = self.predecessor.take();
        let last = Instant::now() + drain_time;
        let ended_early = self.obey(signals, async {
            while alive.recv().await.is_some() {}
            if let Some(predecessor) = predecessor {
                let _ = timeout_at(last.into(), predecessor.ended()).await;
            }
        });
        self.workers_alive = alive;
        if ended_early {
            return self.end_at_once(signals);
        }
        Ok(())
    }

    /// Obeys signals until something has come about; whether a signal to stop came before.
    fn obey(&self, signals: &mut Signals, until: impl Future<Output = ()>) -> bool {
        let mut until = std::pin::pin!(until);
        loop {
            match signals.next(until.as_mut()) {
                None => return false,
                Some(Signal::Stop) => return true,
                Some(Signal::Reload) => {
                    notify::reloading();
                    let done = self.reload();
                    signals.spawn(async move {
                        if let Ok(result) = done.await {
                            notify::reloaded(result.is_ok());
                        }
                    });
                }
                Some(Signal::Reopen) => self.reopen_logs(),
                Some(Signal::Upgrade) => self.upgrade.start(),
            }
        }
    }

    /// Cuts off what still runs, and waits for nothing that takes longer than a second.
    fn end_at_once(mut self, signals: &mut Signals) -> io::Result<()> {
        tracing::warn!("stopping at once: connections are closed");
        self.drain.begin(Instant::now());
        let mut alive = std::mem::replace(&mut self.workers_alive, mpsc::channel(1).1);
        let gone = async { while alive.recv().await.is_some() {} };
        signals.next(async {
            let _ = tokio::time::timeout(CUT_OFF, gone).await;
        });
        // What is left ends with the process.
        self.workers.clear();
        self.control = None;
        Ok(())
    }

    /// Drains and ends, without a lame duck phase: requests that have begun are answered.
    pub fn stop(mut self) {
        self.begin_drain();
        self.join_workers();
    }

    fn join_workers(&mut self) {
        for worker in self.workers.drain(..) {
            // A worker that panicked was restarted, and that was logged.
            let _ = worker.join();
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.listeners.close();
        self.drain.begin(Instant::now());
        self.join_workers();
        if let Some((stop, control)) = self.control.take() {
            stop.notify_one();
            let _ = control.join();
        }
    }
}

/// Waits, within bounds, until the name of every gateway has been resolved once: the first request finds its gateway.
fn settle(control: &runtime::Runtime, resolver: &Resolver) -> io::Result<()> {
    // On a thread of its own: the caller's may drive a runtime already.
    thread::scope(|scope| {
        let wait = || control.block_on(resolver.settled(NAMES_PATIENCE));
        let waiting = thread::Builder::new()
            .name("control".into())
            .spawn_scoped(scope, wait)?;
        // A panic was reported where it happened.
        let _ = waiting.join();
        Ok(())
    })
}

/// How many workers there are: as many as there are cores, unless they are configured.
fn workers(fixed: &Fixed) -> usize {
    let workers = fixed.workers.or_else(|| thread::available_parallelism().ok());
    workers.map_or(1, NonZeroUsize::get)
}

fn access_log(settings: &AccessLogSettings, workers: usize) -> Result<Option<Arc<AccessLog>>, AppError> {
    let (destination, name) = match &settings.to {
        LogDestination::Off => return Ok(None),
        LogDestination::Stdout => (Destination::Stdout, "standard output".to_owned()),
        LogDestination::File(path) => (Destination::File(path.clone()), path.display().to_string()),
    };
    let log = AccessLog::start(destination, settings.rules.clone(), workers).map_err(|error| AppError::AccessLog {
        destination: name,
        error,
    })?;
    Ok(Some(Arc::new(log)))
}
