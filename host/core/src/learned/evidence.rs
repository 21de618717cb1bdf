//! The evidence of this instance and of others. They are kept apart: what another instance knows replaces what it knew
//! before, and is never passed on as this one's.

use super::estimate::{Estimate, faded_to};
use super::prefix::Prefix;
use super::table::{EvidenceTable, Record};
use crate::id::RegionName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All evidence that there is.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What connections to this instance measured, and what was reported to it.
    pub own: EvidenceTable,
    others: BTreeMap<Arc<str>, Foreign>,
    half_life: u64,
}

/// The evidence of another instance.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// Its regions, by the numbers in its records.
    pub regions: Vec<RegionName>,
    /// Sorted by prefix and region.
    records: Box<[Record]>,
}

/// What is known of one region.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The region.
    pub region: RegionName,
    /// What connections measured.
    pub estimate: Estimate,
}

impl Foreign {
    /// Evidence with its regions; records of other regions are dropped.
    pub fn new(regions: Vec<RegionName>, records: impl IntoIterator<Item = Record>) -> Self {
        let known = |record: &Record| usize::from(record.region.0) < regions.len();
        let mut records: Vec<_> = records.into_iter().filter(known).collect();
        records.sort_by_key(|record| (record.prefix, record.region));
        records.dedup_by_key(|record| (record.prefix, record.region));
        Self {
            regions,
            records: records.into(),
        }
    }

    /// Its evidence.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    fn of(&self, prefix: Prefix) -> impl Iterator<Item = (&RegionName, &Record)> {
        let first = self.records.partition_point(|record| record.prefix < prefix);
        let records = self.records.iter().skip(first);
        records
            .take_while(move |record| record.prefix == prefix)
            .filter_map(|record| Some((self.regions.get(usize::from(record.region.0))?, record)))
    }
}

impl Evidence {
    /// None yet: see [`EvidenceTable::new`].
    pub fn new(max_prefixes: usize, half_life: u64, seed: u64) -> Self {
        Self {
            own: EvidenceTable::new(max_prefixes, half_life, seed),
            others: BTreeMap::new(),
            half_life,
        }
    }

    /// Replaces what another instance knows; `None`: it knows nothing.
    pub fn replace(&mut self, instance: &Arc<str>, knows: Option<Foreign>) {
        match knows {
            Some(knows) => self.others.insert(Arc::clone(instance), knows),
            None => self.others.remove(instance),
        };
    }

    /// How many prefixes and regions other instances have evidence on, by instance.
    pub fn others(&self) -> impl Iterator<Item = (&str, usize)> {
        let others = self.others.iter();
        others.map(|(name, foreign)| (&**name, foreign.records.len()))
    }

    /// What is known of a prefix at a moment, in the order of regions' names: the evidence of all instances together.
    pub fn of(&self, prefix: Prefix, now: u64) -> Vec<Known> {
        let mut known: BTreeMap<&RegionName, Estimate> = BTreeMap::new();
        let mut add = |region, estimate: Estimate| {
            known
                .entry(region)
                .and_modify(|known| *known = known.merged(estimate))
                .or_insert(estimate);
        };
        for (id, estimate) in self.own.of(prefix, now) {
            if let Some(region) = self.own.regions().get(usize::from(id.0)) {
                add(region, estimate);
            }
        }
        // By instances' names, so that all instances come to the same sums.
        for foreign in self.others.values() {
            for (region, record) in foreign.of(prefix) {
                let left = faded_to(now.saturating_sub(record.seen), self.half_life);
                add(region, record.estimate.faded(left));
            }
        }
        let known = known.into_iter();
        known
            .map(|(region, estimate)| Known {
                region: region.clone(),
                estimate,
            })
            .collect()
    }

    /// The prefixes that have evidence, in ascending order: at most as many as the table of this instance can hold.
    pub fn prefixes(&self) -> Vec<Prefix> {
        let others = self.others.values().flat_map(|foreign| foreign.records.iter());
        let mut foreign: Vec<_> = others.map(|record| record.prefix).collect();
        let mut prefixes: Vec<_> = self.own.prefixes().collect();
        let room = self.own.capacity() - prefixes.len();
        prefixes.sort_unstable();
        foreign.sort_unstable();
        foreign.dedup();
        foreign.retain(|prefix| prefixes.binary_search(prefix).is_err());
        foreign.truncate(room);
        prefixes.extend(foreign);
        prefixes.sort_unstable();
        prefixes
    }
}
