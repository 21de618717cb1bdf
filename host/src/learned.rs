//! What this instance has learned of round trips: the evidence behind one lock that no request takes, and its counters.

pub mod report;
pub mod stored;

use crate::config::LearnedSettings;
use portolan_core::id::RegionName;
use portolan_core::learned::evidence::Foreign;
use portolan_core::learned::{Added, Estimate, Evidence, EvidenceTable, Known, Prefix, Record};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The evidence of this instance. Control tasks and administration share it; requests only see the orders that are
/// prepared from it.
#[derive(Debug, Default)]
pub struct Learned {
    evidence: Mutex<Option<Active>>,
    samples: [AtomicU64; Source::ALL.len()],
    evictions: AtomicU64,
    /// Grows with every change.
    version: AtomicU64,
}

#[derive(Debug)]
struct Active {
    settings: Arc<LearnedSettings>,
    evidence: Evidence,
}

/// Where a measured round trip came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A connection of a client to this instance.
    Connection,
    /// A report to the administration.
    Report,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Connection, Self::Report];

    /// The label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Report => "report",
        }
    }
}

/// What has been learned, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LearnedStatus {
    /// Prefixes with evidence of this instance.
    pub prefixes: usize,
    /// How many there can be.
    pub max_prefixes: usize,
    /// The bytes that their evidence occupies, whether it is used or not.
    pub bytes: usize,
    /// Prefixes that made room for others.
    pub evictions: u64,
    /// Measured round trips, in the order of [`Source::ALL`].
    pub samples: [u64; Source::ALL.len()],
    /// Records of other instances, by instance.
    pub others: Vec<(String, usize)>,
}

/// What was measured of one prefix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The prefix.
    pub prefix: Prefix,
    /// What was measured.
    pub estimate: Estimate,
}

/// Seconds since 1970.
pub fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| elapsed.as_secs())
}

impl Learned {
    /// Follows the configuration. `None`: the feature is off, and all evidence is forgotten. Another size or half-life keeps what
    /// fits. `seed` is a number that nobody knows.
    pub fn configure(&self, settings: Option<&Arc<LearnedSettings>>, seed: u64) {
        let mut active = self.lock();
        let Some(settings) = settings else {
            *active = None;
            return;
        };
        let fits = |active: &Active| {
            (active.settings.max_prefixes, active.settings.half_life) == (settings.max_prefixes, settings.half_life)
        };
        match &mut *active {
            Some(active) if fits(active) => active.settings = Arc::clone(settings),
            before => {
                let half_life = settings.half_life.as_secs();
                let mut evidence = Evidence::new(settings.max_prefixes, half_life, seed);
                if let Some(before) = before {
                    let own = &before.evidence.own;
                    let records = own.strongest(settings.max_prefixes, now());
                    let _ = restore(&mut evidence.own, own.regions(), &records);
                }
                *before = Some(Active {
                    settings: Arc::clone(settings),
                    evidence,
                });
            }
        }
        self.version.fetch_add(1, Relaxed);
    }

    /// Whether anything is learned.
    pub fn is_on(&self) -> bool {
        self.lock().is_some()
    }

    /// A number that changes with the evidence.
    pub fn version(&self) -> u64 {
        self.version.load(Relaxed)
    }

    /// Adds round trips to a region. Prefixes that operators exclude are left out. How many were added.
    pub fn add(&self, region: &RegionName, samples: impl IntoIterator<Item = Sample>, source: Source) -> u64 {
        let mut active = self.lock();
        let Some(Active { settings, evidence }) = &mut *active else {
            return 0;
        };
        let now = now();
        let Some(id) = evidence.own.region(region) else {
            return 0;
        };
        let (mut added, mut evicted) = (0, 0);
        for sample in samples {
            if settings.exclude.contains(sample.prefix.address()) {
                continue;
            }
            let result = evidence.own.add(sample.prefix, id, sample.estimate, now);
            added += u64::from(result != Added::NoRoom);
            evicted += u64::from(result == Added::Evicted);
        }
        self.samples[source as usize].fetch_add(added, Relaxed);
        self.evictions.fetch_add(evicted, Relaxed);
        if added > 0 {
            self.version.fetch_add(1, Relaxed);
        }
        added
    }

    /// What is known of an address's prefix.
    pub fn of(&self, addr: IpAddr) -> Vec<Known> {
        let active = self.lock();
        let known = active.as_ref().zip(Prefix::of(addr));
        known.map_or_else(Vec::new, |(active, prefix)| active.evidence.of(prefix, now()))
    }

    /// All evidence that there is enough of to act by.
    pub fn gathered(&self) -> Vec<(Prefix, Vec<Known>)> {
        let active = self.lock();
        let evidence = active.as_ref().map(|active| &active.evidence);
        evidence.map_or_else(Vec::new, |evidence| {
            portolan_core::learned::orders::gathered(evidence, now())
        })
    }

    /// This instance's own evidence, the strongest of it, for the state directory and for other instances. `None` when nothing
    /// is learned.
    pub fn export(&self) -> Option<Vec<u8>> {
        let active = self.lock();
        let own = &active.as_ref()?.evidence.own;
        let mut records = own.strongest(stored::MAX_PREFIXES, now());
        records.truncate(stored::MAX_RECORDS);
        let regions = own.regions().to_vec();
        drop(active);
        Some(stored::written(&regions, &records))
    }

    /// Adds the evidence of an earlier run. How many records fit.
    pub fn restore(&self, kept: &Foreign) -> usize {
        let mut active = self.lock();
        let Some(active) = &mut *active else { return 0 };
        self.version.fetch_add(1, Relaxed);
        restore(&mut active.evidence.own, &kept.regions, kept.records())
    }

    /// Replaces the evidence of another instance.
    pub fn replace(&self, instance: &Arc<str>, knows: Option<Foreign>) {
        if let Some(active) = &mut *self.lock() {
            active.evidence.replace(instance, knows);
            self.version.fetch_add(1, Relaxed);
        }
    }

    /// The numbers; `None` when nothing is learned.
    pub fn status(&self) -> Option<LearnedStatus> {
        let active = self.lock();
        let evidence = &active.as_ref()?.evidence;
        Some(LearnedStatus {
            prefixes: evidence.own.len(),
            max_prefixes: evidence.own.capacity(),
            bytes: evidence.own.bytes(),
            evictions: self.evictions.load(Relaxed),
            samples: self.samples.each_ref().map(|count| count.load(Relaxed)),
            others: evidence
                .others()
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Active>> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds records as they were. How many fit.
fn restore(table: &mut EvidenceTable, regions: &[RegionName], records: &[Record]) -> usize {
    let kept = records.iter().filter(|record| {
        let region = regions.get(usize::from(record.region.0));
        let id = region.and_then(|region| table.region(region));
        id.is_some_and(|id| table.add(record.prefix, id, record.estimate, record.seen) != Added::NoRoom)
    });
    kept.count()
}

#[cfg(test)]
mod tests;
