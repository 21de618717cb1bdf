//! The limits of a plugin's file, its compilation and its start: a class for each kind of language, and keys for one plugin.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Which limits a plugin has, unless it has its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PluginSize {
    /// What a compiler makes of Rust, C, Zig or AssemblyScript.
    #[default]
    Small,
    /// What has a runtime or an interpreter in it: Go, JavaScript, Python.
    Large,
}

/// Limits of one plugin in place of those of its [`PluginSize`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PluginLimits {
    /// The size of its file in bytes, 1 KiB to 64 MiB.
    pub file: Option<u64>,
    /// CPU time to compile it, 100 ms to 10 min.
    pub compile_time: Option<Duration>,
    /// Memory to compile it, in bytes, 64 MiB to 16 GiB.
    pub compile_memory: Option<u64>,
    /// CPU time that the start of an instance may take, `configure` included, 1 ms to 5 s.
    pub start_time: Option<Duration>,
}

/// What compiling may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CompileLimits {
    /// CPU time.
    pub(super) time: Duration,
    /// Memory in bytes.
    pub(super) memory: u64,
}

/// How much of each countable thing there may be in a file, as the time and memory of a compiler grow with it.
#[derive(Debug)]
pub(super) struct Counts {
    /// Functions of all modules: 20 to 50 µs and up to 6 KB of compiler memory each, even when empty.
    pub(super) functions: u64,
    /// Bytes of code in one function: a compiler's memory grows with the largest, some 200 bytes for each.
    pub(super) body: u64,
    /// Locals of one function, and of all: a run of equal ones takes three bytes in the file and 16 each in the compiler.
    pub(super) locals: u64,
    pub(super) all_locals: u64,
    /// Types of all modules and components.
    pub(super) types: u64,
    /// Core modules, and modules and components inside each other.
    pub(super) modules: u64,
    pub(super) depth: u64,
    /// Core instances and instances of components that are instantiated. One that only groups exports costs nothing when
    /// it runs, and is counted among the rest.
    pub(super) instances: u64,
    /// Tables of all modules.
    pub(super) tables: u64,
    /// Anything else that has a number: imports, exports, globals, aliases, segments, canonical functions.
    pub(super) others: u64,
}

/// A Rust plugin has three core instances.
const SMALL: Counts = Counts {
    functions: 20_000,
    body: 256 << 10,
    locals: 10_000,
    all_locals: 500_000,
    types: 10_000,
    modules: 20,
    depth: 3,
    instances: 40,
    tables: 20,
    others: 20_000,
};

/// Twice and more of what Go, QuickJS, SpiderMonkey and CPython have.
const LARGE: Counts = Counts {
    functions: 100_000,
    body: 1 << 20,
    locals: 50_000,
    all_locals: 4_000_000,
    types: 50_000,
    modules: 100,
    depth: 5,
    instances: 80,
    tables: 40,
    others: 150_000,
};

impl PluginSize {
    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
        }
    }

    /// The linear memory of an instance, in bytes, where the configuration says nothing.
    pub fn memory(self) -> usize {
        match self {
            Self::Small => 16 << 20,
            Self::Large => 64 << 20,
        }
    }

    /// The size of the file, in bytes.
    pub(super) fn file(self) -> u64 {
        match self {
            Self::Small => 4 << 20,
            Self::Large => PluginLimits::MAX_FILE,
        }
    }

    /// CPU time to start an instance.
    pub(super) fn start_time(self) -> Duration {
        match self {
            Self::Small => Duration::from_millis(10),
            Self::Large => Duration::from_millis(250),
        }
    }

    /// What compiling may take: for a small one what 1.5 MB of code need.
    pub(super) fn compile(self) -> CompileLimits {
        match self {
            Self::Small => CompileLimits {
                time: Duration::from_millis(1_900),
                memory: 256 << 20,
            },
            Self::Large => CompileLimits {
                time: Duration::from_secs(120),
                memory: 4 << 30,
            },
        }
    }

    pub(super) fn counts(self) -> &'static Counts {
        match self {
            Self::Small => &SMALL,
            Self::Large => &LARGE,
        }
    }

    /// For how long it is loaded at low priority while there are requests, before it is loaded at normal priority too.
    pub(super) fn patience(self) -> Duration {
        match self {
            Self::Small => Duration::from_secs(3),
            Self::Large => Duration::from_secs(120),
        }
    }
}

impl PluginLimits {
    /// The largest file that any plugin may have, in bytes.
    pub const MAX_FILE: u64 = 64 << 20;
    /// What [`file`](Self::file) may be, in bytes.
    pub const FILE: RangeInclusive<u64> = 1 << 10..=Self::MAX_FILE;
    /// What [`compile_time`](Self::compile_time) may be.
    pub const COMPILE_TIME: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);
    /// What [`compile_memory`](Self::compile_memory) may be, in bytes.
    pub const COMPILE_MEMORY: RangeInclusive<u64> = 64 << 20..=16 << 30;
    /// What [`start_time`](Self::start_time) may be.
    pub const START_TIME: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(5);

    /// The first one that is out of its range, as a sentence.
    pub(super) fn out_of_range(&self) -> Option<&'static str> {
        let outside = |is_inside: bool, sentence: &'static str| (!is_inside).then_some(sentence);
        let file = self.file.is_none_or(|it| Self::FILE.contains(&it));
        let time = self.compile_time.is_none_or(|it| Self::COMPILE_TIME.contains(&it));
        let memory = self.compile_memory.is_none_or(|it| Self::COMPILE_MEMORY.contains(&it));
        let start = self.start_time.is_none_or(|it| Self::START_TIME.contains(&it));
        outside(file, "limits.file must be 1KiB to 64MiB")
            .or_else(|| outside(time, "limits.compile_time must be 100ms to 10m"))
            .or_else(|| outside(memory, "limits.compile_memory must be 64MiB to 16GiB"))
            .or_else(|| outside(start, "limits.start_time must be 1ms to 5s"))
    }
}
