//! What this instance reports about itself: counters, the access log, the event log.

pub mod access_log;
pub mod exemplars;
pub mod exposition;
pub mod log_writer;
pub mod logging;
pub mod metrics;
pub mod otlp;
pub mod process;
pub mod spans;
pub mod template;
