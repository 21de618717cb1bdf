//! The health of the gateways, as requests read it.
//!
//! | module | |
//! |---|---|
//! | [`tracker`] | combines probes, traffic and operators into a [`HealthView`]: start here |
//! | [`transition`] | state changes and their causes |
//! | `tracked` | the gateways of one service |
//! | `gateway` | the state of one gateway |
//! | [`probing`] | active health checks: when a gateway is probed, and the results |
//! | [`outlier`] | outlier detection on traffic |
//! | [`traffic`] | a reading of a gateway's traffic |
//! | `window` | requests of the last seconds, in ten steps |
//! | `stall` | stall detection: requests in flight while none ends |
//! | `ejection` | how long an ejection lasts |
//! | `grounds` | what an ejection is based on, so that it can be taken back |
//! | `hold` | what a gateway that has recovered waits for |
//! | [`kept`] | what is kept of a gateway for the next process |
//! | `slow_start` | the growing share of traffic of a returning gateway |

mod criteria;
mod ejection;
mod gateway;
mod grounds;
mod hold;
pub mod kept;
pub mod outlier;
pub mod probing;
mod slow_start;
mod stall;
mod tracked;
pub mod tracker;
pub mod traffic;
pub mod transition;
mod window;

pub use hold::Awaited;

use crate::grpc::GrpcStatus;
use crate::id::{GatewayId, ServiceId, Slot};
use crate::slots::Slots;
use std::time::{Duration, Instant};
use transition::Cause;

/// The state of a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// No observation yet. It gets traffic.
    #[default]
    Unknown,
    /// It answers requests or probes.
    Healthy,
    /// In slow start after a failure or a drain: it gets a growing share of its traffic. The plugin contract
    /// 0.1 calls this `degraded`.
    Warming,
    /// Failed active health checks or an ejection by outlier detection, or recovered and not back yet: no traffic.
    Unhealthy,
    /// Drained by an operator: no new requests.
    Draining,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [
        Self::Unknown,
        Self::Healthy,
        Self::Warming,
        Self::Unhealthy,
        Self::Draining,
    ];

    /// The state's name in configuration, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Warming => "warming",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
        }
    }
}

/// The health of one gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayHealth {
    /// Its state.
    pub state: State,
    /// Its share of its usual traffic, in thousandths: below 1000 during slow start.
    pub share: u16,
    /// What probes usually take from request to answer, to within a quarter or a millisecond: smaller changes are not worth
    /// a new view. Only where a plugin is given it.
    pub round_trip: Option<Duration>,
    /// Why it is in this state. For operators; routing does not read it.
    pub why: Why,
}

/// Why a gateway is in its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// The cause. For an unhealthy gateway the current one: its ejection, else its failed probes. `None` before the first
    /// state change.
    pub cause: Option<Cause>,
    /// When the state changed. `None` before the first state change.
    pub since: Option<Instant>,
    /// When its ejection ends, unless probes end it earlier. `None` when it is not ejected.
    pub ejected_until: Option<Instant>,
    /// What it waits for, when it has recovered and gets no traffic yet; with the end of its hold-down.
    pub awaits: Option<(Awaited, Instant)>,
}

impl GatewayHealth {
    /// The full share of traffic.
    pub const FULL_SHARE: u16 = 1000;
}

impl Default for GatewayHealth {
    fn default() -> Self {
        Self {
            state: State::Unknown,
            share: Self::FULL_SHARE,
            round_trip: None,
            why: Why::default(),
        }
    }
}

/// The health of a service's gateways, with the sets that requests need precomputed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceHealth {
    gateways: Vec<GatewayHealth>,
    unhealthy: Slots,
    draining: Slots,
    warming: Slots,
    unresponsive: Slots,
    last_resort: Slots,
}

impl ServiceHealth {
    /// From the gateways in slot order.
    pub fn new(gateways: Vec<GatewayHealth>) -> Self {
        let those = |wanted: fn(&GatewayHealth) -> bool| -> Slots {
            let slots = gateways.iter().enumerate().filter(|(_, gateway)| wanted(gateway));
            slots.map(|(index, _)| Slot(index as u8)).collect()
        };
        Self {
            unhealthy: those(|gateway| gateway.state == State::Unhealthy),
            draining: those(|gateway| gateway.state == State::Draining),
            warming: those(|gateway| gateway.share < GatewayHealth::FULL_SHARE),
            unresponsive: Slots::EMPTY,
            last_resort: Slots::EMPTY,
            gateways,
        }
    }

    /// The same, with these gateways [unresponsive](Self::unresponsive).
    #[must_use]
    pub fn with_unresponsive(self, unresponsive: Slots) -> Self {
        Self { unresponsive, ..self }
    }

    /// The same, with these gateways as a [last resort](Self::last_resort).
    #[must_use]
    pub fn with_last_resort(self, last_resort: Slots) -> Self {
        Self { last_resort, ..self }
    }

    /// `count` gateways in [`State::Unknown`].
    pub fn unknown(count: usize) -> Self {
        Self::new(vec![GatewayHealth::default(); count])
    }

    /// The gateways in slot order.
    pub fn gateways(&self) -> &[GatewayHealth] {
        &self.gateways
    }

    /// One of them; unknown when there is no such slot.
    pub fn gateway(&self, slot: Slot) -> GatewayHealth {
        self.gateways.get(slot.index()).copied().unwrap_or_default()
    }

    /// Those that are [`State::Unhealthy`].
    pub fn unhealthy(&self) -> Slots {
        self.unhealthy
    }

    /// Those that are [`State::Draining`].
    pub fn draining(&self) -> Slots {
        self.draining
    }

    /// Unhealthy gateways that answered probes before, and have answered neither a probe nor a request for a second.
    /// Requests to them get a short timeout.
    pub fn unresponsive(&self) -> Slots {
        self.unresponsive
    }

    /// Ejected gateways whose probes pass: a request tries them after all others, before it gets an error.
    pub fn last_resort(&self) -> Slots {
        self.last_resort
    }

    /// Gateways in slow start, with less than their full share.
    pub fn warming(&self) -> Slots {
        self.warming
    }
}

/// The health of all gateways at one moment. Immutable; a new one is published when something changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthView {
    services: Vec<ServiceHealth>,
    isolated: bool,
}

impl HealthView {
    /// From the services in configured order.
    pub fn new(services: Vec<ServiceHealth>) -> Self {
        Self {
            services,
            isolated: false,
        }
    }

    /// The same view, marked as isolated or not: see [`is_isolated`](Self::is_isolated).
    #[must_use]
    pub fn isolated_when(self, isolated: bool) -> Self {
        Self { isolated, ..self }
    }

    /// Whether no gateway of any service can be reached. This replica more likely lost its own network than all regions
    /// failed, so views published to others report `unknown`.
    pub fn is_isolated(&self) -> bool {
        self.isolated
    }

    /// The services in configured order.
    pub fn services(&self) -> &[ServiceHealth] {
        &self.services
    }

    /// The health of a service.
    pub fn service(&self, id: ServiceId) -> Option<&ServiceHealth> {
        self.services.get(id.index())
    }

    /// The health of a gateway; unknown when it is not in the view.
    pub fn gateway(&self, id: GatewayId) -> GatewayHealth {
        self.service(id.service)
            .map(|service| service.gateway(id.slot))
            .unwrap_or_default()
    }
}

/// An attempt is overtaken when the other region's answer was at least this many times as fast.
const OVERTAKEN_RATIO: u32 = 2;

/// An observation for outlier detection: the part of an attempt's outcome that matters to health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The connection failed: refused, unreachable, or timed out.
    ConnectFailed,
    /// The connection broke before the response was complete.
    Reset,
    /// The response head timed out.
    TimedOut,
    /// 502, 503 or 504.
    GatewayError,
    /// Another 5xx.
    ServerError,
    /// Any other status.
    Success,
    /// A hedged request: another region answered at least twice as fast. A latency observation, not a failure.
    Overtaken,
    /// Not counted for or against the gateway: a hedged request that another region answered first, but not much faster; a call
    /// of gRPC that its client's deadline ended, or its client.
    Cancelled,
}

impl Evidence {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; 8] = [
        Self::ConnectFailed,
        Self::Reset,
        Self::TimedOut,
        Self::GatewayError,
        Self::ServerError,
        Self::Success,
        Self::Overtaken,
        Self::Cancelled,
    ];

    /// The observation for a response status.
    pub fn of_status(status: http::StatusCode) -> Self {
        match status.as_u16() {
            502..=504 => Self::GatewayError,
            500..=599 => Self::ServerError,
            _ => Self::Success,
        }
    }

    /// The observation for the status of a call of gRPC. As Envoy maps it to statuses of HTTP, but for three: a method that
    /// is not there is the client's fault, as a path is that is not there (404); and calls that are cancelled, or whose
    /// deadline passes, say nothing of a gateway, for it was the client who chose the moment.
    pub fn of_grpc(status: GrpcStatus) -> Self {
        match status {
            GrpcStatus::Unavailable => Self::GatewayError,
            GrpcStatus::Unknown | GrpcStatus::Internal | GrpcStatus::DataLoss => Self::ServerError,
            GrpcStatus::Cancelled | GrpcStatus::DeadlineExceeded => Self::Cancelled,
            GrpcStatus::Ok
            | GrpcStatus::InvalidArgument
            | GrpcStatus::NotFound
            | GrpcStatus::AlreadyExists
            | GrpcStatus::PermissionDenied
            | GrpcStatus::ResourceExhausted
            | GrpcStatus::FailedPrecondition
            | GrpcStatus::Aborted
            | GrpcStatus::OutOfRange
            | GrpcStatus::Unimplemented
            | GrpcStatus::Unauthenticated => Self::Success,
        }
    }

    /// The observation for an attempt without an answer after `waited`, when another region answered after `other`.
    pub fn of_hedge(waited: Duration, other: Duration) -> Self {
        if waited >= other.saturating_mul(OVERTAKEN_RATIO) {
            Self::Overtaken
        } else {
            Self::Cancelled
        }
    }

    /// Whether it is a failure of the gateway.
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::Success | Self::Overtaken | Self::Cancelled)
    }

    /// The outcome in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectFailed => "connect_failed",
            Self::Reset => "reset",
            Self::TimedOut => "timed_out",
            Self::GatewayError => "gateway_error",
            Self::ServerError => "server_error",
            Self::Success => "success",
            Self::Overtaken => "overtaken",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A time in the future. Configured durations may be very long; the [`Instant`] must not overflow.
fn later(now: Instant, wait: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    now + wait.min(LONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_grpc_is_a_failure_only_when_it_is_the_gateways_fault() {
        let failures = GrpcStatus::ALL
            .into_iter()
            .filter(|it| Evidence::of_grpc(*it).is_failure());
        let failures: Vec<_> = failures.map(|status| (status, Evidence::of_grpc(status))).collect();
        let expected = [
            (GrpcStatus::Unknown, Evidence::ServerError),
            (GrpcStatus::Internal, Evidence::ServerError),
            (GrpcStatus::Unavailable, Evidence::GatewayError),
            (GrpcStatus::DataLoss, Evidence::ServerError),
        ];
        assert_eq!(failures, expected);
        for status in [GrpcStatus::Cancelled, GrpcStatus::DeadlineExceeded] {
            assert_eq!(Evidence::of_grpc(status), Evidence::Cancelled, "{status:?}");
        }
    }
}
