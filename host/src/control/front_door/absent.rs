//! Built without Azure: a task that does nothing.

use crate::front_door::SnapshotCell;
use crate::learned::Learned;
use crate::server::Drain;
use crate::table::Tables;
use crate::vitals::Vitals;
use portolan_core::health::transition::Transition;
use std::sync::Arc;

/// A task and a reporter that do nothing.
pub fn task(_: Arc<Tables>, _: Arc<SnapshotCell>, _: Arc<Learned>) -> (HealthReporter, FrontDoorTask) {
    (HealthReporter, FrontDoorTask)
}

/// Does nothing.
#[derive(Clone, Debug)]
pub struct HealthReporter;

impl HealthReporter {
    /// Does nothing.
    pub fn report(&self, _: &Vitals, _: &Transition) {}
}

/// Does nothing.
#[derive(Debug)]
pub struct FrontDoorTask;

impl FrontDoorTask {
    /// Ends at once.
    pub async fn run(&mut self, _: Drain) {}
}
