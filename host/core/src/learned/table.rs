//! Evidence by prefix in a memory of fixed size.

use super::estimate::{Estimate, faded_to};
use super::prefix::Prefix;
use crate::chance::spread;
use crate::id::RegionName;

/// Prefixes that share a place in memory; the one with the least evidence makes room.
const WAYS: usize = 8;

/// Regions per prefix; the one with the least evidence makes room.
pub const REGIONS: usize = 8;

/// Regions in all. Azure has 63.
pub const MAX_REGIONS: usize = 256;

/// Evidence below this many connections is forgotten.
const LEAST_WEIGHT: f32 = 0.05;

/// A region's number in a table, in the order in which regions came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionId(pub u16);

/// Evidence on one prefix and region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// The prefix.
    pub prefix: Prefix,
    /// The region.
    pub region: RegionId,
    /// What was measured; its weight is that of the last time.
    pub estimate: Estimate,
    /// When evidence on the prefix last came, in seconds since 1970.
    pub seen: u64,
}

/// What became of added evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is kept.
    Kept,
    /// It is kept, and another prefix was forgotten.
    Evicted,
    /// Too many regions have evidence.
    NoRoom,
}

/// Evidence by prefix: 8-way set-associative, allocated once. Moments are seconds since 1970; an earlier moment than the
/// last one counts as that.
#[derive(Clone, Debug)]
pub struct EvidenceTable {
    regions: Vec<RegionName>,
    sets: Box<[Set]>,
    half_life: u64,
    /// Makes it hard to find prefixes that share a place.
    seed: u64,
    held: usize,
}

type Set = [Entry; WAYS];

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    prefix: Option<Prefix>,
    seen: u64,
    of: [Option<(RegionId, Estimate)>; REGIONS],
}

impl EvidenceTable {
    /// For at most this many prefixes, rounded down to a multiple of 8 and at least 8. The half-life is in seconds.
    pub fn new(max_prefixes: usize, half_life: u64, seed: u64) -> Self {
        Self {
            regions: Vec::new(),
            sets: vec![Set::default(); (max_prefixes / WAYS).max(1)].into(),
            half_life,
            seed,
            held: 0,
        }
    }

    /// How many prefixes it can hold.
    pub fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// How many prefixes it holds, faded ones included.
    pub fn len(&self) -> usize {
        self.held
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// The bytes of its prefixes, which do not change.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.sets)
    }

    /// The regions, by [`RegionId`].
    pub fn regions(&self) -> &[RegionName] {
        &self.regions
    }

    /// The number of a region, which gets one if it has none. `None` when there are too many.
    pub fn region(&mut self, name: &RegionName) -> Option<RegionId> {
        if let Some(id) = self.regions.iter().position(|known| known == name) {
            return Some(RegionId(id as u16));
        }
        let id = RegionId(self.regions.len() as u16);
        (self.regions.len() < MAX_REGIONS).then(|| {
            self.regions.push(name.clone());
            id
        })
    }

    /// Adds what was measured.
    pub fn add(&mut self, prefix: Prefix, region: RegionId, estimate: Estimate, now: u64) -> Added {
        if region.0 as usize >= self.regions.len() {
            return Added::NoRoom;
        }
        let half_life = self.half_life;
        let set = self.set_mut(prefix);
        let (entry, before) = match set.iter().position(|entry| entry.prefix == Some(prefix)) {
            Some(way) => (&mut set[way], Some(prefix)),
            None => {
                let weight = |entry: &Entry| entry.weight(now, half_life);
                // An empty place weighs nothing. Equals: the first.
                let least = set.iter_mut().min_by(|a, b| weight(a).total_cmp(&weight(b)));
                let Some(entry) = least else { return Added::NoRoom };
                let before = entry.prefix;
                *entry = Entry {
                    prefix: Some(prefix),
                    ..Entry::default()
                };
                (entry, before)
            }
        };
        entry.fade(now, half_life);
        entry.add(region, estimate);
        if before.is_none() {
            self.held += 1;
        }
        match before {
            Some(other) if other != prefix => Added::Evicted,
            _ => Added::Kept,
        }
    }

    /// What is known of a prefix at a moment, by region.
    pub fn of(&self, prefix: Prefix, now: u64) -> impl Iterator<Item = (RegionId, Estimate)> {
        let entry = self.set(prefix).iter().find(|entry| entry.prefix == Some(prefix));
        entry.into_iter().flat_map(move |entry| entry.at(now, self.half_life))
    }

    /// All evidence, in no order that means anything.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.entries().flat_map(|(prefix, entry)| {
            entry.of.into_iter().flatten().map(move |(region, estimate)| Record {
                prefix,
                region,
                estimate,
                seen: entry.seen,
            })
        })
    }

    /// The prefixes that have evidence.
    pub fn prefixes(&self) -> impl Iterator<Item = Prefix> {
        self.entries().map(|(prefix, _)| prefix)
    }

    /// The evidence on at most this many prefixes, those with the most first; equals by prefix.
    pub fn strongest(&self, count: usize, now: u64) -> Vec<Record> {
        let mut ranked: Vec<_> = self
            .entries()
            .map(|(prefix, entry)| (entry.weight(now, self.half_life), prefix, entry))
            .collect();
        ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let kept = ranked.into_iter().take(count).filter(|(weight, ..)| *weight > 0.0);
        kept.flat_map(|(_, prefix, entry)| {
            let records = entry.at(now, self.half_life).map(move |(region, estimate)| Record {
                prefix,
                region,
                estimate,
                seen: now.max(entry.seen),
            });
            records.collect::<Vec<_>>()
        })
        .collect()
    }

    fn entries(&self) -> impl Iterator<Item = (Prefix, &Entry)> {
        let entries = self.sets.iter().flatten();
        entries.filter_map(|entry| Some((entry.prefix?, entry)))
    }

    fn set(&self, prefix: Prefix) -> &Set {
        &self.sets[self.index(prefix)]
    }

    fn set_mut(&mut self, prefix: Prefix) -> &mut Set {
        let index = self.index(prefix);
        &mut self.sets[index]
    }

    fn index(&self, prefix: Prefix) -> usize {
        let hash = spread(prefix.bits(), self.seed);
        ((u128::from(hash) * self.sets.len() as u128) >> u64::BITS) as usize
    }
}

impl Entry {
    /// All evidence on the prefix at a moment, in connections.
    fn weight(&self, now: u64, half_life: u64) -> f32 {
        self.at(now, half_life).map(|(_, estimate)| estimate.weight()).sum()
    }

    fn at(&self, now: u64, half_life: u64) -> impl Iterator<Item = (RegionId, Estimate)> {
        let left = faded_to(now.saturating_sub(self.seen), half_life);
        let of = self.of.into_iter().flatten();
        of.map(move |(region, estimate)| (region, estimate.faded(left)))
            .filter(|(_, estimate)| estimate.weight() >= LEAST_WEIGHT)
    }

    fn fade(&mut self, now: u64, half_life: u64) {
        let mut faded = self
            .at(now, half_life)
            .collect::<arrayvec::ArrayVec<_, REGIONS>>()
            .into_iter();
        self.of = std::array::from_fn(|_| faded.next());
        self.seen = self.seen.max(now);
    }

    fn add(&mut self, region: RegionId, estimate: Estimate) {
        let of = |entry: &&mut Option<(RegionId, Estimate)>| entry.is_some_and(|(known, _)| known == region);
        if let Some(Some((_, known))) = self.of.iter_mut().find(of) {
            *known = known.merged(estimate);
            return;
        }
        let weight = |entry: &Option<(RegionId, Estimate)>| entry.map_or(0.0, |(_, estimate)| estimate.weight());
        if let Some(least) = self.of.iter_mut().min_by(|a, b| weight(a).total_cmp(&weight(b))) {
            *least = Some((region, estimate));
        }
    }
}
