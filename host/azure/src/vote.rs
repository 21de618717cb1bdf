//! A vantage's view of the regions as written to its blob, and its age by the store's clock.
//!
//! No wall clock of a vantage is used. A vote holds how long each state has lasted, by the monotonic clock of its writer; its
//! age is the store's date less the blob's last modification. So a vantage whose clock is wrong votes like any other.

use crate::doubt::Doubt;
use crate::health::{LocalView, RegionHealth, state_named};
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
    /// The vantage. It must be the name of the blob.
    pub vantage: VantageName,
    /// Grows by one with every vote of a run of the program.
    pub seq: u64,
    /// The writer's wall clock, RFC 3339. For operators; no decision uses it.
    pub written_at: String,
    /// How long it counts, in seconds.
    pub valid_for_s: u64,
    /// Whether the writer doubts its own view: the vote then abstains on all regions.
    #[serde(default)]
    pub doubted: bool,
    /// How long ago the writer's last doubt of its own view ended, in milliseconds. Null when there was none.
    #[serde(default)]
    pub doubt_ended_ms: Option<u64>,
    /// For how long the writer has seen votes that decide, without a suspension, in milliseconds. Null while suspended.
    #[serde(default)]
    pub settled_ms: Option<u64>,
    /// The vote on each region.
    #[serde(with = "by_region")]
    pub regions: BTreeMap<RegionName, Opinion>,
}

/// The vote on one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// `healthy`, `unhealthy`, `draining`; all else is no opinion.
    pub state: String,
    /// How long that has held when the vote was written, in milliseconds.
    pub held_ms: u64,
    /// The evidence, for operators.
    pub evidence: String,
}

impl Opinion {
    /// The state; unknown for a word of a newer version.
    pub fn state(&self) -> State {
        state_named(&self.state).unwrap_or(State::Unknown)
    }
}

/// Why a vote cannot be counted.
#[derive(Debug, Error)]
pub enum VoteError {
    /// Not a vote.
    #[error("not a vote: {0}")]
    Garbage(#[from] serde_json::Error),
    /// A vote in the blob of another vantage.
    #[error("a vote of {0} in the blob of {1}")]
    Misplaced(VantageName, VantageName),
}

/// The input of a vote.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its own view.
    pub view: &'a LocalView,
    /// Whether it doubts that view, and since when it no longer does.
    pub doubt: Doubt,
    /// For how long it has seen votes that decide. `None` while they are suspended.
    pub settled_for: Option<Duration>,
}

impl Vote {
    /// The vote for a view, `now` by the monotonic clock that its `since` is of.
    pub fn of(
        vantage: &VantageName,
        seq: u64,
        seen: Seen<'_>,
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
            doubted: seen.doubt.is_doubted(),
            doubt_ended_ms: seen.doubt.ended_ago(now).map(millis),
            settled_ms: seen.settled_for.map(millis),
            regions: seen
                .view
                .regions
                .iter()
                .map(|health| (health.region.clone(), opinion(health)))
                .collect(),
        }
    }

    /// How many regions it votes unhealthy.
    pub fn unhealthy(&self) -> usize {
        let opinions = self.regions.values();
        opinions.filter(|opinion| opinion.state() == State::Unhealthy).count()
    }

    /// Reads the vote in the blob of a vantage.
    ///
    /// # Errors
    /// When it is not a vote, or that of another vantage.
    pub fn parse(blob_of: &VantageName, bytes: &[u8]) -> Result<Self, VoteError> {
        let vote: Self = serde_json::from_slice(bytes)?;
        if &vote.vantage == blob_of {
            Ok(vote)
        } else {
            Err(VoteError::Misplaced(vote.vantage, blob_of.clone()))
        }
    }

    /// How long a state has held when the vote is this old. `None`: no opinion on the region, or one that does not count.
    ///
    /// What the writer observed while it doubted its view counts from the end of the doubt; a region that it saw unhealthy then,
    /// once `sustain` has passed since: its gateways come back one after the other.
    pub fn held(&self, region: &RegionName, age: Duration, sustain: Duration) -> Option<(State, Duration)> {
        let opinion = self.regions.get(region)?;
        let state = opinion.state();
        let held = Duration::from_millis(opinion.held_ms).saturating_add(age);
        let Some(ended) = self.doubt_ended_ms.filter(|ended| *ended <= opinion.held_ms) else {
            return Some((state, held));
        };
        let trusted = Duration::from_millis(ended).saturating_add(age);
        match state {
            State::Draining => Some((state, held)),
            State::Unhealthy if trusted < sustain => None,
            _ => Some((state, trusted)),
        }
    }

    /// For how long the writer has seen votes that decide, when the vote is this old.
    pub fn settled_for(&self, age: Duration) -> Option<Duration> {
        Some(Duration::from_millis(self.settled_ms?).saturating_add(age))
    }

    /// Whether it still counts at this age.
    pub fn counts(&self, age: Duration) -> bool {
        age <= Duration::from_secs(self.valid_for_s).min(VoteTiming::LONGEST_VALIDITY)
    }
}

/// The content of a vantage's blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ballot {
    /// It never voted.
    Absent,
    /// Something that cannot be counted.
    Invalid(String),
    /// A vote and its age.
    Cast {
        /// The vote.
        vote: Vote,
        /// The store's date less the blob's last modification.
        age: Duration,
    },
}

impl Ballot {
    /// The vote and its age, if it counts and its writer trusts its own view.
    pub fn trusted(&self) -> Option<(&Vote, Duration)> {
        self.live().filter(|(vote, _)| !vote.doubted)
    }

    /// The vote and its age, if it is young enough.
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
