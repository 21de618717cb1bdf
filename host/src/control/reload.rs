//! Loads the configuration and the files it names again whenever one of them is replaced. The last good one stays.
//!
//! What cannot be used is refused with its reason, and what ran before keeps running. What is in force is kept for the
//! next start, where there is a folder for it.

use crate::config::{PluginSource, Settings};
use crate::control::files::Files;
use crate::control::last_good::{Content, LastGood, StateError};
use crate::control::load::{self, Load};
use crate::control::publisher::{Loaded, Plugins, Update};
use crate::control::status::{Kind, Status};
use crate::geo;
use crate::plugin::{PluginEngine, PluginVersion};
use crate::server::ListenerSet;
use crate::table::Tables;
use portolan_core::id::PluginName;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
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

/// The task that looks, loads and tells the publisher.
#[derive(Debug)]
pub struct Reloader {
    path: Option<PathBuf>,
    last_good: Option<LastGood>,
    engine: PluginEngine,
    loaded: Loaded,
    /// What was loaded first, until it is kept.
    first: Vec<Content>,
    earlier: BTreeMap<PluginName, Arc<PluginVersion>>,
    watched: Watched,
    updates: mpsc::UnboundedSender<Update>,
    listeners: Arc<ListenerSet>,
    tables: Arc<Tables>,
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
    /// A reloader of what was loaded from this file. `last_good` is where it is kept.
    pub fn new(
        path: Option<PathBuf>,
        last_good: Option<LastGood>,
        engine: PluginEngine,
        first: Load,
        updates: mpsc::UnboundedSender<Update>,
        (listeners, tables): (Arc<ListenerSet>, Arc<Tables>),
        status: Arc<Status>,
    ) -> Self {
        let watched = Watched::new(path.as_ref(), &first.loaded.settings);
        Self {
            path,
            last_good,
            engine,
            loaded: first.loaded,
            first: first.contents,
            earlier: BTreeMap::new(),
            watched,
            updates,
            listeners,
            tables,
            status,
        }
    }

    /// Looks and obeys until the senders of orders are gone.
    pub async fn run(&mut self, orders: &mut mpsc::Receiver<Order>) {
        let first = std::mem::take(&mut self.first);
        self.keep(move |last_good| last_good.keep_only(&first)).await;
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
        match off_thread(move || load::all(&path, &engine)).await {
            Ok(Load { loaded, contents }) => {
                // Last, so that nothing is bound for a configuration that is rejected for something else.
                let prepared = match self.listeners.prepare(&loaded.settings.listeners) {
                    Ok(prepared) => prepared,
                    Err(error) => return self.refuse(Kind::Config, &error),
                };
                warn_of_what_needs_a_restart(&self.loaded.settings, &loaded.settings);
                for warning in &loaded.settings.warnings {
                    tracing::warn!("{warning}");
                }
                self.watched = Watched::new(self.path.as_ref(), &loaded.settings);
                self.keep_earlier(&loaded.plugins);
                let drain_deadline = Instant::now() + loaded.settings.drain_time;
                self.loaded = loaded.clone();
                self.publish(Kind::Config, Update::Loaded(loaded));
                self.listeners
                    .commit_when_published(prepared, &self.tables, drain_deadline)
                    .await;
                self.keep(move |last_good| last_good.keep_only(&contents)).await;
            }
            Err(error) => self.refuse(Kind::Config, &error),
        }
    }

    async fn reload_geo(&mut self) {
        let settings = Arc::clone(&self.loaded.settings);
        match off_thread(move || load::only_geo(&settings)).await {
            Ok(Load { loaded, contents }) => {
                self.loaded.geo = Arc::new(loaded);
                self.publish(Kind::Geo, Update::Geo(Arc::clone(&self.loaded.geo)));
                self.keep(move |last_good| last_good.keep(&contents)).await;
            }
            Err(error) => self.refuse(Kind::Geo, &error),
        }
    }

    async fn reload_plugin(&mut self, name: PluginName) {
        let (engine, settings, named) = (self.engine.clone(), Arc::clone(&self.loaded.settings), name.clone());
        match off_thread(move || load::only_plugin(&named, &settings, &engine)).await {
            Ok(Load { loaded, contents }) => {
                let mut plugins = Plugins::clone(&self.loaded.plugins);
                plugins.insert(name, loaded);
                self.keep_earlier(&plugins);
                self.loaded.plugins = Arc::new(plugins);
                self.publish(Kind::Plugin, Update::Plugins(Arc::clone(&self.loaded.plugins)));
                self.keep(move |last_good| last_good.keep(&contents)).await;
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

    /// Writes down what is in force, where there is a folder for it.
    async fn keep(&self, keep: impl FnOnce(&LastGood) -> Result<(), StateError> + Send + 'static) {
        let Some(last_good) = self.last_good.clone() else {
            return;
        };
        let kept = off_thread(move || keep(&last_good)).await;
        if let Err(error) = &kept {
            tracing::error!("what is in force cannot be kept for the next start: {error}");
        }
        self.status.kept(kept.is_ok());
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
