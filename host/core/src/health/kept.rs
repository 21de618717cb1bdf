//! What is kept of a gateway for the next process: that it is out, what it has waited for so far, and how far its slow start is.

use crate::id::{RegionName, ServiceName};
use std::time::Duration;

/// A gateway that does not get all of its traffic yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptGateway {
    /// Its service.
    pub service: ServiceName,
    /// Its region.
    pub region: RegionName,
    /// Where it listens, as a URL: another address is another gateway.
    pub gateway: String,
    /// How far it is on its way back.
    pub progress: Progress,
}

/// How far a gateway is on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has not recovered, and its service has a [`Failback`](crate::config::Failback): it will have to wait for it.
    Unhealthy,
    /// It has recovered, and waits for its failback.
    Held {
        /// How long it has been healthy without a failed probe.
        healthy_for: Duration,
    },
    /// It is in slow start.
    Warming {
        /// For so long.
        warming_for: Duration,
    },
}

impl Progress {
    /// The same after this time, in which nothing happened to the gateway.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        match self {
            Self::Unhealthy => self,
            Self::Held { healthy_for } => Self::Held {
                healthy_for: healthy_for.saturating_add(time),
            },
            Self::Warming { warming_for } => Self::Warming {
                warming_for: warming_for.saturating_add(time),
            },
        }
    }

    /// Whether it is at another point than `other`, which the passing of time alone does not explain: time only adds.
    pub fn differs(self, other: Self) -> bool {
        match (self, other) {
            (Self::Unhealthy, Self::Unhealthy) => false,
            (Self::Held { healthy_for: now }, Self::Held { healthy_for: before }) => now < before,
            (Self::Warming { warming_for: now }, Self::Warming { warming_for: before }) => now < before,
            _ => true,
        }
    }
}
