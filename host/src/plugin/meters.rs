//! What plugins count with `host.count`.
//!
//! Counters belong to a plugin's name and their own: they go on when a new version of the plugin comes. Every worker has a
//! shard of its own that only it writes.

use portolan_core::id::PluginName;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// How many counters a plugin may ever have named, over all its versions. Later names are not counted.
const NAMES: usize = 64;

/// One counter's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterReading {
    /// The plugin.
    pub plugin: PluginName,
    /// The counter, as the plugin named it.
    pub counter: String,
    /// Its sum since the program started, over all workers.
    pub value: u64,
}

/// Why an instance was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartReason {
    /// It is the first one of a version on its worker.
    First,
    /// The one before gave as many answers as an instance gives.
    Answers,
    /// The one before was a minute old.
    Age,
    /// The one before took too much memory.
    Growth,
    /// A call of the one before failed.
    Fault,
    /// Every request gets an instance of its own.
    Fresh,
}

impl StartReason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::First,
        Self::Answers,
        Self::Age,
        Self::Growth,
        Self::Fault,
        Self::Fresh,
    ];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Answers => "answers",
            Self::Age => "age",
            Self::Growth => "growth",
            Self::Fault => "fault",
            Self::Fresh => "fresh",
        }
    }
}

/// How many instances of a plugin were started for a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartReading {
    /// The plugin.
    pub plugin: PluginName,
    /// The reason.
    pub reason: StartReason,
    /// The number since the program started, over all workers.
    pub count: u64,
}

/// The counters of all plugins.
#[derive(Debug)]
pub(super) struct Meters {
    workers: usize,
    plugins: Mutex<BTreeMap<PluginName, Arc<Meter>>>,
}

/// The counters of one plugin.
#[derive(Debug)]
pub(super) struct Meter {
    names: Mutex<Vec<String>>,
    shards: Box<[Shard]>,
}

/// One worker's counters, on cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    named: [AtomicU64; NAMES],
    /// Instances started, by [`StartReason`].
    started: [AtomicU64; StartReason::ALL.len()],
}

impl Meters {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers: workers.max(1),
            plugins: Mutex::default(),
        }
    }

    /// The counters of a plugin.
    pub(super) fn of(&self, plugin: &PluginName) -> Arc<Meter> {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let meter = plugins.entry(plugin.clone()).or_insert_with(|| {
            let shard = || Shard {
                named: std::array::from_fn(|_| AtomicU64::new(0)),
                started: std::array::from_fn(|_| AtomicU64::new(0)),
            };
            Arc::new(Meter {
                names: Mutex::default(),
                shards: (0..self.workers).map(|_| shard()).collect(),
            })
        });
        Arc::clone(meter)
    }

    /// All counters, by plugin and in the order in which they were named.
    pub(super) fn read(&self) -> Vec<CounterReading> {
        let plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let readings = plugins.iter().flat_map(|(plugin, meter)| {
            let names = meter.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
            names.into_iter().enumerate().map(|(place, counter)| CounterReading {
                plugin: plugin.clone(),
                counter,
                value: meter.shards.iter().map(|shard| shard.named[place].load(Relaxed)).sum(),
            })
        });
        readings.collect()
    }

    /// How many instances of each plugin were started, by reason.
    pub(super) fn starts(&self) -> Vec<StartReading> {
        let plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let readings = plugins.iter().flat_map(|(plugin, meter)| {
            StartReason::ALL.into_iter().map(|reason| StartReading {
                plugin: plugin.clone(),
                reason,
                count: meter
                    .shards
                    .iter()
                    .map(|it| it.started[reason as usize].load(Relaxed))
                    .sum(),
            })
        });
        readings.collect()
    }
}

impl Meter {
    /// Counts an instance that is started. Only the worker itself calls this.
    pub(super) fn started(&self, worker: usize, reason: StartReason) {
        if let Some(shard) = self.shards.get(worker) {
            let count = &shard.started[reason as usize];
            count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }

    /// Where counters of these names are; `None` for those that are too many.
    pub(super) fn places(&self, counters: &[String]) -> Vec<Option<usize>> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |counter: &String| {
            let known = names.iter().position(|name| name == counter);
            known.or_else(|| {
                (names.len() < NAMES).then(|| {
                    names.push(counter.clone());
                    names.len() - 1
                })
            })
        };
        counters.iter().map(place).collect()
    }

    /// Adds to a counter. Only the worker itself calls this, so a load and a store are enough.
    pub(super) fn add(&self, worker: usize, place: usize, delta: u32) {
        if let Some(counter) = self.shards.get(worker).and_then(|shard| shard.named.get(place)) {
            counter.store(counter.load(Relaxed).wrapping_add(delta.into()), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_outlive_versions_and_add_up_over_workers() {
        let meters = Meters::new(2);
        let plugin = PluginName::from("canary");
        let old = meters.of(&plugin).places(&["hits".to_owned(), "misses".to_owned()]);
        assert_eq!(old, [Some(0), Some(1)]);
        meters.of(&plugin).add(0, 1, 5);
        let new = meters.of(&plugin).places(&["misses".to_owned(), "late".to_owned()]);
        assert_eq!(new, [Some(1), Some(2)]);
        meters.of(&plugin).add(1, 1, 2);
        let values = meters
            .read()
            .into_iter()
            .map(|reading| (reading.counter, reading.value));
        assert_eq!(
            values.collect::<Vec<_>>(),
            [("hits".to_owned(), 0), ("misses".to_owned(), 7), ("late".to_owned(), 0)]
        );
    }

    #[test]
    fn names_are_bounded() {
        let meters = Meters::new(1);
        let meter = meters.of(&PluginName::from("p"));
        let names: Vec<String> = (0..NAMES + 1).map(|name| name.to_string()).collect();
        assert_eq!(meter.places(&names)[NAMES], None);
        meter.add(0, NAMES, 1);
        meter.add(9, 0, 1);
        assert!(meters.read().iter().all(|reading| reading.value == 0));
    }
}
