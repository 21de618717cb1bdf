//! Counts the votes of all vantages on the regions.
//!
//! All configured vantages are counted, alive or not: a quorum is a majority of them that agree, at least two of them outside
//! the region. A missing vote is an abstention, never a vote against.

use crate::names::VantageName;
use crate::settings::{Vantage, outsiders_needed};
use crate::vote::Ballot;
use portolan_core::health::State;
use portolan_core::id::RegionName;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who may vote.
#[derive(Clone, Debug)]
pub(crate) struct Electorate {
    vantages: Vec<Vantage>,
    /// How long an observation made during a doubt must hold after it.
    sustain: Duration,
}

impl Electorate {
    /// All configured vantages.
    pub(crate) fn new(vantages: &[Vantage], sustain: Duration) -> Self {
        Self {
            vantages: vantages.to_vec(),
            sustain,
        }
    }

    /// More than half of all configured vantages.
    pub(crate) fn majority(&self) -> usize {
        self.vantages.len() / 2 + 1
    }

    /// The vantages.
    pub(crate) fn vantages(&self) -> &[Vantage] {
        &self.vantages
    }

    /// Counts the ballots. Ballots of vantages that are not configured are ignored.
    pub(crate) fn tally(
        &self,
        regions: impl IntoIterator<Item = RegionName>,
        ballots: &BTreeMap<VantageName, Ballot>,
    ) -> Tally {
        let live = || {
            self.vantages
                .iter()
                .filter_map(|vantage| ballots.get(&vantage.name)?.live())
        };
        let doubted = live().filter(|(vote, _)| vote.doubted).count();
        Tally {
            live: live().count() - doubted,
            doubted,
            settled_for: live()
                .filter_map(|(vote, age)| vote.settled_for(age))
                .max()
                .unwrap_or_default(),
            majority: self.majority(),
            configured: self.vantages.len(),
            regions: regions
                .into_iter()
                .map(|region| {
                    let count = self.count(&region, ballots);
                    (region, count)
                })
                .collect(),
        }
    }

    fn count(&self, region: &RegionName, ballots: &BTreeMap<VantageName, Ballot>) -> RegionTally {
        let held = |state: State, outsiders: usize| {
            let mut votes: Vec<(Duration, bool)> = self
                .vantages
                .iter()
                .filter_map(|vantage| {
                    let (vote, age) = ballots.get(&vantage.name)?.trusted()?;
                    let (said, held) = vote.held(region, age, self.sustain)?;
                    (said == state).then(|| (held, vantage.is_outside(region)))
                })
                .collect();
            votes.sort_unstable_by(|a, b| b.cmp(a));
            Count {
                votes: votes.len(),
                agreed_for: agreed_for(&votes, self.majority(), outsiders),
            }
        };
        RegionTally {
            unhealthy: held(State::Unhealthy, outsiders_needed(self.vantages.len())),
            healthy: held(State::Healthy, 0),
            draining: held(State::Draining, 0),
        }
    }
}

/// How long enough of them, and enough outside the region, have agreed. `votes` is sorted, the longest first: the agreement
/// is as old as the vote that completed it.
fn agreed_for(votes: &[(Duration, bool)], enough: usize, outsiders: usize) -> Option<Duration> {
    let mut outside = 0;
    votes.iter().enumerate().find_map(|(earlier, &(held, is_outside))| {
        outside += usize::from(is_outside);
        (earlier + 1 >= enough && outside >= outsiders).then_some(held)
    })
}

/// The count of all votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many vantages have a vote that counts.
    pub live: usize,
    /// How many have a vote that abstains, since they doubt their own view.
    pub doubted: usize,
    /// For how long votes have decided without a suspension, as far as any vantage has seen. Zero while suspended.
    pub settled_for: Duration,
    /// How many are needed.
    pub majority: usize,
    /// How many there are.
    pub configured: usize,
    /// The count for each region.
    pub regions: BTreeMap<RegionName, RegionTally>,
}

impl Tally {
    /// Whether enough vantages vote for anything to be decided.
    pub fn is_quorate(&self) -> bool {
        self.live >= self.majority
    }
}

/// The count for one region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegionTally {
    /// Votes that it is unhealthy.
    pub unhealthy: Count,
    /// Votes that it is healthy.
    pub healthy: Count,
    /// Votes that an operator drains it: a decision, not an observation, so no outside votes are needed.
    pub draining: Count,
}

impl RegionTally {
    /// The same, but observations are no older than the end of the last suspension. A drain is no observation.
    #[must_use]
    pub fn since_settled(self, settled_for: Duration) -> Self {
        let clipped = |count: Count| Count {
            agreed_for: count.agreed_for.map(|agreed| agreed.min(settled_for)),
            ..count
        };
        Self {
            unhealthy: clipped(self.unhealthy),
            healthy: clipped(self.healthy),
            draining: self.draining,
        }
    }
}

/// How many votes there are, and since when they are a quorum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub votes: usize,
    /// How long the quorum has held, if it does.
    pub agreed_for: Option<Duration>,
}

impl Count {
    /// Whether the quorum has held for this long.
    pub fn for_at_least(&self, time: Duration) -> bool {
        self.agreed_for.is_some_and(|agreed| agreed >= time)
    }
}

#[cfg(test)]
mod tests;
