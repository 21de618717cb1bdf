//! The clock of the upstream side: the runtime's, so that tests can pause it.

use std::time::Instant;

/// The time. In a test with a paused runtime, the runtime's.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
