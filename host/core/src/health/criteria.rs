//! What a gateway's health is judged by besides its own observations.

use super::outlier::Fault;
use crate::config::{Failback, HealthCheck, OutlierDetection};
use std::time::Duration;

/// The part of a service's configuration that health depends on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Criteria {
    pub(super) check: Option<HealthCheck>,
    pub(super) limits: OutlierDetection,
    pub(super) slow_start: Duration,
    pub(super) failback: Failback,
    /// Whether a plugin is given the round trips of probes. Nothing else reads them in a view.
    pub(super) shows_round_trips: bool,
}

/// The other gateways of a gateway's service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peers {
    /// The ejection limit allows one more.
    pub(super) room: bool,
    /// Another one gets traffic.
    pub(super) others: bool,
    /// Another one is ejected and its probes pass: its ejection can be ended in exchange.
    pub(super) exchange: bool,
    /// See [`Support::elsewhere`](super::outlier::Support::elsewhere).
    pub(super) credible_disputes: bool,
    /// The service has active health checks.
    pub(super) probed: bool,
}

impl Peers {
    /// Whether a gateway with this fault may be ejected. The last one that gets traffic is kept while it answers
    /// most requests. One that answers no request is ejected even beyond the limit, as long as another gets traffic. The
    /// last one of those is left to the probes. Without probes it is ejected too, so that panic mode tries all of them and
    /// finds the first one that recovers.
    ///
    /// An ejected gateway whose probes pass counts as one that gets traffic: it returns for the one that fails now.
    pub(super) fn allow_ejection(self, fault: Fault) -> bool {
        let (room, others) = (self.room || self.exchange, self.others || self.exchange);
        match fault {
            Fault::FailureShare | Fault::Latency | Fault::Lost => room && others,
            _ => room || fault.is_total() && (others || !self.probed),
        }
    }
}
