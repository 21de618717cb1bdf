//! Deployment settings of a plugin.

use super::error::Problem;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How a plugin is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSettings {
    /// Handed to `configure`: a JSON text.
    pub config: String,
    /// CPU time that one answer may take, 1 ms to 1 s, with what has to be started for it.
    pub deadline: Duration,
    /// Linear memory that one instance may take, in bytes, 64 KiB to 64 MiB.
    pub memory: usize,
    /// Whether instances serve more than one request.
    pub isolation: Isolation,
}

/// Whether instances serve more than one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// An instance serves thousands of requests, then a new one takes its place.
    #[default]
    Reuse,
    /// Every request gets an instance of its own, about 8 µs more: for plugins that are trusted less.
    Fresh,
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            config: "{}".to_owned(),
            deadline: Duration::from_millis(1),
            memory: 16 << 20,
            isolation: Isolation::Reuse,
        }
    }
}

impl PluginSettings {
    /// What [`deadline`](Self::deadline) may be.
    pub const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(1);
    /// What [`memory`](Self::memory) may be.
    pub const MEMORY: RangeInclusive<usize> = 64 << 10..=64 << 20;

    pub(super) fn check(&self) -> Result<(), Problem> {
        if !Self::DEADLINE.contains(&self.deadline) {
            return Err(Problem::Settings(format!(
                "its deadline must be 1ms to 1s, not {:?}",
                self.deadline
            )));
        }
        if !Self::MEMORY.contains(&self.memory) {
            return Err(Problem::Settings(format!(
                "its memory must be 64KiB to 64MiB, not {} bytes",
                self.memory
            )));
        }
        Ok(())
    }
}
