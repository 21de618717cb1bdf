//! Plugins: new files, rollbacks and their end.

use super::{Reloader, off_thread};
use crate::control::load::{self, Component, Components};
use crate::control::loaded::Plugins;
use crate::control::overrides::{Ordered, RollBack};
use crate::control::publisher::Update;
use crate::control::status::Subject;
use crate::plugin::PluginVersion;
use bytes::Bytes;
use portolan_core::id::PluginName;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::oneshot;

/// Where the outcome of a rollback or of its end goes: the version that is active now.
pub type Reply = oneshot::Sender<Result<Arc<PluginVersion>, RollBackError>>;

/// The version that a plugin had before the active one.
#[derive(Debug)]
pub(super) struct Earlier {
    digest: String,
    component: Bytes,
}

/// Why a plugin cannot be rolled back, or its rollback not be ended.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RollBackError {
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
}

impl Reloader {
    /// Loads a plugin whose file has changed.
    pub(super) async fn reload_plugin(&mut self, name: PluginName) {
        let roll_back = self.overrides.roll_backs().remove(&name);
        if let Err(error) = self.load_plugin(name.clone(), roll_back).await {
            self.reject(&Subject::Plugin(name), &error);
        }
    }

    /// Makes the version before the active one active again.
    pub(super) async fn roll_back(
        &mut self,
        name: PluginName,
        from: String,
    ) -> Result<Arc<PluginVersion>, RollBackError> {
        let Some(current) = self.components.get(&name) else {
            return Err(RollBackError::Unknown(name));
        };
        let mut roll_backs = self.overrides.roll_backs();
        if roll_backs.contains_key(&name) {
            return Err(RollBackError::RolledBack(name));
        }
        let Some(earlier) = self.earlier.get(&name) else {
            return Err(RollBackError::NoEarlier(name));
        };
        let component = Component {
            bytes: earlier.component.clone(),
            configured: current.configured.clone(),
            is_rolled_back: true,
        };
        let roll_back = RollBack {
            configured: component.configured.clone(),
            active: earlier.digest.clone(),
            component: component.bytes.clone(),
            ordered: Ordered::now(from),
        };
        let (engine, settings) = (self.engine.clone(), Arc::clone(&self.loaded.settings));
        let (plugin, bytes) = (name.clone(), component.bytes.clone());
        let version = off_thread(move || load::tried(&plugin, &bytes, &settings, &engine)).await;
        let version = version.map_err(|error| RollBackError::Rejected(error.to_string()))?;
        roll_backs.insert(name.clone(), roll_back);
        self.overrides.set_roll_backs(roll_backs);
        self.writer.keep_overrides();
        self.replace_plugin(name.clone(), Arc::clone(&version), component);
        // To go forward, the rollback is ended.
        self.earlier.remove(&name);
        self.show_earlier();
        Ok(version)
    }

    /// Makes the configured version active again.
    pub(super) async fn roll_forward(&mut self, name: PluginName) -> Result<Arc<PluginVersion>, RollBackError> {
        if !self.components.contains_key(&name) {
            return Err(RollBackError::Unknown(name));
        }
        if !self.overrides.roll_backs().contains_key(&name) {
            return Err(RollBackError::NotRolledBack(name));
        }
        let loaded = self.load_plugin(name, None).await;
        loaded.map_err(|error| RollBackError::Rejected(error.to_string()))
    }

    async fn load_plugin(
        &mut self,
        name: PluginName,
        roll_back: Option<RollBack>,
    ) -> Result<Arc<PluginVersion>, load::LoadError> {
        let (engine, settings, plugin) = (self.engine.clone(), Arc::clone(&self.loaded.settings), name.clone());
        let loaded = off_thread(move || load::only_plugin(&plugin, &settings, &engine, roll_back.as_ref())).await;
        let part = loaded?;
        let (version, component) = part.loaded;
        self.replace_plugin(name, Arc::clone(&version), component);
        self.writer.keep(part.contents);
        Ok(version)
    }

    fn replace_plugin(&mut self, name: PluginName, version: Arc<PluginVersion>, component: Component) {
        let mut components = self.components.clone();
        components.insert(name.clone(), component);
        self.activate(components);
        let mut plugins = Plugins::clone(&self.loaded.plugins);
        plugins.insert(name.clone(), version);
        self.loaded.plugins = Arc::new(plugins);
        let update = Update::Plugins(Arc::clone(&self.loaded.plugins));
        self.publish(&Subject::Plugin(name), update);
    }

    /// These are the active plugins' components now: those before are remembered, and rollbacks end that no longer hold.
    pub(super) fn activate(&mut self, components: Components) {
        for (name, before) in &self.components {
            if components.get(name).is_some_and(|next| next.bytes != before.bytes)
                && let Some(version) = self.loaded.plugins.get(name)
            {
                let earlier = Earlier {
                    digest: version.digest.clone(),
                    component: before.bytes.clone(),
                };
                self.earlier.insert(name.clone(), earlier);
            }
        }
        self.components = components;
        self.show_earlier();
        self.end_roll_backs();
    }

    /// Ends the rollbacks of plugins whose configured version is active.
    pub(super) fn end_roll_backs(&mut self) {
        let mut roll_backs = self.overrides.roll_backs();
        let count = roll_backs.len();
        roll_backs.retain(|name, _| {
            let holds = self.components.get(name).is_some_and(|it| it.is_rolled_back);
            if !holds {
                tracing::info!(
                    plugin = name.as_str(),
                    "the rollback has ended: the configured version is active"
                );
            }
            holds
        });
        if roll_backs.len() < count {
            self.overrides.set_roll_backs(roll_backs);
            self.writer.keep_overrides();
        }
    }

    fn show_earlier(&self) {
        let earlier = self.earlier.iter();
        self.status
            .set_earlier(earlier.map(|(name, it)| (name.clone(), it.digest.clone())).collect());
    }
}
