//! Loads the configuration and the files it names: read, compiled and tried, off the request path.

use super::last_good::Content;
use super::publisher::{Loaded, Plugins};
use super::source::Source;
use crate::config::{self, ConfigErrors, PluginSource, Settings};
use crate::geo::{Geo, GeoError};
use crate::plugin::{
    EngineError, MAX_FILE, PluginEngine, PluginError, PluginVersion, RegionEntry, RegionTable, embedded,
};
use bytes::Bytes;
use portolan_core::config::{Policy, Service};
use portolan_core::geo::Country;
use portolan_core::health::ServiceHealth;
use portolan_core::id::{Generation, PluginName};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Why a configuration and what it names could not be loaded.
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
    /// Plugins cannot be run on this machine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A plugin's file cannot be read.
    #[error("plugins.{name}.source: failed to read {path}: {error}")]
    PluginFile {
        /// The plugin.
        name: PluginName,
        /// Its file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// No embedded plugin of that name.
    #[error("plugins.{name}.source: there is no embedded plugin {wanted}")]
    NotEmbedded {
        /// The plugin.
        name: PluginName,
        /// The name that was looked for.
        wanted: Arc<str>,
    },
}

/// What was loaded, and the content of the files it was loaded from.
#[derive(Clone, Debug)]
pub struct Load<T = Loaded> {
    /// What was loaded.
    pub loaded: T,
    pub(super) contents: Vec<Content>,
}

/// Loads all of a configuration file, as it is.
pub(super) fn all(path: &Path, engine: &PluginEngine) -> Result<Load, LoadError> {
    let source = Source::files();
    let settings = self::settings(path, &source)?;
    let geo = geo(&settings, &source)?;
    let plugins = settings.plugins.keys();
    let plugins = plugins.map(|name| Ok((name.clone(), plugin(name, &settings, engine, &source)?)));
    let plugins = plugins.collect::<Result<Plugins, LoadError>>()?;
    Ok(Load {
        loaded: Loaded {
            settings: Arc::new(settings),
            geo: Arc::new(geo),
            plugins: Arc::new(plugins),
        },
        contents: source.into_contents(),
    })
}

/// Loads the location databases, as they are.
pub(super) fn only_geo(settings: &Settings) -> Result<Load<Geo>, GeoError> {
    let source = Source::files();
    let loaded = geo(settings, &source)?;
    let contents = source.into_contents();
    Ok(Load { loaded, contents })
}

/// Loads one plugin, as it is.
pub(super) fn only_plugin(
    name: &PluginName,
    settings: &Settings,
    engine: &PluginEngine,
) -> Result<Load<Arc<PluginVersion>>, LoadError> {
    let source = Source::files();
    let loaded = plugin(name, settings, engine, &source)?;
    let contents = source.into_contents();
    Ok(Load { loaded, contents })
}

/// Loads a configuration file.
pub(super) fn settings(path: &Path, source: &Source<'_>) -> Result<Settings, ConfigErrors> {
    config::load_with(path, |path, most| source.read(path, most))
}

/// Loads the location databases.
pub(super) fn geo(settings: &Settings, source: &Source<'_>) -> Result<Geo, GeoError> {
    Geo::load(&settings.geo, |path, most| source.read(path, most))
}

/// Loads one plugin and tries it on the regions of the services that use it.
pub(super) fn plugin(
    name: &PluginName,
    settings: &Settings,
    engine: &PluginEngine,
    source: &Source<'_>,
) -> Result<Arc<PluginVersion>, LoadError> {
    let plugin = &settings.plugins[name];
    let bytes = match &plugin.source {
        PluginSource::Embedded(wanted) => embedded::find(wanted)
            .ok_or_else(|| LoadError::NotEmbedded {
                name: name.clone(),
                wanted: Arc::clone(wanted),
            })
            .map(Bytes::from_static)?,
        PluginSource::File(path) => source.read(path, MAX_FILE).map_err(|error| LoadError::PluginFile {
            name: name.clone(),
            path: path.clone(),
            error,
        })?,
    };
    let users = settings
        .routing
        .services()
        .iter()
        .filter(|it| it.policy == Policy::Plugin(name.clone()));
    let unknown = |service: &Service| ServiceHealth::unknown(service.gateways().len());
    let tables: Vec<_> = users
        .map(|it| regions(Generation::default(), it, &unknown(it)))
        .collect();
    Ok(engine.load(name, &bytes, &plugin.deployment, &tables)?)
}

/// A service's regions as its plugin is told of them.
pub(super) fn regions(generation: Generation, service: &Service, health: &ServiceHealth) -> RegionTable {
    let regions = service
        .gateways()
        .iter()
        .zip(health.gateways())
        .map(|(gateway, health)| {
            let country = portolan_geo::azure::find(gateway.region.as_str()).map_or(Country::UNKNOWN, |it| it.country);
            RegionEntry::new(gateway, country, *health)
        });
    RegionTable::new(generation, service.name.clone(), regions.collect())
}
