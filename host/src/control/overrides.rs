//! Operators' orders against the configuration of a running instance: drained regions, plugins rolled back.
//!
//! An override outlives reloads and, with a state directory, restarts. It ends when an operator ends it; a rollback also
//! when the configured version of the plugin changes.

use super::last_good::{LastGood, StateError};
pub use super::override_record::Ordered;
use super::override_record::{Record, RollBackRecord};
use bytes::Bytes;
use portolan_core::id::{PluginName, RegionName};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A plugin that was rolled back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollBack {
    /// The digest of the configured version, which is not active.
    pub configured: String,
    /// The digest of the version that is active.
    pub active: String,
    /// The component of the version that is active.
    pub component: Bytes,
    /// When, and from where.
    pub ordered: Ordered,
}

/// The plugins that are rolled back.
pub type RollBacks = BTreeMap<PluginName, RollBack>;

/// All overrides of an instance. Shared by the tasks that execute and show them.
#[derive(Debug, Default)]
pub struct Overrides {
    all: Mutex<All>,
    /// One save at a time, the latest last.
    saving: Mutex<()>,
    last_good: Option<LastGood>,
}

#[derive(Clone, Debug, Default)]
struct All {
    drains: BTreeMap<RegionName, Ordered>,
    roll_backs: RollBacks,
}

impl Overrides {
    /// Those of the last run, where there is a state directory.
    pub fn open(last_good: Option<&LastGood>) -> Self {
        let mut all = All::default();
        if let Some(last_good) = last_good {
            let record = last_good.overrides();
            for (region, ordered) in record.drains {
                all.drains.insert(RegionName::new(region.as_str()), ordered);
            }
            for (plugin, record) in record.rollbacks {
                let Some(component) = last_good.content(&record.active) else {
                    tracing::error!(
                        plugin,
                        digest = record.active,
                        "the version it was rolled back to is lost: the configured one is used"
                    );
                    continue;
                };
                let roll_back = RollBack {
                    configured: record.configured,
                    active: record.active,
                    component,
                    ordered: record.ordered,
                };
                all.roll_backs.insert(PluginName::new(plugin.as_str()), roll_back);
            }
        }
        Self {
            all: Mutex::new(all),
            saving: Mutex::new(()),
            last_good: last_good.cloned(),
        }
    }

    /// Whether a region is drained.
    pub fn is_drained(&self, region: &RegionName) -> bool {
        self.all().drains.contains_key(region)
    }

    /// The drained regions.
    pub fn drains(&self) -> BTreeMap<RegionName, Ordered> {
        self.all().drains.clone()
    }

    /// A region is drained, by this order if not by an earlier one.
    pub fn drain(&self, region: RegionName, ordered: Ordered) {
        self.all().drains.entry(region).or_insert(ordered);
    }

    /// A region is drained no longer. Whether it was.
    pub fn undrain(&self, region: &RegionName) -> bool {
        self.all().drains.remove(region).is_some()
    }

    /// The plugins that are rolled back.
    pub fn roll_backs(&self) -> RollBacks {
        self.all().roll_backs.clone()
    }

    /// These plugins are rolled back, and no others.
    pub(super) fn set_roll_backs(&self, roll_backs: RollBacks) {
        self.all().roll_backs = roll_backs;
    }

    /// Writes them down for the next start, where there is a state directory. Blocks.
    ///
    /// # Errors
    /// When they cannot be written; then those that were written before are.
    pub fn save(&self) -> Result<(), StateError> {
        let Some(last_good) = &self.last_good else {
            return Ok(());
        };
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let All { drains, roll_backs } = self.all().clone();
        let components: Vec<_> = roll_backs.values().map(|it| it.component.clone()).collect();
        let record = Record {
            drains: drains
                .into_iter()
                .map(|(region, it)| (region.to_string(), it))
                .collect(),
            rollbacks: roll_backs
                .into_iter()
                .map(|(plugin, it)| {
                    let record = RollBackRecord {
                        configured: it.configured,
                        active: it.active,
                        ordered: it.ordered,
                    };
                    (plugin.to_string(), record)
                })
                .collect(),
        };
        last_good.keep_overrides(&record, &components)
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
