//! How many requests are worked on at a time.

use super::RateBuckets;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The requests that are worked on, counted by worker. Counting is a load and a store that no other thread contends for; reading the
/// sum reads the shard of every worker.
#[derive(Debug)]
pub struct InFlight(Box<[Shard]>);

/// One worker's count. Aligned so that two workers do not share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(AtomicU32);

impl InFlight {
    /// For this many workers.
    pub fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| Shard::default()).collect())
    }

    /// How many workers count.
    pub fn workers(&self) -> usize {
        self.0.len()
    }

    /// A request begins. [`InFlight::leave`] has to be called when it ends.
    pub fn enter(&self, worker: usize) {
        self.add(worker, 1);
    }

    /// A request ends.
    pub fn leave(&self, worker: usize) {
        self.add(worker, u32::MAX);
    }

    /// Only the shard's own worker writes, so a load and a store are enough.
    fn add(&self, worker: usize, delta: u32) {
        if let Some(Shard(count)) = self.0.get(worker) {
            count.store(count.load(Relaxed).wrapping_add(delta), Relaxed);
        }
    }

    /// How many there are now, of all workers. Workers that ask at the same moment do not see each other's next request: who admits
    /// by this may exceed a limit by one for each worker but the first.
    pub fn total(&self) -> u32 {
        self.0
            .iter()
            .fold(0, |sum, Shard(count)| sum.wrapping_add(count.load(Relaxed)))
    }
}

/// What is counted of a route that has limits.
#[derive(Clone, Debug, Default)]
pub struct RouteCounts {
    /// Its requests that are worked on, where their number is limited.
    pub in_flight: Option<Arc<InFlight>>,
    /// The buckets of its clients, where it has a rate limit.
    pub rate: Option<Arc<RateBuckets>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_all_workers_are_one() {
        let in_flight = InFlight::new(2);
        in_flight.enter(0);
        in_flight.enter(1);
        in_flight.enter(1);
        // There is no third worker.
        in_flight.enter(2);
        assert_eq!(in_flight.total(), 3);
        in_flight.leave(1);
        in_flight.leave(0);
        assert_eq!(in_flight.total(), 1);
    }
}
