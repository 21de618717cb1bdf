//! The start: what is rejected is replaced by its last good content, where there is a state directory.

use super::artifacts::Artifacts;
use super::certificates::{Purpose, TlsFiles};
use super::files::Stamps;
use super::last_good::{Content, LastGood};
use super::load::{self, Components, Load, LoadError, Rejected, Standing};
use super::loaded::{Loaded, Plugins, UpstreamOrigins};
use super::overrides::Overrides;
use super::source::Source;
use super::status::{Status, Subject};
use super::upstream_tls::{self, OutOfDate};
use crate::config::{ConfigErrors, Configuration, Settings};
use crate::geo::Geo;
use crate::plugin::{EngineError, PluginEngine};
use crate::rollout::Rollouts;
use crate::tls::prepare_randomness;
use portolan_core::id::PluginName;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

/// What the program starts with: a valid configuration, and where the rest comes from.
#[derive(Debug)]
pub struct Start {
    /// The configuration, before what it names is loaded.
    pub configuration: Configuration,
    /// The file to watch for changes of it.
    pub path: Option<PathBuf>,
    /// The state directory.
    pub last_good: Option<LastGood>,
    /// What operators have ordered in the last run.
    pub overrides: Arc<Overrides>,
    /// Whether another instance may still serve the same listeners (takeover).
    pub takeover: bool,
    /// Whether another process may take over from this one.
    pub upgradable: bool,
    /// Listening sockets that the service manager has opened.
    pub passed: Vec<OwnedFd>,
    contents: Vec<Content>,
    stamps: Stamps,
    restored: Option<Restored>,
}

/// Something was rejected, and its last good content is active.
#[derive(Clone, Debug)]
struct Restored {
    subject: Subject,
    why: String,
    since: SystemTime,
}

impl Start {
    /// With a configuration that is not watched.
    pub fn unwatched(configuration: Configuration) -> Self {
        Self {
            configuration,
            path: None,
            last_good: None,
            overrides: Arc::default(),
            takeover: false,
            upgradable: false,
            passed: Vec::new(),
            contents: Vec::new(),
            stamps: Stamps::default(),
            restored: None,
        }
    }

    /// With a configuration file. It and the files it names are watched from the moment they are read. With a state
    /// directory, what is active is kept there, and replaces what is rejected now.
    ///
    /// # Errors
    /// When the file has mistakes, and no last good content is kept.
    pub fn read(path: &Path, last_good: Option<LastGood>) -> Result<Self, ConfigErrors> {
        let first = first(Subject::Config, last_good.as_ref(), |source| {
            load::settings(path, source)
        })?;
        Ok(Self {
            configuration: first.value,
            path: Some(path.to_owned()),
            overrides: Arc::new(Overrides::open(last_good.as_ref())),
            last_good,
            takeover: false,
            upgradable: false,
            passed: Vec::new(),
            contents: first.contents,
            stamps: first.stamps,
            restored: first.restored,
        })
    }

    /// Loads the rest, and records what came of it all. `engine` makes the one that plugins run in, for this
    /// configuration.
    ///
    /// A database that cannot be used and never was does not keep the program from starting: the embedded table is used,
    /// and the error is logged and shown. With a plugin like that, the last good configuration is used.
    ///
    /// # Errors
    /// When a plugin cannot be used, and never was.
    pub fn load(
        self,
        status: &Status,
        engine: impl Fn(&Configuration) -> Result<PluginEngine, EngineError>,
    ) -> Result<(Load, PluginEngine), LoadError> {
        let Self {
            configuration,
            path,
            last_good,
            overrides,
            contents,
            stamps,
            restored,
            ..
        } = self;
        let artifacts = Arc::new(Artifacts::new(last_good.clone()));
        let begin = |configuration: &Configuration| Ok::<_, LoadError>(engine(configuration)?);
        let rest = |configuration, engine: &PluginEngine, gathered| {
            let kept = (last_good.as_ref(), &artifacts);
            rest(configuration, kept, &overrides, engine, gathered, status)
        };
        let rejected = restored.as_ref().map(|_| {
            Box::new(Rejected {
                settings: None,
                stamps: stamps.clone(),
            })
        });
        let gathered = Gathered {
            contents,
            stamps: stamps.clone(),
            restored: restored.into_iter().collect(),
        };
        begin_ahead(&configuration.settings);
        let first_engine = begin(&configuration)?;
        let settings = Arc::new(configuration.settings.clone());
        let error = match rest(configuration, &first_engine, gathered) {
            Ok(load) => return Ok((Load { rejected, ..load }, first_engine)),
            Err(error) => error,
        };
        let (Some(path), Some(last_good), None) = (path, &last_good, rejected) else {
            return Err(error);
        };
        // The last good configuration, instead of one whose plugin never was good.
        let source = Source::kept(last_good);
        let Ok(configuration) = load::settings(&path, &source) else {
            return Err(error);
        };
        let restored = Restored {
            subject: Subject::Config,
            why: error.to_string(),
            since: source.since(),
        };
        let rejected = Some(Box::new(Rejected::of(settings, stamps.clone())));
        let gathered = Gathered {
            contents: source.into_parts().0,
            stamps,
            restored: vec![restored],
        };
        drop(first_engine);
        let engine = begin(&configuration)?;
        match rest(configuration, &engine, gathered) {
            Ok(load) => Ok((Load { rejected, ..load }, engine)),
            Err(_) => Err(error),
        }
    }
}

/// Begins what takes long and needs nothing else, in threads of their own, while plugins are loaded. Who needs the result waits for it.
fn begin_ahead(settings: &Settings) {
    if settings.geo.databases.is_empty() {
        beside("location-table", || drop(Geo::embedded()));
    }
    if settings.has_tls() {
        beside("randomness", prepare_randomness);
    }
}

fn beside(name: &str, work: fn()) {
    // Without a thread, it is done where it is needed.
    drop(thread::Builder::new().name(name.to_owned()).spawn(work));
}

/// What comes with all that is loaded.
#[derive(Default)]
struct Gathered {
    contents: Vec<Content>,
    stamps: Stamps,
    restored: Vec<Restored>,
}

impl Gathered {
    fn add<T>(&mut self, first: First<T>) -> T {
        self.contents.extend(first.contents);
        self.stamps.add(first.stamps);
        self.restored.extend(first.restored);
        first.value
    }
}

/// Loads what a configuration names, and records what came of it all.
fn rest(
    configuration: Configuration,
    (last_good, artifacts): (Option<&LastGood>, &Arc<Artifacts>),
    overrides: &Overrides,
    engine: &PluginEngine,
    mut gathered: Gathered,
    status: &Status,
) -> Result<Load, LoadError> {
    let Configuration {
        fixed,
        settings,
        mut warnings,
    } = configuration;
    let standing = Standing {
        overrides: overrides.plugins(),
        active: Components::new(),
    };
    let mut without_pins = standing.clone();
    without_pins.overrides.pins.clear();
    let (mut plugins, mut components) = (Plugins::new(), Components::new());
    for name in settings.plugins.keys() {
        let load = |source: &Source<'_>| match load::plugin(name, &settings, engine, &standing, source) {
            Err(error @ LoadError::Pinned { .. }) => {
                tracing::error!("the configured version is used: {error}");
                load::plugin(name, &settings, engine, &without_pins, source)
            }
            loaded => loaded,
        };
        let loaded = gathered.add(first_with(
            artifacts,
            Subject::Plugin(PluginName::clone(name)),
            last_good,
            load,
        )?);
        plugins.insert(name.clone(), loaded.version);
        components.insert(name.clone(), loaded.component);
    }
    // Keys are not kept: there is no last good content of them.
    let source = Source::files();
    let affinity_keys = load::affinity_keys(&settings, &source)?;
    let tls = TlsFiles::load(&settings, &source, &TlsFiles::default(), Purpose::Start);
    gathered.stamps.add(source.into_parts().1);
    if let Some(error) = tls.errors.into_iter().next() {
        return Err(error.into());
    }
    warnings.extend(tls.warnings);
    let mut origins = UpstreamOrigins::new();
    for name in settings.upstream_tls.keys() {
        let load = |source: &Source<'_>| upstream_tls::load(name, &settings, source, OutOfDate::Used);
        let loaded = first(Subject::UpstreamTls(name.clone()), last_good, load)?;
        origins.insert(name.clone(), gathered.add(loaded));
    }
    let geo = match first(Subject::Geo, last_good, |source| {
        load::first_geo(&settings, last_good, source)
    }) {
        Ok(geo) => gathered.add(geo),
        Err(error) => {
            tracing::error!("the embedded location table is used: {error}");
            status.rejected(&Subject::Geo, error.to_string());
            Geo::without_databases(&settings.geo)
        }
    };
    warnings.extend(load::geo_warnings(&geo, &settings));
    let service_tags = first(Subject::ServiceTags, last_good, |source| {
        load::service_tags(&settings, source)
    })?;
    let service_tags = gathered.add(service_tags);
    let Gathered {
        contents,
        stamps,
        restored,
    } = gathered;
    for Restored { subject, why, since } in restored {
        let good_since = humantime::format_rfc3339_seconds(since);
        let what = subject.kind().as_str();
        tracing::error!(what, %good_since, "rejected at the start, the last good one is restored: {why}");
        status.restored(&subject, why, since);
    }
    let loaded = Loaded {
        settings: Arc::new(settings),
        geo: Arc::new(geo),
        service_tags: Arc::new(service_tags),
        plugins: Arc::new(plugins),
        // The first table has them, as it has the drains.
        rollouts: Arc::new(Rollouts {
            off: overrides.plugins().off.into_keys().collect(),
            trials: BTreeMap::new(),
        }),
        tls: tls.files,
        origins: Arc::new(origins),
        affinity_keys,
    };
    Ok(Load {
        loaded,
        fixed,
        warnings,
        components,
        candidates: BTreeMap::new(),
        contents,
        stamps,
        artifacts: Arc::clone(artifacts),
        rejected: None,
    })
}

/// What was loaded first.
struct First<T> {
    value: T,
    contents: Vec<Content>,
    /// The files as they were before they were read, also where their last good content is active.
    stamps: Stamps,
    restored: Option<Restored>,
}

/// Loads something as it is, or else as it was when it was last good.
fn first<T, E: Display>(
    subject: Subject,
    last_good: Option<&LastGood>,
    load: impl Fn(&Source<'_>) -> Result<T, E>,
) -> Result<First<T>, E> {
    first_with(&Arc::default(), subject, last_good, load)
}

/// The same of what may come from a registry.
fn first_with<T, E: Display>(
    artifacts: &Arc<Artifacts>,
    subject: Subject,
    last_good: Option<&LastGood>,
    load: impl Fn(&Source<'_>) -> Result<T, E>,
) -> Result<First<T>, E> {
    let cache = last_good.map(LastGood::location_cache);
    let now = Source::files()
        .with_location_cache(cache.clone())
        .with_artifacts(artifacts);
    let loaded = load(&now);
    let (contents, stamps) = now.into_parts();
    let error = match loaded {
        Ok(value) => {
            return Ok(First {
                value,
                contents,
                stamps,
                restored: None,
            });
        }
        Err(error) => error,
    };
    let Some(last_good) = last_good else { return Err(error) };
    let kept = Source::kept(last_good)
        .with_location_cache(cache)
        .with_artifacts(artifacts);
    match load(&kept) {
        Ok(value) => Ok(First {
            value,
            restored: Some(Restored {
                subject,
                why: error.to_string(),
                since: kept.since(),
            }),
            contents: kept.into_parts().0,
            stamps,
        }),
        Err(kept) => {
            tracing::debug!("no last good content can be used either: {kept}");
            Err(error)
        }
    }
}
