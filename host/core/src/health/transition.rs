//! State changes and their causes.

use super::State;
use super::hold::Awaited;
use super::outlier::Fault;
use super::probing::ProbeFailure;
use crate::id::GatewayId;
use std::fmt;

/// A gateway went from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The gateway, in the current configuration.
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
    /// Its first success.
    Evidence,
    /// Failed active health checks: [`unhealthy_threshold`](crate::config::HealthCheck::unhealthy_threshold) probes in a
    /// row, the last of them like this.
    ProbesFailed(ProbeFailure),
    /// Passed active health checks: enough probes in a row.
    ProbesPassed,
    /// Outlier detection.
    Ejected(Fault),
    /// The time of its ejection is over.
    EjectionEnded,
    /// Its ejection was taken back: the requests that had failed may have been at fault themselves.
    EjectionTakenBack,
    /// It has recovered, and waits for this before it gets traffic again. The state stays the same.
    Held(Awaited),
    /// What it waited for came.
    FailedBack,
    /// The end of its slow start.
    WarmedUp,
    /// It goes on with what was under way before a start.
    Resumed,
    /// An operator drained it, or ended the drain.
    Operator,
    /// A new configuration.
    Configuration,
}

impl Cause {
    /// The cause in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evidence => "first_answer",
            Self::ProbesFailed(_) => "probes_failed",
            Self::ProbesPassed => "probes_passed",
            Self::Ejected(fault) => fault.as_str(),
            Self::EjectionEnded => "ejection_ended",
            Self::EjectionTakenBack => "ejection_taken_back",
            Self::Held(awaited) => awaited.as_str(),
            Self::FailedBack => "failed_back",
            Self::WarmedUp => "warmed_up",
            Self::Resumed => "resumed",
            Self::Operator => "operator",
            Self::Configuration => "configuration",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evidence => f.write_str("answers"),
            Self::ProbesFailed(failure) => write!(f, "probes failed: {failure}"),
            Self::ProbesPassed => f.write_str("probes passed"),
            Self::Ejected(fault) => write!(f, "ejected: {fault}"),
            Self::EjectionEnded => f.write_str("ejection ended"),
            Self::EjectionTakenBack => {
                f.write_str("ejection taken back: the same requests failed in other regions too")
            }
            Self::Held(awaited) => write!(f, "recovered, waits for {awaited}"),
            Self::FailedBack => f.write_str("recovered, and what it waited for came"),
            Self::WarmedUp => f.write_str("slow start ended"),
            Self::Resumed => f.write_str("as before the start"),
            Self::Operator => f.write_str("by an operator"),
            Self::Configuration => f.write_str("by a new configuration"),
        }
    }
}
