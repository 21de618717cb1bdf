//! What a gateway that has recovered waits for before it gets traffic again: its hold-down, then its gate.

use super::later;
use super::probing::{ProbeFailure, ProbeResult};
use crate::config::{Failback, Gate, GateCheck};
use std::fmt;
use std::time::{Duration, Instant};

/// What a gateway waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// The end of [`Failback::hold_down`].
    HoldDown,
    /// 2xx from the check of its gate, whose last one failed like this. `None` before the first one has ended.
    GateCheck(Option<ProbeFailure>),
    /// An operator's order.
    Operator,
}

impl Awaited {
    /// The words in metrics and logs.
    pub const WORDS: [&str; 3] = ["hold_down", "gate_check", "operator"];

    /// The word in metrics and logs.
    pub fn as_str(self) -> &'static str {
        let [hold_down, gate_check, operator] = Self::WORDS;
        match self {
            Self::HoldDown => hold_down,
            Self::GateCheck(_) => gate_check,
            Self::Operator => operator,
        }
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HoldDown => f.write_str("the end of its hold-down"),
            Self::GateCheck(None) => f.write_str("2xx from the check of its gate"),
            Self::GateCheck(Some(failure)) => write!(f, "2xx from the check of its gate, which failed: {failure}"),
            Self::Operator => f.write_str("the command failback"),
        }
    }
}

/// A gateway that is healthy and waits.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    /// Since when it has been healthy without a failed probe.
    since: Instant,
    /// The check of the gate that is in flight.
    ticket: Option<u64>,
    /// When the next one begins.
    check_due: Instant,
    /// How the last one failed.
    refused: Option<ProbeFailure>,
}

impl Hold {
    /// Healthy since this moment. `None` when there is nothing to wait for.
    pub(super) fn new(failback: &Failback, since: Instant) -> Option<Self> {
        failback.waits().then_some(Self {
            since,
            ticket: None,
            check_due: since,
            refused: None,
        })
    }

    /// How long it has been healthy without a failed probe.
    pub(super) fn healthy_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// A probe failed.
    pub(super) fn restart(&mut self, now: Instant) {
        self.since = now;
    }

    /// What it waits for; `None` when it waits no more.
    pub(super) fn awaited(&self, failback: &Failback, now: Instant) -> Option<Awaited> {
        match &failback.gate {
            _ if now < self.ends(failback) => Some(Awaited::HoldDown),
            None => None,
            Some(Gate::Operator) => Some(Awaited::Operator),
            Some(Gate::Check(_)) => Some(Awaited::GateCheck(self.refused)),
        }
    }

    /// When its hold-down ends.
    pub(super) fn ends(&self, failback: &Failback) -> Instant {
        later(self.since, failback.hold_down)
    }

    /// The next moment at which time alone changes something.
    pub(super) fn poll_timeout(&self, failback: &Failback, now: Instant) -> Option<Instant> {
        match self.awaited(failback, now) {
            Some(Awaited::HoldDown) => Some(self.ends(failback)),
            Some(Awaited::GateCheck(_)) if self.ticket.is_none() => Some(self.check_due),
            Some(_) => None,
            None => Some(now),
        }
    }

    /// Begins the check of the gate, if that is due.
    pub(super) fn begin_check<'a>(
        &mut self,
        failback: &'a Failback,
        ticket: u64,
        now: Instant,
    ) -> Option<&'a GateCheck> {
        let check = failback.check()?;
        let is_due = matches!(self.awaited(failback, now), Some(Awaited::GateCheck(_)));
        if !is_due || self.ticket.is_some() || now < self.check_due {
            return None;
        }
        self.ticket = Some(ticket);
        self.check_due = later(now, check.interval);
        Some(check)
    }

    /// Whether this check is the one in flight.
    pub(super) fn holds(&self, ticket: u64) -> bool {
        self.ticket == Some(ticket)
    }

    /// The check in flight ended.
    pub(super) fn checked(&mut self, result: ProbeResult) {
        self.ticket = None;
        self.refused = result.err();
    }

    /// Nobody waits for the check in flight.
    pub(super) fn lapse(&mut self) {
        self.ticket = None;
    }
}
