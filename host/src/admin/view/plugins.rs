//! The plugins, as they stand.

use super::{Counts, Ordered};
use crate::admin::backend::{PluginStatus, StatusSnapshot};
use crate::telemetry::metrics::ServiceTotals;
use portolan_core::config::Policy;
use serde::{Deserialize, Serialize};

/// `GET /api/v1/plugins`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plugins {
    /// The plugins by name.
    pub plugins: Vec<Plugin>,
}

/// A plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plugin {
    /// Its name in the configuration.
    pub plugin: String,
    /// The digest of the active version.
    pub digest: String,
    /// Where it came from.
    pub source: String,
    /// The digest of the version that a rollback brings back.
    pub earlier: Option<String>,
    /// Where an operator has rolled it back.
    #[serde(default)]
    pub rolled_back: Option<RolledBackFrom>,
    /// The services whose regions it orders.
    pub services: Vec<String>,
    /// Answers since the start.
    pub answers: u64,
    /// Answers of which something had to be dropped.
    pub repaired: u64,
    /// Faults by name: the built-in policy answered instead.
    pub faults: Counts,
}

/// A rollback: it ends when the configured version changes, or an operator ends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolledBackFrom {
    /// The digest of the configured version, which is not active.
    pub configured: String,
    /// When it was rolled back, and from where.
    #[serde(flatten)]
    pub ordered: Ordered,
}

impl Plugins {
    pub(in crate::admin) fn of(snapshot: &StatusSnapshot) -> Self {
        Self {
            plugins: snapshot
                .plugins
                .iter()
                .map(|plugin| Plugin::of(plugin, snapshot))
                .collect(),
        }
    }
}

impl Plugin {
    fn of(plugin: &PluginStatus, snapshot: &StatusSnapshot) -> Self {
        let mut view = Self {
            plugin: plugin.name.to_string(),
            digest: plugin.digest.clone(),
            source: plugin.source.clone(),
            earlier: plugin.earlier.clone(),
            rolled_back: plugin.rolled_back.as_ref().map(|(configured, ordered)| RolledBackFrom {
                configured: configured.clone(),
                ordered: ordered.into(),
            }),
            services: Vec::new(),
            answers: 0,
            repaired: 0,
            faults: Counts::new(),
        };
        for (service, shown) in snapshot.config.services().iter().zip(&snapshot.services) {
            if service.policy == Policy::Plugin(plugin.name.clone()) {
                view.services.push(service.name.to_string());
                view.add(&shown.vitals.totals());
            }
        }
        view
    }

    fn add(&mut self, totals: &ServiceTotals) {
        let [_, by_plugin, ..] = totals.ranked;
        self.answers += by_plugin;
        self.repaired += totals.repaired;
        for (fault, count) in &totals.faults {
            *self.faults.entry((*fault).to_owned()).or_default() += count;
        }
    }
}
