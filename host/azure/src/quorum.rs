//! What the vantages together say of the regions.
//!
//! All configured vantages are counted, alive or not: a majority of them, and at least two that stand outside the region,
//! must say the same. Silence is an abstention, never a vote against.

use crate::names::VantageName;
use crate::settings::Vantage;
use crate::vote::Ballot;
use portolan_core::health::State;
use portolan_core::id::RegionName;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many of those who stand outside a region must agree before it is called bad.
const OUTSIDERS: usize = 2;

/// Who may vote.
#[derive(Clone, Debug)]
pub struct Electorate {
    vantages: Vec<Vantage>,
}

impl Electorate {
    /// All configured vantages.
    pub fn new(vantages: &[Vantage]) -> Self {
        Self {
            vantages: vantages.to_vec(),
        }
    }

    /// More than half of all configured vantages.
    pub fn majority(&self) -> usize {
        self.vantages.len() / 2 + 1
    }

    /// The vantages.
    pub fn vantages(&self) -> &[Vantage] {
        &self.vantages
    }

    /// Whether a region could be called bad if everybody voted so.
    pub fn can_convict(&self, region: &RegionName) -> bool {
        let outside = self
            .vantages
            .iter()
            .filter(|v| v.region.as_ref() != Some(region))
            .count();
        outside >= self.outsiders()
    }

    /// A single vantage is its own quorum of one and has no outsiders to ask.
    fn outsiders(&self) -> usize {
        if self.vantages.len() <= 1 { 0 } else { OUTSIDERS }
    }

    /// Counts the ballots. Ballots of strangers are not looked at.
    pub fn tally(
        &self,
        regions: impl IntoIterator<Item = RegionName>,
        ballots: &BTreeMap<VantageName, Ballot>,
    ) -> Tally {
        let live = |vantage: &&Vantage| ballots.get(&vantage.name).is_some_and(|ballot| ballot.live().is_some());
        Tally {
            live: self.vantages.iter().filter(live).count(),
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
                    let (vote, age) = ballots.get(&vantage.name)?.live()?;
                    let opinion = vote.regions.get(region).filter(|opinion| opinion.state() == state)?;
                    let held = Duration::from_millis(opinion.held_ms).saturating_add(age);
                    Some((held, vantage.region.as_ref() != Some(region)))
                })
                .collect();
            votes.sort_unstable_by(|a, b| b.cmp(a));
            Count {
                votes: votes.len(),
                agreed_for: agreed_for(&votes, self.majority(), outsiders),
            }
        };
        RegionTally {
            unhealthy: held(State::Unhealthy, self.outsiders()),
            healthy: held(State::Healthy, 0),
            draining: held(State::Draining, 0),
        }
    }
}

/// How long enough of them, and enough outsiders, have said so. `votes` is sorted, the longest first: the agreement is as
/// old as the vote that completed it.
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
    /// How many are needed.
    pub majority: usize,
    /// How many there are.
    pub configured: usize,
    /// What they say of each region.
    pub regions: BTreeMap<RegionName, RegionTally>,
}

impl Tally {
    /// Whether enough vantages vote for anything to be decided.
    pub fn is_quorate(&self) -> bool {
        self.live >= self.majority
    }
}

/// What is said of one region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegionTally {
    /// That it does not answer.
    pub unhealthy: Count,
    /// That it answers.
    pub healthy: Count,
    /// That an operator takes it out: a decision, not a finding, so outsiders are not asked for.
    pub draining: Count,
}

/// How many say something, and since when enough of them do.
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
