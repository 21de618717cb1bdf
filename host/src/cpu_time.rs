//! CPU time, user and system together.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::Duration;

/// Of this process since it began.
pub(crate) fn of_process() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

/// Of the calling thread since it began.
pub(crate) fn of_thread() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

/// CPU time is never negative, and has less than a billion nanoseconds.
fn duration(time: Timespec) -> Duration {
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
