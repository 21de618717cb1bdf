//! What one worker thread has for itself. Nothing here is shared or moves to another thread.

use crate::chance::Chance;
use crate::front_door::Board;
use crate::plugin::PluginWorker;
use crate::record::Recorder;
use crate::table::Pins;
use crate::upstream::Connections;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

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
    /// What Front Door is told.
    pub front_door: Arc<Board>,
}
