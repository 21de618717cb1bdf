//! Rollouts over reloads and restarts, and what the table and operators see of them.

use super::{Reloader, off_thread};
use crate::config::PluginSource;
use crate::control::last_good::Content;
use crate::control::load::{self, Candidate};
use crate::control::overrides::{KeptRollout, Ordered, PinKind};
use crate::control::status::RolloutStatus;
use crate::plugin::PluginVersion;
use crate::rollout::{Rollouts, Trial};
use portolan_core::id::PluginName;
use std::sync::Arc;

impl Reloader {
    /// A configuration is active: rollouts go on with its settings, and begin for what it changes.
    pub(super) async fn settle_rollouts(&mut self, candidates: Vec<(PluginName, Candidate)>, contents: &[Content]) {
        let names: Vec<_> = self.rolling.keys().cloned().collect();
        for name in names {
            self.supersede(&name);
            let settings = self
                .loaded
                .settings
                .plugins
                .get(&name)
                .map(|plugin| plugin.deployment.clone());
            let Some(rolling) = self.rolling.get(&name) else {
                continue;
            };
            if settings.as_ref() == Some(&rolling.version().settings) {
                continue;
            }
            let (engine, settings) = (self.engine.clone(), Arc::clone(&self.loaded.settings));
            let (plugin, bytes) = (name.clone(), rolling.bytes.clone());
            match off_thread(move || load::tried(&plugin, &bytes, &settings, &engine)).await {
                Ok(version) => self.renew_rollout(&name, version),
                Err(error) => self.withdraw(&name, &error.to_string(), None),
            }
        }
        for (name, candidate) in candidates {
            let own = match self.loaded.settings.plugins.get(&name).map(|plugin| &plugin.source) {
                Some(PluginSource::Registry(source)) => self.artifacts.contents(&source.reference),
                source => {
                    let file = source.and_then(load::plugin_file);
                    let own = contents.iter().filter(|content| Some(&content.path) == file.as_ref());
                    own.cloned().collect()
                }
            };
            let by = Ordered::by_itself().because("the configuration changed");
            self.roll_out_configured(name, candidate, own, by);
        }
    }

    /// The same version with other settings goes on in its stage.
    fn renew_rollout(&mut self, name: &PluginName, version: Arc<PluginVersion>) {
        let Some(rolling) = self.rolling.get_mut(name) else {
            return;
        };
        let (stage, vitals) = (rolling.rollout.stage(), Arc::clone(&rolling.trial.vitals));
        match Trial::new(version, stage, vitals, &self.engine) {
            Ok(trial) => rolling.trial = Arc::new(trial),
            Err(error) => return self.withdraw(name, &error.to_string(), None),
        }
        self.publish_plugins();
    }

    /// Rollouts of the last run go on, each at the beginning of its stage.
    pub(super) async fn resume_rollouts(&mut self) {
        let overrides = self.overrides.plugins();
        if overrides.rollouts.is_empty() && overrides.pins.values().all(|pin| pin.kind != PinKind::Rollout) {
            return;
        }
        for (name, kept) in overrides.rollouts {
            let component = self.components.get(&name);
            if component.is_none_or(|component| component.configured != kept.configured) {
                continue;
            }
            let KeptRollout {
                component,
                plan,
                at,
                ordered,
                ..
            } = kept;
            let (engine, settings) = (self.engine.clone(), Arc::clone(&self.loaded.settings));
            let (plugin, bytes) = (name.clone(), component.clone());
            let tried = off_thread(move || load::tried(&plugin, &bytes, &settings, &engine)).await;
            let begun = tried.map_err(|error| error.to_string()).and_then(|version| {
                let candidate = Candidate {
                    version,
                    bytes: component,
                };
                let contents = self.configured_contents(&name, &candidate);
                let begun = self.begin_rollout(name.clone(), candidate, (plan, at), contents, ordered);
                begun.map_err(|error| error.to_string())
            });
            if let Err(error) = begun {
                tracing::error!(plugin = %name, "the rollout does not go on: {error}");
            }
        }
        // What was to be rolled out and cannot be resumed is loaded as a new version is.
        let pins = self.overrides.plugins().pins;
        let is_lost = |name: &PluginName, kind| kind == PinKind::Rollout && !self.rolling.contains_key(name);
        let lost: Vec<_> = pins.iter().filter(|(name, pin)| is_lost(name, pin.kind)).collect();
        for name in lost.into_iter().map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            let mut overrides = self.overrides.plugins();
            overrides.pins.remove(&name);
            self.set_overrides(overrides);
            self.reload_plugin(name).await;
        }
        self.rolling_changed();
    }

    /// The file of a version, when that is the configured one.
    fn configured_contents(&self, name: &PluginName, candidate: &Candidate) -> Vec<Content> {
        let component = self.components.get(name);
        if component.is_none_or(|component| component.configured != candidate.version.digest) {
            return Vec::new();
        }
        let source = self.loaded.settings.plugins.get(name).map(|plugin| &plugin.source);
        if let Some(PluginSource::Registry(source)) = source {
            return self.artifacts.contents(&source.reference);
        }
        let content = source.and_then(load::plugin_file).map(|path| Content {
            path,
            bytes: candidate.bytes.clone(),
        });
        content.into_iter().collect()
    }

    /// What the table shows of rollouts.
    pub(super) fn rollouts(&self) -> Arc<Rollouts> {
        let trials = self.rolling.iter();
        Arc::new(Rollouts {
            off: self.overrides.plugins().off.into_keys().collect(),
            trials: trials
                .map(|(name, rolling)| (name.clone(), Arc::clone(&rolling.trial)))
                .collect(),
        })
    }

    /// A rollout has begun, gone on or ended: that is published, shown, and kept for the next start.
    pub(super) fn rolling_changed(&mut self) {
        self.publish_plugins();
        let mut overrides = self.overrides.plugins();
        let kept = self.rolling.iter().map(|(name, rolling)| {
            let kept = KeptRollout {
                configured: rolling.configured.clone(),
                version: rolling.version().digest.clone(),
                component: rolling.bytes.clone(),
                plan: rolling.rollout.plan().clone(),
                at: rolling.rollout.at(),
                ordered: rolling.ordered.clone(),
            };
            (name.clone(), kept)
        });
        overrides.rollouts = kept.collect();
        self.set_overrides(overrides);
        self.show_rollouts();
    }

    pub(super) fn show_rollouts(&self) {
        let rolling = self.rolling.iter().map(|(name, it)| {
            let status = RolloutStatus {
                trial: Arc::clone(&it.trial),
                plan: it.rollout.plan().clone(),
                at: it.rollout.at(),
                elapsed: it.rollout.elapsed(),
                remaining: it.rollout.remaining(),
                ordered: it.ordered.clone(),
            };
            (name.clone(), status)
        });
        self.status.set_rollouts(rolling.collect());
    }
}
