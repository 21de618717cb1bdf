//! Changes of state, and their causes.

use super::State;
use super::outlier::Fault;
use super::probing::ProbeFailure;
use crate::id::GatewayId;

/// A gateway went from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Which gateway, in the configuration of now.
    pub gateway: GatewayId,
    /// Its state before.
    pub from: State,
    /// Its state now.
    pub to: State,
    /// Why.
    pub cause: Cause,
}

/// Why a gateway's state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It was seen to work.
    Evidence,
    /// So many probes in a row failed; the last of them like this.
    ProbesFailed(ProbeFailure),
    /// So many probes in a row passed.
    ProbesPassed,
    /// Traffic.
    Ejected(Fault),
    /// The time of its ejection is over.
    EjectionEnded,
    /// It has all of its traffic again.
    RampedUp,
    /// An operator.
    Operator,
    /// A new configuration.
    Configuration,
}

impl Cause {
    /// The word for it in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::ProbesFailed(_) => "probes_failed",
            Self::ProbesPassed => "probes_passed",
            Self::Ejected(fault) => fault.as_str(),
            Self::EjectionEnded => "ejection_ended",
            Self::RampedUp => "ramped_up",
            Self::Operator => "operator",
            Self::Configuration => "configuration",
        }
    }
}
