//! Loads the configuration and the files it names, now and whenever one of them is replaced. The last good one stays.
//!
//! Everything is read, compiled and tried here, off the request path. What cannot be used is refused with its reason,
//! and what ran before keeps running.

use crate::config::{self, ConfigErrors, PluginSource, Settings};
use crate::control::files::Files;
use crate::control::publisher::{Loaded, Plugins, Update};
use crate::control::status::{Kind, Status};
use crate::geo::{self, Geo, GeoError};
use crate::plugin::{PluginEngine, PluginError, PluginVersion, RegionEntry, RegionTable, embedded};
use portolan_core::config::{Policy, Service};
use portolan_core::geo::Country;
use portolan_core::health::ServiceHealth;
use portolan_core::id::{Generation, PluginName};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_millis(100);

/// What people ask of the reloader.
#[derive(Debug)]
pub enum Order {
    /// Load everything again, changed or not: SIGHUP.
    Reload,
    /// Put the version before the current one of a plugin in force again.
    RollBack(PluginName, oneshot::Sender<Result<Arc<PluginVersion>, RollBackError>>),
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

/// Loads what a configuration names at the start. A database that cannot be used does not keep the program from
/// starting: the embedded table serves, and the error is said loudly.
///
/// # Errors
/// When a plugin cannot be used.
pub fn load_first(settings: Settings, engine: &PluginEngine, status: &Status) -> Result<Loaded, LoadError> {
    let geo = Geo::load(&settings.geo).unwrap_or_else(|error| {
        tracing::error!("the embedded location table is used: {error}");
        status.refused(Kind::Geo, error.to_string());
        Geo::embedded()
    });
    finish(settings, geo, engine)
}

fn load(path: &Path, engine: &PluginEngine) -> Result<Loaded, LoadError> {
    let settings = config::load(path)?;
    let geo = Geo::load(&settings.geo)?;
    finish(settings, geo, engine)
}

fn finish(settings: Settings, geo: Geo, engine: &PluginEngine) -> Result<Loaded, LoadError> {
    let plugins = load_plugins(&settings, engine)?;
    Ok(Loaded {
        settings: Arc::new(settings),
        geo: Arc::new(geo),
        plugins: Arc::new(plugins),
    })
}

fn load_plugins(settings: &Settings, engine: &PluginEngine) -> Result<Plugins, LoadError> {
    settings
        .plugins
        .keys()
        .map(|name| Ok((name.clone(), load_plugin(name, settings, engine)?)))
        .collect()
}

/// Loads one plugin and tries it on the regions of the services that use it.
fn load_plugin(name: &PluginName, settings: &Settings, engine: &PluginEngine) -> Result<Arc<PluginVersion>, LoadError> {
    let plugin = &settings.plugins[name];
    let bytes: Cow<'static, [u8]> = match &plugin.source {
        PluginSource::Embedded(wanted) => embedded::find(wanted)
            .ok_or_else(|| LoadError::NotEmbedded {
                name: name.clone(),
                wanted: Arc::clone(wanted),
            })?
            .into(),
        PluginSource::File(path) => std::fs::read(path)
            .map_err(|error| LoadError::PluginFile {
                name: name.clone(),
                path: path.clone(),
                error,
            })?
            .into(),
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

/// The task that looks, loads and tells the publisher.
#[derive(Debug)]
pub struct Reloader {
    path: Option<PathBuf>,
    engine: PluginEngine,
    loaded: Loaded,
    earlier: BTreeMap<PluginName, Arc<PluginVersion>>,
    watched: Watched,
    updates: mpsc::UnboundedSender<Update>,
    status: Arc<Status>,
}

/// The files under observation.
#[derive(Debug)]
struct Watched {
    config: Files,
    geo: Files,
    plugins: BTreeMap<PluginName, Files>,
}

impl Watched {
    fn new(path: Option<&PathBuf>, settings: &Settings) -> Self {
        let file = |source: &PluginSource| match source {
            PluginSource::File(path) => Some(path.clone()),
            PluginSource::Embedded(_) => None,
        };
        let plugins = settings.plugins.iter();
        Self {
            config: Files::new(path.cloned()),
            geo: Files::new(geo::files(&settings.geo)),
            plugins: plugins
                .map(|(name, plugin)| (name.clone(), Files::new(file(&plugin.source))))
                .collect(),
        }
    }
}

impl Reloader {
    /// A reloader of what was loaded from this file.
    pub fn new(
        path: Option<PathBuf>,
        engine: PluginEngine,
        loaded: Loaded,
        updates: mpsc::UnboundedSender<Update>,
        status: Arc<Status>,
    ) -> Self {
        let watched = Watched::new(path.as_ref(), &loaded.settings);
        Self {
            path,
            engine,
            loaded,
            earlier: BTreeMap::new(),
            watched,
            updates,
            status,
        }
    }

    /// Looks and obeys until the senders of orders are gone.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => self.look().await,
                order = orders.recv() => match order {
                    Some(Order::Reload) => self.reload().await,
                    Some(Order::RollBack(name, reply)) => {
                        // Whoever asked may have gone; it is done all the same.
                        let _ = reply.send(self.roll_back(&name));
                    }
                    None => return,
                },
            }
        }
    }

    async fn look(&mut self) {
        if self.watched.config.changed() {
            return self.reload().await;
        }
        if self.watched.geo.changed() {
            self.reload_geo().await;
        }
        let changed = self
            .watched
            .plugins
            .iter_mut()
            .filter_map(|(name, files)| files.changed().then(|| name.clone()));
        for name in changed.collect::<Vec<_>>() {
            self.reload_plugin(name).await;
        }
    }

    /// Everything anew: the configuration, and what it names.
    async fn reload(&mut self) {
        let Some(path) = self.path.clone() else { return };
        let engine = self.engine.clone();
        match off_thread(move || load(&path, &engine)).await {
            Ok(loaded) => {
                warn_of_what_needs_a_restart(&self.loaded.settings, &loaded.settings);
                for warning in &loaded.settings.warnings {
                    tracing::warn!("{warning}");
                }
                self.watched = Watched::new(self.path.as_ref(), &loaded.settings);
                self.keep_earlier(&loaded.plugins);
                self.loaded = loaded.clone();
                self.publish(Kind::Config, Update::Loaded(loaded));
            }
            Err(error) => self.refuse(Kind::Config, &error),
        }
    }

    async fn reload_geo(&mut self) {
        let settings = Arc::clone(&self.loaded.settings);
        match off_thread(move || Geo::load(&settings.geo)).await {
            Ok(geo) => {
                self.loaded.geo = Arc::new(geo);
                self.publish(Kind::Geo, Update::Geo(Arc::clone(&self.loaded.geo)));
            }
            Err(error) => self.refuse(Kind::Geo, &error),
        }
    }

    async fn reload_plugin(&mut self, name: PluginName) {
        let (engine, settings, named) = (self.engine.clone(), Arc::clone(&self.loaded.settings), name.clone());
        match off_thread(move || load_plugin(&named, &settings, &engine)).await {
            Ok(version) => {
                let mut plugins = Plugins::clone(&self.loaded.plugins);
                plugins.insert(name, version);
                self.keep_earlier(&plugins);
                self.loaded.plugins = Arc::new(plugins);
                self.publish(Kind::Plugin, Update::Plugins(Arc::clone(&self.loaded.plugins)));
            }
            Err(error) => self.refuse(Kind::Plugin, &error),
        }
    }

    fn roll_back(&mut self, name: &PluginName) -> Result<Arc<PluginVersion>, RollBackError> {
        if !self.loaded.plugins.contains_key(name) {
            return Err(RollBackError::Unknown(name.clone()));
        }
        let earlier = self
            .earlier
            .get(name)
            .cloned()
            .ok_or_else(|| RollBackError::NoEarlier(name.clone()))?;
        let mut plugins = Plugins::clone(&self.loaded.plugins);
        plugins.insert(name.clone(), Arc::clone(&earlier));
        self.keep_earlier(&plugins);
        self.loaded.plugins = Arc::new(plugins);
        self.publish(Kind::Plugin, Update::Plugins(Arc::clone(&self.loaded.plugins)));
        Ok(earlier)
    }

    /// Remembers the version that each plugin has had until now, where that is another one than it gets.
    fn keep_earlier(&mut self, next: &Plugins) {
        for (name, version) in self.loaded.plugins.iter() {
            if next.get(name).is_some_and(|next| next.digest != version.digest) {
                self.status.replaced(name.clone(), version.digest.clone());
                self.earlier.insert(name.clone(), Arc::clone(version));
            }
        }
    }

    fn publish(&self, kind: Kind, update: Update) {
        self.status.taken(kind);
        tracing::info!(what = kind.as_str(), "reloaded");
        // The publisher outlives this task; when it does not, the program is ending.
        let _ = self.updates.send(update);
    }

    fn refuse(&self, kind: Kind, error: &impl std::fmt::Display) {
        tracing::error!(what = kind.as_str(), "refused, the last good one stays: {error}");
        self.status.refused(kind, error.to_string());
    }
}

/// What is bound once at the start cannot change in a running program.
fn warn_of_what_needs_a_restart(before: &Settings, after: &Settings) {
    for key in before.fixed_until_restart(after) {
        tracing::warn!(key, "takes effect at the next start");
    }
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
