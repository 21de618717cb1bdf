//! Operators' orders against the configuration of a running instance: drained regions, and plugins whose active version is not the
//! configured one, that are off, or of which a version is suspended.
//!
//! An override outlives reloads and, with a state directory, restarts. It ends when an operator ends it; another active version
//! than the configured one also when the configured version of the plugin changes.

use super::last_good::{LastGood, StateError};
pub use super::override_record::{Ordered, PinKind};
use super::override_record::{PinRecord, Record, RolloutRecord};
use bytes::Bytes;
use portolan_core::id::{PluginName, RegionName};
use portolan_core::rollout::Plan;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Suspended versions of a plugin that are remembered, the latest.
const SUSPENDED: usize = 64;

/// Another version of a plugin than the configured one is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Why.
    pub kind: PinKind,
    /// The digest of the configured version, which is not active.
    pub configured: String,
    /// The digest of the version that is active.
    pub active: String,
    /// The component of the version that is active.
    pub component: Bytes,
    /// When, and from where.
    pub ordered: Ordered,
}

/// A rollout, as it is kept for the next start.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptRollout {
    /// The digest of the configured version when it began.
    pub configured: String,
    /// The digest of the version that is rolled out.
    pub version: String,
    /// Its component.
    pub component: Bytes,
    /// Its stages.
    pub plan: Plan,
    /// The index of the stage that it is in.
    pub at: usize,
    /// When it began, from where, and why.
    pub ordered: Ordered,
}

/// The overrides of plugins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginOverrides {
    /// The plugins whose active version is not the configured one.
    pub pins: BTreeMap<PluginName, Pin>,
    /// The plugins that are off: the built-in policy decides.
    pub off: BTreeMap<PluginName, Ordered>,
    /// The versions that only operators activate, by digest, with when and why.
    pub suspended: BTreeMap<PluginName, BTreeMap<String, Ordered>>,
    /// The versions that are being rolled out.
    pub rollouts: BTreeMap<PluginName, KeptRollout>,
}

impl PluginOverrides {
    /// Why a version of a plugin is suspended, if it is.
    pub fn suspended(&self, plugin: &PluginName, digest: &str) -> Option<&Ordered> {
        self.suspended.get(plugin)?.get(digest)
    }

    /// A version of a plugin is activated by operators only.
    pub(super) fn suspend(&mut self, plugin: &PluginName, digest: &str, ordered: Ordered) {
        let versions = self.suspended.entry(plugin.clone()).or_default();
        versions.insert(digest.to_owned(), ordered);
        while versions.len() > SUSPENDED {
            let earliest = versions.iter().min_by_key(|(_, ordered)| ordered.since);
            let Some(earliest) = earliest.map(|(digest, _)| digest.clone()) else {
                return;
            };
            versions.remove(&earliest);
        }
    }

    /// An operator wants a version of a plugin that may be suspended.
    pub(super) fn lift(&mut self, plugin: &PluginName, digest: &str) {
        if let Some(versions) = self.suspended.get_mut(plugin) {
            versions.remove(digest);
        }
        self.suspended.retain(|_, versions| !versions.is_empty());
    }
}

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
    plugins: PluginOverrides,
}

impl Overrides {
    /// Those of the last run, where there is a state directory.
    pub fn open(last_good: Option<&LastGood>) -> Self {
        let mut all = All::default();
        if let Some(last_good) = last_good {
            all.read(last_good);
        }
        Self {
            all: Mutex::new(all),
            saving: Mutex::new(()),
            last_good: last_good.cloned(),
        }
    }

    /// Whether they outlive a restart: there is a state directory.
    pub fn are_kept(&self) -> bool {
        self.last_good.is_some()
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

    /// Those of plugins.
    pub fn plugins(&self) -> PluginOverrides {
        self.all().plugins.clone()
    }

    /// These are those of plugins.
    pub(super) fn set_plugins(&self, plugins: PluginOverrides) {
        self.all().plugins = plugins;
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
        let (record, components) = self.all().clone().record();
        last_good.keep_overrides(&record, &components)
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn read(&mut self, last_good: &LastGood) {
        let record = last_good.overrides();
        let component = |plugin: &str, digest: &str| {
            let component = last_good.content(digest);
            if component.is_none() {
                tracing::error!(
                    plugin,
                    digest,
                    "a version of a plugin is lost: the configured one is used"
                );
            }
            component
        };
        for (region, ordered) in record.drains {
            self.drains.insert(RegionName::new(region.as_str()), ordered);
        }
        let plugins = &mut self.plugins;
        for (plugin, record) in record.rollbacks {
            let Some(component) = component(&plugin, &record.active) else {
                continue;
            };
            let pin = Pin {
                kind: record.kind,
                configured: record.configured,
                active: record.active,
                component,
                ordered: record.ordered,
            };
            plugins.pins.insert(PluginName::new(plugin.as_str()), pin);
        }
        for (plugin, record) in record.rollouts {
            let Some(component) = component(&plugin, &record.version) else {
                continue;
            };
            let kept = KeptRollout {
                plan: record.plan(),
                configured: record.configured,
                version: record.version,
                component,
                at: record.step,
                ordered: record.ordered,
            };
            plugins.rollouts.insert(PluginName::new(plugin.as_str()), kept);
        }
        let named = |plugin: String| PluginName::new(plugin.as_str());
        plugins.off = record.off.into_iter().map(|(plugin, it)| (named(plugin), it)).collect();
        plugins.suspended = record
            .suspended
            .into_iter()
            .map(|(plugin, it)| (named(plugin), it))
            .collect();
    }

    /// As it is written, and the components that it needs.
    fn record(self) -> (Record, Vec<Bytes>) {
        let PluginOverrides {
            pins,
            off,
            suspended,
            rollouts,
        } = self.plugins;
        let active = pins.values().map(|it| it.component.clone());
        let components = active.chain(rollouts.values().map(|it| it.component.clone())).collect();
        let pins = pins.into_iter().map(|(plugin, it)| {
            let record = PinRecord {
                kind: it.kind,
                configured: it.configured,
                active: it.active,
                ordered: it.ordered,
            };
            (plugin.to_string(), record)
        });
        let rollouts = rollouts.into_iter().map(|(plugin, it)| {
            let (steps, rollback) = RolloutRecord::of_plan(&it.plan);
            let record = RolloutRecord {
                configured: it.configured,
                version: it.version,
                steps,
                step: it.at,
                rollback,
                ordered: it.ordered,
            };
            (plugin.to_string(), record)
        });
        let drains = self.drains.into_iter();
        let record = Record {
            drains: drains.map(|(region, it)| (region.to_string(), it)).collect(),
            rollbacks: pins.collect(),
            off: off.into_iter().map(|(plugin, it)| (plugin.to_string(), it)).collect(),
            suspended: suspended
                .into_iter()
                .map(|(plugin, it)| (plugin.to_string(), it))
                .collect(),
            rollouts: rollouts.collect(),
        };
        (record, components)
    }
}
