//! What this instance tells of itself: counters, the access log, the log of events, whether it is ready.

pub mod access_log;
pub mod exposition;
pub mod logging;
pub mod metrics;
pub mod process;
pub mod readiness;
