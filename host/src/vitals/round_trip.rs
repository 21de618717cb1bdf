//! The round trip to a gateway, as all workers and its probes have measured it.

use portolan_core::round_trip::{Measured, RoundTripWindow};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The round trip to a gateway. Locked when a connection has been opened, not for a request on one that is open.
#[derive(Debug, Default)]
pub struct RoundTrip(Mutex<RoundTripWindow>);

impl RoundTrip {
    /// The connection of a probe took this long to open.
    pub fn probed(&self, took: Duration, now: Instant) {
        self.window().probed(took, now);
    }

    /// The connection of a request took this long to open.
    pub fn connected(&self, took: Duration, now: Instant) {
        self.window().connected(took, now);
    }

    /// As it is now; `None` as long as nothing has been measured.
    pub fn measured(&self, now: Instant) -> Option<Measured> {
        self.window().measured(now)
    }

    fn window(&self) -> MutexGuard<'_, RoundTripWindow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
