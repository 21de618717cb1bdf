//! Session affinity: requests that belong together are answered by one region, as long as it may answer.
//!
//! Constraints come first: a session does not override residency, a drain, health, capacity or slow start. A returning region gets its
//! sessions back as its share grows, each once: what is random for other requests is the session's own number here.

use crate::candidates::{Candidates, Exclusion};
use crate::chance::spread;
use crate::config::{Failover, Service};
use crate::id::{RegionName, Slot};
use crate::rank::Ranking;

/// The session of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// It belongs to a region.
    Bound {
        /// Its number.
        id: u64,
        /// Its region.
        slot: Slot,
    },
    /// Its region follows from what its requests have in common, of which this is the hash.
    Hashed(u64),
    /// It begins with this request.
    New {
        /// Its number.
        id: u64,
    },
}

/// What became of a request's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affine {
    /// Its region is tried first.
    Kept,
    /// Its region may not answer now; another one is tried first.
    Moved,
    /// It had no region yet.
    Begun,
}

impl Affine {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Kept, Self::Moved, Self::Begun];

    /// Its name in metrics, logs and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Moved => "moved",
            Self::Begun => "begun",
        }
    }
}

impl Session {
    /// What is random in the decision of its requests: the same for all of them.
    pub fn roll(self) -> u64 {
        match self {
            Self::Bound { id, .. } | Self::New { id } => spread(id, 0),
            Self::Hashed(hash) => hash,
        }
    }

    /// Puts its region first, as far as that may answer.
    pub fn prefer(self, service: &Service, candidates: &Candidates, ranking: &mut Ranking) -> Affine {
        let slot = match self {
            Self::New { .. } => return Affine::Begun,
            Self::Bound { slot, .. } => Some(slot),
            Self::Hashed(hash) => drawn(hash, service, candidates, ranking),
        };
        match slot.is_some_and(|slot| ranking.prefer(slot)) {
            true => Affine::Kept,
            false => Affine::Moved,
        }
    }

    /// The region that it belongs to from now on, when the client has to learn that: this one answered.
    pub fn moves_to(self, failover: Failover, candidates: &Candidates, answered: Slot) -> Option<Slot> {
        let moves = match self {
            Self::Hashed(_) => false,
            Self::New { .. } => true,
            Self::Bound { slot, .. } if slot == answered => false,
            Self::Bound { slot, .. } => match candidates.exclusion(slot) {
                // An operator's drain lasts, and so does a rule.
                Some(Exclusion::Draining | Exclusion::Residency) => true,
                // It has room again in a moment.
                Some(Exclusion::Full) => false,
                Some(Exclusion::Unhealthy) => failover == Failover::Sticky,
                // In slow start, where it gets its sessions back, or it failed for this request.
                None => false,
            },
        };
        moves.then_some(answered)
    }
}

/// The region of a hash among those that may answer: rendezvous hashing with weights (Thaler and Ravishankar, "Using name-based mappings
/// to increase hit rates", IEEE/ACM Transactions on Networking 6, 1998). A region that goes or comes moves no sessions but its own, and
/// all instances agree whatever the order of their configurations.
fn drawn(hash: u64, service: &Service, candidates: &Candidates, ranking: &Ranking) -> Option<Slot> {
    let open = candidates.eligible - ranking.held_back();
    let open = if open.is_empty() { candidates.eligible } else { open };
    let lowest = open
        .iter()
        .filter_map(|slot| service.gateway(slot))
        .map(|gateway| gateway.priority)
        .min()?;
    let scores = open.iter().filter_map(|slot| {
        let gateway = service.gateway(slot).filter(|gateway| gateway.priority == lowest)?;
        let roll = spread(hash, name_hash(&gateway.region));
        // Uniform in (0, 1): 53 bits, and never 0.
        let uniform = ((roll >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        Some((slot, -f64::from(gateway.weight) / uniform.ln()))
    });
    let best = scores.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(slot, _)| slot)
}

/// The hash of a value that the requests of a session have in common: FNV-1a, mixed.
pub fn hash(value: &[u8]) -> u64 {
    spread(fnv(value), 0)
}

fn name_hash(region: &RegionName) -> u64 {
    fnv(region.as_str().as_bytes())
}

/// FNV-1a of 64 bits (draft-eastlake-fnv, section 6).
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
