//! Deployment settings of a plugin.

use super::error::Problem;
use super::size::{CompileLimits, PluginLimits, PluginSize};
use std::ops::RangeInclusive;
use std::time::Duration;

/// How a plugin is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSettings {
    /// Handed to `configure`: a JSON text.
    pub config: String,
    /// CPU time that one answer may take, 1 ms to 1 s. The start of an instance has a limit of its own.
    pub deadline: Duration,
    /// Linear memory that one instance may take, in bytes, 64 KiB to 64 MiB.
    pub memory: usize,
    /// Whether instances serve more than one request.
    pub isolation: Isolation,
    /// Which limits its file, its compilation and its starts have.
    pub size: PluginSize,
    /// Limits of its own in place of those.
    pub limits: PluginLimits,
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
            memory: PluginSize::Small.memory(),
            isolation: Isolation::Reuse,
            size: PluginSize::Small,
            limits: PluginLimits::default(),
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
        match self.limits.out_of_range() {
            Some(sentence) => Err(Problem::Settings(sentence.to_owned())),
            None => Ok(()),
        }
    }

    /// The limit of the file's size, in bytes.
    pub fn file(&self) -> u64 {
        self.limits.file.unwrap_or_else(|| self.size.file())
    }

    /// The limit of the CPU time that the start of an instance takes.
    pub fn start_time(&self) -> Duration {
        self.limits.start_time.unwrap_or_else(|| self.size.start_time())
    }

    pub(super) fn compile(&self) -> CompileLimits {
        let class = self.size.compile();
        CompileLimits {
            time: self.limits.compile_time.unwrap_or(class.time),
            memory: self.limits.compile_memory.unwrap_or(class.memory),
        }
    }
}
