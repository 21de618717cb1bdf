//! Errors of plugins: when loading, and when running.

use super::size::PluginSize;
use portolan_core::id::PluginName;
use std::fmt;
use thiserror::Error;

/// Why a plugin was rejected. The version loaded before remains active.
#[derive(Debug, Error)]
#[error("plugin {plugin}: {problem}")]
pub struct PluginError {
    /// Which plugin.
    pub plugin: PluginName,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a plugin.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The settings around it are out of range.
    #[error("{0}")]
    Settings(String),
    /// The file is something else.
    #[error("the file is {0}, but a plugin is a WebAssembly component in binary form")]
    NotAComponent(&'static str),
    /// The file is damaged.
    #[error("the component is damaged at byte {offset}: {message}; build it again")]
    Malformed {
        /// Bytes from the start of the file.
        offset: usize,
        /// The parser's message.
        message: String,
    },
    /// There is too much of something: compiling or running it could cost more than a plugin may.
    #[error("{}", too_much(what, *found, *limit, *offset, *large))]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        limit: u64,
        /// Bytes from the start of the file.
        offset: usize,
        /// How much there may be in a large plugin, where this one is not and that would be more.
        large: Option<u64>,
    },
    /// Its memory begins with more than it may have.
    #[error("{}", too_large(*found, *limit, *stack))]
    Memory {
        /// What it begins with, in bytes.
        found: u64,
        /// What it may have, in bytes.
        limit: u64,
        /// How much of it is a stack, in bytes; 0 where that cannot be seen.
        stack: u64,
    },
    /// It wants what no plugin gets.
    #[error("{}", imports(names, *count, advice))]
    Imports {
        /// The first names, at most a hundred.
        names: Vec<String>,
        /// How many there are.
        count: usize,
        /// What removes them, when that can be told.
        advice: &'static str,
    },
    /// All that is wrong with its file.
    #[error("{}", several(.0))]
    Several(Vec<Self>),
    /// It was built for another version of the contract.
    #[error(
        "it was built for {0}, and this Portolan speaks versions 0.1 and 0.2; build it against portolan:routing@0.2.0"
    )]
    Version(String),
    /// It does not export the contract.
    #[error("it does not export portolan:routing/plugin; build it with the world `router` of portolan:routing@0.2.0")]
    NoExport,
    /// Its functions are not those of the contract.
    #[error("it does not keep to portolan:routing: {0}")]
    Contract(String),
    /// It does not compile.
    #[error("it does not compile: {0}")]
    Compile(String),
    /// It rejected its configuration.
    #[error("it rejects its configuration: {0}")]
    Rejected(String),
    /// Its setup is invalid.
    #[error("its setup is not usable: {0}")]
    Setup(String),
    /// It failed on the first regions or requests it was shown.
    #[error("it failed when it was tried on {on}: {fault}: {detail}")]
    Trial {
        /// On what.
        on: String,
        /// How.
        fault: PluginFault,
        /// Details.
        detail: String,
    },
    /// The host failed.
    #[error("the host cannot run it: {0}")]
    Host(String),
}

/// How many names of imports are listed.
const LISTED: usize = 3;

fn too_much(what: &str, found: u64, limit: u64, offset: usize, large: Option<u64>) -> String {
    let is_file = what == "bytes";
    let amount = |amount| {
        if is_file {
            Bytes(amount).to_string()
        } else {
            format!("{amount}")
        }
    };
    let (found_text, limit_text) = (amount(found), amount(limit));
    let place = if offset == 0 {
        String::new()
    } else {
        format!(" (at byte {offset})")
    };
    let (thing, key) = match is_file {
        true => (format!("its file has {found_text}"), ", or limits.file"),
        false => (format!("it has {found_text} {what}"), ""),
    };
    let fix = match large {
        Some(large) if found <= large => format!("; size: large allows {}: set that{key}", amount(large)),
        Some(large) => format!("; size: large allows {} at most", amount(large)),
        None => String::new(),
    };
    format!("{thing}, and plugins of its size may have {limit_text}{place}{fix}")
}

fn too_large(found: u64, limit: u64, stack: u64) -> String {
    /// A stack that is worth a word, in bytes.
    const STACK: u64 = 256 << 10;
    let (begins, allowed) = (Bytes(found), Bytes(limit));
    let stack = match stack {
        STACK.. if stack <= found => {
            let stack = Bytes(stack);
            format!("; {stack} of it are its stack (linker option -z stack-size=65536 makes it 64 KiB)")
        }
        _ => String::new(),
    };
    let most = PluginSize::Large.memory() as u64;
    let key = match found <= most {
        true => format!("; memory: {}MiB would allow it", found.div_ceil(1 << 20)),
        false => format!("; {} is the most that can be set", Bytes(most)),
    };
    format!("its memory begins with {begins}, and memory allows {allowed}{stack}{key}")
}

fn imports(names: &[String], count: usize, advice: &str) -> String {
    let short = |name: &String| name.chars().take(100).collect::<String>();
    let listed = names.iter().take(LISTED).map(short).collect::<Vec<_>>().join(", ");
    let more = count - names.len().min(LISTED);
    let is_wasi = names.iter().skip(LISTED).all(|name| name.starts_with("wasi:"));
    let more = match more {
        0 => String::new(),
        more if is_wasi => format!(" and {more} more of WASI"),
        more => format!(" and {more} more"),
    };
    let advice = if advice.is_empty() {
        String::new()
    } else {
        format!("; {advice}")
    };
    format!(
        "it imports {listed}{more}, which Portolan does not offer: a plugin may import portolan:routing/host and \
         types{advice}"
    )
}

fn several(problems: &[Problem]) -> String {
    let problems: Vec<_> = problems.iter().map(Problem::to_string).collect();
    problems.join("; also, ")
}

/// A number of bytes for people.
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KIB: u64 = 1 << 10;
        const MIB: u64 = 1 << 20;
        match self.0 {
            bytes @ 0..KIB => write!(f, "{bytes} bytes"),
            bytes @ KIB..MIB if bytes.is_multiple_of(KIB) => write!(f, "{} KiB", bytes / KIB),
            bytes @ KIB..MIB => write!(f, "{:.1} KiB", bytes as f64 / KIB as f64),
            bytes if bytes.is_multiple_of(MIB) => write!(f, "{} MiB", bytes / MIB),
            // More than 16 MiB are never 16.0.
            bytes => write!(f, "{:.1} MiB", (bytes as f64 / MIB as f64 * 10.0).ceil() / 10.0),
        }
    }
}

impl Problem {
    pub(super) fn of(self, plugin: &PluginName) -> PluginError {
        PluginError {
            plugin: plugin.clone(),
            problem: self,
        }
    }
}

/// Why a plugin call failed. The built-in policy decides instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginFault {
    /// It trapped: a panic, or an instruction that cannot be carried out.
    Trap,
    /// It called itself too deeply.
    Stack,
    /// It used more CPU time than its deadline.
    Deadline,
    /// A memory allocation was denied, and it trapped.
    Memory,
    /// An instance could not be started.
    Start,
    /// The limit of instances is reached.
    Capacity,
    /// Its answer was invalid: it named only regions that do not exist, or set a request header wrongly.
    Nonsense,
    /// It rejected the request with a status that the route does not allow.
    Status,
    /// It failed too often and is quarantined.
    Quarantined,
}

impl PluginFault {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Trap,
        Self::Stack,
        Self::Deadline,
        Self::Memory,
        Self::Start,
        Self::Capacity,
        Self::Nonsense,
        Self::Status,
        Self::Quarantined,
    ];

    /// Its name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Stack => "stack",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Start => "start",
            Self::Capacity => "capacity",
            Self::Nonsense => "nonsense",
            Self::Status => "status",
            Self::Quarantined => "quarantined",
        }
    }
}

impl fmt::Display for PluginFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
