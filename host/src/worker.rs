//! What one worker thread has for itself. Nothing here is shared or moves to another thread.

use crate::chance::Chance;
use crate::plugin::PluginWorker;
use crate::record::Recorder;
use crate::table::{Pins, Routed, Tables};
use crate::upstream::Connections;
use portolan_core::budget::RetryBudget;
use portolan_core::id::ServiceId;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

/// One worker's belongings.
#[derive(Debug)]
pub struct Worker {
    /// Its number: its shard of all counters.
    pub index: usize,
    /// Its view of the routing tables.
    pub pins: Pins,
    /// Its connections to gateways.
    pub connections: Connections,
    /// Its plugin instances.
    pub plugins: RefCell<PluginWorker>,
    /// Its chance.
    pub chance: Chance,
    /// Its way to write down what happened.
    pub recorder: Recorder,
    budgets: RefCell<Vec<Option<Purse>>>,
    share: f64,
}

/// A service's retry budget, as long as the service stays the same.
#[derive(Debug)]
struct Purse {
    owner: usize,
    budget: RetryBudget,
}
