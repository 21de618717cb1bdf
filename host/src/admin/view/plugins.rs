//! The plugins, as they stand.

use super::rollout::Rollout;
use super::{Counts, Ordered};
use crate::admin::backend::{PluginStatus, StatusSnapshot};
use crate::control::overrides::PinKind;
use crate::control::reload::{Changed, VersionState};
use crate::telemetry::metrics::ServiceTotals;
use portolan_core::config::Policy;
use portolan_core::id::PluginName;
use portolan_core::rollout::Stage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Where it was rolled back.
    #[serde(default)]
    pub rolled_back: Option<Instead>,
    /// Where an operator has deployed another version than the configured one.
    #[serde(default)]
    pub deployed: Option<Instead>,
    /// Where an operator has switched it off: the built-in policy decides.
    #[serde(default)]
    pub off: Option<Ordered>,
    /// The version that is being rolled out.
    #[serde(default)]
    pub rollout: Option<Rollout>,
    /// The versions that only operators activate, by digest.
    #[serde(default)]
    pub suspended: BTreeMap<String, Ordered>,
    /// The services whose regions it orders.
    pub services: Vec<String>,
    /// Answers since the start.
    pub answers: u64,
    /// Answers of which something had to be dropped.
    pub repaired: u64,
    /// Faults by name: the built-in policy answered instead.
    pub faults: Counts,
}

/// Another version than the configured one is active: until the configured version changes, or an operator ends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instead {
    /// The digest of the configured version, which is not active.
    pub configured: String,
    /// When that was ordered, from where, and why.
    #[serde(flatten)]
    pub ordered: Ordered,
}

/// What an order about a plugin has changed: `POST /api/v1/plugins/{plugin}/{deploy,promote,rollback,rollforward,off,on}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginChange {
    /// The plugin.
    pub plugin: String,
    /// The digest of the version that it was about.
    pub digest: String,
    /// What that does now: `shadow`, `canary`, `active`, or `off`.
    pub state: String,
    /// The share of clients of a canary, such as `10 %`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// Whether that outlives a restart: not without a state directory.
    pub kept: bool,
}

impl PluginChange {
    pub(in crate::admin) fn of(plugin: &PluginName, changed: &Changed, kept: bool) -> Self {
        Self {
            plugin: plugin.to_string(),
            digest: changed.digest.clone(),
            state: changed.state.as_str().to_owned(),
            share: match changed.state {
                VersionState::Trial(Stage::Canary(share)) => Some(share.to_string()),
                VersionState::Trial(Stage::Shadow) | VersionState::Active | VersionState::Off => None,
            },
            kept,
        }
    }
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
        let instead = |kind| {
            let (of, configured, ordered) = plugin.pinned.as_ref()?;
            (*of == kind).then(|| Instead {
                configured: configured.clone(),
                ordered: ordered.into(),
            })
        };
        let mut view = Self {
            plugin: plugin.name.to_string(),
            digest: plugin.digest.clone(),
            source: plugin.source.clone(),
            earlier: plugin.earlier.clone(),
            rolled_back: instead(PinKind::Rollback),
            deployed: instead(PinKind::Deploy),
            off: plugin.off.as_ref().map(Into::into),
            rollout: plugin.rollout.as_ref().map(Rollout::of),
            suspended: plugin
                .suspended
                .iter()
                .map(|(digest, ordered)| (digest.clone(), ordered.into()))
                .collect(),
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
