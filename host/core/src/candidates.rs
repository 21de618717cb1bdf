//! Which regions may answer a request. Constraints come before preferences: residency, then drain, health, and
//! capacity.

use crate::config::Service;
use crate::geo::Country;
use crate::health::ServiceHealth;
use crate::id::Slot;
use crate::slots::Slots;

/// The regions of a service, divided into those that may answer and those that may not, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// Regions that may answer.
    pub eligible: Slots,
    /// Unhealthy regions that are tried after all eligible ones: ejected ones whose probes pass; when those are the eligible
    /// ones, the others.
    pub last_resort: Slots,
    /// Regions that residency rules exclude for this client.
    pub forbidden: Slots,
    /// Regions that an operator drained.
    pub draining: Slots,
    /// Unhealthy regions. In panic mode they are eligible too, and when no region is healthy, those whose probes pass are.
    pub unhealthy: Slots,
    /// Regions at their request limit.
    pub full: Slots,
    /// Panic mode: all regions left by residency and drain are unhealthy, and probes of none that has room pass, so health is
    /// ignored.
    pub panic: bool,
}

/// Why a region may not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exclusion {
    /// A residency rule excludes it for the client's country.
    Residency,
    /// An operator drained it.
    Draining,
    /// It is unhealthy.
    Unhealthy,
    /// It is at its request limit.
    Full,
}

impl Exclusion {
    /// The status in logs, metrics and explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Residency => "residency",
            Self::Draining => "draining",
            Self::Unhealthy => "unhealthy",
            Self::Full => "full",
        }
    }
}

/// Divides a service's regions. `full` are those at their [`max_requests`](crate::config::Gateway::max_requests).
pub fn gather(service: &Service, health: &ServiceHealth, country: Country, full: Slots) -> Candidates {
    let all = service.slots();
    let forbidden = all - service.allowed(country);
    let draining = (all - forbidden) & health.draining();
    let open = all - forbidden - draining;
    let unhealthy = open & health.unhealthy();
    let healthy = open - unhealthy;
    let ejected = unhealthy & health.last_resort();
    let panic = unhealthy == open && ejected.is_empty() && !open.is_empty();
    let (first, second) = match () {
        () if !healthy.is_empty() => (healthy, ejected),
        () if !panic => (ejected, unhealthy - ejected),
        () => (open, Slots::EMPTY),
    };
    let (eligible, last_resort) = match (first - full, second - full) {
        (none, second) if none.is_empty() => (second, Slots::EMPTY),
        both => both,
    };
    // The last resort may be full, so that only those are left whose probes fail as well.
    let panic = panic || !eligible.is_empty() && (eligible - (unhealthy - ejected)).is_empty();
    Candidates {
        eligible,
        last_resort,
        forbidden,
        draining,
        unhealthy,
        full: first & full,
        panic,
    }
}

impl Candidates {
    /// Why a region may not answer; `None` when it may.
    pub fn exclusion(&self, slot: Slot) -> Option<Exclusion> {
        if (self.eligible | self.last_resort).contains(slot) {
            None
        } else if self.forbidden.contains(slot) {
            Some(Exclusion::Residency)
        } else if self.draining.contains(slot) {
            Some(Exclusion::Draining)
        } else if self.full.contains(slot) {
            Some(Exclusion::Full)
        } else {
            Some(Exclusion::Unhealthy)
        }
    }

    /// Why no region is eligible; `None` when one is. With several causes, the one that is likely to end first is
    /// returned: capacity, then drain, then residency.
    pub fn unavailable(&self) -> Option<Exclusion> {
        if !self.eligible.is_empty() {
            None
        } else if !self.full.is_empty() {
            Some(Exclusion::Full)
        } else if !self.draining.is_empty() {
            Some(Exclusion::Draining)
        } else {
            Some(Exclusion::Residency)
        }
    }
}
