//! What one worker thread has for itself. Nothing here is shared or moves to another thread.

use crate::chance::Chance;
use crate::front_door::Board;
use crate::plugin::PluginWorker;
use crate::record::Recorder;
use crate::table::{Pins, Routed};
use crate::telemetry::metrics::ServiceVitals;
use crate::upstream::Connections;
use portolan_core::budget::RetryBudget;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// One worker's belongings.
#[derive(Debug)]
pub struct Worker {
    /// Its view of the routing tables.
    pub pins: Pins,
    /// Its connections to gateways.
    pub connections: Rc<Connections>,
    /// Its plugin instances.
    pub plugins: RefCell<PluginWorker>,
    /// Its chance.
    pub chance: Chance,
    /// Its way to write down what happened.
    pub recorder: Rc<Recorder>,
    /// Its part of every service's retry budget.
    pub budgets: Budgets,
    /// What Front Door is told.
    pub front_door: Arc<Board>,
}

/// The retry budgets of the services, as one worker has them.
#[derive(Debug)]
pub struct Budgets {
    /// One over the number of workers.
    share: f64,
    purses: RefCell<Vec<Option<Purse>>>,
}

/// A service's budget, as long as the service stays the same.
#[derive(Debug)]
struct Purse {
    owner: Arc<ServiceVitals>,
    budget: Rc<RefCell<RetryBudget>>,
}

impl Budgets {
    /// Nothing spent yet, in one of so many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            share: 1.0 / workers.max(1) as f64,
            purses: RefCell::default(),
        }
    }

    /// The budget of a service, which a reload leaves as it is.
    pub fn of(&self, routed: &Routed<'_>, now: Instant) -> Rc<RefCell<RetryBudget>> {
        let index = routed.id.index();
        let mut purses = self.purses.borrow_mut();
        if purses.len() <= index {
            purses.resize_with(index + 1, || None);
        }
        let owner = &routed.entry.vitals;
        match &purses[index] {
            Some(purse) if Arc::ptr_eq(&purse.owner, owner) => Rc::clone(&purse.budget),
            _ => {
                let budget = RetryBudget::new(routed.service.retry.budget, self.share, now);
                let budget = Rc::new(RefCell::new(budget));
                purses[index] = Some(Purse {
                    owner: Arc::clone(owner),
                    budget: Rc::clone(&budget),
                });
                budget
            }
        }
    }
}
