//! A service's retry budget, which all workers share. Paying in costs an uncontended store; only who wants an extra attempt
//! looks at the whole.
//!
//! A budget for each worker would not do: clients do not come to workers evenly, least of all when a region has just
//! failed and they open new connections.

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
    purse: Mutex<Purse>,
}

/// The requests of one worker. Aligned so that two workers do not share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Share(Counter);

#[derive(Debug)]
struct Purse {
    budget: RetryBudget,
    /// How many requests have been paid in.
    paid: u64,
}

impl SharedBudget {
    /// A budget that these workers share.
    pub fn new(terms: Budget, workers: usize, now: Instant) -> Self {
        Self {
            terms,
            requests: (0..workers.max(1)).map(|_| Share::default()).collect(),
            purse: Mutex::new(Purse {
                budget: RetryBudget::new(terms, now),
                paid: 0,
            }),
        }
    }

    /// What it is made of.
    pub fn terms(&self) -> Budget {
        self.terms
    }

    /// A request came to this worker.
    pub fn deposit(&self, worker: usize) {
        if let Some(share) = self.requests.get(worker) {
            share.0.add(1);
        }
    }

    /// Takes out one extra attempt, if it is affordable.
    pub fn withdraw(&self, now: Instant) -> bool {
        let mut purse = self.purse.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = self.requests.iter().map(|share| share.0.get()).sum::<u64>();
        let fresh = requests.wrapping_sub(purse.paid);
        purse.paid = requests;
        purse.budget.deposit(fresh, now);
        purse.budget.withdraw(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_worker_pays_in_another_takes_out() {
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
