//! The interface between the administration API and the running instance.

use super::peers::Peers;
use super::tls::AdminTls;
use crate::control::certificates::Contexts;
use crate::control::decisions::DecisionLog;
use crate::control::drills::{DrillError, DrillReport, Terms};
use crate::control::events::Events;
use crate::control::history::History;
use crate::control::overrides::{self, PinKind};
use crate::control::reload::{Changed, PluginOrder};
use crate::control::status::{PollResult, Quarantine, RolledBack, RolloutStatus, StateWrites};
use crate::control::traffic::Traffic;
use crate::dns::Name;
use crate::front_door::Snapshot;
use crate::learned::LearnedStatus;
use crate::learned::report::{Report, ReportError, Reported};
use crate::plugin::{CounterReading, StartReading};
use crate::telemetry::log_writer::Lines;
use crate::telemetry::metrics::ServiceVitals;
use crate::telemetry::spans::SpanCounts;
use crate::vitals::{InFlight, ListenerVitals, Rejections, RouteCounts, Vitals};
use portolan_core::admission::Overload;
use portolan_core::chart::Chart;
use portolan_core::config::Config;
use portolan_core::geo::Place;
use portolan_core::health::HealthView;
use portolan_core::id::{Generation, PluginName, RegionName};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use thiserror::Error;

pub use crate::explain::{Applied, ExplainError, Explained, Question, certificate};

/// The running instance, as the administration API accesses it.
pub trait AdminBackend: Send + Sync + 'static {
    /// A consistent snapshot of everything that is shown.
    fn snapshot(&self) -> StatusSnapshot;

    /// The places of the location table, by [`PlaceId`](portolan_core::geo::PlaceId).
    fn places(&self) -> Vec<Place>;

    /// The active configuration, as it was written, with what may be secret redacted.
    fn configuration(&self) -> serde_json::Value;

    /// Whether this instance should get traffic.
    fn readiness(&self) -> Readiness;

    /// The supervised tasks of the program.
    fn tasks(&self) -> Vec<TaskStatus>;

    /// Decides about a hypothetical request.
    ///
    /// # Errors
    /// When there is no such request or no route for it.
    fn explain(&self, question: &Question) -> Result<Explained, ExplainError>;

    /// Adds round trips that others measured.
    ///
    /// # Errors
    /// When one of them is wrong, or none are learned: then none is added.
    fn report(&self, report: &Report) -> Result<Reported, ReportError>;

    /// Drains a region in all services, or ends that. Completes when the region's new state is active.
    /// `from` says who the operator is.
    fn drain(&self, region: RegionName, drained: bool, from: String) -> Ordered<'_, ()>;

    /// Gives a region its traffic back that has recovered and waits for that. Completes when it waits no more.
    fn fail_back(&self, region: RegionName, from: String) -> Ordered<'_, ()>;

    /// Begins a drill, which goes on for as long as somebody asks for it.
    ///
    /// # Errors
    /// When another one runs, or it would do harm.
    fn begin_drill(&self, terms: Terms, from: &str) -> Result<DrillReport, DrillError>;

    /// The drill that runs, else the last one. `renew`: it goes on.
    fn drill(&self, renew: bool) -> Option<DrillReport>;

    /// Ends the drill that runs. Whether there is one.
    fn stop_drill(&self) -> bool;

    /// Loads the configuration and the files it names again. `force`: however many clients that moves. Done when it is active.
    fn reload(&self, force: bool) -> Ordered<'_, ()>;

    /// Carries out an order about a plugin. Done when requests are decided so. `by` says who the operator is, and why.
    fn order_plugin(&self, plugin: PluginName, order: PluginOrder, by: overrides::Ordered) -> Ordered<'_, Changed>;

    /// What has happened.
    fn events(&self) -> Arc<Events>;

    /// The last hour.
    fn history(&self) -> Arc<History>;

    /// Where requests came from and went.
    fn traffic(&self) -> Arc<Traffic>;

    /// What this instance is called.
    fn name(&self) -> String;

    /// The other instances, as they answered last.
    fn peers(&self) -> Arc<Peers>;

    /// What was decided of the last requests that are kept.
    fn decisions(&self) -> Arc<DecisionLog>;
}

/// An order being carried out.
pub type Ordered<'a, T> = Pin<Box<dyn Future<Output = Result<T, OrderError>> + Send + 'a>>;

/// Why an order was not carried out.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OrderError {
    /// There is nothing of that name.
    #[error("{0}")]
    Unknown(String),
    /// It is impossible in the current state.
    #[error("{0}")]
    Impossible(String),
    /// What it needs was rejected.
    #[error("{0}")]
    Rejected(String),
    /// The task that executes orders has ended: the instance is stopping.
    #[error("the instance is stopping")]
    Stopping,
}

/// What operators order about plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginAction {
    /// Back to the version before.
    RollBack,
    /// To the configured version.
    RollForward,
    /// To a version that comes with the order.
    Deploy,
    /// On in a rollout.
    Promote,
    /// To the built-in policy.
    Off,
    /// And back.
    On,
}

impl PluginAction {
    /// All of them with their names in paths.
    pub const ALL: [(&'static str, Self); 6] = [
        ("deploy", Self::Deploy),
        ("promote", Self::Promote),
        ("rollback", Self::RollBack),
        ("rollforward", Self::RollForward),
        ("off", Self::Off),
        ("on", Self::On),
    ];
}

/// Whether an instance should get traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It should.
    Ready,
    /// It still answers, but is about to stop.
    LameDuck,
    /// It accepts nothing new.
    Draining,
}

impl Readiness {
    /// Its name in `/readyz`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::LameDuck => "lame_duck",
            Self::Draining => "draining",
        }
    }
}

/// A supervised task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Its name.
    pub name: String,
    /// How often it was restarted since the start.
    pub restarts: u64,
    /// Whether it keeps ending soon after every restart.
    pub failed: bool,
}

/// The status of an instance at one moment.
#[derive(Clone, Debug)]
pub struct StatusSnapshot {
    /// When the program started.
    pub started: SystemTime,
    /// The generation of the active routing table.
    pub generation: Generation,
    /// The time that was spent on building it and all before it.
    pub building: Duration,
    /// Its services and routes.
    pub config: Arc<Config>,
    /// Its view of the gateways.
    pub health: Arc<HealthView>,
    /// What belongs to every service, in configured order.
    pub services: Vec<ServiceStatus>,
    /// Requests without a route.
    pub unrouted: Arc<ServiceVitals>,
    /// Requests that were rejected.
    pub rejections: Arc<Rejections>,
    /// The requests that are worked on.
    pub in_flight: Arc<InFlight>,
    /// What is counted of the routes that have limits, in the order of the configuration's own policies of routes.
    pub route_counts: Arc<[RouteCounts]>,
    /// How many may be; `None`: any number.
    pub overload: Option<Overload>,
    /// The listeners that have sockets or connections.
    pub listeners: Vec<Arc<ListenerVitals>>,
    /// TLS of the listeners that have it.
    pub tls: Arc<Contexts>,
    /// TLS of the administration, when it has some.
    pub admin_tls: Option<AdminTls>,
    /// The location table.
    pub geo: GeoStatus,
    /// The loaded plugins, by name.
    pub plugins: Vec<PluginStatus>,
    /// How often versions of plugins were rolled back by themselves.
    pub rolled_back: RolledBack,
    /// Whether overrides outlive a restart: there is a state directory.
    pub keeps_overrides: bool,
    /// The regions that operators have drained.
    pub drains: BTreeMap<RegionName, overrides::Ordered>,
    /// The keys whose new values take effect at the next start.
    pub pending_restart: Vec<&'static str>,
    /// The results of all loads.
    pub loads: Vec<LoadStatus>,
    /// Writes of the active state to the state directory; `None` without one.
    pub state_writes: Option<StateWrites>,
    /// How often looks at the tags of plugins in registries came to each result.
    pub polls: [(PollResult, u64); PollResult::ALL.len()],
    /// The access log's lines; `None` when there is no such log.
    pub access_log: Option<Lines>,
    /// The event log's lines; `None` when the process has none.
    pub event_log: Option<Lines>,
    /// What became of spans of requests.
    pub spans: Arc<SpanCounts>,
    /// What plugins count.
    pub plugin_counters: Vec<CounterReading>,
    /// How many instances of plugins were started.
    pub plugin_starts: Vec<StartReading>,
    /// The supervised tasks.
    pub tasks: Vec<TaskStatus>,
    /// The Front Door status; `None` when it is not configured.
    pub front_door: Option<Arc<Snapshot>>,
    /// Learned round trips; `None` when they are not learned.
    pub learned: Option<LearnedStatus>,
}

/// What belongs to a service.
#[derive(Clone, Debug)]
pub struct ServiceStatus {
    /// Its counters.
    pub vitals: Arc<ServiceVitals>,
    /// Its gateways' counters, in slot order.
    pub gateways: Vec<Arc<Vitals>>,
    /// The names of its gateways, in slot order; `None` for those with an address.
    pub names: Vec<Option<Arc<Name>>>,
    /// Its regions by preference, for every place.
    pub chart: Arc<Chart>,
    /// How many client prefixes have an order of their own, because of learned round trips.
    pub learned_orders: usize,
}

/// The location table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeoStatus {
    /// The name in the database's metadata.
    pub database: String,
    /// When it was built, if known.
    pub built: Option<SystemTime>,
    /// How many networks of it have a place.
    pub networks: u64,
    /// Of those, the IPv4 ones.
    pub ipv4_networks: u64,
    /// Of those, the IPv6 ones.
    pub ipv6_networks: u64,
    /// How many places the table has.
    pub places: usize,
    /// The family, `IPv4` or `IPv6`, that the databases have no place for, so that the embedded table is used.
    pub filled: Option<&'static str>,
    /// Whether a database is older than 30 days. The embedded table never counts as old.
    pub stale: bool,
    /// What its licence asks to be shown.
    pub attribution: Option<String>,
}

/// A loaded plugin.
#[derive(Clone, Debug)]
pub struct PluginStatus {
    /// Its name in the configuration.
    pub name: PluginName,
    /// The digest of the active version.
    pub digest: String,
    /// Where it came from.
    pub source: String,
    /// The digest of the version before, which a rollback brings back.
    pub earlier: Option<String>,
    /// Where another version than the configured one is active: why, the digest of the configured one, and by which order.
    pub pinned: Option<(PinKind, String, overrides::Ordered)>,
    /// Where an operator has switched it off.
    pub off: Option<overrides::Ordered>,
    /// The version that is being rolled out.
    pub rollout: Option<RolloutStatus>,
    /// The versions that only operators activate, by digest.
    pub suspended: BTreeMap<String, overrides::Ordered>,
    /// When the active version became active.
    pub since: SystemTime,
    /// Its last quarantine.
    pub quarantine: Option<Quarantine>,
}

/// The load results of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadStatus {
    /// `config`, `geo` or `plugin`.
    pub what: &'static str,
    /// How often it was accepted.
    pub accepted: u64,
    /// How often it was rejected.
    pub rejected: u64,
    /// When it was last accepted.
    pub last_accepted: Option<SystemTime>,
    /// Why it was rejected, as long as nothing was accepted since.
    pub standing_error: Option<String>,
    /// Since when what is active has been good, when it was restored at the start because what there was had been rejected.
    pub restored: Option<SystemTime>,
}
