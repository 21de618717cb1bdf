//! A service's retry budget, shared by all workers. Counting a request costs an uncontended store; only extra attempts take
//! the lock.
//!
//! A budget for each worker would not work: connections are not spread evenly over workers, least of all when a region has
//! just failed and clients reconnect.

use crate::vitals::Counter;
use portolan_core::budget::RetryBudget;
use portolan_core::config::Budget;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A service's retry budget.
#[derive(Debug)]
pub struct SharedBudget {
    terms: Budget,
    requests: Box<[Share]>,
    bucket: Mutex<Bucket>,
}

/// The requests of one worker. Aligned so that two workers do not share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Share(Counter);

#[derive(Debug)]
struct Bucket {
    budget: RetryBudget,
    /// How many requests have been added to the budget.
    counted: u64,
}

impl SharedBudget {
    /// A budget for this number of workers.
    pub fn new(terms: Budget, workers: usize, now: Instant) -> Self {
        Self {
            terms,
            requests: (0..workers.max(1)).map(|_| Share::default()).collect(),
            bucket: Mutex::new(Bucket {
                budget: RetryBudget::new(terms, now),
                counted: 0,
            }),
        }
    }

    /// Its configuration.
    pub fn terms(&self) -> Budget {
        self.terms
    }

    /// Counts a request of this worker.
    pub fn deposit(&self, worker: usize) {
        if let Some(share) = self.requests.get(worker) {
            share.0.add(1);
        }
    }

    /// Takes one token, if there is one.
    pub fn withdraw(&self, now: Instant) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = self.requests.iter().map(|share| share.0.get()).sum::<u64>();
        let fresh = requests.wrapping_sub(bucket.counted);
        bucket.counted = requests;
        bucket.budget.deposit(fresh, now);
        bucket.budget.withdraw(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_tokens() {
        let now = Instant::now();
        let terms = Budget {
            percent: 20,
            min_per_second: 0,
        };
        let budget = SharedBudget::new(terms, 2, now);
        assert!(!budget.withdraw(now));
        (0..50).for_each(|_| budget.deposit(0));
        (0..50).for_each(|_| budget.deposit(1));
        assert_eq!((0..100).filter(|_| budget.withdraw(now)).count(), 20);
    }
}
