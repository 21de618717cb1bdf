//! Metrics of plugin versions that are being rolled out. A version is named by its role, so that there are never more than two of a
//! plugin; digests are labels of `portolan_plugin_info`.

use crate::admin::backend::StatusSnapshot;
use crate::control::status::RolloutStatus;
use crate::rollout::VersionVitals;
use crate::telemetry::exposition::{Exposition, Kind};
use portolan_core::id::PluginName;
use portolan_core::rollout::{Cause, Stage};

pub(super) fn metrics(text: &mut Exposition, snapshot: &StatusSnapshot) {
    stages(text, snapshot);
    versions(text, snapshot);
    shadows(text, snapshot);
    let mut family = text.family(
        "portolan_plugin_rollbacks_total",
        Kind::Counter,
        "Versions of a plugin that were rolled back by themselves, by cause.",
    );
    for plugin in &snapshot.plugins {
        for cause in Cause::WORDS {
            let count = snapshot.rolled_back.get(&(plugin.name.clone(), cause));
            let labels = [("plugin", plugin.name.as_str()), ("cause", cause)];
            family.sample(&labels, count.copied().unwrap_or(0));
        }
    }
    let mut family = text.family(
        "portolan_plugin_off",
        Kind::Gauge,
        "Whether an operator has switched a plugin off: the built-in policy decides.",
    );
    for plugin in &snapshot.plugins {
        family.sample(&[("plugin", plugin.name.as_str())], u8::from(plugin.off.is_some()));
    }
}

/// The plugins of which a version is being rolled out.
fn rolling(snapshot: &StatusSnapshot) -> impl Iterator<Item = (&PluginName, &RolloutStatus)> {
    let plugins = snapshot.plugins.iter();
    plugins.filter_map(|plugin| Some((&plugin.name, plugin.rollout.as_ref()?)))
}

fn stages(text: &mut Exposition, snapshot: &StatusSnapshot) {
    let mut family = text.family(
        "portolan_plugin_canary_ratio",
        Kind::Gauge,
        "The share of clients whose requests a canary version decides, 0 to 1; 0 in shadow.",
    );
    for (plugin, rollout) in rolling(snapshot) {
        let share = match rollout.trial.stage {
            Stage::Shadow => 0.0,
            Stage::Canary(share) => f64::from(share.as_permille()) / 1_000.0,
        };
        family.sample(&[("plugin", plugin.as_str())], share);
    }
}

/// Both versions of every rollout: its role and its counters.
fn both(snapshot: &StatusSnapshot) -> impl Iterator<Item = (&PluginName, &'static str, &VersionVitals)> {
    rolling(snapshot).flat_map(|(plugin, rollout)| {
        let vitals = &rollout.trial.vitals;
        [
            (plugin, "active", &vitals.active),
            (plugin, rollout.trial.stage.as_str(), &vitals.candidate),
        ]
    })
}

fn versions(text: &mut Exposition, snapshot: &StatusSnapshot) {
    let mut family = text.family(
        "portolan_plugin_version_calls_total",
        Kind::Counter,
        "Calls of a version since its rollout began, and of the active one in the same time.",
    );
    for (plugin, version, vitals) in both(snapshot) {
        let labels = [("plugin", plugin.as_str()), ("version", version)];
        family.sample(&labels, vitals.counts().calls);
    }
    let mut family = text.family(
        "portolan_plugin_version_call_seconds_total",
        Kind::Counter,
        "The time of these calls.",
    );
    for (plugin, version, vitals) in both(snapshot) {
        let labels = [("plugin", plugin.as_str()), ("version", version)];
        family.sample(&labels, vitals.counts().nanos as f64 / 1e9);
    }
    let mut family = text.family(
        "portolan_plugin_version_faults_total",
        Kind::Counter,
        "Those of them that failed, by fault.",
    );
    for (plugin, version, vitals) in both(snapshot) {
        for (fault, count) in vitals.faults() {
            let labels = [("plugin", plugin.as_str()), ("version", version), ("fault", fault)];
            family.sample(&labels, count);
        }
    }
    let mut family = text.family(
        "portolan_plugin_version_requests_total",
        Kind::Counter,
        "Requests that were decided by these calls and have ended; failed: their first region failed, or they got an error.",
    );
    for (plugin, version, vitals) in both(snapshot) {
        let counts = vitals.counts();
        for (result, count) in [
            ("success", counts.requests - counts.failures),
            ("failure", counts.failures),
        ] {
            let labels = [("plugin", plugin.as_str()), ("version", version), ("result", result)];
            family.sample(&labels, count);
        }
    }
}

fn shadows(text: &mut Exposition, snapshot: &StatusSnapshot) {
    let mut family = text.family(
        "portolan_plugin_shadow_decisions_total",
        Kind::Counter,
        "Copies of requests for a version in shadow: it chose the same first region, another one, or the copy was dropped.",
    );
    for (plugin, rollout) in rolling(snapshot) {
        let Some(shadow) = &rollout.trial.shadow else { continue };
        let reading = shadow.read();
        for (result, count) in [
            ("same", reading.compared - reading.differed),
            ("different", reading.differed),
            ("dropped", reading.dropped),
        ] {
            let labels = [("plugin", plugin.as_str()), ("result", result)];
            family.sample(&labels, count);
        }
    }
}
