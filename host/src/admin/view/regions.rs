//! The regions, as they stand.

use super::endpoints::Endpoint;
use super::names::ResolvedName;
use super::{Counts, Location, Ordered};
use crate::admin::backend::{ServiceStatus, StatusSnapshot};
use crate::telemetry::metrics::{RANKED_BY, RESPONSE_BOUNDS, Retry};
use crate::vitals::{Durations, RequestOutcome, Vitals};
use portolan_core::candidates::Exclusion;
use portolan_core::chart::is_for_all;
use portolan_core::config::{Gateway, Service};
use portolan_core::decision::policy_name;
use portolan_core::geo::Point;
use portolan_core::health::{Awaited, GatewayHealth, ServiceHealth, State};
use portolan_core::nearest::Cost;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant, SystemTime};

/// `GET /api/v1/regions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regions {
    /// The number of the routing table.
    pub generation: u64,
    /// The services in configured order.
    pub services: Vec<ServiceRegions>,
}

/// A service with its regions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceRegions {
    /// The service.
    pub service: String,
    /// How its regions are ordered.
    pub policy: String,
    /// Panic mode: all regions that are not drained are unhealthy, and health is ignored.
    pub panic: bool,
    /// Requests since the start that no region answered, by outcome.
    pub unanswered: Counts,
    /// Decisions since the start by who ordered the regions.
    pub decisions: Counts,
    /// What followed failed attempts since the start.
    pub retries: Counts,
    /// The regions in configured order.
    pub regions: Vec<Region>,
}

/// A region of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// The region.
    pub region: String,
    /// Where it is.
    pub location: Location,
    /// Where its gateway listens.
    pub gateway: String,
    /// How the name of its gateway is resolved; `None` for one with an address.
    pub name: Option<ResolvedName>,
    /// Its addresses, with the connections to them.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// Its failover level, 0 first.
    pub priority: u8,
    /// Its share among equals under the policy `weighted`.
    pub weight: u32,
    /// Concurrent requests beyond which it is skipped.
    pub max_requests: Option<u32>,
    /// `unknown`, `healthy`, `warming`, `unhealthy` or `draining`.
    pub state: String,
    /// Why; `None` before the first state change.
    pub why: Option<Why>,
    /// Where an operator has drained it: when, and from where.
    #[serde(default)]
    pub drained: Option<Ordered>,
    /// Its share of its usual traffic, 0 to 1: less than 1 during slow start.
    pub share: f64,
    /// Why it gets no new requests; `None` when it does.
    pub excluded: Option<String>,
    /// Milliseconds of the last probe that succeeded.
    pub probe_ms: Option<f64>,
    /// Seconds until its next probe; `None` while one is in flight, and without health checks.
    #[serde(default)]
    pub next_probe_seconds: Option<f64>,
    /// The round trip from this instance to its gateway.
    #[serde(default)]
    pub round_trip: RoundTrip,
    /// Where clients reach it directly.
    #[serde(default)]
    pub public: Option<String>,
    /// Attempts in flight.
    pub in_flight: u32,
    /// How busy its gateway says it is, 1 for all of its capacity; `None` where it does not say.
    #[serde(default)]
    pub reported_utilization: Option<f64>,
    /// Requests since the start that it answered, by outcome.
    pub answered: Counts,
    /// Attempts since the start by how they ended.
    pub attempts: Counts,
    /// Times from the beginning of an attempt to the head of its response, since the start.
    pub first_byte: Times,
}

/// The round trip from this instance to a gateway, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoundTrip {
    /// As its connections show it.
    pub measured_ms: Option<f64>,
    /// The standard deviation of that.
    pub deviation_ms: Option<f64>,
    /// As its distance lets expect it, where it is known where this instance is.
    pub estimated_ms: Option<f64>,
    /// Which one the policy counts: `measured`, `floor` (the distance, which what was measured is too short for), `estimated`,
    /// `unknown`; `None`: neither.
    pub counts: Option<String>,
}

impl RoundTrip {
    fn of(service: &Service, gateway: &Gateway, vitals: &Vitals, here: Option<Point>) -> Self {
        let measured = vitals.round_trip.measured(Instant::now());
        let round_trips = portolan_geo::azure::round_trips();
        let cost = |measured| Cost::of(gateway, measured, here, round_trips);
        let estimated = cost(None).millis;
        Self {
            measured_ms: measured.map(|it| millis(it.round_trip)),
            deviation_ms: measured.map(|it| millis(it.deviation)),
            estimated_ms: Some(estimated).filter(|it| it.is_finite()),
            counts: is_for_all(service).then(|| cost(measured).source.as_str().into()),
        }
    }
}

/// Why a region is in its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The cause: one of a fixed set of words.
    pub cause: String,
    /// The cause in words.
    pub detail: String,
    /// When it got into the state, in seconds since 1970.
    pub since: f64,
    /// How long that is ago.
    pub for_seconds: f64,
    /// When its ejection ends, in seconds since 1970, unless probes end it earlier; `None` when it is not ejected.
    pub ejected_until: Option<f64>,
    /// How long that still is.
    pub ejected_for_seconds: Option<f64>,
    /// What it waits for, when it has recovered and gets no traffic yet: `hold_down`, `gate_check` or `operator`.
    #[serde(default)]
    pub awaits: Option<String>,
    /// How long its hold-down still is.
    #[serde(default)]
    pub hold_down_for_seconds: Option<f64>,
}

/// Durations since the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// Their sum in seconds.
    pub sum_seconds: f64,
    /// Pairs of a bound in seconds and how many did not exceed it.
    pub buckets: Vec<(f64, u64)>,
}

impl Regions {
    pub(in crate::admin) fn of(snapshot: &StatusSnapshot) -> Self {
        let services = snapshot.config.services().iter().zip(&snapshot.services);
        let services = services.enumerate().map(|(index, (service, shown))| {
            let unknown = ServiceHealth::unknown(service.gateways().len());
            let health = snapshot.health.services().get(index).unwrap_or(&unknown);
            ServiceRegions::of(service, shown, health, snapshot)
        });
        Self {
            generation: snapshot.generation.0,
            services: services.collect(),
        }
    }
}

impl ServiceRegions {
    fn of(service: &Service, shown: &ServiceStatus, health: &ServiceHealth, snapshot: &StatusSnapshot) -> Self {
        let totals = shown.vitals.totals();
        let panic = is_panic(service, health);
        let regions = service.gateways().iter().zip(&shown.gateways).zip(health.gateways());
        let names = shown.names.iter().map(|name| name.as_deref().map(ResolvedName::of));
        Self {
            service: service.name.to_string(),
            policy: policy_name(service),
            panic,
            unanswered: counts(RequestOutcome::ALL.map(RequestOutcome::as_str), totals.outcomes),
            decisions: counts(RANKED_BY, totals.ranked),
            retries: counts(Retry::ALL.map(Retry::as_str), totals.retries),
            regions: regions
                .zip(names)
                .map(|(((gateway, vitals), health), name)| Region {
                    name,
                    drained: snapshot.drains.get(&gateway.region).map(Ordered::from),
                    round_trip: RoundTrip::of(service, gateway, vitals, snapshot.config.fallback()),
                    ..Region::of(gateway, vitals, *health, panic)
                })
                .collect(),
        }
    }
}

impl Region {
    fn of(gateway: &Gateway, vitals: &Vitals, health: GatewayHealth, panic: bool) -> Self {
        let in_flight = vitals.in_flight();
        Self {
            region: gateway.region.to_string(),
            location: gateway.point.into(),
            gateway: gateway.address.authority(),
            name: None,
            endpoints: Endpoint::all(vitals),
            priority: gateway.priority,
            weight: gateway.weight,
            max_requests: gateway.max_requests,
            state: health.state.as_str().into(),
            why: Why::of(&health.why, Instant::now(), SystemTime::now()),
            drained: None,
            share: f64::from(health.share) / f64::from(GatewayHealth::FULL_SHARE),
            excluded: exclusion(gateway, health.state, in_flight, panic).map(|why| why.as_str().into()),
            probe_ms: vitals.checks.last_passed().map(millis),
            next_probe_seconds: vitals
                .checks
                .next_probe()
                .map(|next| next.saturating_duration_since(Instant::now()).as_secs_f64()),
            round_trip: RoundTrip::default(),
            public: gateway
                .public
                .as_ref()
                .map(|public| format!("{}://{}", public.scheme.as_str(), public.authority())),
            in_flight,
            reported_utilization: vitals
                .load
                .utilization(Instant::now())
                .map(|thousandths| f64::from(thousandths) / 1000.0),
            answered: counts(RequestOutcome::ALL.map(RequestOutcome::as_str), vitals.outcomes()),
            attempts: vitals
                .totals()
                .iter()
                .map(|(evidence, count)| (evidence.as_str().into(), count))
                .collect(),
            first_byte: (&vitals.first_byte()).into(),
        }
    }
}

impl Why {
    /// At this moment, by both clocks.
    pub(super) fn of(why: &portolan_core::health::Why, now: Instant, time: SystemTime) -> Option<Self> {
        let (cause, since) = (why.cause?, now.saturating_duration_since(why.since?));
        let left = why.ejected_until.map(|until| until.saturating_duration_since(now));
        let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Some(Self {
            cause: cause.as_str().into(),
            detail: cause.to_string(),
            since: time.saturating_sub(since).as_secs_f64(),
            for_seconds: since.as_secs_f64(),
            ejected_until: left.map(|left| (time + left).as_secs_f64()),
            ejected_for_seconds: left.map(|left| left.as_secs_f64()),
            awaits: why.awaits.map(|(awaited, _)| awaited.as_str().into()),
            hold_down_for_seconds: why
                .awaits
                .filter(|(awaited, _)| *awaited == Awaited::HoldDown)
                .map(|(_, ends)| ends.saturating_duration_since(now).as_secs_f64()),
        })
    }
}

/// Whether all regions of a service that are not drained are unhealthy.
pub(super) fn is_panic(service: &Service, health: &ServiceHealth) -> bool {
    let open = service.slots() - health.draining();
    !open.is_empty() && (open - health.unhealthy()).is_empty()
}

/// Why a gateway gets no new requests at all. Residency is not among it: that depends on the client.
fn exclusion(gateway: &Gateway, state: State, in_flight: u32, panic: bool) -> Option<Exclusion> {
    match state {
        State::Draining => Some(Exclusion::Draining),
        State::Unhealthy if !panic => Some(Exclusion::Unhealthy),
        _ if gateway.max_requests.is_some_and(|limit| in_flight >= limit) => Some(Exclusion::Full),
        _ => None,
    }
}

impl From<&Durations> for Times {
    fn from(durations: &Durations) -> Self {
        let (from, to) = RESPONSE_BOUNDS;
        Self {
            count: durations.count(),
            sum_seconds: durations.seconds(),
            buckets: durations.cumulative(from, to).collect(),
        }
    }
}

/// The counts that are not zero, by word.
fn counts<const N: usize>(words: [&str; N], counts: [u64; N]) -> Counts {
    let pairs = words.into_iter().zip(counts);
    pairs
        .filter(|(_, count)| *count > 0)
        .map(|(word, count)| (word.to_owned(), count))
        .collect()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
