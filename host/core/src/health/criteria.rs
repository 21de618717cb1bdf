//! What a gateway's health is judged by besides its own observations.

use super::outlier::Fault;
use crate::config::{HealthCheck, OutlierDetection};
use std::time::Duration;

/// The part of a service's configuration that health depends on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Criteria {
    pub(super) check: Option<HealthCheck>,
    pub(super) limits: OutlierDetection,
    pub(super) slow_start: Duration,
}

/// The other gateways of a gateway's service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peers {
    /// The ejection limit allows one more.
    pub(super) room: bool,
    /// Another one gets traffic.
    pub(super) others: bool,
    /// The service has active health checks.
    pub(super) probed: bool,
}

impl Peers {
    /// Whether a gateway with this fault may be ejected. The last one that gets traffic is kept while it answers
    /// most requests. One that answers no request is ejected even beyond the limit, as long as another gets traffic. The
    /// last one of those is left to the probes. Without probes it is ejected too, so that panic mode tries all of them and
    /// finds the first one that recovers.
    pub(super) fn allow_ejection(self, fault: Fault) -> bool {
        match fault {
            Fault::FailureShare | Fault::Latency | Fault::Lost => self.room && self.others,
            _ => self.room || fault.is_total() && (self.others || !self.probed),
        }
    }
}
