//! The counters of every gateway, which the health task and the metrics read.
//!
//! Every worker has a shard of its own, so that counting costs an uncontended store: nothing on the request path is
//! shared but the routing table. Observations travel as counters, not as messages: they cannot be lost or pile up.

mod checks;
mod counter;
mod downstream;
mod endpoint;
mod endpoints;
mod failure;
mod grpc;
mod handshake;
mod http2;
mod in_flight;
mod keep_alive;
mod load;
mod log_limit;
mod proxy_header;
mod rate_buckets;
mod reason;
mod request_outcome;
mod round_trip;
mod samples;
mod tunnel;
mod upstream_http2;

pub use checks::Checks;
pub use counter::{Counter, Durations, Histogram, Tally};
pub use downstream::{ConnectionLimit, ListenerVitals, OpenConnection, OpenListeners, Rejections};
pub use endpoint::{Endpoint, EndpointId};
pub use endpoints::{EndpointStatus, Endpoints};
pub use failure::UpstreamError;
pub use grpc::{GrpcCounts, GrpcTally};
pub use handshake::{HandshakeFailure, Handshakes, TlsVersion};
pub use http2::{Http2Error, Http2Vitals};
pub use in_flight::{InFlight, RouteCounts};
pub use keep_alive::KeepAlive;
pub use load::RegionLoad;
pub use proxy_header::ProxyHeader;
pub use rate_buckets::RateBuckets;
pub use reason::Reason;
pub use request_outcome::RequestOutcome;
pub use round_trip::RoundTrip;
pub use samples::{GatewayNumber, Sample, SampledPlace, Sampler, TrafficSamples};
pub use tunnel::{TunnelEnd, TunnelTotals};
pub use upstream_http2::{Http2Counts, Http2Event, UpstreamHttp2};

use log_limit::LogLimit;
use portolan_core::config::{Gateway, GatewayAddress};
use portolan_core::grpc::GrpcStatus;
use portolan_core::health::Evidence;
use portolan_core::id::{RegionName, ServiceName};
use portolan_core::steer::Advertisement;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed, Ordering::SeqCst, fence};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tunnel::Tunnels;

/// What makes a gateway the same one after a reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GatewayKey {
    /// The service.
    pub service: ServiceName,
    /// The region.
    pub region: RegionName,
    /// Where it listens: a gateway that moved is another one, with a health of its own.
    pub address: GatewayAddress,
}

impl GatewayKey {
    /// That of a gateway of a service.
    pub fn of(service: &ServiceName, gateway: &Gateway) -> Self {
        Self {
            service: service.clone(),
            region: gateway.region.clone(),
            address: gateway.address.clone(),
        }
    }
}

/// Counters of one gateway.
#[derive(Debug)]
pub struct Vitals {
    /// Which gateway.
    pub key: GatewayKey,
    /// What samples of traffic name it by.
    pub number: GatewayNumber,
    /// Its active health checks and ejections.
    pub checks: Checks,
    /// The addresses it has, and the connections to them.
    pub endpoints: Endpoints,
    /// How it treats idle connections.
    pub keep_alive: KeepAlive,
    /// The round trip to it.
    pub round_trip: RoundTrip,
    /// Its request limit, and how busy it says it is.
    pub load: RegionLoad,
    /// Connections of HTTP/2 to it, and their streams.
    pub http2: UpstreamHttp2,
    shards: Box<[Shard]>,
    alarm: Arc<Notify>,
    /// By [`UpstreamError`].
    log_limits: [LogLimit; UpstreamError::ALL.len()],
}

/// One worker's counters. Aligned so that two workers do not share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    observations: Tally<{ Evidence::ALL.len() }>,
    errors: Tally<{ UpstreamError::ALL.len() }>,
    stale: Tally<{ Stale::ALL.len() }>,
    unanswered: Counter,
    late: Counter,
    disputed: Counter,
    /// Responses that advertised its public endpoint, and those that told clients not to use any.
    alt_svc: Tally<2>,
    outcomes: Tally<{ RequestOutcome::ALL.len() }>,
    grpc: GrpcTally,
    first_byte: Histogram,
    connect: Histogram,
    tls_handshake: Histogram,
    in_flight: AtomicU32,
    tunnels: Tunnels,
}

/// The observations of a gateway since the program started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    observations: [u64; Evidence::ALL.len()],
    unanswered: u64,
    late: u64,
    disputed: u64,
    /// Responses of which the head arrived, and their times to it together.
    heads: u64,
    head_nanos: u64,
}

/// What became of a request whose connection, which had been used before, was found closed or spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// It was sent again, over a new connection.
    Retried,
    /// It may have been received, and cannot be repeated.
    Failed,
}

impl Stale {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 2] = [Self::Retried, Self::Failed];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retried => "retried",
            Self::Failed => "failed",
        }
    }
}

impl Vitals {
    /// Counters for this many workers. Failures and overtaken attempts notify `alarm`, so that the health task reads them
    /// at once.
    pub fn new(key: GatewayKey, workers: usize, alarm: Arc<Notify>) -> Self {
        let now = Instant::now();
        Self {
            endpoints: Endpoints::new(key.clone(), workers),
            keep_alive: KeepAlive::new(now),
            round_trip: RoundTrip::default(),
            load: RegionLoad::new(now),
            http2: UpstreamHttp2::new(workers),
            key,
            number: GatewayNumber::next(),
            checks: Checks::new(now),
            shards: (0..workers.max(1)).map(|_| Shard::default()).collect(),
            alarm,
            log_limits: std::array::from_fn(|_| LogLimit::new(now)),
        }
    }

    /// Counts the end of an attempt.
    pub fn observe(&self, worker: usize, evidence: Evidence) {
        if let Some(shard) = self.shards.get(worker) {
            shard.observations.count(evidence as usize);
        }
        if evidence.is_failure() || evidence == Evidence::Overtaken {
            self.alarm.notify_one();
        }
    }

    /// An attempt that was counted as overtaken was not answered for long after that.
    pub fn unanswered(&self, worker: usize) {
        if let Some(shard) = self.shards.get(worker) {
            shard.unanswered.add(1);
        }
        self.alarm.notify_one();
    }

    /// A response came after its request had been given up.
    pub fn late(&self, worker: usize, after: Duration) {
        if let Some(shard) = self.shards.get(worker) {
            shard.late.add(1);
            shard.first_byte.record(after);
        }
        self.alarm.notify_one();
    }

    /// A failure that was counted may be the request's own: it failed in the same way in other regions.
    pub fn dispute(&self, worker: usize) {
        if let Some(shard) = self.shards.get(worker) {
            shard.disputed.add(1);
        }
        self.alarm.notify_one();
    }

    /// Counts an error. Returns whether to log it, with the number of suppressed errors of its kind since the last
    /// line.
    pub fn failed(&self, worker: usize, error: UpstreamError, now: Instant) -> Option<u64> {
        let shard = self.shards.get(worker)?;
        shard.errors.count(error as usize);
        self.log_limits[error as usize].admit(self.errors()[error as usize], now)
    }

    /// A request found its connection, which had been used before, closed or spoilt.
    pub fn stale(&self, worker: usize, end: Stale) {
        if let Some(shard) = self.shards.get(worker) {
            shard.stale.count(end as usize);
        }
    }

    /// How often that happened, by [`Stale`], of all workers.
    pub fn stale_connections(&self) -> [u64; Stale::ALL.len()] {
        let mut counts = [0; Stale::ALL.len()];
        for shard in &self.shards {
            shard.stale.add_to(&mut counts);
        }
        counts
    }

    /// Errors by [`UpstreamError`], of all workers.
    pub fn errors(&self) -> [u64; UpstreamError::ALL.len()] {
        let mut errors = [0; UpstreamError::ALL.len()];
        for shard in &self.shards {
            shard.errors.add_to(&mut errors);
        }
        errors
    }

    /// Counts the time from the beginning of an attempt to the head of its response.
    pub fn answered(&self, worker: usize, after: Duration) {
        if let Some(shard) = self.shards.get(worker) {
            shard.first_byte.record(after);
        }
    }

    /// Counts a connection that was opened: how long TCP took, and TLS where it is spoken.
    pub fn connected(&self, worker: usize, connect: Duration, tls_handshake: Option<Duration>) {
        if let Some(shard) = self.shards.get(worker) {
            shard.connect.record(connect);
            if let Some(took) = tls_handshake {
                shard.tls_handshake.record(took);
            }
        }
    }

    /// Counts the end of a request that this gateway answered.
    pub fn finished(&self, worker: usize, outcome: RequestOutcome) {
        if let Some(shard) = self.shards.get(worker) {
            shard.outcomes.count(outcome as usize);
        }
    }

    /// Counts the end of a call of gRPC that this gateway answered; `None`: without a status.
    pub fn called(&self, worker: usize, status: Option<GrpcStatus>) {
        if let Some(shard) = self.shards.get(worker) {
            shard.grpc.count(status);
        }
    }

    /// An attempt begins. [`Vitals::leave`] has to be called when it ends.
    pub fn enter(&self, worker: usize) {
        self.add_in_flight(worker, 1);
    }

    /// An attempt ends.
    pub fn leave(&self, worker: usize) {
        self.add_in_flight(worker, u32::MAX);
    }

    /// Only the shard's own worker writes, so a load and a store are enough.
    fn add_in_flight(&self, worker: usize, delta: u32) {
        if let Some(shard) = self.shards.get(worker) {
            let count = shard.in_flight.load(Relaxed).wrapping_add(delta);
            shard.in_flight.store(count, Relaxed);
        }
    }

    /// Attempts in flight now, of all workers.
    pub fn in_flight(&self) -> u32 {
        self.shards
            .iter()
            .fold(0, |sum, shard| sum.wrapping_add(shard.in_flight.load(Relaxed)))
    }

    /// Whether more attempts are in flight than its request limit allows, one that has just begun among them. Of workers that begin
    /// some at the same moment, at least one sees those of all: it is never exceeded.
    #[inline]
    pub fn is_over_limit(&self) -> bool {
        self.load.limit().is_some_and(|limit| {
            // Each worker has stored its own count before it reads those of others.
            fence(SeqCst);
            self.in_flight() > limit
        })
    }

    /// All attempts so far, of all workers.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for shard in &self.shards {
            shard.observations.add_to(&mut totals.observations);
            totals.unanswered = totals.unanswered.wrapping_add(shard.unanswered.get());
            totals.late = totals.late.wrapping_add(shard.late.get());
            totals.disputed = totals.disputed.wrapping_add(shard.disputed.get());
            let (heads, nanos) = shard.first_byte.sum();
            totals.heads = totals.heads.wrapping_add(heads);
            totals.head_nanos = totals.head_nanos.wrapping_add(nanos);
        }
        totals
    }

    /// A tunnel is open. [`Vitals::tunnel_ended`] has to be called when it ends.
    pub fn tunnel_opened(&self, worker: usize) {
        if let Some(shard) = self.shards.get(worker) {
            shard.tunnels.opened();
        }
    }

    /// A tunnel ended.
    pub fn tunnel_ended(&self, worker: usize, end: TunnelEnd) {
        if let Some(shard) = self.shards.get(worker) {
            shard.tunnels.ended(end);
        }
    }

    /// A tunnel carried this many bytes from its client, and to it.
    pub fn tunnel_carried(&self, worker: usize, received: u64, sent: u64) {
        if let Some(shard) = self.shards.get(worker) {
            shard.tunnels.carried(received, sent);
        }
    }

    /// The tunnels, of all workers.
    pub fn tunnels(&self) -> TunnelTotals {
        let mut totals = TunnelTotals::default();
        for shard in &self.shards {
            shard.tunnels.add_to(&mut totals);
        }
        totals
    }

    /// A response said this of its public endpoint.
    pub fn advertised(&self, worker: usize, said: Advertisement) {
        if let Some(shard) = self.shards.get(worker) {
            match said {
                Advertisement::Advertised => shard.alt_svc.count(0),
                Advertisement::Cleared => shard.alt_svc.count(1),
                Advertisement::Withheld => {}
            }
        }
    }

    /// How many responses advertised its public endpoint, and how many told clients not to use any, of all workers.
    pub fn alt_svc(&self) -> [(&'static str, u64); 2] {
        let mut counts = [0; 2];
        for shard in &self.shards {
            shard.alt_svc.add_to(&mut counts);
        }
        [("advertised", counts[0]), ("cleared", counts[1])]
    }

    /// The requests it answered by how they ended, of all workers.
    pub fn outcomes(&self) -> [u64; RequestOutcome::ALL.len()] {
        let mut outcomes = [0; RequestOutcome::ALL.len()];
        for shard in &self.shards {
            shard.outcomes.add_to(&mut outcomes);
        }
        outcomes
    }

    /// The calls of gRPC that it answered by how they ended, of all workers.
    pub fn grpc(&self) -> GrpcCounts {
        let mut counts = GrpcCounts::default();
        for shard in &self.shards {
            counts.add(&shard.grpc);
        }
        counts
    }

    /// Times to the head of its responses, of all workers.
    pub fn first_byte(&self) -> Durations {
        self.durations(|shard| &shard.first_byte)
    }

    /// Times to open TCP connections to it, of all workers.
    pub fn connect(&self) -> Durations {
        self.durations(|shard| &shard.connect)
    }

    /// Times of TLS handshakes with it, of all workers.
    pub fn tls_handshake(&self) -> Durations {
        self.durations(|shard| &shard.tls_handshake)
    }

    fn durations(&self, of: fn(&Shard) -> &Histogram) -> Durations {
        let mut durations = Durations::default();
        for shard in &self.shards {
            durations.add(of(shard));
        }
        durations
    }
}

#[cfg(test)]
impl Vitals {
    /// Those of a gateway of the service `shop`, with one worker.
    pub(crate) fn in_region(region: &str) -> Self {
        let key = GatewayKey {
            service: "shop".into(),
            region: region.into(),
            address: GatewayAddress::http("gw.test", 80),
        };
        Self::new(key, 1, Arc::new(Notify::new()))
    }
}

impl Totals {
    /// How many attempts ended like this.
    pub fn of(&self, evidence: Evidence) -> u64 {
        self.observations[evidence as usize]
    }

    /// How many overtaken attempts were not answered for long after that.
    pub fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// How many requests were answered after they had been given up.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// What an answer took on average, from the beginning of the attempt to the head of the response. `None` without answers.
    pub fn answer_time(&self) -> Option<Duration> {
        self.head_nanos.checked_div(self.heads).map(Duration::from_nanos)
    }

    /// How many failures may be the requests' own.
    pub fn disputed(&self) -> u64 {
        self.disputed
    }

    /// What came since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut delta = *self;
        for (now, then) in delta.observations.iter_mut().zip(earlier.observations) {
            *now = now.saturating_sub(then);
        }
        delta.unanswered = self.unanswered.saturating_sub(earlier.unanswered);
        delta.late = self.late.saturating_sub(earlier.late);
        delta.heads = self.heads.saturating_sub(earlier.heads);
        delta.head_nanos = self.head_nanos.wrapping_sub(earlier.head_nanos);
        delta.disputed = self.disputed.saturating_sub(earlier.disputed);
        delta
    }

    /// The counts by kind.
    pub fn iter(&self) -> impl Iterator<Item = (Evidence, u64)> {
        Evidence::ALL.into_iter().zip(self.observations)
    }
}
