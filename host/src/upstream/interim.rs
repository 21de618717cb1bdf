//! Where interim responses go, 101 among them.

use http::{HeaderMap, StatusCode};
use std::fmt::Debug;

/// A change of protocol that was asked for.
pub(super) trait Switch: Debug {
    /// Checks the fields of a 101 of which `named` are the lines of `Upgrade`, and makes of them what the client gets. `false`: the
    /// gateway changed to something else.
    fn agrees(&self, named: &[&[u8]], headers: &mut HeaderMap) -> bool;
}

/// Passes interim responses to a client, in whatever protocol.
pub trait InterimSink: Debug {
    /// Passes one on, or drops it.
    fn pass(&self, status: StatusCode, headers: &HeaderMap);
}
