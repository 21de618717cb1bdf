//! What a configuration file sets.

use super::error::Mistake;
use super::publication::{AzureCredential, FrontDoorSettings};
use super::sources::Sources;
use crate::arrival::{ListenerId, RequestLimits};
use crate::oci::{Reference, Registry};
use crate::plugin::PluginSettings;
use crate::telemetry::access_log::Rules;
use crate::telemetry::otlp::target::Collector;
use crate::tls::{ListenerTls, PairFiles};
use http::Uri;
use ipnet::IpNet;
use portolan_core::admission::Overload;
use portolan_core::config::Config;
use portolan_core::geo::{Country, Point};
use portolan_core::id::{PluginName, RegionName, ServiceName};
use portolan_core::identity::ClientAddress;
use portolan_core::networks::Networks;
use portolan_core::rollout::{Plan, Share};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A valid configuration file: what a start fixes, and what a reload replaces.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// What takes effect at a start only.
    pub fixed: Fixed,
    /// What takes effect at every reload.
    pub settings: Settings,
    /// Warnings: valid, and probably not intended.
    pub warnings: Vec<Mistake>,
}

/// Settings that need a restart: a reload that changes them is accepted, and they take effect at the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// Where administration listens.
    pub admin: Admin,
    /// How many worker threads serve requests. `None`: as many as there are cores.
    pub workers: Option<NonZeroUsize>,
    /// Where one line for each request goes.
    pub access_log: AccessLog,
}

impl Fixed {
    /// The keys whose values differ.
    pub fn changed_keys(&self, next: &Self) -> Vec<&'static str> {
        // Taken apart, so that a field that is not compared does not compile.
        let Self {
            admin,
            workers,
            access_log,
        } = self;
        let changed = [
            ("admin", *admin != next.admin),
            ("workers", *workers != next.workers),
            ("access_log", *access_log != next.access_log),
        ];
        let changed = changed.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(key, _)| key).collect()
    }
}

/// What a reload replaces, all of it at once. Paths are as seen from where the program runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where clients connect. At least one.
    pub listeners: Vec<Listener>,
    /// This instance's own region, when it was named.
    pub here: Option<RegionName>,
    /// Where locations of addresses come from.
    pub geo: GeoSettings,
    /// How round trips are learned. `None`: they are not.
    pub learned: Option<Arc<LearnedSettings>>,
    /// The name servers, in the order in which they are asked. `None`: those of the system.
    pub resolvers: Option<Arc<[SocketAddr]>>,
    /// The pseudonym of this instance in `Via`, a token. `None`: a random one.
    pub via: Option<Arc<str>>,
    /// The plugins that policies may name.
    pub plugins: BTreeMap<PluginName, Plugin>,
    /// TLS with the gateways of the services that have https gateways.
    pub upstream_tls: BTreeMap<ServiceName, UpstreamTls>,
    /// TLS of the administration: that of the start, see [`Fixed`]. Its files are loaded like those of listeners.
    pub admin_tls: Option<ListenerTls>,
    /// What is published to Azure Front Door. `None`: nothing.
    pub front_door: Option<Arc<FrontDoorSettings>>,
    /// How long readiness fails while connections are still accepted, after SIGTERM.
    pub lame_duck: Duration,
    /// How long running requests then have to end.
    pub drain_time: Duration,
    /// Other instances that the dashboard shows.
    pub peers: Vec<Peer>,
    /// How many hundredths of the clients a reload may move to other regions. `None`: all of them.
    pub max_shift: Option<u8>,
    /// How many requests are worked on at a time. `None`: any number.
    pub overload: Option<Overload>,
    /// What is told of requests and metrics.
    pub telemetry: TelemetrySettings,
    /// The file with the keys that affinity cookies are signed with. `None`: a random one of this process.
    pub affinity_keys: Option<PathBuf>,
    /// What requests are decided by.
    pub routing: Arc<Config>,
    /// The values as they were written, those of included files among them, for people to look at. The configuration of plugins is
    /// redacted, and variables have their names instead of their values.
    pub written: serde_json::Value,
    /// The files it was read from.
    pub sources: Arc<Sources>,
}

impl Settings {
    /// Whether there is TLS with clients, operators or gateways.
    pub fn has_tls(&self) -> bool {
        let with_clients = self.listeners.iter().any(|listener| listener.tls.is_some());
        with_clients || self.admin_tls.is_some() || !self.upstream_tls.is_empty()
    }
}

/// Another instance, by its administration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What it is called here.
    pub name: Arc<str>,
    /// The URL of its administration: scheme, host and port.
    pub url: Uri,
    /// The file with its token.
    pub token_file: Option<PathBuf>,
    /// The file with the authorities that must have issued its certificate. `None`: those of the system.
    pub ca: Option<PathBuf>,
}

/// Where administration listens, and by which names it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// All of it.
    pub address: AdminAddress,
    /// The permissions of a Unix socket's file.
    pub socket_mode: u32,
    /// Its TLS. `None`: without. Whoever has a client certificate may do everything.
    pub tls: Option<ListenerTls>,
    /// Liveness, readiness and metrics only.
    pub probes: Option<SocketAddr>,
    /// Host names that are answered besides addresses and localhost.
    pub hosts: Vec<Arc<str>>,
    /// The file with the token that allows everything. Always there for an address that others can reach, unless client
    /// certificates are required.
    pub token_file: Option<PathBuf>,
    /// The file with a token that allows reading.
    pub read_token_file: Option<PathBuf>,
}

/// Where all of the administration listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// An address and port.
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
}

impl AdminAddress {
    /// The address and port. `None` for a Unix socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

/// As the configuration has it: `127.0.0.1:9900` or `unix:/run/portolan/admin.sock`.
impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An address that accepts connections of clients: HTTP/1.1, with or without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its identity: its name, or its address.
    pub id: ListenerId,
    /// The address; with port 0, the system chooses one.
    pub address: SocketAddr,
    /// The peers that begin every connection with a PROXY protocol header. None by default.
    pub proxies: Networks,
    /// Its TLS. `None`: without.
    pub tls: Option<ListenerTls>,
    /// The port of HTTPS that every request is redirected to. `None`: requests are answered. Never with TLS.
    pub redirect: Option<u16>,
    /// Who its clients are.
    pub client_address: ClientAddress,
    /// The file of Azure's service tags whose `AzureFrontDoor.Backend` is trusted as well.
    pub service_tags: Option<PathBuf>,
    /// Whether responses say in `X-Portolan-Region` and `X-Portolan-Reason` how they were decided.
    pub debug_headers: bool,
    /// How many connections may be open at a time, at least 1.
    pub max_connections: u32,
    /// How many of them each client may have open, at least 1. `None`: any number.
    pub max_connections_per_client: Option<u32>,
    /// How long a connection is kept for its next request.
    pub keep_alive_timeout: Duration,
    /// What the requests of new connections may be like.
    pub requests: RequestLimits,
    /// HTTP/2.
    pub http2: Http2,
    /// How many streams a connection of HTTP/2 may have open, at least 1.
    pub http2_max_streams: u32,
    /// How many bytes of a request's body may come over HTTP/2 before they are read.
    pub http2_stream_window: u32,
}

/// How a listener speaks HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2 {
    /// When TLS agrees on it (ALPN).
    Auto,
    /// Without TLS, when the client begins with its preface.
    PriorKnowledge,
    /// Not at all.
    Off,
}

/// TLS with the gateways of a service, and with what the gate of its failback asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The file of the trusted authorities. `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// The name that certificates must be for, and that is sent as SNI. `None`: the host of each gateway.
    pub server_name: Option<Arc<str>>,
    /// The certificate for gateways that ask for one.
    pub client: Option<PairFiles>,
    /// The file of the authorities that are trusted with the gate. `None`: those of the system.
    pub gate_ca: Option<PathBuf>,
}

impl UpstreamTls {
    /// Its files.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let client = self
            .client
            .iter()
            .flat_map(|files| [&files.certificate, &files.private_key]);
        self.ca.iter().chain(client).chain(&self.gate_ca)
    }
}

/// Where locations of addresses come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GeoSettings {
    /// Databases in MaxMind's format, City or Country, the first one that knows a network counts. None: the embedded table.
    pub databases: Vec<PathBuf>,
    /// Databases of autonomous systems in MaxMind's format, the first one that knows a network counts.
    pub asn_databases: Vec<PathBuf>,
    /// Networks that count before the databases. No two are the same.
    pub networks: Vec<GeoNetwork>,
    /// What the licence of the databases wants to be said. `None`: what their types imply.
    pub attribution: Option<String>,
    /// Whether databases may replace ones that cover more while the program runs.
    pub allow_coverage_loss: bool,
}

impl GeoSettings {
    /// The files.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.databases.iter().chain(&self.asn_databases)
    }
}

/// A network whose place the configuration gives. At least one of the others is there.
#[derive(Clone, Debug, PartialEq)]
pub struct GeoNetwork {
    /// The network, an IPv4 one where it maps one.
    pub network: IpNet,
    /// The country. `None`: as in the databases.
    pub country: Option<Country>,
    /// Where it is; by default, where the region is. `None`: the middle of the country.
    pub point: Option<Point>,
    /// The region that clients there prefer.
    pub region: Option<RegionName>,
}

/// How round trips are learned.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedSettings {
    /// How many client prefixes are remembered, at least 8.
    pub max_prefixes: usize,
    /// The time in which evidence loses half of its weight, at least a minute.
    pub half_life: Duration,
    /// The share of requests that may explore, 0 to 0.1.
    pub explore: f64,
    /// Networks that are not learned.
    pub exclude: Networks,
}

/// A routing plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// Where its component is.
    pub source: PluginSource,
    /// How it is run.
    pub deployment: PluginSettings,
    /// How a new version of it is rolled out; `None`: it is active at once.
    pub rollout: Option<Plan>,
}

/// Where the component of a plugin is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginSource {
    /// In this program, under a name.
    Embedded(Arc<str>),
    /// In a file.
    File(PathBuf),
    /// In a registry.
    Registry(Box<RegistrySource>),
}

impl PluginSource {
    /// The files that it names.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Embedded(_) => Vec::new(),
            Self::File(path) => vec![path.clone()],
            Self::Registry(source) => {
                let keys = source.policy.iter().flat_map(|policy| &policy.keys);
                keys.chain(&source.access.ca).cloned().collect()
            }
        }
    }
}

/// As the configuration has it.
impl fmt::Display for PluginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(name) => write!(f, "embedded:{name}"),
            Self::File(path) => path.display().fmt(f),
            Self::Registry(source) => write!(f, "oci://{}", source.reference),
        }
    }
}

/// A component in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrySource {
    /// Which one.
    pub reference: Reference,
    /// How often its tag is looked at. `None`: at a start only, or it has a digest.
    pub poll: Option<Duration>,
    /// Who must have signed it. `None`: nobody.
    pub policy: Option<SignaturePolicy>,
    /// How the registry is asked.
    pub access: RegistryAccess,
}

/// Who must have signed a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignaturePolicy {
    /// The files of the public keys. At least one.
    pub keys: Vec<PathBuf>,
    /// The registry and repository that the signature must be for.
    pub identity: String,
    /// Whether it is rejected without.
    pub required: bool,
}

/// How a registry is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryAccess {
    /// The file of the trusted authorities. `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// Whether it is asked without TLS.
    pub plain_http: bool,
    /// Who asks.
    pub credentials: RegistryCredentials,
    /// The name servers. `None`: those of the system.
    pub name_servers: Option<Arc<[SocketAddr]>>,
}

impl RegistryAccess {
    /// That of a registry of which nothing is said.
    pub fn usual(registry: &Registry) -> Self {
        Self {
            ca: None,
            plain_http: registry.is_loopback(),
            credentials: RegistryCredentials::Environment,
            name_servers: None,
        }
    }
}

/// Who asks a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryCredentials {
    /// Whom the environment or Docker's configuration has.
    Environment,
    /// A name, and the file with its password.
    Password {
        /// The name.
        username: String,
        /// The file.
        file: PathBuf,
    },
    /// An identity of Azure.
    Azure(AzureCredential),
}

/// What is told of requests and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// Where spans and metrics are sent. `None`: nowhere.
    pub collector: Option<Arc<Collector>>,
    /// The share of requests of which spans are recorded, where no trusted peer has decided it. `None`: none are.
    pub sample: Option<Share>,
    /// `service.name`.
    pub service_name: Option<Arc<str>>,
}

/// One line for each request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLog {
    /// Where it goes.
    pub to: LogDestination,
    /// Which requests have one, and what it looks like.
    pub rules: Rules,
}

/// Where one line for each request goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogDestination {
    /// Nowhere.
    Off,
    /// To standard output.
    #[default]
    Stdout,
    /// To a file.
    File(PathBuf),
}
