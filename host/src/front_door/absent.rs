//! A program that was built without Azure: nothing is ever shown to Front Door.

use crate::config::Settings;
use crate::respond::Body;
use crate::telemetry::exposition::Exposition;
use http::Response;
use http::request::Parts;
use std::sync::Arc;

/// Where notices would be posted.
#[derive(Debug, Default)]
pub struct Board {}

/// What would be shown: nothing.
#[derive(Clone, Debug)]
pub enum Notice {}

impl Board {
    /// Nothing.
    pub fn posted(&self) -> Option<Arc<Notice>> {
        None
    }

    /// There are no probes to answer.
    pub fn leave(&self) {}

    /// No request is a probe.
    pub fn answer(&self, _: &Settings, _: &Parts, _: &str) -> Option<Response<Body>> {
        None
    }
}

impl Notice {
    /// Nothing can be in trouble.
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
