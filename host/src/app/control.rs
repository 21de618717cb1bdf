//! The control thread: runs and restarts the slow tasks.

use super::exporter::Exporter;
use super::instance::RunningInstance;
use super::notify;
use super::observer::Observer;
use super::supervisor::Supervisor;
use super::upgrade;
use crate::admin::{self, Access, Listener, Socket};
use crate::chance::Chance;
use crate::control::events::Events;
use crate::control::front_door::{FrontDoorTask, HealthReporter};
use crate::control::health::{self, News};
use crate::control::learned::LearnedTask;
use crate::control::probe::{Network, Resolve};
use crate::control::publisher::{Publisher, Update};
use crate::control::reload::{self, Reloader};
use crate::dns::Resolver;
use crate::server::{Drain, ListenerSet};
use crate::table::Tables;
use crate::telemetry::spans::RequestSpan;
use crate::upstream::Dialer;
use portolan_core::config::GatewayHost;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

/// The end of a task that only ends when the program does.
const DONE: Result<(), Infallible> = Ok(());

/// How often a listener's lock that another instance holds is tried again.
const LOCK_RETRY: Duration = Duration::from_secs(1);

/// How long the last spans may take to be sent.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Everything that runs on the control thread.
pub(super) struct Control {
    pub(super) supervisor: Supervisor,
    pub(super) tables: Arc<Tables>,
    pub(super) publisher: Publisher,
    pub(super) updates: mpsc::UnboundedReceiver<Update>,
    pub(super) reloader: Reloader,
    pub(super) orders: mpsc::Receiver<reload::Order>,
    pub(super) health: Health,
    pub(super) front_door: FrontDoorTask,
    pub(super) learned: LearnedTask,
    pub(super) drain: Drain,
    pub(super) admin: Vec<(Socket, Access)>,
    /// Where another process may ask for the sockets.
    pub(super) handover: Option<Handover>,
    pub(super) replaced: watch::Receiver<bool>,
    pub(super) listeners: Arc<ListenerSet>,
    pub(super) observer: Observer,
    pub(super) exporter: Exporter,
    /// Finished requests of which spans are recorded.
    pub(super) finished: mpsc::Receiver<Box<RequestSpan>>,
    pub(super) instance: Arc<RunningInstance>,
}

/// What another process gets that takes over.
pub(super) struct Handover {
    pub(super) socket: UnixListener,
    pub(super) admin: Vec<Socket>,
    pub(super) replacing: watch::Sender<bool>,
}

/// The health task and the receivers of its events.
pub(super) struct Health {
    pub(super) inputs: health::Inputs,
    pub(super) resolver: Arc<Resolver>,
    pub(super) reporter: HealthReporter,
    pub(super) updates: mpsc::UnboundedSender<Update>,
    pub(super) events: Arc<Events>,
}

impl Control {
    /// Runs everything until `stop`, then waits for the Front Door task to release its lease.
    pub(super) fn run(self, runtime: Runtime, stop: &Notify) {
        LocalSet::new().block_on(&runtime, self.work(stop));
        // Blocking work, such as a plugin being compiled, is not waited for.
        runtime.shutdown_background();
    }

    async fn work(self, stop: &Notify) {
        let Self {
            supervisor,
            tables,
            mut publisher,
            mut updates,
            mut reloader,
            mut orders,
            health,
            mut front_door,
            mut learned,
            drain,
            admin,
            handover,
            replaced,
            listeners,
            mut observer,
            exporter,
            mut finished,
            instance,
        } = self;
        spawn_local(show_life(supervisor.clone()));
        let (task, published) = (supervisor.task("publisher"), tables);
        spawn_local(async move {
            task.keep(async || {
                publisher.run(&mut updates, &published).await;
                DONE
            })
            .await;
        });
        let task = supervisor.task("reloader");
        spawn_local(async move {
            task.keep(async || {
                reloader.run(&mut orders).await;
                DONE
            })
            .await;
        });
        let task = supervisor.task("health");
        spawn_local(health.keep(task));
        spawn_local(hold_locks(Arc::clone(&listeners)));
        if let Some(Handover {
            socket,
            admin,
            replacing,
        }) = handover
        {
            let task = supervisor.task("upgrade");
            let given = Rc::new(upgrade::Given {
                listeners,
                admin,
                replacing,
            });
            spawn_local(async move { task.keep(async || upgrade::hand_over(&socket, &given).await).await });
        }
        let (task, of_learned) = (supervisor.task("learned"), drain.clone());
        let learned = spawn_local(async move {
            task.keep(async || {
                learned.run(of_learned.clone()).await;
                DONE
            })
            .await;
        });
        let task = supervisor.task("observer");
        spawn_local(async move {
            task.keep(async || {
                observer.run().await;
                DONE
            })
            .await;
        });
        let (task, peers, tables) = (
            supervisor.task("peers"),
            Arc::clone(&instance.peers),
            Arc::clone(&instance.tables),
        );
        spawn_local(async move {
            task.keep(async || {
                peers.run(&tables).await;
                DONE
            })
            .await;
        });
        let exporter = Rc::new(exporter);
        let (task, of_metrics) = (supervisor.task("metrics-export"), Rc::clone(&exporter));
        spawn_local(async move {
            task.keep(async || {
                of_metrics.metrics().await;
                DONE
            })
            .await;
        });
        let task = supervisor.task("trace-export");
        let traces = spawn_local(async move {
            task.keep(async || {
                exporter.traces(&mut finished).await;
                DONE
            })
            .await;
        });
        let task = supervisor.task("front-door");
        let front_door = spawn_local(async move {
            task.keep(async || {
                front_door.run(drain.clone()).await;
                DONE
            })
            .await;
        });
        for (socket, access) in admin {
            let task = supervisor.task(access.name());
            let (instance, access) = (Arc::clone(&instance), Arc::new(access));
            let replaced = upgrade::replaced(replaced.clone());
            spawn_local(async move {
                // A process that has taken over answers instead.
                tokio::select! {
                    () = task.keep(async || serve_admin(&socket, &access, &instance).await) => {}
                    () = replaced => {}
                }
            });
        }
        stop.notified().await;
        // The drain ends it; it releases its lease first.
        let _ = front_door.await;
        // It keeps what it has learned.
        let _ = learned.await;
        // The workers have ended: it sends what is left, if the collector takes it at once.
        let _ = timeout(LAST_SPANS, traces).await;
    }
}

impl Health {
    async fn keep(mut self, task: Arc<super::supervisor::Task>) {
        let prober = Arc::new(Network::new(Arc::clone(&self.resolver), Dialer::tcp()));
        task.keep(async || {
            let (reporter, updates, events) = (&self.reporter, &self.updates, &self.events);
            let tell = |news| match news {
                News::View(config, view) => {
                    // The publisher lives as long as this task.
                    let _ = updates.send(Update::Health(config, view));
                }
                News::DrillView(config, view) => {
                    let _ = updates.send(Update::DrillHealth(config, view));
                }
                News::Changed(vitals, transition) => {
                    events.health_changed(&vitals.key, &transition);
                    reporter.report(&vitals, &transition);
                }
                News::Probed(..) => {}
            };
            health::run(&mut self.inputs, Arc::clone(&prober), Chance::new().roll(), tell).await;
            DONE
        })
        .await;
    }
}

/// Tells the service manager that this thread runs, as long as `/livez` would say so.
async fn show_life(supervisor: Supervisor) {
    let Some(within) = notify::watchdog() else { return };
    loop {
        if !supervisor.has_failed() {
            notify::alive();
        }
        tokio::time::sleep(within / 2).await;
    }
}

/// Gets the locks of the listeners that another instance still holds, when that one ends.
async fn hold_locks(listeners: Arc<ListenerSet>) {
    while !listeners.renew_locks() {
        tokio::time::sleep(LOCK_RETRY).await;
    }
}

async fn serve_admin(socket: &Socket, access: &Arc<Access>, instance: &Arc<RunningInstance>) -> io::Result<()> {
    let listener = Listener::new(socket.try_clone()?)?;
    let instance: Arc<dyn admin::backend::AdminBackend> = Arc::clone(instance) as _;
    match admin::serve(listener, Arc::clone(access), instance).await {}
}

impl Resolve for Resolver {
    async fn addresses(&self, host: &GatewayHost) -> Vec<IpAddr> {
        Resolver::addresses(self, host).await
    }
}
