//! What became of everything that was loaded since the start: for metrics, readiness and people.

use portolan_core::id::PluginName;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// What is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The configuration file.
    Config,
    /// The location databases.
    Geo,
    /// A plugin.
    Plugin,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Config, Self::Geo, Self::Plugin];

    /// The word for it in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Geo => "geo",
            Self::Plugin => "plugin",
        }
    }
}

/// What became of one kind of thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loads {
    /// How often it was taken.
    pub taken: u64,
    /// How often it was refused.
    pub refused: u64,
    /// When it was last taken.
    pub last_taken: Option<SystemTime>,
    /// Why it was refused, as long as nothing was taken since.
    pub standing_error: Option<String>,
}

/// The record of all loads. Shared by the reloader, which writes, and the administration, which reads.
#[derive(Debug, Default)]
pub struct Status {
    loads: Mutex<BTreeMap<Kind, Loads>>,
    earlier: Mutex<BTreeMap<PluginName, String>>,
}

impl Status {
    /// Something was loaded and is in force.
    pub fn taken(&self, kind: Kind) {
        self.change(kind, |loads| {
            loads.taken += 1;
            loads.last_taken = Some(SystemTime::now());
            loads.standing_error = None;
        });
    }

    /// Something was refused, and what was in force stays.
    pub fn refused(&self, kind: Kind, why: String) {
        self.change(kind, |loads| {
            loads.refused += 1;
            loads.standing_error = Some(why);
        });
    }

    /// What became of a kind.
    pub fn of(&self, kind: Kind) -> Loads {
        self.loads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&kind)
            .cloned()
            .unwrap_or_default()
    }

    /// The digest of the version that a plugin had before the current one, which a roll-back brings back.
    pub fn earlier(&self, plugin: &PluginName) -> Option<String> {
        self.earlier
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(plugin)
            .cloned()
    }

    /// A plugin had this version until now.
    pub fn replaced(&self, plugin: PluginName, digest: String) {
        self.earlier
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(plugin, digest);
    }

    fn change(&self, kind: Kind, change: impl FnOnce(&mut Loads)) {
        change(
            self.loads
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(kind)
                .or_default(),
        );
    }
}
