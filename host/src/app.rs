//! Putting it together: binds, loads, spawns; and takes down again in order.

mod instance;
mod signals;

use crate::admin;
use crate::chance::Chance;
use crate::config::{AccessLog as AccessLogSettings, Settings};
use crate::control::front_door;
use crate::control::health::{self, News};
use crate::control::load::LoadError;
use crate::control::probe::{Network, Resolve};
use crate::control::publisher::{Publisher, Update};
use crate::control::reload::{self, Reloader};
use crate::control::start::Start;
use crate::control::status::Status;
use crate::front_door::Board;
use crate::pipeline;
use crate::plugin::{PluginEngine, PluginWorker};
use crate::record::Recorder;
use crate::server::{self, Drain, DrainSwitch, Limits};
use crate::table::{Pins, Tables};
use crate::telemetry::access_log::{AccessLog, Destination};
use crate::telemetry::metrics::ServiceVitals;
use crate::upstream::{Connections, Resolver};
use crate::worker::Worker;
use instance::Instance;
use portolan_core::config::GatewayHost;
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};
use thiserror::Error;
use tokio::runtime;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinSet, LocalSet};

/// Why the program cannot start.
#[derive(Debug, Error)]
pub enum AppError {
    /// An address cannot be listened on.
    #[error("failed to listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// A database or a plugin cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The system gives no thread, runtime, file or resolver.
    #[error("failed to start: {0}")]
    System(#[from] io::Error),
}

/// The running program.
#[derive(Debug)]
pub struct App {
    listeners: Vec<SocketAddr>,
    admin: SocketAddr,
    tables: Arc<Tables>,
    status: Arc<Status>,
    front_door: Arc<Board>,
    orders: mpsc::Sender<reload::Order>,
    access_log: Option<Arc<AccessLog>>,
    drain: DrainSwitch,
    drain_time: Duration,
    workers: Vec<JoinHandle<()>>,
    control: Option<(Arc<Notify>, JoinHandle<()>)>,
}

/// What all workers are made from.
#[derive(Clone)]
struct Crew {
    workers: usize,
    tables: Arc<Tables>,
    engine: PluginEngine,
    unrouted: Arc<ServiceVitals>,
    access_log: Option<Arc<AccessLog>>,
    front_door: Arc<Board>,
    drain: Drain,
}

impl App {
    /// Starts everything: when this returns, every listener accepts. `path` is watched for changes of the configuration.
    ///
    /// # Errors
    /// When an address is taken, or something that the settings name cannot be used.
    pub fn start(settings: Settings, path: Option<PathBuf>) -> Result<Self, AppError> {
        Self::begin(Start::new(settings, path))
    }

    /// The same from a start that may have restored what was last good.
    ///
    /// # Errors
    /// When an address is taken, or something that the settings name cannot be used.
    pub fn begin(start: Start) -> Result<Self, AppError> {
        let status = Arc::new(Status::default());
        let (path, last_good) = (start.path.clone(), start.last_good.clone());
        let (load, engine) = start.load(&status, |settings| PluginEngine::new(workers(settings)))?;
        let loaded = load.loaded.clone();
        let settings = Arc::clone(&loaded.settings);
        let workers = workers(&settings);

        let sockets = settings
            .listeners
            .iter()
            .map(|listener| bind(listener.address, workers));
        let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
        let listeners: Vec<_> = sockets
            .iter()
            .filter_map(|each| each.first()?.local_addr().ok())
            .collect();
        let admin_socket = bind_admin(settings.admin)?;
        let admin = admin_socket.local_addr()?;

        let alarm = Arc::new(Notify::new());
        let control = runtime::Builder::new_current_thread().enable_all().build()?;
        let resolver = Arc::new(Resolver::system(control.handle().clone()));
        let (publisher, tables) = Publisher::new(loaded, workers, Arc::clone(&alarm), Arc::clone(&resolver));
        let (switch, drain) = server::drain();
        let access_log = access_log(&settings.access_log, workers)?;
        let unrouted = Arc::new(ServiceVitals::new("".into(), workers));
        let board = Arc::new(Board::default());
        let (witness, front_door) = front_door::task(Arc::clone(&tables), Arc::clone(&board));
        let front_door = front_door.run(drain.clone());
        let crew = Crew {
            workers,
            tables: Arc::clone(&tables),
            engine: engine.clone(),
            unrouted: Arc::clone(&unrouted),
            access_log: access_log.clone(),
            front_door: Arc::clone(&board),
            drain,
        };
        let threads = crew.start(sockets)?;

        let (updates, inbox) = mpsc::unbounded_channel();
        let (orders, order_inbox) = mpsc::channel(16);
        let (health_orders, health_inbox) = mpsc::channel(16);
        let instance = Arc::new(Instance {
            started: SystemTime::now(),
            tables: Arc::clone(&tables),
            status: Arc::clone(&status),
            access_log: access_log.clone(),
            front_door: Arc::clone(&board),
            unrouted,
            engine: engine.clone(),
            reload: orders.clone(),
            health: health_orders,
        });
        let inputs = health::Inputs {
            watched: publisher.watched(),
            alarm,
            orders: health_inbox,
        };
        let prober = Network::new(resolver);
        let health_updates = updates.clone();
        let health = health::run(inputs, prober, Chance::new().roll(), move |news| {
            match news {
                News::View(config, view) => {
                    // The publisher lives as long as this task.
                    let _ = health_updates.send(Update::Health(config, view));
                }
                News::Changed(vitals, transition) => witness.saw(&vitals, &transition),
                News::Probed(..) => {}
            }
        });
        let reloader = Reloader::new(path, last_good, engine, load, updates, Arc::clone(&status));
        let tables_of_publisher = Arc::clone(&tables);
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("control".into()).spawn(move || {
            control.block_on(async {
                tokio::spawn(publisher.run(inbox, tables_of_publisher));
                tokio::spawn(reloader.run(order_inbox));
                tokio::spawn(health);
                let front_door = tokio::spawn(front_door);
                tokio::spawn(serve_admin(admin_socket, instance));
                stopped.notified().await;
                // The drain has told it to end. If it has panicked, that was reported where it happened.
                let _ = front_door.await;
            });
            // What blocks, such as a plugin being compiled, is not waited for.
            control.shutdown_background();
        })?;
        tracing::info!(?listeners, %admin, workers, "serving");
        let control = Some((stop, thread));
        let drain_time = settings.drain_time;
        Ok(Self {
            listeners,
            admin,
            tables,
            status,
            front_door: board,
            orders,
            access_log,
            drain: switch,
            drain_time,
            workers: threads,
            control,
        })
    }

    /// Where the listeners listen, in configured order.
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// Where the administration listens.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The routing tables.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// What Front Door is shown.
    pub fn front_door(&self) -> &Arc<Board> {
        &self.front_door
    }

    /// What became of everything that was loaded.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Begins to drain: no new connections; what runs is finished within the drain time.
    pub fn begin_drain(&self) {
        self.drain.begin(Instant::now() + self.drain_time);
    }

    /// Loads the configuration and all it names again, and opens the access log anew.
    pub fn reload(&self) {
        // A full queue holds orders to do just this.
        let _ = self.orders.try_send(reload::Order::Reload);
        if let Some(access_log) = &self.access_log {
            access_log.reopen();
        }
    }

    /// Waits for SIGTERM or SIGINT, reloading on SIGHUP meanwhile.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub fn wait_for_signal(&self) -> io::Result<()> {
        signals::wait(|| self.reload())
    }

    /// Serves until SIGTERM or SIGINT, reloading on SIGHUP; then drains and ends.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub fn run_until_signalled(self) -> io::Result<()> {
        self.wait_for_signal()?;
        tracing::info!(within = ?self.drain_time, "draining");
        self.stop();
        Ok(())
    }

    /// Drains and ends: requests that have begun are answered.
    pub fn stop(mut self) {
        self.begin_drain();
        for worker in self.workers.drain(..) {
            // A worker ends early only by a panic, which was reported where it happened.
            let _ = worker.join();
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.drain.begin(Instant::now());
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
        if let Some((stop, control)) = self.control.take() {
            stop.notify_one();
            let _ = control.join();
        }
    }
}

/// How many workers there are: as many as there are cores, unless the settings say otherwise.
fn workers(settings: &Settings) -> usize {
    let workers = settings.workers.or_else(|| thread::available_parallelism().ok());
    workers.map_or(1, NonZeroUsize::get)
}

/// A socket for every worker: the system shares connections out among them.
fn bind(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, AppError> {
    let listen = |address| server::bind(address).map_err(|error| AppError::Listen { address, error });
    let first = listen(address)?;
    // With port 0 the system has chosen one by now.
    let address = first.local_addr()?;
    let others = (1..workers).map(|_| listen(address));
    std::iter::once(Ok(first)).chain(others).collect()
}

fn bind_admin(address: SocketAddr) -> Result<TcpListener, AppError> {
    let bound = TcpListener::bind(address).and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
    bound.map_err(|error| AppError::Listen { address, error })
}

fn access_log(settings: &AccessLogSettings, workers: usize) -> io::Result<Option<Arc<AccessLog>>> {
    let destination = match settings {
        AccessLogSettings::Off => return Ok(None),
        AccessLogSettings::Stdout => Destination::Stdout,
        AccessLogSettings::File(path) => Destination::File(path.clone()),
    };
    Ok(Some(Arc::new(AccessLog::start(destination, workers)?)))
}

impl Resolve for Resolver {
    async fn addresses(&self, host: &GatewayHost) -> Vec<IpAddr> {
        Resolver::addresses(self, host).await
    }
}

async fn serve_admin(socket: TcpListener, instance: Arc<Instance>) {
    let served = match tokio::net::TcpListener::from_std(socket) {
        Ok(listener) => admin::serve(listener, instance).await,
        Err(error) => Err(error),
    };
    let Err(error) = served;
    tracing::error!(%error, "the administration stopped");
}

impl Crew {
    /// One thread for each worker, each with its socket of every listener.
    fn start(&self, sockets: Vec<Vec<TcpListener>>) -> Result<Vec<JoinHandle<()>>, AppError> {
        let mut sockets: Vec<_> = sockets.into_iter().map(Vec::into_iter).collect();
        let threads = (0..self.workers).map(|index| {
            let own: Vec<_> = sockets.iter_mut().filter_map(Iterator::next).collect();
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let crew = self.clone();
            let thread = thread::Builder::new().name(format!("worker-{index}"));
            Ok(thread.spawn(move || LocalSet::new().block_on(&runtime, crew.work(index, own)))?)
        });
        threads.collect()
    }

    /// The life of a worker.
    async fn work(self, index: usize, sockets: Vec<TcpListener>) {
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
        for (listener, socket) in sockets.into_iter().enumerate() {
            let worker = Rc::clone(&worker);
            let handler =
                move |downstream, request| pipeline::handle(Rc::clone(&worker), listener, downstream, request);
            serving.spawn_local(server::serve(socket, Limits::default(), self.drain.clone(), handler));
        }
        while let Some(served) = serving.join_next().await {
            if let Ok(Err(error)) = served {
                tracing::error!(%error, "a listener stopped");
            }
        }
    }
}
