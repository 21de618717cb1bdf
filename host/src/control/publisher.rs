//! The single writer: folds updates into the next routing table and publishes it.
//!
//! One writer needs no lock and no read-modify-write, and readers never wait. Its inputs are valid by construction, so
//! publishing cannot fail.

use crate::affinity::{AffinityKeys, ServiceAffinity};
use crate::config::Listener;
use crate::control::certificates::Contexts;
use crate::control::charts;
use crate::control::health::{self, Watched, WatchedGateway};
use crate::control::loaded::{Loaded, Plugins, UpstreamOrigins, plugin_regions};
use crate::control::overrides::Overrides;
use crate::control::waits::Waits;
use crate::dns::Resolver;
use crate::drill::{Drill, DrillPhase, ServiceDrill};
use crate::geo::Geo;
use crate::rollout::Rollouts;
use crate::service_tags::ServiceTags;
use crate::steer::Steering;
use crate::table::{PluginEntry, RoutingTable, ServiceEntry, Special, Tables};
use crate::telemetry::metrics::ServiceVitals;
use crate::tls::Origin;
use crate::upstream::{GatewayTarget, SharedBudget, Via};
use crate::vitals::{GatewayKey, InFlight, OpenListeners, RateBuckets, RouteCounts, Vitals};
use portolan_core::admission::Rate;
use portolan_core::capacity::Capacity;
use portolan_core::chart::Chart;
use portolan_core::config::{Config, Gateway, Policy, Service};
use portolan_core::health::{GatewayHealth, HealthView, ServiceHealth, State};
use portolan_core::id::{Generation, ServiceId, ServiceName};
use portolan_core::learned::Orders;
use portolan_core::round_trip::Measured;
use portolan_core::route::RouteKey;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::sleep;

/// How often the round trips from here are looked at, where a service is ordered by them.
const MEASURE: Duration = Duration::from_millis(100);

/// An update of the routing table.
#[derive(Debug)]
pub enum Update {
    /// A new configuration, with everything it needs loaded.
    Loaded(Loaded),
    /// New location tables.
    Geo(Arc<Geo>),
    /// New service tags.
    ServiceTags(Arc<ServiceTags>),
    /// New plugin versions, active or being rolled out.
    Plugins(Arc<Plugins>, Arc<Rollouts>),
    /// New certificates of listeners.
    Tls(Arc<Contexts>),
    /// New certificate authorities or client certificates for TLS with gateways.
    UpstreamTls(Arc<UpstreamOrigins>),
    /// A new view of the gateways of this configuration.
    Health(Arc<Config>, Arc<HealthView>),
    /// A drill begins or goes on to its next part: its clients see what all see. `None`: it has ended.
    Drill(Option<Arc<Drill>>),
    /// A new view of the gateways of this configuration, with the region of the drill lost.
    DrillHealth(Arc<Config>, Arc<HealthView>),
    /// New learned orders of the services of this configuration.
    Learned(Arc<Config>, LearnedOrders),
}

/// Learned orders by service, in configured order; none of services that no prefix has any of.
pub type LearnedOrders = Vec<Option<Arc<Orders>>>;

/// Owns the parts of the current table.
#[derive(Debug)]
pub struct Publisher {
    loaded: Loaded,
    overrides: Arc<Overrides>,
    health: Arc<HealthView>,
    charts: Vec<Arc<Chart>>,
    learned: LearnedOrders,
    drill: Option<Arc<Drill>>,
    drill_health: Option<Arc<HealthView>>,
    joined: Vec<Joined>,
    route_counts: Arc<[RouteCounts]>,
    registry: Registry,
    generation: Generation,
    /// The time that was spent on building tables.
    building: Duration,
    watched: watch::Sender<Watched>,
    /// With the networks of the service tags that they name.
    listeners: Arc<[Listener]>,
    open_listeners: OpenListeners,
    /// Those that reloads removed and that are open still.
    removed_listeners: Arc<[Listener]>,
    /// TLS of all listeners, removed ones among them.
    tls: Arc<Contexts>,
    via: Arc<Via>,
    /// What this instance is called where the configuration gives no name.
    random_via: Arc<Via>,
}

/// The part of a service that changes only with the configuration.
#[derive(Debug)]
struct Joined {
    gateways: Arc<[Arc<GatewayTarget>]>,
    vitals: Arc<ServiceVitals>,
    budget: Arc<SharedBudget>,
    affinity: Option<Arc<ServiceAffinity>>,
    capacity: Option<Arc<Capacity>>,
    /// The round trips from here that plugins are given, by slot. Empty where they are not counted from here.
    measured: Vec<Option<Measured>>,
}

/// State that survives a reload: counters and resolved names of the gateways that remain.
#[derive(Debug)]
struct Registry {
    workers: usize,
    alarm: Arc<Notify>,
    resolver: Arc<Resolver>,
    gateways: HashMap<GatewayKey, Arc<GatewayTarget>>,
    services: HashMap<ServiceName, (Arc<ServiceVitals>, Arc<SharedBudget>)>,
    /// The requests that are worked on, of all routes and of those that limit them.
    in_flight: Arc<InFlight>,
    routes: HashMap<RouteKey, RouteCounts>,
    /// What affinity cookies are signed with where the configuration names no keys.
    random_keys: Arc<AffinityKeys>,
}

impl Publisher {
    /// A publisher with its first table. `waits`: the regions that are on their way back since before the start. `alarm` is notified of
    /// every failed attempt.
    pub fn new(
        loaded: Loaded,
        overrides: Arc<Overrides>,
        waits: &Waits,
        workers: usize,
        alarm: Arc<Notify>,
        resolver: Arc<Resolver>,
        open_listeners: OpenListeners,
    ) -> (Self, Arc<Tables>) {
        let begun = Instant::now();
        resolver.configure(loaded.settings.resolvers.clone());
        let mut registry = Registry {
            workers,
            alarm,
            resolver,
            gateways: HashMap::new(),
            services: HashMap::new(),
            in_flight: Arc::new(InFlight::new(workers)),
            routes: HashMap::new(),
            random_keys: AffinityKeys::random(),
        };
        let joined = registry.join(&loaded);
        let (watched, _) = watch::channel(watched(&loaded, &joined));
        let random_via = Arc::new(Via::random());
        let mut publisher = Self {
            health: Arc::new(health::tracker(&loaded.settings.routing, &overrides, waits, 0, Instant::now()).view()),
            charts: charts::drawn(&loaded),
            learned: Vec::new(),
            drill: None,
            drill_health: None,
            route_counts: registry.route_counts(&loaded.settings.routing),
            listeners: listeners(&loaded),
            generation: Generation::default(),
            building: Duration::ZERO,
            via: via(&loaded, &random_via),
            random_via,
            tls: Arc::clone(loaded.tls.listeners()),
            loaded,
            overrides,
            joined,
            registry,
            watched,
            open_listeners,
            removed_listeners: Arc::default(),
        };
        let mut table = publisher.next_table();
        publisher.building = begun.elapsed();
        table.building = publisher.building;
        let tables = Tables::new(table);
        (publisher, tables)
    }

    /// The gateways to watch, now and after every reload.
    pub fn watched(&self) -> watch::Receiver<Watched> {
        self.watched.subscribe()
    }

    /// Publishes a table whenever updates come or round trips from here change an order, until the senders of updates are
    /// gone. Updates that came together are published together.
    pub async fn run(&mut self, updates: &mut mpsc::UnboundedReceiver<Update>, tables: &Tables) {
        loop {
            let update = tokio::select! {
                biased;
                update = updates.recv() => match update {
                    None => return,
                    update => update,
                },
                () = sleep(MEASURE), if charts::are_measured(&self.loaded) => None,
            };
            let (is_updated, now) = (update.is_some(), Instant::now());
            if let Some(update) = update {
                self.fold(update);
                while let Ok(update) = updates.try_recv() {
                    self.fold(update);
                }
            }
            if self.measure(now) || is_updated {
                let mut table = self.next_table();
                self.building += now.elapsed();
                table.building = self.building;
                tables.publish(table);
            }
        }
    }

    /// Orders the regions of services by the round trips from here as they are now. Returns whether anything changed that a
    /// table shows.
    fn measure(&mut self, now: Instant) -> bool {
        let mut changed = false;
        let services = self.loaded.settings.routing.services().iter();
        for ((service, joined), chart) in services.zip(&mut self.joined).zip(&mut self.charts) {
            let gateways = joined.gateways.iter();
            let measured: Vec<_> = gateways.map(|it| it.vitals.round_trip.measured(now)).collect();
            let here = self.loaded.settings.routing.fallback();
            if let Some(next) = charts::reordered(chart, service, here, &measured) {
                *chart = Arc::new(next);
                changed = true;
            }
            // Plugins are given them.
            if charts::differ(service, &joined.measured, &measured) {
                joined.measured = measured;
                changed = true;
            }
        }
        changed
    }

    fn fold(&mut self, update: Update) {
        match update {
            Update::Loaded(loaded) => self.reload(loaded),
            Update::Geo(geo) => {
                self.loaded.geo = geo;
                self.charts = charts::carried(charts::drawn(&self.loaded), &self.loaded, &self.loaded, &self.charts);
            }
            Update::ServiceTags(tags) => {
                self.loaded.service_tags = tags;
                self.listeners = listeners(&self.loaded);
            }
            Update::Plugins(plugins, rollouts) => (self.loaded.plugins, self.loaded.rollouts) = (plugins, rollouts),
            Update::Tls(contexts) => self.tls = self.with_removed(&contexts),
            Update::UpstreamTls(origins) => {
                self.loaded.origins = origins;
                self.joined = self.registry.join(&self.loaded);
                self.watched.send_replace(watched(&self.loaded, &self.joined));
            }
            // A view of the configuration before this one: the next one is on its way.
            Update::Health(config, _) if !Arc::ptr_eq(&config, &self.loaded.settings.routing) => {}
            Update::Health(_, health) => self.health = health,
            Update::Drill(drill) => (self.drill, self.drill_health) = (drill, None),
            Update::DrillHealth(config, health) => {
                let is_on = self.drill.as_ref().is_some_and(|it| it.phase() == DrillPhase::During);
                let is_current = Arc::ptr_eq(&config, &self.loaded.settings.routing);
                self.drill_health = Some(health).filter(|_| is_on && is_current);
            }
            Update::Learned(config, _) if !Arc::ptr_eq(&config, &self.loaded.settings.routing) => {}
            Update::Learned(_, learned) => self.learned = learned,
        }
    }

    fn reload(&mut self, loaded: Loaded) {
        let (before, health) = (Arc::clone(&self.loaded.settings.routing), Arc::clone(&self.health));
        let known: HashMap<GatewayKey, GatewayHealth> = before
            .services()
            .iter()
            .enumerate()
            .flat_map(|(index, service)| {
                let view = health.services().get(index);
                keys(service).zip(
                    view.into_iter()
                        .flat_map(ServiceHealth::gateways)
                        .copied()
                        .collect::<Vec<_>>(),
                )
            })
            .collect();
        self.health = Arc::new(carried(&loaded.settings.routing, |key| {
            let known = known.get(&key).copied();
            known.unwrap_or_else(|| unobserved(&key, &self.overrides))
        }));
        // Assigned together, so that a panic leaves the parts consistent.
        let charts = charts::carried(charts::drawn(&loaded), &loaded, &self.loaded, &self.charts);
        self.registry.resolver.configure(loaded.settings.resolvers.clone());
        self.joined = self.registry.join(&loaded);
        self.route_counts = self.registry.route_counts(&loaded.settings.routing);
        self.charts = charts;
        // Of other services. They are prepared again at once.
        self.learned = Vec::new();
        self.drill_health = None;
        self.removed_listeners = self.removed_by(&loaded.settings.listeners);
        self.listeners = listeners(&loaded);
        self.tls = self.with_removed(loaded.tls.listeners());
        self.via = via(&loaded, &self.random_via);
        self.loaded = loaded;
        self.watched.send_replace(watched(&self.loaded, &self.joined));
    }

    /// The listeners that are open and that these do not replace.
    fn removed_by(&self, next: &[Listener]) -> Arc<[Listener]> {
        let before = self.listeners.iter().chain(&*self.removed_listeners);
        let is_next = |listener: &Listener| next.iter().any(|next| next.id == listener.id);
        let removed = before.filter(|it| !is_next(it) && self.open_listeners.is_open(&it.id));
        removed.cloned().collect()
    }

    /// These, and those of removed listeners, which may have connections in their queues.
    fn with_removed(&self, contexts: &Arc<Contexts>) -> Arc<Contexts> {
        let removed = self.removed_listeners.iter().filter_map(|listener| {
            let (id, tls) = self.tls.get_key_value(&listener.id)?;
            Some((id.clone(), Arc::clone(tls)))
        });
        let removed: Contexts = removed.collect();
        if removed.is_empty() {
            return Arc::clone(contexts);
        }
        let current = contexts.iter().map(|(id, tls)| (id.clone(), Arc::clone(tls)));
        Arc::new(removed.into_iter().chain(current).collect())
    }

    /// The next table with this health of the gateways, which are those of the configuration. It is not published.
    pub fn table_with(&mut self, health: Arc<HealthView>) -> RoutingTable {
        self.health = health;
        self.next_table()
    }

    fn next_table(&mut self) -> RoutingTable {
        self.generation = self.generation.next();
        let is_closed = |listener: &Listener| !self.open_listeners.is_open(&listener.id);
        if self.removed_listeners.iter().any(is_closed) {
            let open = self.removed_listeners.iter().filter(|it| !is_closed(it));
            self.removed_listeners = open.cloned().collect();
        }
        let services = self.loaded.settings.routing.services().iter().enumerate();
        RoutingTable {
            generation: self.generation,
            building: self.building,
            settings: Arc::clone(&self.loaded.settings),
            via: Arc::clone(&self.via),
            listeners: Arc::clone(&self.listeners),
            removed_listeners: Arc::clone(&self.removed_listeners),
            tls: Arc::clone(&self.tls),
            geo: Arc::clone(&self.loaded.geo),
            health: Arc::clone(&self.health),
            services: services
                .zip(self.joined.iter().zip(&self.charts))
                .map(|((index, service), (joined, chart))| ServiceEntry {
                    chart: Arc::clone(chart),
                    gateways: Arc::clone(&joined.gateways),
                    plugin: self.plugin(service, self.health.services().get(index), &joined.measured),
                    vitals: Arc::clone(&joined.vitals),
                    budget: Arc::clone(&joined.budget),
                    affinity: joined.affinity.as_ref().map(Arc::clone),
                    special: self.special(index),
                    steering: self
                        .health
                        .services()
                        .get(index)
                        .and_then(|health| Steering::of(service, health))
                        .map(Arc::new),
                })
                .collect(),
            in_flight: Arc::clone(&self.registry.in_flight),
            route_counts: Arc::clone(&self.route_counts),
        }
    }

    /// The drill, where it is about this service. Until the health task has followed it, its clients see what all see.
    fn drill(&self, index: usize) -> Option<Arc<ServiceDrill>> {
        let drill = self.drill.as_ref()?;
        let service = self.loaded.settings.routing.services().get(index)?;
        let slot = service.slot_of(drill.region())?;
        let health = self
            .drill_health
            .as_ref()
            .unwrap_or(&self.health)
            .services()
            .get(index)?;
        ServiceDrill::new(drill, &service.name, slot, health.clone()).map(Arc::new)
    }

    fn special(&self, index: usize) -> Option<Special> {
        let capacity = self.joined.get(index).and_then(|joined| joined.capacity.clone());
        let learned = self.learned.get(index).cloned().flatten();
        let drill = self.drill(index);
        (capacity.is_some() || learned.is_some() || drill.is_some()).then_some(Special {
            capacity,
            learned,
            drill,
        })
    }

    fn plugin(
        &self,
        service: &Service,
        health: Option<&ServiceHealth>,
        measured: &[Option<Measured>],
    ) -> Option<PluginEntry> {
        let Policy::Plugin(name) = &service.policy else {
            return None;
        };
        let rollouts = &self.loaded.rollouts;
        if rollouts.off.contains(name) {
            return None;
        }
        Some(PluginEntry {
            version: Arc::clone(self.loaded.plugins.get(name)?),
            trial: rollouts.trials.get(name).cloned(),
            regions: Arc::new(plugin_regions(self.generation, service, health?, measured)),
        })
    }
}

/// The buckets of a rate limit: the ones before when its terms are the same.
fn buckets(terms: Rate, before: Option<Arc<RateBuckets>>) -> Arc<RateBuckets> {
    let is_same = |buckets: &Arc<RateBuckets>| buckets.terms() == terms;
    // std's hasher is keyed by the system's randomness.
    let secret = || RandomState::new().hash_one(());
    before
        .filter(is_same)
        .unwrap_or_else(|| Arc::new(RateBuckets::new(terms, secret())))
}

impl Registry {
    /// Finds or makes what the gateways and services of a configuration need, and forgets the rest.
    fn join(&mut self, loaded: &Loaded) -> Vec<Joined> {
        let (mut gateways, mut services) = (HashMap::new(), HashMap::new());
        let routing = &loaded.settings.routing;
        let joined = routing
            .services()
            .iter()
            .zip((0..).map(ServiceId))
            .map(|(service, id)| {
                let targets = service.gateways().iter().zip(keys(service)).map(|(gateway, key)| {
                    let target = self.target(gateway, &key, service, loaded.origin(service, gateway));
                    gateways.insert(key, Arc::clone(&target));
                    target
                });
                let targets = targets.collect();
                let (vitals, budget) = self.own(service);
                services.insert(service.name.clone(), (Arc::clone(&vitals), Arc::clone(&budget)));
                let keys = loaded.affinity_keys.as_ref().unwrap_or(&self.random_keys);
                Joined {
                    gateways: targets,
                    vitals,
                    budget,
                    affinity: ServiceAffinity::new(service, keys).map(Arc::new),
                    capacity: Capacity::of(routing, id).map(Arc::new),
                    measured: Vec::new(),
                }
            });
        let joined = joined.collect();
        (self.gateways, self.services) = (gateways, services);
        joined
    }

    /// What is counted of the routes that have limits: the counts before for routes that had such a limit before.
    fn route_counts(&mut self, config: &Config) -> Arc<[RouteCounts]> {
        let before = std::mem::take(&mut self.routes);
        let counts = config.route_policies().iter().map(|own| {
            let RouteCounts { in_flight, rate } = before.get(&own.route).cloned().unwrap_or_default();
            let in_flight = own.limits.concurrent_requests.map(|_| {
                let known = in_flight.as_ref().map(Arc::clone);
                known.unwrap_or_else(|| Arc::new(InFlight::new(self.workers)))
            });
            let counts = RouteCounts {
                in_flight,
                rate: own.limits.rate.map(|terms| buckets(terms, rate)),
            };
            self.routes.insert(own.route.clone(), counts.clone());
            counts
        });
        counts.collect()
    }

    /// The counters of a service, and its retry budget: the one before when its terms are the same.
    fn own(&mut self, service: &Service) -> (Arc<ServiceVitals>, Arc<SharedBudget>) {
        let (vitals, budget) = self.services.remove(&service.name).unzip();
        let terms = service.retry.budget;
        let budget = budget.filter(|budget| budget.terms() == terms);
        (
            vitals.unwrap_or_else(|| Arc::new(ServiceVitals::new(service.name.clone(), self.workers))),
            budget.unwrap_or_else(|| Arc::new(SharedBudget::new(terms, self.workers, Instant::now()))),
        )
    }

    /// The target of a gateway: the one before when nothing of it changed, with its connections; its counters always.
    fn target(
        &self,
        gateway: &Gateway,
        key: &GatewayKey,
        service: &Service,
        tls: Option<&Arc<Origin>>,
    ) -> Arc<GatewayTarget> {
        let before = self.gateways.get(key);
        match before.filter(|target| target.fits(service, tls.map(Arc::as_ref))) {
            Some(target) => {
                target.judge_by(service);
                Arc::clone(target)
            }
            None => {
                let vitals = before
                    .map(|target| Arc::clone(&target.vitals))
                    .unwrap_or_else(|| Arc::new(Vitals::new(key.clone(), self.workers, Arc::clone(&self.alarm))));
                GatewayTarget::new(gateway, service, tls.cloned(), vitals, &self.resolver)
            }
        }
    }
}

fn keys(service: &Service) -> impl Iterator<Item = GatewayKey> {
    service
        .gateways()
        .iter()
        .map(|gateway| GatewayKey::of(&service.name, gateway))
}

fn carried(config: &Config, known: impl Fn(GatewayKey) -> GatewayHealth) -> HealthView {
    let services = config.services().iter();
    HealthView::new(
        services
            .map(|service| ServiceHealth::new(keys(service).map(&known).collect()))
            .collect(),
    )
}

/// The health of a gateway before the first observation: drained where an operator has drained its region.
fn unobserved(key: &GatewayKey, overrides: &Overrides) -> GatewayHealth {
    let state = match overrides.is_drained(&key.region) {
        true => State::Draining,
        false => State::Unknown,
    };
    GatewayHealth {
        state,
        ..GatewayHealth::default()
    }
}

fn via(loaded: &Loaded, random: &Arc<Via>) -> Arc<Via> {
    match &loaded.settings.via {
        Some(pseudonym) => Arc::new(Via::new(pseudonym)),
        None => Arc::clone(random),
    }
}

/// The listeners, which trust the networks of the service tags that they name.
fn listeners(loaded: &Loaded) -> Arc<[Listener]> {
    let listeners = loaded.settings.listeners.iter().cloned().map(|mut listener| {
        let path = listener.service_tags.as_ref();
        if let Some(front_door) = path.and_then(|path| loaded.service_tags.front_door(path)) {
            listener.client_address.trusted = listener.client_address.trusted.union(front_door);
        }
        listener
    });
    listeners.collect()
}

fn watched(loaded: &Loaded, joined: &[Joined]) -> Watched {
    let gateway = |target: &Arc<GatewayTarget>| WatchedGateway {
        vitals: Arc::clone(&target.vitals),
        tls: target.tls().cloned(),
    };
    let services = joined.iter();
    Watched {
        config: Arc::clone(&loaded.settings.routing),
        gateways: services
            .map(|service| service.gateways.iter().map(gateway).collect())
            .collect(),
        gates: loaded.gates(),
    }
}
