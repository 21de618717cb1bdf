//! The counters of one version of a plugin.

use crate::plugin::PluginFault;
use crate::vitals::{Counter, Tally};
use portolan_core::decision::RankedBy;
use portolan_core::rollout::Counts;
use std::time::Duration;

/// What is counted of one version during a rollout. Every thread has a shard of its own that only it writes.
#[derive(Debug)]
pub struct VersionVitals {
    shards: Box<[Shard]>,
}

/// One thread's counters, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    calls: Counter,
    faults: Tally<{ PluginFault::ALL.len() }>,
    nanos: Counter,
    square_micros: Counter,
    requests: Counter,
    failures: Counter,
}

impl VersionVitals {
    /// Counters for this many threads.
    pub(super) fn new(threads: usize) -> Self {
        Self {
            shards: (0..threads.max(1)).map(|_| Shard::default()).collect(),
        }
    }

    /// Counts a call, by what ordered the regions in the end, and how long it took. A plugin that is quarantined is not called.
    pub fn called(&self, thread: usize, by: RankedBy, took: Duration) {
        let Some(shard) = self.shards.get(thread) else { return };
        if let RankedBy::Fallback(word) = by {
            let kind = PluginFault::ALL.iter().position(|fault| fault.as_str() == word);
            shard.faults.count(kind.unwrap_or(usize::MAX));
            if !is_of_the_call(word) {
                return;
            }
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let micros = nanos / 1_000;
        shard.calls.add(1);
        shard.nanos.add(nanos);
        shard.square_micros.add(micros.saturating_mul(micros));
    }

    /// Counts a request that the version decided and that has ended.
    pub fn ended(&self, thread: usize, failed: bool) {
        if let Some(shard) = self.shards.get(thread) {
            shard.requests.add(1);
            shard.failures.add(u64::from(failed));
        }
    }

    /// The number of the last of its threads.
    pub(super) fn last_thread(&self) -> usize {
        self.shards.len() - 1
    }

    /// What was counted so far, of all threads.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for shard in &self.shards {
            counts.calls += shard.calls.get();
            counts.nanos = counts.nanos.wrapping_add(shard.nanos.get());
            counts.square_micros = counts.square_micros.wrapping_add(shard.square_micros.get());
            counts.requests += shard.requests.get();
            counts.failures += shard.failures.get();
        }
        for (fault, count) in self.faults() {
            match fault {
                _ if !is_of_the_call(fault) => {}
                "deadline" => counts.deadlines += count,
                _ => counts.faults += count,
            }
        }
        counts
    }

    /// Its faults by name, without those that did not happen.
    pub fn faults(&self) -> Vec<(&'static str, u64)> {
        let mut sums = [0; PluginFault::ALL.len()];
        for shard in &self.shards {
            shard.faults.add_to(&mut sums);
        }
        let faults = PluginFault::ALL.iter().map(|fault| fault.as_str()).zip(sums);
        faults.filter(|(_, count)| *count > 0).collect()
    }
}

/// Whether a fault is one of the plugin's call: not when it was not called, or the host had no room for it.
fn is_of_the_call(fault: &str) -> bool {
    fault != PluginFault::Quarantined.as_str() && fault != PluginFault::Capacity.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_core::decision::Effects;

    #[test]
    fn calls_faults_and_requests_add_up_over_threads() {
        let vitals = VersionVitals::new(2);
        let answer = RankedBy::Plugin {
            reason: 0,
            repaired: false,
            opinion: true,
            effects: Effects::default(),
        };
        let time = Duration::from_micros(3);
        vitals.called(0, answer, time);
        for fault in PluginFault::ALL {
            vitals.called(1, RankedBy::Fallback(fault.as_str()), time);
        }
        vitals.called(7, answer, time);
        vitals.ended(0, false);
        vitals.ended(1, true);
        let others = PluginFault::ALL.len() as u64 - 3;
        let calls = 1 + others + 1;
        assert_eq!(
            vitals.counts(),
            Counts {
                calls,
                faults: others,
                deadlines: 1,
                nanos: 3_000 * calls,
                square_micros: 9 * calls,
                requests: 2,
                failures: 1,
            }
        );
        assert_eq!(vitals.faults().len(), PluginFault::ALL.len());
    }
}
