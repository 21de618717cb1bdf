//! Which regions may answer a request. Constraints come before preferences: residency, then drain, health, capacity.

use crate::config::Service;
use crate::geo::Country;
use crate::health::ServiceHealth;
use crate::id::Slot;
use crate::slots::Slots;

/// The regions of a service, divided into those that may answer and those that may not, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// Those that may answer.
    pub eligible: Slots,
    /// Those that residency forbids this client.
    pub forbidden: Slots,
    /// Those an operator drains.
    pub draining: Slots,
    /// Those known to be unhealthy. In panic mode they are eligible all the same.
    pub unhealthy: Slots,
    /// Those that have as many requests as they may.
    pub full: Slots,
    /// All regions left by residency and drain look bad: health is disregarded, so that traffic keeps flowing.
    pub panic: bool,
}

/// Why a region may not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exclusion {
    /// Residency keeps the client's country out of it.
    Residency,
    /// An operator drains it.
    Draining,
    /// It is known to be unhealthy.
    Unhealthy,
    /// It has as many requests as it may.
    Full,
}

impl Exclusion {
    /// The word for it in logs, metrics and explanations.
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
    let panic = unhealthy == open && !open.is_empty();
    let usable = if panic { open } else { open - unhealthy };
    let full = usable & full;
    Candidates {
        eligible: usable - full,
        forbidden,
        draining,
        unhealthy,
        full,
        panic,
    }
}

impl Candidates {
    /// Why a region may not answer; `None` when it may.
    pub fn exclusion(&self, slot: Slot) -> Option<Exclusion> {
        if self.eligible.contains(slot) {
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

    /// Why nobody may answer; `None` when somebody may. Capacity before drain before residency: the cause that goes
    /// away soonest is the one to tell.
    pub fn nobody(&self) -> Option<Exclusion> {
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
