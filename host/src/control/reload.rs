//! Loads the configuration and the files it names, now and whenever one of them is replaced; the last good one stays.
//!
//! Everything is read, compiled and tried here, off the request path. What cannot be used is refused with its reason,
//! and what ran before keeps running.

use crate::config::{self, ConfigErrors, PluginSource, Settings};
use crate::control::files::Files;
use crate::control::publisher::{Loaded, Update};
use crate::control::status::{Kind, Status};
use crate::geo::{Geo, GeoError};
use crate::plugin::{PluginEngine, PluginError, Plugins};
use portolan_core::id::PluginName;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_millis(250);

/// What people ask of the reloader.
#[derive(Debug)]
pub enum Order {
    /// Load everything again, changed or not: SIGHUP.
    Reload,
    /// Put the version before the current one of a plugin in force.
    RollBack(PluginName, oneshot::Sender<Result<String, RollBackError>>),
}

/// Why a plugin cannot be rolled back.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RollBackError {
    /// No such plugin.
    #[error("there is no plugin {0} in the configuration")]
    Unknown(PluginName),
    /// Nothing to go back to.
    #[error("plugin {0} has had no other version since the start")]
    NoEarlier(PluginName),
}

/// Why something could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The configuration has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A location database cannot be used.
    #[error(transparent)]
    Geo(#[from] GeoError),
    /// A plugin cannot be used.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// Loads a configuration's databases and plugins.
///
/// # Errors
/// When one of them cannot be used.
pub fn load(settings: Settings, engine: &PluginEngine) -> Result<Loaded, LoadError> {
    let geo = Geo::load(&settings.geo)?;
    let plugins = settings.plugins.iter().map(|(name, plugin)| {
        Ok::<_, PluginError>((name.clone(), engine.load(name, plugin, &settings.routing)?))
    });
    let plugins = plugins.collect::<Result<BTreeMap<_, _>, _>>()?;
    Ok(Loaded { settings: Arc::new(settings), geo: Arc::new(geo), plugins: Arc::new(plugins) })
}
