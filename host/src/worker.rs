//! What one worker thread has for itself. Nothing here is shared or moves to another thread.

use crate::chance::Chance;
use crate::front_door::SnapshotCell;
use crate::plugin::PluginWorker;
use crate::record::Recorder;
use crate::table::Pins;
use crate::upstream::Connections;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// What one worker owns.
#[derive(Debug)]
pub struct Worker {
    /// Its view of the routing tables.
    pub pins: Pins,
    /// Its connections to gateways.
    pub connections: Rc<Connections>,
    /// Its plugin instances.
    pub plugins: RefCell<PluginWorker>,
    /// Its source of chance.
    pub chance: Chance,
    /// Where what happened is counted and logged.
    pub recorder: Rc<Recorder>,
    /// The answers to Front Door's probes.
    pub front_door: Arc<SnapshotCell>,
}
