//! Where interim responses go.

use http::{HeaderMap, StatusCode};
use std::fmt::Debug;

/// Passes interim responses to a client, in whatever protocol.
pub trait InterimSink: Debug {
    /// Passes one on, or drops it.
    fn pass(&self, status: StatusCode, headers: &HeaderMap);
}
