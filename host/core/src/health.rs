//! What is known of the gateways, as requests read it.
//!
//! | module | |
//! |---|---|
//! | [`tracker`] | from probes, traffic and operators to a [`HealthView`]: begin here |
//! | [`transition`] | what changed, and why |
//! | `tracked` | the gateways of one service |
//! | `gateway` | the verdict on one gateway |
//! | [`probing`] | when it is probed, and what its probes say |
//! | [`outlier`] | what its traffic says |
//! | `stall` | what the silence of its traffic says |
//! | `ejection` | for how long it is out because of that |
//! | `ramp` | how much traffic it gets when it returns |

mod ejection;
mod gateway;
pub mod outlier;
pub mod probing;
mod ramp;
mod stall;
mod tracked;
pub mod tracker;
pub mod transition;

use crate::id::{GatewayId, ServiceId, Slot};
use crate::slots::Slots;
use std::time::{Duration, Instant};

/// The verdict on a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// No evidence yet. No evidence is not bad evidence: it takes traffic.
    #[default]
    Unknown,
    /// It answers.
    Healthy,
    /// It answers again after a failure and is being ramped up.
    Degraded,
    /// It does not answer, or not well: probes failed, or traffic did.
    Unhealthy,
    /// An operator takes it out.
    Draining,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [
        Self::Unknown,
        Self::Healthy,
        Self::Degraded,
        Self::Unhealthy,
        Self::Draining,
    ];

    /// The word for it in configuration, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
        }
    }
}

/// What is known of one gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayHealth {
    /// The verdict.
    pub state: State,
    /// How much of its traffic it gets, in thousandths: below 1000 while it is ramped up.
    pub share: u16,
    /// Time the last successful probe took from request to answer, to within a quarter or a millisecond: smaller
    /// changes are not worth a new view.
    pub round_trip: Option<Duration>,
}

impl GatewayHealth {
    /// All of its traffic.
    pub const FULL_SHARE: u16 = 1000;
}

impl Default for GatewayHealth {
    fn default() -> Self {
        Self {
            state: State::Unknown,
            share: Self::FULL_SHARE,
            round_trip: None,
        }
    }
}

/// What is known of a service's gateways, with the sets a request needs worked out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceHealth {
    gateways: Vec<GatewayHealth>,
    unhealthy: Slots,
    draining: Slots,
    ramping: Slots,
    silent: Slots,
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
            ramping: those(|gateway| gateway.share < GatewayHealth::FULL_SHARE),
            silent: Slots::EMPTY,
            gateways,
        }
    }

    /// The same, with these gateways known to be [silent](Self::silent).
    #[must_use]
    pub fn with_silent(self, silent: Slots) -> Self {
        Self { silent, ..self }
    }

    /// Nothing known of `count` gateways.
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

    /// Those that are out, used to answer, and answer nobody any more, neither probes nor clients: waiting for them is
    /// futile.
    pub fn silent(&self) -> Slots {
        self.silent
    }

    /// Those with less than their full share.
    pub fn ramping(&self) -> Slots {
        self.ramping
    }
}

/// What is known of all gateways at one moment. Immutable; a new one is published when something changed.
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

    /// The same, as seen by a replica that reaches nobody at all.
    #[must_use]
    pub fn isolated_when(self, isolated: bool) -> Self {
        Self { isolated, ..self }
    }

    /// Whether no gateway of any service can be reached: more likely this replica lost its own network than all regions
    /// died. What it believes of them is then worth nothing to others: whoever publishes it says `unknown`.
    pub fn is_isolated(&self) -> bool {
        self.isolated
    }

    /// The services in configured order.
    pub fn services(&self) -> &[ServiceHealth] {
        &self.services
    }

    /// What is known of a service.
    pub fn service(&self, id: ServiceId) -> Option<&ServiceHealth> {
        self.services.get(id.index())
    }

    /// What is known of a gateway; unknown when it is not in the view.
    pub fn gateway(&self, id: GatewayId) -> GatewayHealth {
        self.service(id.service)
            .map(|service| service.gateway(id.slot))
            .unwrap_or_default()
    }
}

/// What traffic says of a gateway: the part of an attempt's outcome that matters to its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// No connection: refused, unreachable, or not in time.
    ConnectFailed,
    /// The connection broke before the response was whole.
    Reset,
    /// No response head in time.
    TimedOut,
    /// 502, 503 or 504.
    GatewayError,
    /// Another 5xx.
    ServerError,
    /// Anything else: it works.
    Success,
}

impl Evidence {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; 6] = [
        Self::ConnectFailed,
        Self::Reset,
        Self::TimedOut,
        Self::GatewayError,
        Self::ServerError,
        Self::Success,
    ];

    /// What the status of a response says.
    pub fn of_status(status: http::StatusCode) -> Self {
        match status.as_u16() {
            502..=504 => Self::GatewayError,
            500..=599 => Self::ServerError,
            _ => Self::Success,
        }
    }

    /// Whether it counts against the gateway.
    pub fn is_failure(self) -> bool {
        self != Self::Success
    }

    /// The word for it in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectFailed => "connect_failed",
            Self::Reset => "reset",
            Self::TimedOut => "timed_out",
            Self::GatewayError => "gateway_error",
            Self::ServerError => "server_error",
            Self::Success => "success",
        }
    }
}

/// A moment in the future. Configured times may be absurdly long; an [`Instant`] must not overflow for it.
fn later(now: Instant, wait: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    now + wait.min(LONG)
}
