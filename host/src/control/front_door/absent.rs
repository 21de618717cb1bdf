//! A program that was built without Azure: nobody is told anything.

use crate::front_door::Board;
use crate::server::Drain;
use crate::table::Tables;
use crate::vitals::Vitals;
use portolan_core::health::transition::Transition;
use std::sync::Arc;

/// A task that does nothing and a witness that nobody listens to.
pub fn task(_: Arc<Tables>, _: Arc<Board>) -> (Witness, FrontDoorTask) {
    (Witness, FrontDoorTask)
}

/// Tells nobody.
#[derive(Clone, Debug)]
pub struct Witness;

impl Witness {
    /// Nobody wants to know.
    pub fn saw(&self, _: &Vitals, _: &Transition) {}
}

/// Does nothing.
#[derive(Debug)]
pub struct FrontDoorTask;

impl FrontDoorTask {
    /// Ends at once.
    pub async fn run(&mut self, _: Drain) {}
}
