//! The running program as the administration accesses it.

use super::supervisor::Supervisor;
use crate::admin::backend::AdminBackend;
use crate::admin::backend::{
    ExplainError, Explained, GeoStatus, LoadStatus, OrderError, Ordered, PluginStatus, Question, Readiness,
    ServiceStatus, StatusSnapshot, TaskStatus,
};
use crate::admin::{AdminTls, Peers};
use crate::chance::Chance;
use crate::control::decisions::DecisionLog;
use crate::control::drills::{DrillError, DrillReport, Drills, Terms};
use crate::control::events::{EventKind, Events};
use crate::control::health::{self, RegionAction};
use crate::control::history::History;
use crate::control::overrides::{self, Overrides};
use crate::control::reload::{Changed, Order, PluginOrder, PluginOrderError, VersionState};
use crate::control::status::{Kind, Loads, PollResult, Status};
use crate::control::traffic::Traffic;
use crate::explain;
use crate::front_door::SnapshotCell;
use crate::learned::report::{Report, ReportError, Reported};
use crate::learned::{Learned, Sample, Source};
use crate::plugin::{PluginEngine, PluginWorker};
use crate::server::{Drain, Phase};
use crate::table::{RoutingTable, Tables};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::logging;
use crate::telemetry::metrics::ServiceVitals;
use crate::telemetry::spans::SpanCounts;
use crate::vitals::{OpenListeners, Rejections};
use portolan_core::config::Policy;
use portolan_core::geo::Place;
use portolan_core::health::{GatewayHealth, State};
use portolan_core::id::{PluginName, RegionName};
use portolan_core::learned::Orders;
use portolan_geo::family::Family;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::{mpsc, oneshot};

/// What the administration reads, and the queues for its orders.
#[derive(Debug)]
pub(super) struct RunningInstance {
    pub(super) started: SystemTime,
    pub(super) tables: Arc<Tables>,
    pub(super) status: Arc<Status>,
    pub(super) events: Arc<Events>,
    pub(super) history: Arc<History>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) decisions: Arc<DecisionLog>,
    pub(super) peers: Arc<Peers>,
    pub(super) overrides: Arc<Overrides>,
    pub(super) access_log: Option<Arc<AccessLog>>,
    pub(super) spans: Arc<SpanCounts>,
    pub(super) front_door: Arc<SnapshotCell>,
    pub(super) learned: Arc<Learned>,
    pub(super) unrouted: Arc<ServiceVitals>,
    pub(super) rejections: Arc<Rejections>,
    pub(super) listeners: OpenListeners,
    pub(super) admin_tls: Option<AdminTls>,
    pub(super) engine: PluginEngine,
    pub(super) drain: Drain,
    pub(super) supervisor: Supervisor,
    pub(super) reload: mpsc::Sender<Order>,
    pub(super) health: mpsc::Sender<health::Order>,
    pub(super) drills: Arc<Drills>,
}

impl RunningInstance {
    /// Waits until a routing table meets a condition.
    async fn until(&self, so: impl Fn(&RoutingTable) -> bool + Send) -> Result<(), OrderError> {
        let mut generations = self.tables.subscribe();
        while !so(&self.tables.current()) {
            generations.changed().await.map_err(|_| OrderError::Stopping)?;
        }
        Ok(())
    }

    /// Persists the overrides, so that an acknowledged order survives a restart.
    async fn save_overrides(&self) {
        let overrides = Arc::clone(&self.overrides);
        let saved = tokio::task::spawn_blocking(move || overrides.save()).await;
        if let Ok(Err(error)) = saved {
            tracing::error!("failed to persist the order, it ends with this process: {error}");
            self.status.kept(false);
        }
    }

    fn load(&self, kind: Kind) -> LoadStatus {
        let Loads {
            accepted,
            rejected,
            last_accepted,
            error,
            restored,
        } = self.status.of(kind);
        LoadStatus {
            what: kind.as_str(),
            accepted,
            rejected,
            last_accepted,
            standing_error: error,
            restored,
        }
    }

    fn plugins(&self, table: &RoutingTable) -> Vec<PluginStatus> {
        let mut overrides = self.overrides.plugins();
        let mut rollouts = self.status.rollouts();
        let plugins = table.settings.plugins.iter().map(|(name, plugin)| {
            let entry = table
                .services
                .iter()
                .filter_map(|entry| entry.plugin.as_ref())
                .find(|it| it.version.name == *name);
            PluginStatus {
                name: name.clone(),
                digest: entry.map(|entry| entry.version.digest.clone()).unwrap_or_default(),
                source: plugin.source.to_string(),
                earlier: self.status.earlier(name),
                pinned: overrides
                    .pins
                    .remove(name)
                    .map(|it| (it.kind, it.configured, it.ordered)),
                off: overrides.off.remove(name),
                rollout: rollouts.remove(name),
                suspended: overrides.suspended.remove(name).unwrap_or_default(),
                since: self.status.active_since(name).unwrap_or(self.started),
                quarantine: self.status.quarantine(name),
            }
        });
        plugins.collect()
    }
}

impl AdminBackend for RunningInstance {
    fn snapshot(&self) -> StatusSnapshot {
        let table = self.tables.current();
        let info = table.geo.databases().info();
        StatusSnapshot {
            started: self.started,
            generation: table.generation,
            building: table.building,
            config: Arc::clone(&table.settings.routing),
            health: Arc::clone(&table.health),
            services: table
                .services
                .iter()
                .map(|entry| ServiceStatus {
                    vitals: Arc::clone(&entry.vitals),
                    gateways: entry.gateways.iter().map(|target| Arc::clone(&target.vitals)).collect(),
                    names: entry.gateways.iter().map(|target| target.name().cloned()).collect(),
                    chart: Arc::clone(&entry.chart),
                    learned_orders: entry.learned().map_or(0, Orders::len),
                })
                .collect(),
            unrouted: Arc::clone(&self.unrouted),
            rejections: Arc::clone(&self.rejections),
            in_flight: Arc::clone(&table.in_flight),
            route_counts: Arc::clone(&table.route_counts),
            overload: table.settings.overload,
            listeners: self.listeners.all(),
            tls: Arc::clone(&table.tls),
            admin_tls: self.admin_tls.clone(),
            geo: GeoStatus {
                database: info.database.clone(),
                built: Some(info.built_at()),
                networks: info.networks(),
                ipv4_networks: info.v4().given,
                ipv6_networks: info.v6().given,
                places: table.geo.places.places().len().saturating_sub(1),
                filled: info.filled.map(Family::as_str),
                stale: table.geo.is_stale(SystemTime::now()),
                attribution: table.geo.attribution(&table.settings.geo).map(Into::into),
            },
            plugins: self.plugins(&table),
            rolled_back: self.status.all_rolled_back(),
            keeps_overrides: self.overrides.are_kept(),
            drains: self.overrides.drains(),
            pending_restart: self.status.pending_restart(),
            loads: Kind::ALL.map(|kind| self.load(kind)).to_vec(),
            state_writes: self.status.state_writes(),
            polls: PollResult::ALL.map(|result| (result, self.status.polls(result))),
            access_log: self.access_log.as_ref().map(|log| log.lines()),
            event_log: logging::lines(),
            spans: Arc::clone(&self.spans),
            plugin_counters: self.engine.counters(),
            plugin_starts: self.engine.starts(),
            tasks: self.tasks(),
            front_door: self.front_door.load(),
            learned: self.learned.status(),
        }
    }

    fn places(&self) -> Vec<Place> {
        self.tables.current().geo.places.places().to_vec()
    }

    fn configuration(&self) -> serde_json::Value {
        self.tables.current().settings.written.clone()
    }

    fn readiness(&self) -> Readiness {
        // The administration starts when everything else has.
        match self.drain.phase() {
            Phase::Serving => Readiness::Ready,
            Phase::LameDuck => Readiness::LameDuck,
            Phase::Draining(_) => Readiness::Draining,
        }
    }

    fn tasks(&self) -> Vec<TaskStatus> {
        let tasks = self.supervisor.tasks();
        let statuses = tasks.iter().map(|task| TaskStatus {
            name: task.name.clone(),
            restarts: task.restarts(),
            failed: task.has_failed(),
        });
        statuses.collect()
    }

    fn explain(&self, question: &Question) -> Result<Explained, ExplainError> {
        // Plugin instances of its own, so that the workers' are not used.
        let mut plugins = PluginWorker::new(self.engine.clone(), 0, Chance::new().roll());
        let explained = explain::explain(&self.tables.current(), question, &mut plugins)?;
        Ok(Explained {
            learned: self.learned.of(explained.decision.client.addr),
            ..explained
        })
    }

    fn report(&self, report: &Report) -> Result<Reported, ReportError> {
        if !self.learned.is_on() {
            return Err(ReportError::Off);
        }
        let table = self.tables.current();
        let services = table.config().services();
        let samples = report.samples(|region| services.iter().any(|service| service.slot_of(region).is_some()))?;
        let mut by_region: BTreeMap<RegionName, Vec<Sample>> = BTreeMap::new();
        for (region, sample) in samples {
            by_region.entry(region).or_default().push(sample);
        }
        let added = by_region.into_iter();
        let accepted = added.map(|(region, samples)| self.learned.add(&region, samples, Source::Report));
        Ok(Reported {
            accepted: accepted.sum(),
        })
    }

    fn drain(&self, region: RegionName, drained: bool, from: String) -> Ordered<'_, ()> {
        Box::pin(async move {
            let (reply, replied) = oneshot::channel();
            let action = match drained {
                true => RegionAction::Drain,
                false => RegionAction::Undrain,
            };
            let order = health::Order {
                region: region.clone(),
                action,
                reply,
            };
            self.health.send(order).await.map_err(|_| OrderError::Stopping)?;
            let count = replied.await.map_err(|_| OrderError::Stopping)?;
            let was_drained = match drained {
                true if count > 0 => {
                    self.overrides
                        .drain(region.clone(), overrides::Ordered::now(from.as_str()));
                    true
                }
                true => false,
                false => self.overrides.undrain(&region),
            };
            if count == 0 && !was_drained {
                let message = format!("no service has a region {region}; see /api/v1/regions");
                return Err(OrderError::Unknown(message));
            }
            let kind = match drained {
                true => EventKind::RegionDrained,
                false => EventKind::RegionUndrained,
            };
            self.events.add(kind.of(&region).author(Some(&from)));
            self.save_overrides().await;
            self.until(|table| is_carried_out(table, &region, drained)).await
        })
    }

    fn fail_back(&self, region: RegionName, from: String) -> Ordered<'_, ()> {
        Box::pin(async move {
            let (reply, replied) = oneshot::channel();
            let order = health::Order {
                region: region.clone(),
                action: RegionAction::FailBack,
                reply,
            };
            self.health.send(order).await.map_err(|_| OrderError::Stopping)?;
            let count = replied.await.map_err(|_| OrderError::Stopping)?;
            if count == 0 {
                return Err(does_not_wait(&self.tables.current(), &region));
            }
            self.events
                .add(EventKind::RegionFailedBack.of(&region).author(Some(&from)));
            self.until(|table| healths(table, &region).all(|health| health.why.awaits.is_none()))
                .await
        })
    }

    fn begin_drill(&self, terms: Terms, from: &str) -> Result<DrillReport, DrillError> {
        self.drills.begin(terms, from)
    }

    fn drill(&self, renew: bool) -> Option<DrillReport> {
        match renew {
            true => self.drills.renew(),
            false => self.drills.report(),
        }
    }

    fn stop_drill(&self) -> bool {
        self.drills.stop()
    }

    fn reload(&self, force: bool) -> Ordered<'_, ()> {
        Box::pin(async move {
            let (reply, replied) = oneshot::channel();
            let sent = self.reload.send(Order::Reload { force, reply }).await;
            sent.map_err(|_| OrderError::Stopping)?;
            let result = replied.await.map_err(|_| OrderError::Stopping)?;
            result.map_err(OrderError::Rejected)
        })
    }

    fn order_plugin(&self, plugin: PluginName, order: PluginOrder, by: overrides::Ordered) -> Ordered<'_, Changed> {
        Box::pin(async move {
            let (reply, replied) = oneshot::channel();
            let sent = self.reload.send(Order::Plugin(plugin.clone(), order, by, reply)).await;
            sent.map_err(|_| OrderError::Stopping)?;
            let changed = replied.await.map_err(|_| OrderError::Stopping)?;
            let changed = changed.map_err(|error| match error {
                PluginOrderError::Unknown(_) => OrderError::Unknown(error.to_string()),
                PluginOrderError::Rejected(_) => OrderError::Rejected(error.to_string()),
                _ => OrderError::Impossible(error.to_string()),
            })?;
            self.until(|table| shows(table, &plugin, &changed)).await?;
            Ok(changed)
        })
    }

    fn events(&self) -> Arc<Events> {
        Arc::clone(&self.events)
    }

    fn history(&self) -> Arc<History> {
        Arc::clone(&self.history)
    }

    fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    fn name(&self) -> String {
        let table = self.tables.current();
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let named = table.settings.via.as_deref().map(str::to_owned);
        let name = named.or_else(|| {
            host()
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
        });
        name.unwrap_or_else(|| table.via.pseudonym().to_owned())
    }

    fn peers(&self) -> Arc<Peers> {
        Arc::clone(&self.peers)
    }

    fn decisions(&self) -> Arc<DecisionLog> {
        Arc::clone(&self.decisions)
    }
}

/// Whether requests are decided as an order has changed it.
fn shows(table: &RoutingTable, plugin: &PluginName, changed: &Changed) -> bool {
    let services = table.config().services().iter().zip(&table.services);
    let mut users = services.filter(|(service, _)| service.policy == Policy::Plugin(plugin.clone()));
    users.all(|(_, entry)| match (&entry.plugin, changed.state) {
        (entry, VersionState::Off) => entry.is_none(),
        (Some(entry), VersionState::Active) => entry.version.digest == changed.digest,
        (Some(entry), VersionState::Trial(stage)) => {
            let trial = entry.trial.as_ref();
            trial.is_some_and(|trial| trial.stage == stage && trial.version.digest == changed.digest)
        }
        // It was switched off.
        (None, _) => true,
    })
}

/// Whether a region is drained or not, as ordered, in every service that has it.
fn is_carried_out(table: &RoutingTable, region: &RegionName, drained: bool) -> bool {
    healths(table, region).all(|health| (health.state == State::Draining) == drained)
}

/// The health of a region's gateways, of all services.
fn healths(table: &RoutingTable, region: &RegionName) -> impl Iterator<Item = GatewayHealth> {
    let services = table.config().services().iter().zip(table.health.services());
    services.filter_map(|(service, health)| Some(health.gateway(service.slot_of(region)?)))
}

/// Why a region that does not wait for its failback cannot be given its traffic back.
fn does_not_wait(table: &RoutingTable, region: &RegionName) -> OrderError {
    let worst = healths(table, region).max_by_key(|health| health.state == State::Unhealthy);
    match worst {
        None => OrderError::Unknown(format!("no service has a region {region}")),
        Some(GatewayHealth {
            state: State::Draining, ..
        }) => OrderError::Impossible(format!("{region} is drained: use undrain")),
        Some(health) => {
            let why = health.why.cause.map_or(String::new(), |cause| format!(" ({cause})"));
            let state = health.state.as_str();
            OrderError::Impossible(format!("{region} does not wait for its failback: it is {state}{why}"))
        }
    }
}
