//! What one vantage says of the regions, as it is written to its blob, and how old that is by the store's own clock.
//!
//! No local clock takes part. A vote says how long each state has held, by the monotonic clock of its writer; its own age
//! is the store's date less the blob's last modification. So a vantage whose clock is wrong votes like any other.

use crate::health::{RegionHealth, state_named};
use crate::names::{VantageName, by_region};
use crate::settings::VoteTiming;
use portolan_core::health::State;
use portolan_core::id::RegionName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;

/// A vote, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who votes. It must be the name of the blob.
    pub vantage: VantageName,
    /// Grows by one with every vote of a run of the program.
    pub seq: u64,
    /// The writer's wall clock, RFC 3339. For people; nothing is decided by it.
    pub written_at: String,
    /// How long it counts, in seconds.
    pub valid_for_s: u64,
    /// What it says of each region.
    #[serde(with = "by_region")]
    pub regions: BTreeMap<RegionName, Opinion>,
}

/// What a vote says of one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// `healthy`, `unhealthy`, `draining`; all else is no opinion.
    pub state: String,
    /// How long that has held when the vote was written, in milliseconds.
    pub held_ms: u64,
    /// What it rests on, for people.
    pub evidence: String,
}

impl Opinion {
    /// The state, unknown when the word is not known here: a newer version may have more.
    pub fn state(&self) -> State {
        state_named(&self.state).unwrap_or(State::Unknown)
    }
}

/// What cannot be counted.
#[derive(Debug, Error)]
pub enum VoteError {
    /// Not a vote.
    #[error("not a vote: {0}")]
    Garbage(#[from] serde_json::Error),
    /// A vote in somebody else's blob.
    #[error("a vote of {0} in the blob of {1}")]
    Misplaced(VantageName, VantageName),
}

impl Vote {
    /// The vote for a view, `now` by the monotonic clock that its `since` is of.
    pub fn of(
        vantage: &VantageName,
        seq: u64,
        view: &[RegionHealth],
        now: Instant,
        written_at: String,
        timing: &VoteTiming,
    ) -> Self {
        let opinion = |health: &RegionHealth| Opinion {
            state: health.state.as_str().to_owned(),
            held_ms: millis(now.saturating_duration_since(health.since)),
            evidence: health.evidence.clone(),
        };
        Self {
            vantage: vantage.clone(),
            seq,
            written_at,
            valid_for_s: timing.valid_for.as_secs().max(1),
            regions: view
                .iter()
                .map(|health| (health.region.clone(), opinion(health)))
                .collect(),
        }
    }

    /// Reads the vote in the blob of a vantage.
    ///
    /// # Errors
    /// When it is no vote, or another's.
    pub fn parse(blob_of: &VantageName, bytes: &[u8]) -> Result<Self, VoteError> {
        let vote: Self = serde_json::from_slice(bytes)?;
        if &vote.vantage == blob_of {
            Ok(vote)
        } else {
            Err(VoteError::Misplaced(vote.vantage, blob_of.clone()))
        }
    }

    /// Whether it still counts at this age.
    pub fn counts(&self, age: Duration) -> bool {
        age <= Duration::from_secs(self.valid_for_s).min(VoteTiming::LONGEST_VALIDITY)
    }
}

/// What was found in the blob of one vantage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ballot {
    /// It never voted.
    Absent,
    /// Something that cannot be counted.
    Spoiled(String),
    /// A vote and its age.
    Cast {
        /// The vote.
        vote: Vote,
        /// The store's date less the blob's last modification.
        age: Duration,
    },
}

impl Ballot {
    /// The vote and its age, if it counts.
    pub fn live(&self) -> Option<(&Vote, Duration)> {
        match self {
            Self::Cast { vote, age } if vote.counts(*age) => Some((vote, *age)),
            _ => None,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
