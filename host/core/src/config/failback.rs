//! Failback: what a region waits for before it gets traffic again.

use super::{GatewayAddress, Scheme};
use std::time::Duration;

/// What a region that was unhealthy waits for, besides being healthy, before it gets traffic again. While no other region of the service
/// may answer, it gets requests all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failback {
    /// How long it must be healthy without a failed probe. Zero: not at all.
    pub hold_down: Duration,
    /// What opens the way afterwards. `None`: nothing is needed.
    pub gate: Option<Gate>,
}

impl Failback {
    /// Whether there is something to wait for.
    pub fn waits(&self) -> bool {
        !self.hold_down.is_zero() || self.gate.is_some()
    }

    /// The check of the gate, where that is one.
    pub fn check(&self) -> Option<&GateCheck> {
        match &self.gate {
            Some(Gate::Check(check)) => Some(check),
            Some(Gate::Operator) | None => None,
        }
    }

    /// Whether its gate is asked over TLS.
    pub fn is_asked_over_tls(&self) -> bool {
        self.check().is_some_and(|check| check.address.scheme == Scheme::Https)
    }
}

/// What opens the way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// An operator's order.
    Operator,
    /// The answer of something that knows more than health checks do; or an operator's order.
    Check(Box<GateCheck>),
}

/// A request that must be answered with 2xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateCheck {
    /// Where to.
    pub address: GatewayAddress,
    /// Path and query, beginning with `/`. `{region}` and `{service}` stand for their names.
    pub path: String,
    /// Time from one request to the next, and until one has failed.
    pub interval: Duration,
}
