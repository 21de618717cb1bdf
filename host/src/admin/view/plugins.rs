//! The plugins, as they stand.

use super::rollout::Rollout;
use super::{Counts, Ordered};
use crate::admin::backend::{PluginStatus, StatusSnapshot};
use crate::control::overrides::PinKind;
use crate::control::reload::{Changed, VersionState};
use crate::control::traffic::Collected;
use crate::telemetry::metrics::{self, ServiceTotals};
use crate::vitals::Durations;
use portolan_core::config::Policy;
use portolan_core::id::PluginName;
use portolan_core::rollout::Stage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::SystemTime;

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
    /// When the active version became active, as RFC 3339.
    #[serde(default)]
    pub since: String,
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
    /// The share of decisions that it made, in percent, since the start: the others are the built-in policy's, after a fault. `None`
    /// without decisions.
    #[serde(default)]
    pub share_percent: Option<f64>,
    /// What its calls take.
    #[serde(default)]
    pub cost: Option<Cost>,
    /// Requests of the last five minutes by the reason that it gave, estimated from samples.
    #[serde(default)]
    pub reasons: Counts,
    /// What it counts, by the names that it gives its counters, since the start.
    #[serde(default)]
    pub counters: Counts,
    /// Until when workers do not call it, and why, where it was put into quarantine; the last quarantine.
    #[serde(default)]
    pub quarantine: Option<Quarantine>,
}

/// What calls of a plugin take, since the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// How many there were.
    pub calls: u64,
    /// What one takes on average, in microseconds.
    pub mean_us: f64,
    /// What 99 in 100 do not exceed, in microseconds.
    pub p99_us: f64,
}

/// The last quarantine of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// When it began; of those that followed each other closely, the first one.
    pub since: String,
    /// When it ends, or ended.
    pub until: String,
    /// The last fault.
    pub reason: String,
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
    /// With the reasons of requests that were collected.
    pub(in crate::admin) fn of(snapshot: &StatusSnapshot, collected: &Collected) -> Self {
        Self {
            plugins: snapshot
                .plugins
                .iter()
                .map(|plugin| Plugin::of(plugin, snapshot, collected))
                .collect(),
        }
    }
}

impl Plugin {
    fn of(plugin: &PluginStatus, snapshot: &StatusSnapshot, collected: &Collected) -> Self {
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
            since: timestamp(plugin.since),
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
            share_percent: None,
            cost: None,
            reasons: collected
                .reasons
                .iter()
                .filter(|((of, _), _)| *of == plugin.name)
                .map(|((_, reason), requests)| (reason.clone(), *requests))
                .collect(),
            counters: snapshot
                .plugin_counters
                .iter()
                .filter(|reading| reading.plugin == plugin.name)
                .map(|reading| (reading.counter.clone(), reading.value))
                .collect(),
            quarantine: plugin.quarantine.as_ref().map(|quarantine| Quarantine {
                since: timestamp(quarantine.since),
                until: timestamp(quarantine.until),
                reason: quarantine.reason.clone(),
            }),
        };
        let (mut calls, mut decisions) = (Durations::default(), 0);
        for (service, shown) in snapshot.config.services().iter().zip(&snapshot.services) {
            if service.policy == Policy::Plugin(plugin.name.clone()) {
                let totals = shown.vitals.totals();
                view.services.push(service.name.to_string());
                view.add(&totals);
                calls.merge(&totals.stages[metrics::Stage::Plugin as usize]);
                decisions += totals.ranked.iter().sum::<u64>();
            }
        }
        view.share_percent = (decisions > 0).then(|| 100.0 * view.answers as f64 / decisions as f64);
        view.cost = calls.quantile(0.99).map(|p99| Cost {
            calls: calls.count(),
            mean_us: 1e6 * calls.seconds() / calls.count() as f64,
            p99_us: 1e6 * p99.as_secs_f64(),
        });
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

fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
