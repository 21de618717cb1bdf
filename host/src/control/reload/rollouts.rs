//! Versions that are being rolled out: from stage to stage, to all clients or back.

use super::Reloader;
use super::plugins::{Changed, PluginOrderError, VersionState, pin};
use crate::control::events::EventKind;
use crate::control::last_good::{Content, digest};
use crate::control::load::{self, Candidate, Component, short};
use crate::control::overrides::{Ordered, PinKind};
use crate::plugin::PluginVersion;
use crate::rollout::{Trial, TrialVitals};
use bytes::Bytes;
use portolan_core::id::PluginName;
use portolan_core::rollout::{Cause, Plan, Progress, Rollout, Stage, Start};
use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// A version that is being rolled out.
#[derive(Debug)]
pub(super) struct Rolling {
    pub(super) rollout: Rollout,
    pub(super) bytes: Bytes,
    pub(super) trial: Arc<Trial>,
    /// The digest of the configured version when it began.
    pub(super) configured: String,
    /// Its files, when it is the configured version: kept for the next start when it is active.
    contents: Vec<Content>,
    pub(super) ordered: Ordered,
}

impl Rolling {
    pub(super) fn version(&self) -> &Arc<PluginVersion> {
        &self.trial.version
    }

    fn is_configured(&self) -> bool {
        self.version().digest == self.configured
    }
}

impl Reloader {
    /// Rolls the configured version of a plugin out, beside the active one.
    pub(super) fn roll_out_configured(
        &mut self,
        name: PluginName,
        candidate: Candidate,
        contents: Vec<Content>,
        by: Ordered,
    ) {
        self.supersede(&name);
        let plan = self
            .loaded
            .settings
            .plugins
            .get(&name)
            .and_then(|plugin| plugin.rollout.clone());
        let active = self.loaded.plugins.get(&name).map(|version| version.digest.clone());
        if let Some((component, active)) = self.components.get(&name).zip(active) {
            let mut overrides = self.overrides.plugins();
            let pin = pin(PinKind::Rollout, component, &active, by.clone());
            overrides.pins.insert(name.clone(), pin);
            self.set_overrides(overrides);
        }
        let begun = self.begin_rollout(name.clone(), candidate, (plan.unwrap_or_default(), 0), contents, by);
        if let Err(error) = begun {
            tracing::error!(plugin = %name, "the new version is not rolled out: {error}");
            self.events.add(EventKind::PluginRejected.of(&name).reason(error));
        }
    }

    /// Rolls out a component that an operator gives, or makes it active.
    pub(super) async fn deploy(
        &mut self,
        name: PluginName,
        bytes: Bytes,
        start: Start,
        by: Ordered,
    ) -> Result<Changed, PluginOrderError> {
        let (engine, settings) = (self.engine.clone(), Arc::clone(&self.loaded.settings));
        let (plugin, component) = (name.clone(), bytes.clone());
        let tried = self
            .meanwhile(move || load::tried(&plugin, &component, &settings, &engine))
            .await;
        let version = tried.map_err(|error| {
            let rejected = EventKind::PluginRejected.of(&name).digest(digest(&bytes));
            self.events.add(rejected.reason(&error).author(by.author()));
            PluginOrderError::Rejected(error.to_string())
        })?;
        let is_active = self
            .loaded
            .plugins
            .get(&name)
            .is_some_and(|active| active.digest == version.digest);
        if is_active {
            return Err(PluginOrderError::Active(name, short(&version.digest)));
        }
        let tried = EventKind::PluginTried.of(&name).digest(version.digest.as_str());
        self.events.add(tried.reason(&by.reason).author(by.author()));
        self.withdraw(&name, "another version was deployed", by.author());
        let mut overrides = self.overrides.plugins();
        overrides.lift(&name, &version.digest);
        // The configured version does not come back by itself.
        if let Some(pin) = overrides.pins.get_mut(&name).filter(|pin| pin.kind == PinKind::Rollout) {
            (pin.kind, pin.ordered) = (PinKind::Rollback, by.clone());
        }
        self.set_overrides(overrides);
        let configured = self.loaded.settings.plugins.get(&name);
        let plan = Plan::of(start, configured.and_then(|plugin| plugin.rollout.as_ref()));
        if plan.steps.is_empty() {
            return Ok(self.make_active(&name, version, bytes, Vec::new(), by));
        }
        let digest = version.digest.clone();
        let candidate = Candidate { version, bytes };
        let stage = self.begin_rollout(name, candidate, (plan, 0), Vec::new(), by);
        let stage = stage.map_err(|error| PluginOrderError::Shadow(error.to_string()))?;
        Ok(Changed {
            digest,
            state: VersionState::Trial(stage),
        })
    }

    /// Begins, or resumes, a rollout.
    pub(super) fn begin_rollout(
        &mut self,
        name: PluginName,
        candidate: Candidate,
        (plan, at): (Plan, usize),
        contents: Vec<Content>,
        by: Ordered,
    ) -> io::Result<Stage> {
        let Candidate { version, bytes } = candidate;
        let configured = self.components.get(&name).map(|component| component.configured.clone());
        let rollout = Rollout::begin(plan, at).ok_or_else(|| io::Error::other("its plan has no such stage"))?;
        let stage = rollout.stage();
        let vitals = Arc::new(TrialVitals::new(self.workers));
        let rolling = Rolling {
            trial: Arc::new(Trial::new(version, stage, vitals, &self.engine)?),
            rollout,
            bytes,
            configured: configured.unwrap_or_default(),
            contents,
            ordered: by.clone(),
        };
        self.entered(&name, &rolling, &by);
        self.rolling.insert(name, rolling);
        self.rolling_changed();
        Ok(stage)
    }

    fn entered(&self, name: &PluginName, rolling: &Rolling, by: &Ordered) {
        let (stage, digest) = (rolling.rollout.stage(), rolling.version().digest.as_str());
        let kind = match stage {
            Stage::Shadow => EventKind::PluginShadow,
            Stage::Canary(_) => EventKind::PluginCanary,
        };
        let reason = match by.reason.as_str() {
            "" => stage.to_string(),
            reason => format!("{stage}: {reason}"),
        };
        self.events
            .add(kind.of(name).digest(digest).reason(reason).author(by.author()));
        tracing::info!(plugin = %name, version = short(digest), %stage, from = by.from, reason = by.reason, "plugin rollout");
    }

    /// Advances all rollouts to now. `only_back`: versions may be rolled back and nothing else, for something is being loaded.
    pub(super) fn advance_rollouts(&mut self, only_back: bool) {
        self.engine.take_quarantines().into_iter().for_each(|it| {
            self.events.quarantined(&it);
            self.status.quarantined(it, SystemTime::now());
        });
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.advanced);
        if self.rolling.is_empty() {
            self.advanced = now;
            return;
        }
        if !only_back {
            self.advanced = now;
        }
        let names: Vec<_> = self.rolling.keys().cloned().collect();
        let off = self.overrides.plugins().off;
        for name in names.into_iter().filter(|name| !off.contains_key(name)) {
            let Some(rolling) = self.rolling.get_mut(&name) else {
                continue;
            };
            let evidence = rolling.trial.vitals.evidence();
            let progress = match only_back {
                true => rolling
                    .rollout
                    .judge(&evidence)
                    .map_or(Progress::Stay, Progress::RollBack),
                false => rolling.rollout.advance(passed, &evidence),
            };
            let by = Ordered::by_itself().because("its time in the stage before is over");
            self.progress(&name, progress, by);
        }
        self.show_rollouts();
    }

    /// An operator ends the stage of a rollout, or all of them.
    pub(super) fn promote(&mut self, name: PluginName, full: bool, by: Ordered) -> Result<Changed, PluginOrderError> {
        loop {
            let Some(rolling) = self.rolling.get_mut(&name) else {
                return Err(PluginOrderError::NoRollout(name));
            };
            let digest = rolling.version().digest.clone();
            let evidence = rolling.trial.vitals.evidence();
            let progress = rolling.rollout.promote(&evidence);
            if full && matches!(progress, Progress::Enter(_)) {
                continue;
            }
            self.progress(&name, progress, by);
            let stage = self.rolling.get(&name).map(|rolling| rolling.rollout.stage());
            return Ok(Changed {
                digest,
                state: stage.map_or(VersionState::Active, VersionState::Trial),
            });
        }
    }

    fn progress(&mut self, name: &PluginName, progress: Progress, by: Ordered) {
        match progress {
            Progress::Stay => {}
            Progress::Enter(stage) => self.enter(name, stage, &by),
            Progress::Activate => {
                if let Some(rolling) = self.rolling.remove(name) {
                    let version = Arc::clone(rolling.version());
                    self.make_active(name, version, rolling.bytes, rolling.contents, by);
                }
            }
            Progress::RollBack(cause) => self.roll_back_candidate(name, cause),
        }
    }

    fn enter(&mut self, name: &PluginName, stage: Stage, by: &Ordered) {
        let Some(rolling) = self.rolling.get_mut(name) else {
            return;
        };
        let (version, vitals) = (Arc::clone(rolling.version()), Arc::clone(&rolling.trial.vitals));
        match Trial::new(version, stage, vitals, &self.engine) {
            Ok(trial) => rolling.trial = Arc::new(trial),
            // Only a shadow needs a thread, and none follows another stage.
            Err(error) => return tracing::error!(plugin = %name, "the rollout does not go on: {error}"),
        }
        if let Some(rolling) = self.rolling.get(name) {
            self.entered(name, rolling, by);
        }
        self.rolling_changed();
    }

    /// A version is active now instead of the one before.
    fn make_active(
        &mut self,
        name: &PluginName,
        version: Arc<PluginVersion>,
        bytes: Bytes,
        contents: Vec<Content>,
        by: Ordered,
    ) -> Changed {
        let configured = self
            .components
            .get(name)
            .map(|it| it.configured.clone())
            .unwrap_or_default();
        let digest = version.digest.clone();
        let component = Component {
            is_pinned: configured != digest,
            configured,
            bytes,
        };
        let mut overrides = self.overrides.plugins();
        match component.is_pinned {
            true => drop(
                overrides
                    .pins
                    .insert(name.clone(), pin(PinKind::Deploy, &component, &digest, by.clone())),
            ),
            false => {
                overrides.pins.remove(name);
                self.writer.keep(contents);
            }
        }
        self.set_overrides(overrides);
        self.replace_plugin(name.clone(), version, component);
        self.rolling_changed();
        self.now_active(name, digest, &by)
    }

    /// A version is worse than the active one.
    fn roll_back_candidate(&mut self, name: &PluginName, cause: Cause) {
        let Some(rolling) = self.rolling.remove(name) else {
            return;
        };
        let (digest, reason) = (rolling.version().digest.clone(), cause.to_string());
        let stage = rolling.rollout.stage();
        tracing::error!(plugin = %name, version = short(&digest), %stage, reason, "plugin version rolled back");
        let by = Ordered::by_itself().because(reason.as_str());
        let mut overrides = self.overrides.plugins();
        overrides.suspend(name, &digest, by.clone());
        if rolling.is_configured()
            && let Some(pin) = overrides.pins.get_mut(name)
        {
            (pin.kind, pin.ordered) = (PinKind::Rollback, by.clone());
        }
        self.set_overrides(overrides);
        self.status.rolled_back(name, cause.as_str());
        self.publish_plugins();
        self.rolling_changed();
        let rolled_back = EventKind::PluginRolledBack.of(name).digest(digest.as_str());
        self.events
            .add(rolled_back.reason(format!("{stage}: {reason}")).author(by.author()));
        let suspended = EventKind::PluginSuspended.of(name).digest(digest);
        self.events.add(suspended.reason(reason).author(by.author()));
    }

    /// An operator ends a rollout: the active version remains active.
    pub(super) fn end_rollout(&mut self, name: PluginName, by: Ordered) -> Result<Changed, PluginOrderError> {
        let is_configured = self.rolling.get(&name).is_some_and(Rolling::is_configured);
        let mut overrides = self.overrides.plugins();
        if is_configured && let Some(pin) = overrides.pins.get_mut(&name) {
            (pin.kind, pin.ordered) = (PinKind::Rollback, by.clone());
        }
        self.set_overrides(overrides);
        let reason = match by.reason.as_str() {
            "" => "an operator ended its rollout",
            reason => reason,
        };
        self.withdraw(&name, reason, by.author());
        let version = self.loaded.plugins.get(&name);
        Ok(Changed {
            digest: version.map(|version| version.digest.clone()).unwrap_or_default(),
            state: VersionState::Active,
        })
    }

    /// Another version of the plugin is configured than when a rollout began, or none.
    pub(super) fn supersede(&mut self, name: &PluginName) {
        let configured = self.components.get(name).map(|component| &component.configured);
        let holds = self
            .rolling
            .get(name)
            .is_some_and(|it| Some(&it.configured) == configured);
        if !holds {
            self.withdraw(name, "another version was configured", None);
        }
    }

    /// Ends a rollout, if there is one.
    pub(super) fn withdraw(&mut self, name: &PluginName, reason: &str, author: Option<&str>) {
        let Some(rolling) = self.rolling.remove(name) else {
            return;
        };
        let digest = rolling.version().digest.as_str();
        tracing::info!(plugin = %name, version = short(digest), reason, "the rollout has ended");
        let event = EventKind::PluginRolledBack.of(name).digest(digest);
        self.events.add(event.reason(reason).author(author));
        self.publish_plugins();
        self.rolling_changed();
    }
}
