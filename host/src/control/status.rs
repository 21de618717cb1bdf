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
    /// Since when what is in force has been good, when it is the last good one of an earlier run: what there was at the
    /// start was refused, and nothing was taken since.
    pub restored: Option<SystemTime>,
}

/// How often what is in force was written down for the next start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keeps {
    /// How often it was.
    pub kept: u64,
    /// How often it could not be.
    pub failed: u64,
}

/// The record of all loads. Shared by the reloader, which writes, and the administration, which reads.
#[derive(Debug, Default)]
pub struct Status {
    loads: Mutex<BTreeMap<Kind, Loads>>,
    earlier: Mutex<BTreeMap<PluginName, String>>,
    keeps: Mutex<Option<Keeps>>,
}

impl Status {
    /// Something was loaded and is in force.
    pub fn taken(&self, kind: Kind) {
        self.change(kind, |loads| {
            loads.taken += 1;
            loads.last_taken = Some(SystemTime::now());
            loads.standing_error = None;
            loads.restored = None;
        });
    }

    /// Something was refused, and what was in force stays.
    pub fn refused(&self, kind: Kind, why: String) {
        self.change(kind, |loads| {
            loads.refused += 1;
            loads.standing_error = Some(why);
        });
    }

    /// Something was refused at the start, and what was last good before is in force.
    pub fn restored(&self, kind: Kind, why: String, since: SystemTime) {
        self.refused(kind, why);
        self.change(kind, |loads| loads.restored = Some(since));
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

    /// What is in force was written down for the next start, or could not be.
    pub fn kept(&self, done: bool) {
        let mut keeps = self.keeps.lock().unwrap_or_else(PoisonError::into_inner);
        let keeps = keeps.get_or_insert_default();
        keeps.kept += u64::from(done);
        keeps.failed += u64::from(!done);
    }

    /// How often what is in force was written down; `None` where there is no folder for it.
    pub fn keeps(&self) -> Option<Keeps> {
        *self.keeps.lock().unwrap_or_else(PoisonError::into_inner)
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
