//! The routing table: everything a request reads, joined once, immutable, replaced as a whole.
//!
//! A request pins one table and keeps it to its end, so that all it sees belongs together. What can be joined while
//! building is joined there: a request looks up, it does not search.

use crate::affinity::ServiceAffinity;
use crate::arrival::ListenerId;
use crate::config::{Listener, Settings};
use crate::drill::ServiceDrill;
use crate::geo::Geo;
use crate::plugin::{PluginVersion, RegionTable};
use crate::record::{SeenBy, TableView};
use crate::rollout::{Trial, VersionVitals};
use crate::steer::Steering;
use crate::telemetry::metrics::ServiceVitals;
use crate::tls::ServerTls;
use crate::upstream::{GatewayTarget, SharedBudget, Via};
use crate::vitals::{InFlight, RouteCounts, Vitals};
use arc_swap::ArcSwap;
use portolan_core::admission::{Priority, Shed};
use portolan_core::capacity::{Capacity, Load};
use portolan_core::chart::Chart;
use portolan_core::config::{Config, Retry, RoutePolicies, Service, Timeouts};
use portolan_core::health::{HealthView, ServiceHealth};
use portolan_core::id::{Generation, ServiceId, Slot};
use portolan_core::learned::Orders;
use portolan_core::rate_limit::ClientNetwork;
use portolan_core::route::{Asked, PoliciesId, RouteEntry};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// One immutable snapshot of everything that requests are decided by.
#[derive(Debug)]
pub struct RoutingTable {
    /// Its number.
    pub generation: Generation,
    /// The time that was spent on building it and all before it.
    pub building: Duration,
    /// The settings it was built from.
    pub settings: Arc<Settings>,
    /// What this instance is called in `Via`.
    pub via: Arc<Via>,
    /// The settings' listeners, with the networks of the service tags that they name.
    pub listeners: Arc<[Listener]>,
    /// Listeners that are not in the settings any more, as long as they have connections.
    pub removed_listeners: Arc<[Listener]>,
    /// TLS of the listeners that have it, removed ones among them.
    pub tls: Arc<BTreeMap<ListenerId, Arc<ServerTls>>>,
    /// Where addresses are.
    pub geo: Arc<Geo>,
    /// What is known of the gateways, in the order of the configuration's services.
    pub health: Arc<HealthView>,
    /// What was joined for every service, in the same order.
    pub services: Vec<ServiceEntry>,
    /// The requests that are worked on, whatever table they were decided by.
    pub in_flight: Arc<InFlight>,
    /// What is counted of the routes that have limits, in the order of the configuration's own policies of routes.
    pub route_counts: Arc<[RouteCounts]>,
}

/// What was joined for one service.
#[derive(Clone, Debug)]
pub struct ServiceEntry {
    /// Its regions by preference, for every place.
    pub chart: Arc<Chart>,
    /// Its gateways in slot order, ready to be used.
    pub gateways: Arc<[Arc<GatewayTarget>]>,
    /// Its plugin, when its policy names one that is loaded.
    pub plugin: Option<PluginEntry>,
    /// Its counters.
    pub vitals: Arc<ServiceVitals>,
    /// Its retry budget.
    pub budget: Arc<SharedBudget>,
    /// How its requests belong together, when they do.
    pub affinity: Option<Arc<ServiceAffinity>>,
    /// What few services have; `None` for all others.
    pub special: Option<Special>,
    /// How its clients are sent to regions directly, where they are.
    pub steering: Option<Arc<Steering>>,
}

/// What few services have, behind one branch of each request.
#[derive(Clone, Debug)]
pub struct Special {
    /// What its regions can take; `None` where none has a limit.
    pub capacity: Option<Arc<Capacity>>,
    /// The orders of prefixes where learned round trips change them.
    pub learned: Option<Arc<Orders>>,
    /// A drill that loses one of its regions to a share of the clients.
    pub drill: Option<Arc<ServiceDrill>>,
}

/// A service's plugin and the regions as it is given them.
#[derive(Clone, Debug)]
pub struct PluginEntry {
    /// The loaded version.
    pub version: Arc<PluginVersion>,
    /// The service's regions with this table's health.
    pub regions: Arc<RegionTable>,
    /// Another version that is being rolled out.
    pub trial: Option<Arc<Trial>>,
}

impl PluginEntry {
    /// The version that decides the requests of a client, and whether it is the one that is being rolled out.
    #[inline]
    pub fn version_for(&self, client: IpAddr) -> (&Arc<PluginVersion>, bool) {
        match &self.trial {
            Some(trial) if trial.decides(client) => (&trial.version, true),
            _ => (&self.version, false),
        }
    }
}

/// A service as one request sees it.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'a> {
    /// The route that leads to it.
    pub route: &'a RouteEntry,
    /// Its index.
    pub id: ServiceId,
    /// Its policies.
    pub service: &'a Service,
    /// What the route has of its own.
    pub own: Option<&'a RoutePolicies>,
    /// How failures are retried.
    pub retry: &'a Retry,
    /// Time bounds of a request.
    pub timeouts: &'a Timeouts,
    /// What was joined for it.
    pub entry: &'a ServiceEntry,
    /// What is known of its gateways.
    pub health: &'a ServiceHealth,
    /// The drill that its client takes part in.
    pub drill: Option<&'a ServiceDrill>,
}

impl<'a> Routed<'a> {
    /// The same for this client, which may take part in a drill.
    #[inline]
    #[must_use]
    pub fn seen_by(self, client: IpAddr) -> Self {
        match self.entry.drill() {
            Some(drill) if drill.covers(client) => Self {
                health: &drill.health,
                drill: Some(drill),
                ..self
            },
            _ => self,
        }
    }

    /// The gateway of a slot; `None` where a drill has lost it.
    pub fn gateway(&self, slot: Slot) -> Option<&'a Arc<GatewayTarget>> {
        match self.drill {
            Some(drill) if drill.is_lost(slot) => None,
            _ => self.entry.gateway(slot),
        }
    }

    /// The order in which its requests are shed.
    pub fn priority(&self) -> Priority {
        self.own.map_or(Priority::default(), |own| own.priority)
    }
}

impl RoutingTable {
    /// The decision core's configuration.
    pub fn config(&self) -> &Config {
        &self.settings.routing
    }

    /// A listener that has sockets or connections.
    pub fn listener(&self, id: &ListenerId) -> Option<&Listener> {
        let mut listeners = self.listeners.iter().chain(&*self.removed_listeners);
        listeners.find(|listener| listener.id == *id)
    }

    /// The route for a host, a path and what else is asked, where it redirects.
    pub fn redirect(&self, host: &str, path: &str, asked: &Asked<'_>) -> Option<&RouteEntry> {
        let route = self.config().routes().find(host, path, asked);
        route.filter(|route| route.is_redirect())
    }

    /// The route for a host, a path and what else is asked, and the service that it leads to.
    pub fn route(&self, host: &str, path: &str, asked: &Asked<'_>) -> Option<Routed<'_>> {
        self.routed(self.config().routes().find(host, path, asked)?)
    }

    /// The service that a route of this configuration leads to.
    #[inline]
    pub fn routed<'a>(&'a self, route: &'a RouteEntry) -> Option<Routed<'a>> {
        let id = route.service();
        let service = self.config().service(id)?;
        let (own, retry, timeouts) = match route.policies() {
            None => (None, &service.retry, &service.timeouts),
            Some(id) => {
                let own = self.config().policies(id)?;
                (Some(own), &own.retry, &own.timeouts)
            }
        };
        Some(Routed {
            route,
            id,
            service,
            own,
            retry,
            timeouts,
            entry: self.services.get(id.index())?,
            health: self.health.service(id)?,
            drill: None,
        })
    }

    /// Whether another request is worked on now.
    ///
    /// # Errors
    /// When it is shed: the instance or the route has as many as it may.
    #[inline]
    pub fn admit(&self, routed: Routed<'_>) -> Result<(), Shed> {
        match (&self.settings.overload, routed.own) {
            (None, None) => Ok(()),
            _ => self.admit_within_limits(routed),
        }
    }

    fn admit_within_limits(&self, routed: Routed<'_>) -> Result<(), Shed> {
        let Routed { route, own, .. } = routed;
        if let Some(overload) = &self.settings.overload {
            overload.admit(routed.priority(), self.in_flight.total())?;
        }
        let of_route = route.policies().and_then(|id| self.of_route(id));
        match (own, of_route) {
            (Some(own), Some(in_flight)) => own.limits.admit(|| in_flight.total()),
            _ => Ok(()),
        }
    }

    /// Whether a client may send another request by this route now.
    ///
    /// # Errors
    /// The time until it may.
    #[inline]
    pub fn within_rate(&self, routed: Routed<'_>, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let limited = routed.own.filter(|own| own.limits.rate.is_some());
        let id = limited.and(routed.route.policies());
        let counts = id.and_then(|id| self.route_counts.get(id.index()));
        match counts.and_then(|counts| counts.rate.as_ref()) {
            None => Ok(()),
            Some(buckets) => buckets.take(ClientNetwork::of(client), now),
        }
    }

    /// What is special about a client of a service.
    pub fn special_of(&self, id: ServiceId, client: IpAddr) -> SeenBy {
        let entry = self.services.get(id.index());
        let plugin = entry.and_then(|entry| entry.plugin.as_ref());
        SeenBy {
            drill: entry
                .and_then(ServiceEntry::drill)
                .is_some_and(|drill| drill.covers(client)),
            canary: plugin.is_some_and(|plugin| plugin.version_for(client).1),
        }
    }

    /// The requests of a route that are worked on, where it limits them.
    fn of_route(&self, id: PoliciesId) -> Option<&InFlight> {
        self.route_counts.get(id.index())?.in_flight.as_deref()
    }
}

impl ServiceEntry {
    /// Whether this version of a plugin orders the regions, of some clients at least or in shadow.
    pub fn has_plugin(&self, version: &PluginVersion) -> bool {
        let own = self.plugin.iter();
        let mut versions =
            own.flat_map(|own| std::iter::once(&own.version).chain(own.trial.iter().map(|it| &it.version)));
        versions.any(|own| std::ptr::eq(&**own, version))
    }

    /// The gateway of a slot.
    pub fn gateway(&self, slot: Slot) -> Option<&Arc<GatewayTarget>> {
        self.gateways.get(slot.index())
    }

    /// What the service's plugin calls a reason it gave for a client.
    pub fn plugin_reason(&self, client: IpAddr, reason: u16) -> Option<&str> {
        self.plugin.as_ref()?.version_for(client).0.reason(reason)
    }

    /// Whether it has neither limits nor learned orders.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.special.is_none()
    }

    /// The orders of prefixes where learned round trips change them.
    pub fn learned(&self) -> Option<&Orders> {
        self.special.as_ref()?.learned.as_deref()
    }

    /// The drill of one of its regions.
    #[inline]
    pub fn drill(&self) -> Option<&ServiceDrill> {
        self.special.as_ref()?.drill.as_deref()
    }

    /// What its regions can take, where they have limits.
    #[inline]
    pub fn capacity(&self) -> Option<&Capacity> {
        self.special.as_ref()?.capacity.as_deref()
    }

    /// The load of a region now.
    pub fn load(&self, slot: Slot, now: Instant) -> Load {
        let vitals = self.gateway(slot).map(|gateway| &gateway.vitals);
        vitals.map_or(Load::default(), |vitals| vitals.load.beside(vitals.in_flight(), now))
    }
}

/// The place where tables are published: one writer, many readers that never wait.
#[derive(Debug)]
pub struct Tables {
    current: ArcSwap<RoutingTable>,
    /// The current table's number again, for readers to see cheaply that theirs is old.
    latest: AtomicU64,
    generation: watch::Sender<Generation>,
}

impl Tables {
    /// With a first table.
    pub fn new(first: RoutingTable) -> Arc<Self> {
        let generation = first.generation;
        Arc::new(Self {
            current: ArcSwap::from_pointee(first),
            latest: AtomicU64::new(generation.0),
            generation: watch::Sender::new(generation),
        })
    }

    /// Replaces the table. Only the publisher calls this.
    pub fn publish(&self, table: RoutingTable) {
        let generation = table.generation;
        self.current.store(Arc::new(table));
        self.latest.store(generation.0, Ordering::Release);
        self.generation.send_replace(generation);
    }

    /// The current table, for the control side.
    pub fn current(&self) -> Arc<RoutingTable> {
        self.current.load_full()
    }

    /// Tells of every new generation; waiting on it is level-triggered.
    pub fn subscribe(&self) -> watch::Receiver<Generation> {
        self.generation.subscribe()
    }
}

/// A worker's view of the tables: pinning costs one load and a count that no other thread touches.
#[derive(Debug)]
pub struct Pins {
    tables: Arc<Tables>,
    pinned: RefCell<Pin>,
}

/// A pinned table.
pub type Pin = Rc<Arc<RoutingTable>>;

impl Pins {
    /// A view of these tables for one worker.
    pub fn new(tables: Arc<Tables>) -> Self {
        let pinned = RefCell::new(Rc::new(tables.current()));
        Self { tables, pinned }
    }

    /// The current table, to be kept for one request.
    pub fn pin(&self) -> Pin {
        let mut pinned = self.pinned.borrow_mut();
        if pinned.generation.0 != self.tables.latest.load(Ordering::Acquire) {
            *pinned = Rc::new(self.tables.current());
        }
        Rc::clone(&pinned)
    }
}

impl TableView for Pin {
    fn service(&self, id: ServiceId) -> Option<(&Service, &ServiceVitals)> {
        Some((self.config().service(id)?, &self.services.get(id.index())?.vitals))
    }

    fn gateway(&self, id: ServiceId, slot: Slot) -> Option<&Vitals> {
        Some(&self.services.get(id.index())?.gateway(slot)?.vitals)
    }

    fn plugin_reason(&self, id: ServiceId, client: IpAddr, reason: u16) -> Option<&str> {
        self.services.get(id.index())?.plugin_reason(client, reason)
    }

    fn plugin_version(&self, id: ServiceId, client: IpAddr) -> Option<&VersionVitals> {
        let trial = self.services.get(id.index())?.plugin.as_ref()?.trial.as_ref()?;
        Some(trial.vitals_for(client))
    }

    fn decided_under(&self) -> (Arc<Config>, Arc<HealthView>) {
        (Arc::clone(&self.settings.routing), Arc::clone(&self.health))
    }

    fn seen_by(&self, id: ServiceId, client: IpAddr) -> SeenBy {
        self.special_of(id, client)
    }

    fn enter(&self, worker: usize, route: Option<PoliciesId>) {
        self.in_flight.enter(worker);
        if let Some(of_route) = route.and_then(|id| self.of_route(id)) {
            of_route.enter(worker);
        }
    }

    fn leave(&self, worker: usize, route: Option<PoliciesId>) {
        self.in_flight.leave(worker);
        if let Some(of_route) = route.and_then(|id| self.of_route(id)) {
            of_route.leave(worker);
        }
    }
}
