//! Plugins: new files, and what operators order.

use super::{Reloader, off_thread};
use crate::control::events::EventKind;
use crate::control::last_good::Content;
use crate::control::load::{self, Component, Components, Part, Standing, short};
use crate::control::loaded::{Loaded, Plugins};
use crate::control::overrides::{Ordered, Pin, PinKind, PluginOverrides};
use crate::control::publisher::Update;
use crate::control::status::Subject;
use crate::plugin::PluginVersion;
use bytes::Bytes;
use portolan_core::id::PluginName;
use portolan_core::rollout::{Stage, Start};
use std::sync::Arc;
use std::time::SystemTime;
use thiserror::Error;
use tokio::sync::oneshot;

/// What an operator wants of a plugin.
#[derive(Clone, Debug)]
pub enum PluginOrder {
    /// Make the version before the active one active again, until the configured one changes; during a rollout, end that.
    RollBack,
    /// Make the configured version active.
    RollForward,
    /// Roll this component out, or make it active.
    Deploy(Bytes, Start),
    /// End the stage of a rollout. `full`: all of them. `force`: without a rollout, make the configured version active although it
    /// is suspended.
    Promote {
        /// Make it active at once.
        full: bool,
        /// Also a suspended version.
        force: bool,
    },
    /// Switch the plugin off: the built-in policy decides.
    Off,
    /// Switch it on again.
    On,
}

/// Where the outcome of an order goes.
pub type Reply = oneshot::Sender<Result<Changed, PluginOrderError>>;

/// What an order has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The digest of the version that it was about.
    pub digest: String,
    /// What that does now.
    pub state: VersionState,
}

/// What a version of a plugin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionState {
    /// It is being rolled out.
    Trial(Stage),
    /// It is active.
    Active,
    /// It is the active one, and the plugin is off.
    Off,
}

impl VersionState {
    /// `shadow`, `canary`, `active` or `off`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trial(stage) => stage.as_str(),
            Self::Active => "active",
            Self::Off => "off",
        }
    }
}

/// Why an order about a plugin is not carried out.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PluginOrderError {
    /// No such plugin.
    #[error("there is no plugin {0} in the configuration")]
    Unknown(PluginName),
    /// Nothing to go back to.
    #[error("plugin {0} has had no other version since the start")]
    NoEarlier(PluginName),
    /// It is rolled back already.
    #[error("plugin {0} is rolled back already: end that first (portolan rollback {0} --end)")]
    RolledBack(PluginName),
    /// There is no rollback to end.
    #[error("plugin {0} is not rolled back")]
    NotRolledBack(PluginName),
    /// The version that is asked for cannot be used.
    #[error("the version that is asked for was rejected: {0}")]
    Rejected(String),
    /// It is the active one.
    #[error("version {1} of plugin {0} is active already")]
    Active(PluginName, String),
    /// Nothing is being rolled out.
    #[error("no version of plugin {0} is being rolled out")]
    NoRollout(PluginName),
    /// It is off already, or on.
    #[error("plugin {0} is {1} already")]
    Already(PluginName, &'static str),
    /// Its version cannot run in the background.
    #[error("the version cannot be started in shadow: {0}")]
    Shadow(String),
}

/// The version that a plugin had before the active one.
#[derive(Debug)]
pub(super) struct Earlier {
    version: Arc<PluginVersion>,
    component: Bytes,
}

impl Reloader {
    /// Carries out what an operator wants of a plugin.
    pub(super) async fn obey(
        &mut self,
        name: PluginName,
        order: PluginOrder,
        by: Ordered,
    ) -> Result<Changed, PluginOrderError> {
        if !self.components.contains_key(&name) {
            return Err(PluginOrderError::Unknown(name));
        }
        match order {
            PluginOrder::RollBack if self.rolling.contains_key(&name) => self.end_rollout(name, by),
            PluginOrder::RollBack => self.roll_back(name, by).await,
            PluginOrder::RollForward => self.roll_forward(name, false, by).await,
            PluginOrder::Deploy(component, start) => self.deploy(name, component, start, by).await,
            PluginOrder::Promote { full, .. } if self.rolling.contains_key(&name) => self.promote(name, full, by),
            PluginOrder::Promote { force: true, .. } => self.roll_forward(name, true, by).await,
            PluginOrder::Promote { .. } => Err(PluginOrderError::NoRollout(name)),
            PluginOrder::Off => self.switch(name, true, by),
            PluginOrder::On => self.switch(name, false, by),
        }
    }

    /// Loads a plugin whose file has changed.
    pub(super) async fn reload_plugin(&mut self, name: PluginName) {
        let standing = self.standing();
        match self.load_plugin(name.clone(), standing).await {
            Ok(part) => self.accept_plugin(name, part, Ordered::by_itself().because("its file changed")),
            Err(error) => {
                self.reject(&Subject::Plugin(name.clone()), &error);
                self.events.add(EventKind::PluginRejected.of(&name).reason(&error));
            }
        }
    }

    /// Makes the version before the active one active again.
    async fn roll_back(&mut self, name: PluginName, by: Ordered) -> Result<Changed, PluginOrderError> {
        let mut overrides = self.overrides.plugins();
        if overrides
            .pins
            .get(&name)
            .is_some_and(|pin| pin.kind == PinKind::Rollback)
        {
            return Err(PluginOrderError::RolledBack(name));
        }
        let (Some(earlier), Some(current)) = (self.earlier.get(&name), self.components.get(&name)) else {
            return Err(PluginOrderError::NoEarlier(name));
        };
        let digest = earlier.version.digest.clone();
        let component = Component {
            bytes: earlier.component.clone(),
            configured: current.configured.clone(),
            is_pinned: current.configured != digest,
        };
        let settings = Arc::clone(&self.loaded.settings);
        let version = if earlier.version.settings == settings.plugins[&name].deployment {
            // It is still warm.
            Arc::clone(&earlier.version)
        } else {
            let (engine, plugin, bytes) = (self.engine.clone(), name.clone(), component.bytes.clone());
            let version = off_thread(move || load::tried(&plugin, &bytes, &settings, &engine)).await;
            version.map_err(|error| PluginOrderError::Rejected(error.to_string()))?
        };
        let before = self.loaded.plugins.get(&name).map(|version| version.digest.clone());
        overrides.pins.remove(&name);
        if component.is_pinned {
            overrides
                .pins
                .insert(name.clone(), pin(PinKind::Rollback, &component, &digest, by.clone()));
        }
        self.set_overrides(overrides);
        self.replace_plugin(name.clone(), version, component);
        // To go forward, the rollback is ended.
        self.earlier.remove(&name);
        self.show_earlier();
        let rolled_back = EventKind::PluginRolledBack.of(&name).digest(before.unwrap_or_default());
        self.events.add(rolled_back.reason(&by.reason).author(by.author()));
        Ok(self.now_active(&name, digest, &by))
    }

    /// Makes the configured version active. `force`: whether or not another one is instead of it.
    async fn roll_forward(&mut self, name: PluginName, force: bool, by: Ordered) -> Result<Changed, PluginOrderError> {
        let mut standing = self.standing();
        let pin = standing.overrides.pins.get(&name);
        if !force && pin.is_none_or(|pin| pin.kind == PinKind::Rollout) {
            return Err(PluginOrderError::NotRolledBack(name));
        }
        // The operator wants this version, at once.
        standing.overrides.pins.remove(&name);
        standing.overrides.suspended.remove(&name);
        standing.active.remove(&name);
        let loaded = self.load_plugin(name.clone(), standing).await;
        let part = loaded.map_err(|error| PluginOrderError::Rejected(error.to_string()))?;
        let digest = part.loaded.version.digest.clone();
        let mut overrides = self.overrides.plugins();
        overrides.lift(&name, &digest);
        self.set_overrides(overrides);
        self.withdraw(&name, "the configured version is active", by.author());
        self.accept_plugin(name, part, by);
        Ok(Changed {
            digest,
            state: VersionState::Active,
        })
    }

    fn switch(&mut self, name: PluginName, off: bool, by: Ordered) -> Result<Changed, PluginOrderError> {
        let mut overrides = self.overrides.plugins();
        if overrides.off.contains_key(&name) == off {
            return Err(PluginOrderError::Already(name, if off { "off" } else { "on" }));
        }
        let (kind, state) = match off {
            true => (EventKind::PluginOff, VersionState::Off),
            false => (EventKind::PluginOn, VersionState::Active),
        };
        match off {
            true => drop(overrides.off.insert(name.clone(), by.clone())),
            false => drop(overrides.off.remove(&name)),
        }
        self.set_overrides(overrides);
        self.publish_plugins();
        self.events.add(kind.of(&name).reason(&by.reason).author(by.author()));
        let version = self.loaded.plugins.get(&name);
        Ok(Changed {
            digest: version.map(|version| version.digest.clone()).unwrap_or_default(),
            state,
        })
    }

    /// Loads the configured version of a plugin, as far as what stands allows it.
    pub(super) async fn load_plugin(
        &mut self,
        name: PluginName,
        standing: Standing,
    ) -> Result<Part<load::LoadedPlugin>, load::LoadError> {
        let (engine, settings) = (self.engine.clone(), Arc::clone(&self.loaded.settings));
        let artifacts = Arc::clone(&self.artifacts);
        self.meanwhile(move || load::only_plugin(&name, &settings, &engine, &standing, &artifacts))
            .await
    }

    /// A plugin was loaded: its configured version is active now, or is rolled out.
    pub(super) fn accept_plugin(&mut self, name: PluginName, part: Part<load::LoadedPlugin>, by: Ordered) {
        let load::LoadedPlugin {
            version,
            component,
            candidate,
        } = part.loaded;
        let is_pinned = component.is_pinned;
        let before = self.loaded.plugins.get(&name);
        let is_same =
            before.is_some_and(|before| before.digest == version.digest && before.settings == version.settings);
        let digest = version.digest.clone();
        match before {
            // Its instances go on.
            Some(before) if is_same => {
                let version = Arc::clone(before);
                self.replace_plugin(name.clone(), version, component);
            }
            _ => self.replace_plugin(name.clone(), version, component),
        }
        match candidate {
            Some(candidate) => {
                self.roll_out_configured(name.clone(), candidate, part.contents, by);
            }
            None => {
                if !is_pinned {
                    self.writer.keep(part.contents);
                    self.supersede(&name);
                }
                if !is_same {
                    self.now_active(&name, digest, &by);
                }
            }
        }
    }

    /// This version is active now, by this order.
    pub(super) fn now_active(&self, name: &PluginName, digest: String, by: &Ordered) -> Changed {
        let event = EventKind::PluginActive.of(name).digest(digest.as_str());
        self.events.add(event.reason(&by.reason).author(by.author()));
        self.status.now_active(name, SystemTime::now());
        tracing::info!(plugin = %name, version = short(&digest), from = by.from, reason = by.reason, "plugin version active");
        Changed {
            digest,
            state: VersionState::Active,
        }
    }

    pub(super) fn replace_plugin(&mut self, name: PluginName, version: Arc<PluginVersion>, component: Component) {
        let mut components = self.components.clone();
        components.insert(name.clone(), component);
        self.activate(components);
        let mut plugins = Plugins::clone(&self.loaded.plugins);
        plugins.insert(name.clone(), version);
        self.loaded.plugins = Arc::new(plugins);
        self.accepted(&Subject::Plugin(name));
        self.publish_plugins();
    }

    /// Publishes which versions are active, are rolled out, or are off.
    pub(super) fn publish_plugins(&mut self) {
        self.loaded.rollouts = self.rollouts();
        let update = Update::Plugins(Arc::clone(&self.loaded.plugins), Arc::clone(&self.loaded.rollouts));
        // The publisher outlives this task; when it does not, the program is ending.
        let _ = self.updates.send(update);
    }

    /// These are the active plugins' components now: those before are remembered, and overrides end that no longer hold.
    pub(super) fn activate(&mut self, components: Components) {
        for (name, before) in &self.components {
            if components.get(name).is_some_and(|next| next.bytes != before.bytes)
                && let Some(version) = self.loaded.plugins.get(name)
            {
                let earlier = Earlier {
                    version: Arc::clone(version),
                    component: before.bytes.clone(),
                };
                self.earlier.insert(name.clone(), earlier);
            }
        }
        self.components = components;
        self.show_earlier();
        self.end_pins();
    }

    /// Ends the overrides of plugins whose configured version is active.
    pub(super) fn end_pins(&mut self) {
        let mut overrides = self.overrides.plugins();
        let count = overrides.pins.len();
        overrides.pins.retain(|name, pin| {
            let holds = self.components.get(name).is_some_and(|it| it.is_pinned);
            if !holds && pin.kind == PinKind::Rollback {
                tracing::info!(
                    plugin = name.as_str(),
                    "the rollback has ended: the configured version is active"
                );
            }
            holds
        });
        if overrides.pins.len() < count {
            self.set_overrides(overrides);
        }
    }

    /// These are the overrides of plugins now; they are kept for the next start.
    pub(super) fn set_overrides(&mut self, overrides: PluginOverrides) {
        if self.overrides.plugins() != overrides {
            self.overrides.set_plugins(overrides);
            self.writer.keep_overrides();
        }
    }

    /// What decides now which versions are active.
    pub(super) fn standing(&self) -> Standing {
        Standing {
            overrides: self.overrides.plugins(),
            active: self.components.clone(),
        }
    }

    /// What is to be kept of these files for the next start: of a plugin whose configured version is being rolled out, the active one.
    pub(super) fn to_keep(&self, mut contents: Vec<Content>) -> Vec<Content> {
        let pins = self.overrides.plugins().pins;
        for (name, pin) in pins.iter().filter(|(_, pin)| pin.kind == PinKind::Rollout) {
            let plugin = self.loaded.settings.plugins.get(name);
            let Some(path) = plugin.and_then(|plugin| load::plugin_file(&plugin.source)) else {
                continue;
            };
            for content in contents.iter_mut().filter(|content| content.path == path) {
                content.bytes = pin.component.clone();
            }
        }
        contents
    }

    /// Records which versions a configuration makes active.
    pub(super) fn log_plugins(&self, next: &Loaded) {
        let before = |name: &PluginName| self.loaded.plugins.get(name).map(|version| version.digest.as_str());
        let by = Ordered::by_itself().because("the configuration changed");
        for (name, version) in next.plugins.iter() {
            if before(name) != Some(version.digest.as_str()) {
                self.now_active(name, version.digest.clone(), &by);
            }
        }
    }

    fn show_earlier(&self) {
        let earlier = self.earlier.iter();
        self.status.set_earlier(
            earlier
                .map(|(name, it)| (name.clone(), it.version.digest.clone()))
                .collect(),
        );
    }
}

/// Another version than the configured one is active.
pub(super) fn pin(kind: PinKind, component: &Component, digest: &str, ordered: Ordered) -> Pin {
    Pin {
        kind,
        configured: component.configured.clone(),
        active: digest.to_owned(),
        component: component.bytes.clone(),
        ordered,
    }
}
