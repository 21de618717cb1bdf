//! Loads the configuration and the files it names again whenever one of them is replaced.
//!
//! What is invalid is rejected with its reason, and what was active remains active. A rejected configuration is retried
//! whenever a file that it names is replaced or appears. With a state directory, what is active is kept for the next
//! start.

mod kept_rollouts;
mod last_good_writer;
mod parts;
mod plugins;
mod registry;
mod rollouts;

use crate::config::{Fixed, Settings};
use crate::control::artifacts::{Artifacts, Polls};
use crate::control::decisions::DecisionLog;
use crate::control::events::{EventKind, Events};
use crate::control::files::{Files, Stamps};
use crate::control::last_good::LastGood;
use crate::control::load::{self, Components, Load, Rejected, service_tag_files, tls_files};
use crate::control::loaded::Loaded;
use crate::control::overrides::{Ordered, Overrides};
use crate::control::publisher::Update;
use crate::control::shift::Shift;
use crate::control::status::{Status, Subject};
use crate::plugin::PluginEngine;
use crate::server::{ListenerSet, Prepared};
use crate::table::Tables;
use crate::tls::ServerTls;
use last_good_writer::LastGoodWriter;
use plugins::Earlier;
pub use plugins::{Changed, PluginOrder, PluginOrderError, Reply, VersionState};
use portolan_core::id::{PluginName, ServiceName};
use rollouts::Rolling;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// The pause before a configuration is tried again that was rejected because of a registry.
const RETRY: Duration = Duration::from_secs(5);

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_millis(100);

/// Orders to the reloader.
#[derive(Debug)]
pub enum Order {
    /// Load everything again, changed or not: SIGHUP. With `force`, however many clients it moves. Why the configuration was rejected, if it
    /// was, is sent back.
    Reload {
        /// Whether `max_shift` does not hold.
        force: bool,
        /// The answer.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// What an operator wants of a plugin: when, from where, and why.
    Plugin(PluginName, PluginOrder, Ordered, Reply),
}

/// What the reloader begins with, besides what was loaded first.
#[derive(Debug)]
pub struct Parts {
    /// The configuration file, when there is one to watch.
    pub path: Option<PathBuf>,
    /// The state directory.
    pub last_good: Option<LastGood>,
    /// What operators have ordered.
    pub overrides: Arc<Overrides>,
    /// Where plugins are loaded.
    pub engine: PluginEngine,
    /// Where accepted changes go.
    pub updates: mpsc::UnboundedSender<Update>,
    /// The listeners, which change with the configuration.
    pub listeners: Arc<ListenerSet>,
    /// The tables that accepted changes come to.
    pub tables: Arc<Tables>,
    /// Where the outcome of loads is recorded.
    pub status: Arc<Status>,
    /// Where events are recorded.
    pub events: Arc<Events>,
    /// The requests of the last minutes.
    pub decisions: Arc<DecisionLog>,
    /// How many workers there are.
    pub workers: usize,
    /// Where the administration finds its TLS, when it has some.
    pub admin_tls: Option<watch::Sender<Arc<ServerTls>>>,
}

/// The task that looks, loads and sends the publisher what was accepted.
#[derive(Debug)]
pub struct Reloader {
    path: Option<PathBuf>,
    engine: PluginEngine,
    loaded: Loaded,
    /// What the start fixed.
    fixed: Fixed,
    components: Components,
    earlier: BTreeMap<PluginName, Earlier>,
    overrides: Arc<Overrides>,
    watched: Watched,
    /// Components from registries, and the looks at their tags.
    artifacts: Arc<Artifacts>,
    polls: Polls,
    pending: Option<Pending>,
    writer: LastGoodWriter,
    /// Where the compiled location table is kept.
    location_cache: Option<PathBuf>,
    updates: mpsc::UnboundedSender<Update>,
    listeners: Arc<ListenerSet>,
    tables: Arc<Tables>,
    status: Arc<Status>,
    events: Arc<Events>,
    decisions: Arc<DecisionLog>,
    workers: usize,
    /// The versions that are being rolled out.
    rolling: BTreeMap<PluginName, Rolling>,
    /// Until when rollouts have been advanced.
    advanced: Instant,
    admin_tls: Option<watch::Sender<Arc<ServerTls>>>,
}

/// The files of what is active.
#[derive(Debug)]
struct Watched {
    config: Files,
    geo: Files,
    service_tags: Files,
    plugins: BTreeMap<PluginName, Files>,
    tls: Files,
    upstream_tls: BTreeMap<ServiceName, Files>,
}

/// A configuration that was rejected, and will be tried again.
#[derive(Debug)]
struct Pending {
    settings: Option<Arc<Settings>>,
    /// Itself, and what it names.
    files: Files,
    /// When it is tried again although nothing changes.
    retry_at: Option<Instant>,
}

impl Watched {
    fn new(path: Option<&PathBuf>, settings: &Settings, stamps: &Stamps) -> Self {
        let plugins = settings.plugins.iter();
        let tls = settings.upstream_tls.iter();
        Self {
            upstream_tls: tls
                .map(|(name, tls)| (name.clone(), Files::new(tls.files().cloned(), stamps)))
                .collect(),
            config: Files::new(
                path.into_iter()
                    .chain(settings.sources.included())
                    .chain(&settings.affinity_keys)
                    .cloned(),
                stamps,
            ),
            geo: Files::new(settings.geo.files().cloned(), stamps),
            service_tags: Files::new(service_tag_files(settings), stamps),
            plugins: plugins
                .map(|(name, plugin)| (name.clone(), Files::new(plugin.source.files(), stamps)))
                .collect(),
            tls: Files::new(tls_files(settings), stamps),
        }
    }
}

impl Reloader {
    /// A reloader of what was loaded first.
    pub fn new(parts: Parts, first: Load) -> Self {
        let Parts {
            path,
            last_good,
            overrides,
            engine,
            updates,
            listeners,
            tables,
            status,
            events,
            decisions,
            workers,
            admin_tls,
        } = parts;
        let Load {
            loaded,
            fixed,
            components,
            contents,
            stamps,
            artifacts,
            rejected,
            ..
        } = first;
        let mut reloader = Self {
            watched: Watched::new(path.as_ref(), &loaded.settings, &stamps),
            location_cache: last_good.as_ref().map(LastGood::location_cache),
            writer: LastGoodWriter::new(last_good, Arc::clone(&overrides), Arc::clone(&status)),
            path,
            engine,
            loaded,
            fixed,
            components,
            earlier: BTreeMap::new(),
            overrides,
            artifacts,
            polls: Polls::new(),
            pending: None,
            updates,
            listeners,
            tables,
            status,
            events,
            decisions,
            workers,
            rolling: BTreeMap::new(),
            advanced: Instant::now(),
            admin_tls,
        };
        if let Some(rejected) = rejected {
            reloader.wait_for(*rejected);
        }
        reloader.end_pins();
        reloader.writer.keep_only(contents);
        reloader
    }

    /// Polls the files and executes orders until their senders are gone.
    pub async fn run(&mut self, orders: &mut mpsc::Receiver<Order>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        if self.rolling.is_empty() {
            self.resume_rollouts().await;
        }
        self.polls.restart(&self.loaded.settings, &self.artifacts, &self.status);
        loop {
            self.writer.write().await;
            tokio::select! {
                _ = looks.tick() => {
                    self.advance_rollouts(false);
                    self.look().await;
                }
                polled = self.polls.next() => self.polled(polled).await,
                order = orders.recv() => match order {
                    Some(Order::Reload { force, reply }) => {
                        let result = self.reload(force).await;
                        self.writer.write().await;
                        // Who asked may have ended.
                        let _ = reply.send(result);
                    }
                    Some(Order::Plugin(name, order, by, reply)) => {
                        let done = self.obey(name, order, by).await;
                        self.answer(reply, done).await;
                    }
                    None => return,
                },
            }
        }
    }

    /// Answers an operator after the change was persisted.
    async fn answer(&mut self, reply: Reply, done: Result<Changed, PluginOrderError>) {
        self.writer.write().await;
        // The caller may have disconnected; the order is executed all the same.
        let _ = reply.send(done);
    }

    async fn look(&mut self) {
        // All of them, so that each records what it sees.
        let pending = self.pending.as_mut().is_some_and(|pending| {
            let is_due = pending.retry_at.is_some_and(|at| at <= Instant::now());
            pending.files.changed() || is_due
        });
        let config = self.watched.config.changed();
        if (config || pending) && self.reload(false).await.is_ok() {
            return;
        }
        if self.watched.geo.changed() {
            self.reload_geo().await;
        }
        if self.watched.service_tags.changed() {
            self.reload_service_tags().await;
        }
        if self.watched.tls.changed() {
            self.reload_tls().await;
        }
        let tls = self.watched.upstream_tls.iter_mut();
        let changed = tls.filter_map(|(name, files)| files.changed().then(|| name.clone()));
        for name in changed.collect::<Vec<_>>() {
            self.reload_upstream_tls(name).await;
        }
        let plugins = self.watched.plugins.iter_mut();
        let changed = plugins.filter_map(|(name, files)| files.changed().then(|| name.clone()));
        for name in changed.collect::<Vec<_>>() {
            if self.belongs_to_pending(&name) {
                tracing::info!(
                    plugin = name.as_str(),
                    "its new file is tried with the configuration that was rejected"
                );
            } else {
                self.reload_plugin(name).await;
            }
        }
    }

    /// Whether the file of a plugin is meant for the rejected configuration: that gives it other settings.
    fn belongs_to_pending(&self, name: &PluginName) -> bool {
        let pending = self.pending.as_ref().and_then(|pending| pending.settings.as_ref());
        pending.is_some_and(|pending| pending.plugins.get(name) != self.loaded.settings.plugins.get(name))
    }

    /// Reloads the configuration and everything it names. `force`: however many clients it moves.
    ///
    /// # Errors
    /// Why it was rejected.
    async fn reload(&mut self, force: bool) -> Result<(), String> {
        let Some(path) = self.path.clone() else {
            return Err("this instance was started without a configuration file".to_owned());
        };
        let (engine, standing, before) = (self.engine.clone(), self.standing(), self.loaded.clone());
        let (cache, artifacts) = (self.location_cache.clone(), Arc::clone(&self.artifacts));
        let load = move || load::all(&path, &engine, &standing, &before, (cache, &artifacts));
        match self.meanwhile(load).await {
            Ok(load) => {
                if let Some(shift) = self.too_much_shift(&load.loaded, force).await {
                    self.wait_for(Rejected::of(load.loaded.settings, load.stamps));
                    self.forget_artifacts();
                    return Err(self.reject(&Subject::Config, &shift));
                }
                // Last, so that nothing is bound for a configuration that is rejected for something else.
                match self.listeners.prepare(&load.loaded.settings.listeners) {
                    Ok(prepared) => {
                        self.accept(load, prepared).await;
                        Ok(())
                    }
                    Err(error) => {
                        self.wait_for(Rejected::of(load.loaded.settings, load.stamps));
                        Err(self.reject(&Subject::Config, &error))
                    }
                }
            }
            Err(rejected) => {
                let (errors, rejected) = *rejected;
                self.wait_for(rejected);
                self.forget_artifacts();
                if let Some(pending) = self.pending.as_mut().filter(|_| errors.may_pass()) {
                    pending.retry_at = Some(Instant::now() + RETRY);
                }
                Err(self.reject(&Subject::Config, &errors))
            }
        }
    }

    async fn accept(&mut self, load: Load, prepared: Prepared) {
        let Load {
            mut loaded,
            fixed,
            mut warnings,
            components,
            candidates,
            contents,
            stamps,
            ..
        } = load;
        loaded.settings.sources.locate(&mut warnings);
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        if fixed.admin.tls != self.fixed.admin.tls {
            // The administration goes on as it was started.
            let mut settings = Settings::clone(&loaded.settings);
            settings.admin_tls.clone_from(&self.fixed.admin.tls);
            loaded.settings = Arc::new(settings);
            loaded.tls = loaded.tls.with_admin_of(&self.loaded.tls);
        }
        let pending_restart = self.fixed.changed_keys(&fixed);
        for key in &pending_restart {
            tracing::warn!(key, "takes effect at the next start");
        }
        self.status.set_pending_restart(pending_restart);
        self.watched = Watched::new(self.path.as_ref(), &loaded.settings, &stamps);
        self.pending = None;
        self.earlier.retain(|name, _| loaded.plugins.contains_key(name));
        self.activate(components);
        let drain_deadline = Instant::now() + loaded.settings.drain_time;
        loaded.geo.log_change(&self.loaded.geo);
        self.log_plugins(&loaded);
        loaded.rollouts = self.rollouts();
        self.loaded = loaded.clone();
        self.renew_admin_tls();
        self.forget_artifacts();
        self.polls.restart(&self.loaded.settings, &self.artifacts, &self.status);
        self.publish(&Subject::Config, Update::Loaded(loaded));
        self.settle_rollouts(candidates.into_iter().collect(), &contents).await;
        self.listeners
            .commit_when_published(prepared, &self.tables, drain_deadline)
            .await;
        self.writer.keep_only(self.to_keep(contents));
    }

    fn publish(&self, subject: &Subject, update: Update) {
        self.accepted(subject);
        // The publisher outlives this task; when it does not, the program is ending.
        let _ = self.updates.send(update);
    }

    /// Something was loaded and is active.
    fn accepted(&self, subject: &Subject) {
        self.status.accepted(subject);
        tracing::info!(what = subject.kind().as_str(), "reloaded");
        self.events.extend(match subject {
            Subject::Config => Some(EventKind::ConfigAccepted.of("")),
            Subject::Geo => Some(EventKind::GeoAccepted.of("")),
            Subject::ServiceTags => Some(EventKind::ServiceTagsAccepted.of("")),
            Subject::Tls => Some(EventKind::TlsAccepted.of("")),
            Subject::UpstreamTls(service) => Some(EventKind::UpstreamTlsAccepted.of(service)),
            // Those of plugins say which version, and by whom.
            Subject::Plugin(_) => None,
        });
    }

    /// Records that something was rejected, and gives the reason.
    fn reject(&self, subject: &Subject, error: &impl Display) -> String {
        let rejected = match subject {
            Subject::Config => Some(EventKind::ConfigRejected.of("")),
            Subject::Geo => Some(EventKind::GeoRejected.of("")),
            Subject::ServiceTags => Some(EventKind::ServiceTagsRejected.of("")),
            Subject::Tls => Some(EventKind::TlsRejected.of("")),
            Subject::UpstreamTls(service) => Some(EventKind::UpstreamTlsRejected.of(service)),
            Subject::Plugin(_) => None,
        };
        self.events.extend(rejected.map(|event| event.reason(error)));
        let what = subject.kind().as_str();
        tracing::error!(what, "rejected, the last good one remains active: {error}");
        let error = error.to_string();
        self.status.rejected(subject, error.clone());
        error
    }

    fn wait_for(&mut self, rejected: Rejected) {
        self.pending = self.path.as_ref().map(|path| Pending {
            files: rejected.files(path),
            settings: rejected.settings,
            retry_at: None,
        });
    }

    /// What a load would move, when that is more than the active configuration allows.
    async fn too_much_shift(&mut self, loaded: &Loaded, force: bool) -> Option<Shift> {
        let limit = self.loaded.settings.max_shift.filter(|_| !force)?;
        let (before, after) = (self.loaded.clone(), loaded.clone());
        let (health, engine) = (Arc::clone(&self.tables.current().health), self.engine.clone());
        let clients = self.decisions.clients();
        let shift = self
            .meanwhile(move || Shift::between(before, after, &health, &engine, &clients))
            .await;
        match shift {
            Ok(shift) => shift.more_than(limit),
            Err(error) => {
                tracing::warn!("max_shift: not looked at: {error}");
                None
            }
        }
    }

    /// Does blocking work. Meanwhile, versions that are rolled out and are worse than the active one are rolled back.
    async fn meanwhile<T: Send + 'static>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let mut done = std::pin::pin!(off_thread(work));
        loop {
            tokio::select! {
                value = &mut done => return value,
                () = tokio::time::sleep(LOOK) => self.advance_rollouts(true),
            }
        }
    }
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
