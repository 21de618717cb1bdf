//! The validated configuration of the data path: services, their regions, and how each is to be chosen and retried.
//!
//! Values of these types hold their invariants; the text they come from is read and checked by `portolan::config`.

mod affinity;
mod failback;
mod gateway;
mod health_check;
mod retry;
mod steer;

pub use affinity::{Affinity, AffinityBy, AffinityCookie, Failover, When};
pub use failback::{Failback, Gate, GateCheck};
pub use gateway::{Gateway, GatewayAddress, GatewayHost, RegionLabels, Scheme};
pub use health_check::{GrpcProbe, HealthCheck, HttpProbe, Probe};
pub use retry::{Budget, Retry, RetryOn};
pub use steer::{AlpnId, AltSvc, Steer};

use crate::admission::{Limits, Priority};
use crate::geo::{Country, Point};
use crate::id::{PluginName, RegionName, ServiceId, ServiceName, Slot};
use crate::route::{PoliciesId, RouteKey, Routes};
use crate::slots::Slots;
use std::time::Duration;
use thiserror::Error;

/// Everything that routing decisions are made from.
#[derive(Clone, Debug)]
pub struct Config {
    services: Vec<Service>,
    routes: Routes,
    policies: Vec<RoutePolicies>,
    fallback: Option<Point>,
}

/// Policies of a route, in place of those of its service.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutePolicies {
    /// Which route.
    pub route: RouteKey,
    /// How failures are retried. The budget is that of the service.
    pub retry: Retry,
    /// Time bounds of a request.
    pub timeouts: Timeouts,
    /// Its limits.
    pub limits: Limits,
    /// The order in which overload sheds.
    pub priority: Priority,
}

impl Config {
    /// A configuration of services, the routes to them, and the place assumed for clients that have none.
    ///
    /// # Errors
    /// When a route names a service that does not exist.
    pub fn new(services: Vec<Service>, routes: Routes, fallback: Option<Point>) -> Result<Self, ConfigError> {
        if let Some(id) = routes.services().find(|id| id.index() >= services.len()) {
            return Err(ConfigError::NoSuchService(id));
        }
        Ok(Self {
            services,
            routes,
            policies: Vec::new(),
            fallback,
        })
    }

    /// The same with the policies that routes refer to.
    #[must_use]
    pub fn with_policies(self, policies: Vec<RoutePolicies>) -> Self {
        Self { policies, ..self }
    }

    /// A route's own policies.
    pub fn policies(&self, id: PoliciesId) -> Option<&RoutePolicies> {
        self.policies.get(id.index())
    }

    /// The policies of all routes that have their own. [`PoliciesId`] is the index.
    pub fn route_policies(&self) -> &[RoutePolicies] {
        &self.policies
    }

    /// The services in configured order. [`ServiceId`] is the index.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// A service by its index. Indexes in routes always exist.
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.services.get(id.index())
    }

    /// The routes, from host and path to a service.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The place assumed for clients without one: this edge's own region.
    pub fn fallback(&self) -> Option<Point> {
        self.fallback
    }
}

/// Why a configuration is invalid.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ConfigError {
    /// A route names a service index out of range.
    #[error("a route leads to service number {}, which does not exist", .0.0)]
    NoSuchService(ServiceId),
    /// A service needs at least one region.
    #[error("service {0} has no regions")]
    NoRegions(ServiceName),
    /// More regions than a set holds.
    #[error("service {service} has {count} regions, {max} are possible", max = Slots::MAX)]
    TooManyRegions {
        /// The service.
        service: ServiceName,
        /// How many it has.
        count: usize,
    },
}

/// What a route leads to: regions with a gateway each, and the policies to choose among them.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name, unique in the configuration.
    pub name: ServiceName,
    /// How the regions that may answer are ordered.
    pub policy: Policy,
    /// Where round trips are counted from, by policies that order by them.
    pub latency_from: LatencyFrom,
    /// Whether clients are sent to the regions' own endpoints.
    pub steer: Steer,
    gateways: Vec<Gateway>,
    residency: Vec<Residency>,
    /// Active health checks. `None`: health comes from traffic only.
    pub health_check: Option<HealthCheck>,
    /// Passive health: outlier detection on traffic.
    pub outlier_detection: OutlierDetection,
    /// How failures are retried.
    pub retry: Retry,
    /// Time bounds of a request.
    pub timeouts: Timeouts,
    /// How connections to the gateways are used.
    pub upstream: Upstream,
    /// How long a returning region is ramped up. Zero: at once.
    pub slow_start: Duration,
    /// What a region waits for before it returns.
    pub failback: Failback,
    /// Whether gateways see the client's Host instead of their own name.
    pub preserve_host: bool,
    /// Whether a gateway's own name in `Location`, `Content-Location`, `Refresh` and cookie domains of its responses is
    /// replaced by what the client requested.
    pub rewrite_responses: bool,
    /// Whether interim responses other than 100 and 101 are passed to clients of HTTP/1.1.
    pub pass_interim_responses: bool,
    /// Session affinity. `None`: every request is decided by itself.
    pub affinity: Option<Affinity>,
    /// Where requests go whose region is not available or full.
    pub spillover: Spillover,
}

/// The parts of a [`Service`], named. [`Service::new`] checks them.
#[derive(Clone, Debug)]
pub struct ServiceParts {
    /// See [`Service::name`].
    pub name: ServiceName,
    /// See [`Service::policy`].
    pub policy: Policy,
    /// See [`Service::latency_from`].
    pub latency_from: LatencyFrom,
    /// See [`Service::steer`].
    pub steer: Steer,
    /// One gateway per region, 1 to 64.
    pub gateways: Vec<Gateway>,
    /// Which countries' clients must stay in which regions.
    pub residency: Vec<Residency>,
    /// See [`Service::health_check`].
    pub health_check: Option<HealthCheck>,
    /// See [`Service::outlier_detection`].
    pub outlier_detection: OutlierDetection,
    /// See [`Service::retry`].
    pub retry: Retry,
    /// See [`Service::timeouts`].
    pub timeouts: Timeouts,
    /// See [`Service::upstream`].
    pub upstream: Upstream,
    /// See [`Service::slow_start`].
    pub slow_start: Duration,
    /// See [`Service::failback`].
    pub failback: Failback,
    /// See [`Service::preserve_host`].
    pub preserve_host: bool,
    /// See [`Service::rewrite_responses`].
    pub rewrite_responses: bool,
    /// See [`Service::pass_interim_responses`].
    pub pass_interim_responses: bool,
    /// See [`Service::affinity`].
    pub affinity: Option<Affinity>,
    /// See [`Service::spillover`].
    pub spillover: Spillover,
}

impl ServiceParts {
    /// A service of these regions with everything else at its default.
    pub fn new(name: impl Into<ServiceName>, gateways: Vec<Gateway>) -> Self {
        Self {
            name: name.into(),
            policy: Policy::Latency,
            latency_from: LatencyFrom::default(),
            steer: Steer::default(),
            gateways,
            residency: Vec::new(),
            health_check: Some(HealthCheck::default()),
            outlier_detection: OutlierDetection::default(),
            retry: Retry::default(),
            timeouts: Timeouts::default(),
            upstream: Upstream::default(),
            slow_start: Duration::from_secs(10),
            failback: Failback::default(),
            preserve_host: false,
            rewrite_responses: true,
            pass_interim_responses: false,
            affinity: None,
            spillover: Spillover::default(),
        }
    }
}

impl Service {
    /// Checks the parts and puts them together.
    ///
    /// # Errors
    /// When there are no regions, or more than 64.
    pub fn new(parts: ServiceParts) -> Result<Self, ConfigError> {
        if parts.gateways.is_empty() {
            return Err(ConfigError::NoRegions(parts.name));
        }
        if parts.gateways.len() > Slots::MAX {
            return Err(ConfigError::TooManyRegions {
                service: parts.name,
                count: parts.gateways.len(),
            });
        }
        Ok(Self {
            name: parts.name,
            policy: parts.policy,
            latency_from: parts.latency_from,
            steer: parts.steer,
            gateways: parts.gateways,
            residency: parts.residency,
            health_check: parts.health_check,
            outlier_detection: parts.outlier_detection,
            retry: parts.retry,
            timeouts: parts.timeouts,
            upstream: parts.upstream,
            slow_start: parts.slow_start,
            failback: parts.failback,
            preserve_host: parts.preserve_host,
            rewrite_responses: parts.rewrite_responses,
            pass_interim_responses: parts.pass_interim_responses,
            affinity: parts.affinity,
            spillover: parts.spillover,
        })
    }

    /// The gateways, one per region; [`Slot`] is the index.
    pub fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    /// The gateway of a slot.
    pub fn gateway(&self, slot: Slot) -> Option<&Gateway> {
        self.gateways.get(slot.index())
    }

    /// All slots of the service.
    pub fn slots(&self) -> Slots {
        Slots::first(self.gateways.len())
    }

    /// The slot of a region.
    pub fn slot_of(&self, region: &RegionName) -> Option<Slot> {
        self.gateways
            .iter()
            .position(|gateway| gateway.region == *region)
            .map(|index| Slot(index as u8))
    }

    /// The residency rules in configured order.
    pub fn residency(&self) -> &[Residency] {
        &self.residency
    }

    /// The regions that clients of a country may use: the intersection of all rules that name it.
    pub fn allowed(&self, country: Country) -> Slots {
        self.residency
            .iter()
            .filter(|rule| rule.countries.contains(&country))
            .fold(self.slots(), |allowed, rule| allowed & rule.regions)
    }
}

/// How the regions that may answer are ordered. Lower [`Gateway::priority`] always comes first; the policy orders
/// within a priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// By estimated round-trip time from the client.
    Latency,
    /// By great-circle distance from the client.
    Distance,
    /// By configured order: where the client is does not matter.
    Priority,
    /// By chance, in proportion to [`Gateway::weight`].
    Weighted,
    /// The order a plugin returns; [`Policy::Latency`] when the plugin fails.
    Plugin(PluginName),
}

/// Where round trips are counted from, by policies that order by them: [`Policy::Latency`], [`Policy::Weighted`] after the
/// draw, and [`Policy::Plugin`] for the order that the plugin is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LatencyFrom {
    /// From the client, estimated by where it is.
    #[default]
    Client,
    /// From this instance, measured: see [`nearest`](crate::nearest).
    Here,
}

/// Where requests go whose region is not available or full, as far as the regions have [`Gateway::max_requests`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spillover {
    /// To all others of the same failover level, in proportion to what each has left.
    #[default]
    Headroom,
    /// To the next one by preference, until it is full.
    Nearest,
}

/// Clients of these countries must be answered by these regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residency {
    /// The countries. [`Country::UNKNOWN`] matches clients whose country is unknown.
    pub countries: Vec<Country>,
    /// The regions. An empty set: such clients are rejected (451).
    pub regions: Slots,
}

/// Outlier detection: when traffic ejects a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierDetection {
    /// Failures in a row (connections, resets, time-outs, 5xx) that eject a gateway.
    pub consecutive_failures: u32,
    /// Share of gateway failures (connections, resets, time-outs, 502, 503, 504) within the window that ejects it,
    /// in percent; 0 turns this off.
    pub failure_percent: u8,
    /// How many requests the window must hold before the share counts.
    pub min_requests: u32,
    /// The window.
    pub window: Duration,
    /// Share of requests within the window that lost to a hedged request at least twice as fast. This share ejects a
    /// gateway, in percent; 0 turns this off. The last gateway in rotation is never ejected for it.
    pub overtaken_percent: u8,
    /// How many requests the window must hold before that share counts.
    pub overtaken_min_requests: u32,
    /// The first ejection lasts this long; each further one twice as long as the one before.
    pub base_ejection_time: Duration,
    /// No ejection lasts longer.
    pub max_ejection_time: Duration,
    /// Most of a service's gateways that are ejected at a time, in percent. At least one may always be ejected. A gateway
    /// that answers no request is ejected beyond this limit, as long as another gets traffic.
    pub max_ejection_percent: u8,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            failure_percent: 5,
            min_requests: 50,
            window: Duration::from_secs(2),
            overtaken_percent: 50,
            overtaken_min_requests: 20,
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_percent: 50,
        }
    }
}

/// Time bounds of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a TCP connection to a gateway, and as long again for the TLS handshake on it. Envoy's `connect_timeout` is for both
    /// together.
    pub connect: Duration,
    /// From the head of the request to the head of the response, all attempts together. Envoy's route timeout goes on to
    /// the end of the response.
    pub request: Duration,
    /// Longest time without a byte of a body in either direction. Not for calls of gRPC.
    pub idle: Duration,
    /// Longest time without a byte in either direction after a change of protocol, such as to WebSocket. HAProxy: `timeout tunnel`.
    pub tunnel: Duration,
    /// Longest time without a byte of a call of gRPC, in both directions at once. Envoy: `stream_idle_timeout`. `None`: no limit.
    pub stream_idle: Option<Duration>,
    /// From the head of the request to the end of the response. Envoy: `max_stream_duration`. `None`: no limit.
    pub total: Option<Duration>,
}

impl Timeouts {
    /// Longer than any connection lasts. Timers know no later moments.
    const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

    /// The idle timeout of a request, which is a call of gRPC or not.
    pub fn idle_of(&self, is_call: bool) -> Duration {
        match is_call {
            true => self.stream_idle.unwrap_or(Self::FOREVER),
            false => self.idle,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(400),
            request: Duration::from_secs(15),
            idle: Duration::from_secs(60),
            tunnel: Duration::from_secs(60 * 60),
            stream_idle: Some(Duration::from_secs(300)),
            total: None,
        }
    }
}

/// How connections to the gateways are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The version of HTTP.
    pub protocol: Protocol,
    /// Which requests are sent over connections that were used before.
    pub reuse: Reuse,
    /// A connection is closed when it has been idle for this long.
    pub idle_timeout: Duration,
    /// A connection carries no new request after this time, less up to a fifth of it. `None`: no limit.
    pub max_connection_age: Option<Duration>,
    /// A connection carries no more requests than this, less up to a fifth of them. `None`: no limit.
    pub max_requests_per_connection: Option<u32>,
    /// Whether every connection begins with a header of version 2 of the PROXY protocol, which names the client. `reuse` is `Never`
    /// then.
    pub proxy_protocol: bool,
    /// Whether responses say how busy the gateway is (ORCA: the fields `endpoint-load-metrics`), and clients do not get to see it.
    pub load_report: bool,
}

/// The version of HTTP that gateways are spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// What a gateway chooses by ALPN; HTTP/1.1 without TLS.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: by ALPN over TLS, by prior knowledge without it (RFC 9113, section 3.3).
    Http2,
}

/// Which requests are sent over connections that were used before. The words are those of HAProxy's `http-reuse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// All. Those that cannot be repeated, only over connections that the gateway does not close soon, as far as is known.
    Always,
    /// Those that can be repeated.
    Safe,
    /// None.
    Never,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            protocol: Protocol::Http1,
            reuse: Reuse::Always,
            idle_timeout: Duration::from_secs(60),
            max_connection_age: Some(Duration::from_secs(600)),
            max_requests_per_connection: None,
            proxy_protocol: false,
            load_report: false,
        }
    }
}
