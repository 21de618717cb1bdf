//! Errors of plugins: when loading, and when running.

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
    #[error("it has {found} {what}, and {limit} are allowed{}", At(*offset))]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        limit: u64,
        /// Bytes from the start of the file.
        offset: usize,
    },
    /// It wants something that no plugin gets.
    #[error("it imports {0}, which Portolan does not offer; a plugin may import portolan:routing/host")]
    Import(String),
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

/// Prints the place, unless it is the file as a whole.
struct At(usize);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            offset => write!(f, " (at byte {offset})"),
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
