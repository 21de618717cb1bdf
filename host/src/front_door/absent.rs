//! Built without Azure: there is never a snapshot.

use crate::config::Settings;
use crate::respond::Body;
use crate::telemetry::exposition::Exposition;
use http::Response;
use http::request::Parts;
use std::sync::Arc;

/// Never holds a snapshot.
#[derive(Debug, Default)]
pub struct SnapshotCell {}

/// There is none.
#[derive(Clone, Debug)]
pub enum Snapshot {}

impl SnapshotCell {
    /// `None`.
    pub fn load(&self) -> Option<Arc<Snapshot>> {
        None
    }

    /// There are no probes to answer.
    pub fn leave(&self) {}

    /// No request is a probe.
    pub fn answer(&self, _: &Settings, _: &Parts, _: &str) -> Option<Response<Body>> {
        None
    }
}

impl Snapshot {
    /// There is no publisher.
    pub fn trouble(&self) -> Option<&str> {
        match *self {}
    }

    /// Nothing to view.
    pub fn view(&self) {
        match *self {}
    }

    /// Nothing to count.
    pub fn write_metrics(&self, _: &mut Exposition) {
        match *self {}
    }
}
