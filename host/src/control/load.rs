//! Loads the configuration and the files it names: read, compiled and tried, off the request path.

mod error;
mod plugins;

use super::artifacts::Artifacts;
use super::certificates::{LoadedTls, Purpose, TlsFiles};
use super::files::{Files, Stamps};
use super::last_good::{Content, LastGood};
use super::loaded::{Loaded, Origins, Plugins, UpstreamOrigins};
use super::source::Source;
use super::upstream_tls::{self, OutOfDate, UpstreamTlsError};
use crate::affinity::AffinityKeys;
use crate::config::{self, ConfigErrors, Configuration, Fixed, Mistake, PluginSource, Settings, UpstreamTls};
use crate::geo::coverage::{self, CoverageLoss};
use crate::geo::{Geo, GeoError};
use crate::plugin::PluginEngine;
use crate::service_tags::ServiceTags;
pub use error::{AffinityKeysError, LoadError, LoadErrors};
pub(super) use plugins::{Candidate, Component, Components, LoadedPlugin, Standing, plugin, plugin_file, short, tried};
use portolan_core::id::{PluginName, ServiceName};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// The largest file of keys, in bytes.
const MAX_KEYS: u64 = 64 * 1024;

/// A configuration that was loaded with everything it names, and the files it was loaded from.
#[derive(Clone, Debug)]
pub struct Load {
    /// What was loaded.
    pub loaded: Loaded,
    /// What only a start makes active.
    pub fixed: Fixed,
    /// Warnings: valid, and probably not intended.
    pub warnings: Vec<Mistake>,
    /// The plugins' components, by name.
    pub(super) components: Components,
    /// The configured versions that are to be rolled out, by name.
    pub(super) candidates: BTreeMap<PluginName, Candidate>,
    pub(super) contents: Vec<Content>,
    pub(super) stamps: Stamps,
    /// Components from registries.
    pub(super) artifacts: Arc<Artifacts>,
    /// At a start: the configuration that was rejected, and this is the last good one.
    pub(super) rejected: Option<Box<Rejected>>,
}

/// A configuration that was rejected.
#[derive(Clone, Debug)]
pub(super) struct Rejected {
    /// Its settings, when the file itself has no mistakes.
    pub(super) settings: Option<Arc<Settings>>,
    /// The files as they were before they were read.
    pub(super) stamps: Stamps,
}

/// A part that was loaded, and the files it was loaded from.
#[derive(Debug)]
pub(super) struct Part<T> {
    pub(super) loaded: T,
    pub(super) contents: Vec<Content>,
}

/// All files that settings name.
pub(super) fn named_files(settings: &Settings) -> impl Iterator<Item = PathBuf> {
    let plugins = settings.plugins.values().flat_map(|plugin| plugin.source.files());
    let upstream = settings.upstream_tls.values().flat_map(UpstreamTls::files).cloned();
    settings
        .geo
        .files()
        .cloned()
        .chain(service_tag_files(settings))
        .chain(plugins)
        .chain(tls_files(settings))
        .chain(upstream)
        .chain(settings.affinity_keys.clone())
}

/// The files of service tags, as often as they are named.
pub(super) fn service_tag_files(settings: &Settings) -> impl Iterator<Item = PathBuf> {
    let files = settings.listeners.iter().map(|listener| &listener.service_tags);
    files.flatten().cloned()
}

/// The files that TLS listeners and the administration name.
pub(super) fn tls_files(settings: &Settings) -> impl Iterator<Item = PathBuf> {
    let listeners = settings.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    listeners
        .chain(&settings.admin_tls)
        .flat_map(|tls| tls.files().cloned())
}

impl Rejected {
    /// A configuration that something it names keeps from being active.
    pub(super) fn of(settings: Arc<Settings>, mut stamps: Stamps) -> Self {
        // Also the files that were not read.
        named_files(&settings).for_each(|path| stamps.note(&path));
        Self {
            settings: Some(settings),
            stamps,
        }
    }

    /// The files whose change gives the configuration another chance: itself, and those it names.
    pub(super) fn files(&self, path: &Path) -> Files {
        // All that were read, included files among them, and those that are named and were not read.
        let seen = self.stamps.paths().filter(|other| *other != path).map(Path::to_owned);
        Files::new(std::iter::once(path.to_owned()).chain(seen), &self.stamps)
    }
}

/// Loads a configuration file with everything it names, as it is, to replace what is active.
///
/// # Errors
/// All errors at once, and what was rejected.
pub(super) fn all(
    path: &Path,
    engine: &PluginEngine,
    standing: &Standing,
    before: &Loaded,
    (location_cache, artifacts): (Option<PathBuf>, &Arc<Artifacts>),
) -> Result<Load, Box<(LoadErrors, Rejected)>> {
    let source = Source::files()
        .with_location_cache(location_cache)
        .with_artifacts(artifacts);
    match settings(path, &source) {
        Ok(configuration) => {
            let tls = (&before.tls, Purpose::Reload);
            rest(configuration, engine, standing, tls, Some(&before.geo), source)
        }
        Err(errors) => {
            let rejected = Rejected {
                settings: None,
                stamps: source.into_parts().1,
            };
            Err(Box::new((LoadErrors::of(errors), rejected)))
        }
    }
}

/// Loads everything that a configuration names, as it is. `offline`: without the plugins that are in registries.
///
/// # Errors
/// All errors at once.
pub fn named(configuration: Configuration, engine: &PluginEngine, offline: bool) -> Result<Load, LoadErrors> {
    let tls = (&TlsFiles::default(), Purpose::Check);
    let artifacts = Arc::new(if offline {
        Artifacts::offline()
    } else {
        Artifacts::default()
    });
    let source = Source::files().with_artifacts(&artifacts);
    rest(configuration, engine, &Standing::default(), tls, None, source).map_err(|rejected| rejected.0)
}

fn rest(
    configuration: Configuration,
    engine: &PluginEngine,
    standing: &Standing,
    (tls, purpose): (&TlsFiles, Purpose),
    before: Option<&Geo>,
    source: Source<'_>,
) -> Result<Load, Box<(LoadErrors, Rejected)>> {
    let Configuration {
        fixed,
        settings,
        mut warnings,
    } = configuration;
    let mut errors = Vec::new();
    let geo = geo(&settings, before, &source)
        .map_err(|error| errors.push(error.into()))
        .ok();
    warnings.extend(geo.iter().flat_map(|geo| geo_warnings(geo, &settings)));
    let service_tags = service_tags(&settings, &source);
    let service_tags = service_tags.map_err(|error| errors.push(error)).unwrap_or_default();
    let (mut plugins, mut components, mut candidates) = (Plugins::new(), Components::new(), BTreeMap::new());
    for (name, configured) in &settings.plugins {
        if source.artifacts().is_offline() && matches!(configured.source, PluginSource::Registry(_)) {
            continue;
        }
        match plugin(name, &settings, engine, standing, &source) {
            Ok(loaded) => {
                plugins.insert(name.clone(), loaded.version);
                components.insert(name.clone(), loaded.component);
                candidates.extend(loaded.candidate.map(|candidate| (name.clone(), candidate)));
            }
            Err(error) => errors.push(error),
        }
    }
    let tls = TlsFiles::load(&settings, &source, tls, purpose);
    errors.extend(tls.errors.into_iter().map(LoadError::from));
    warnings.extend(tls.warnings);
    let affinity_keys = affinity_keys(&settings, &source);
    let affinity_keys = affinity_keys.map_err(|error| errors.push(error)).unwrap_or_default();
    let mut origins = UpstreamOrigins::new();
    for name in settings.upstream_tls.keys() {
        match upstream_tls::load(name, &settings, &source, OutOfDate::Rejected) {
            Ok(loaded) => drop(origins.insert(name.clone(), loaded)),
            Err(error) => errors.push(error.into()),
        }
    }
    let settings = Arc::new(settings);
    let artifacts = source.shared_artifacts();
    let (contents, stamps) = source.into_parts();
    match geo.filter(|_| errors.is_empty()) {
        Some(geo) => Ok(Load {
            loaded: Loaded {
                settings,
                geo: Arc::new(geo),
                service_tags: Arc::new(service_tags),
                plugins: Arc::new(plugins),
                rollouts: Arc::default(),
                tls: tls.files,
                origins: Arc::new(origins),
                affinity_keys,
            },
            fixed,
            warnings,
            components,
            candidates,
            contents,
            stamps,
            artifacts,
            rejected: None,
        }),
        None => {
            let rejected = Rejected::of(settings, stamps);
            Err(Box::new((LoadErrors(errors), rejected)))
        }
    }
}

/// Loads the location databases, as they are, to replace those before.
pub(super) fn only_geo(settings: &Settings, before: &Geo, cache: Option<PathBuf>) -> Result<Part<Geo>, GeoError> {
    let source = Source::files().with_location_cache(cache);
    let loaded = geo(settings, Some(before), &source)?;
    let (contents, _) = source.into_parts();
    Ok(Part { loaded, contents })
}

/// Loads the service tags, as they are.
pub(super) fn only_service_tags(settings: &Settings) -> Result<Part<ServiceTags>, LoadError> {
    let source = Source::files();
    let loaded = service_tags(settings, &source)?;
    let (contents, _) = source.into_parts();
    Ok(Part { loaded, contents })
}

/// Loads the files of TLS listeners again, as they are. What cannot be used leaves what was active.
pub(super) fn only_tls(settings: &Settings, before: &TlsFiles) -> LoadedTls {
    TlsFiles::load(settings, &Source::files(), before, Purpose::Rotation)
}

/// Loads TLS with the gateways of one service, as it is.
pub(super) fn only_upstream_tls(name: &ServiceName, settings: &Settings) -> Result<Part<Origins>, UpstreamTlsError> {
    let source = Source::files();
    let loaded = upstream_tls::load(name, settings, &source, OutOfDate::Rejected)?;
    let (contents, _) = source.into_parts();
    Ok(Part { loaded, contents })
}

/// Loads one plugin, as it is.
pub(super) fn only_plugin(
    name: &PluginName,
    settings: &Settings,
    engine: &PluginEngine,
    standing: &Standing,
    artifacts: &Arc<Artifacts>,
) -> Result<Part<LoadedPlugin>, LoadError> {
    let source = Source::files().with_artifacts(artifacts);
    let loaded = plugin(name, settings, engine, standing, &source)?;
    let (contents, _) = source.into_parts();
    Ok(Part { loaded, contents })
}

/// Loads a configuration file.
pub(super) fn settings(path: &Path, source: &Source<'_>) -> Result<Configuration, ConfigErrors> {
    config::load_with(path, source)
}

/// Loads the location databases. They may not cover less than those before, unless the configuration allows it.
pub(super) fn geo(settings: &Settings, before: Option<&Geo>, source: &Source<'_>) -> Result<Geo, GeoError> {
    let geo = Geo::load(&settings.geo, before, source.location_cache(), |path, most| {
        source.read(path, most)
    })?;
    replaces(settings, before, &geo)?;
    Ok(geo)
}

/// The same at a start: those before are the last good ones.
pub(super) fn first_geo(
    settings: &Settings,
    last_good: Option<&LastGood>,
    source: &Source<'_>,
) -> Result<Geo, GeoError> {
    let load = |before, source: &Source<'_>| {
        let cache = source.location_cache();
        Geo::load(&settings.geo, before, cache, |path, most| source.read(path, most))
    };
    let geo = load(None, source)?;
    // Mostly of the same content, which is not compiled again.
    let kept = last_good.and_then(|last_good| load(Some(&geo), &Source::kept(last_good)).ok());
    replaces(settings, kept.as_ref(), &geo)?;
    Ok(geo)
}

/// Checks that location databases may replace those before.
fn replaces(settings: &Settings, before: Option<&Geo>, geo: &Geo) -> Result<(), CoverageLoss> {
    let Some(before) = before.filter(|_| !settings.geo.allow_coverage_loss) else {
        return Ok(());
    };
    let services = settings.routing.services().iter();
    let rules = services.flat_map(|service| service.residency());
    let countries = rules.flat_map(|rule| rule.countries.iter().copied()).collect();
    coverage::compare(before, geo, &countries)
}

/// What to warn of about location databases.
pub(super) fn geo_warnings(geo: &Geo, settings: &Settings) -> Vec<Mistake> {
    let warnings = geo.warnings(&settings.geo, SystemTime::now()).into_iter();
    let warnings = warnings.map(|warning| Mistake::new(format!("geo.{}", warning.key), warning.message));
    warnings.collect()
}

/// Loads the keys of affinity cookies. They are secret: no last good ones are kept.
pub(super) fn affinity_keys(settings: &Settings, source: &Source<'_>) -> Result<Option<Arc<AffinityKeys>>, LoadError> {
    let Some(path) = &settings.affinity_keys else {
        return Ok(None);
    };
    let bytes = source
        .read_secret(path, MAX_KEYS)
        .map_err(|error| AffinityKeysError::Read {
            path: path.clone(),
            error,
        });
    let keys = bytes.and_then(|bytes| Ok(AffinityKeys::parse(path, &bytes)?));
    keys.map(Some).map_err(LoadError::AffinityKeys)
}

/// Loads the service tags.
pub(super) fn service_tags(settings: &Settings, source: &Source<'_>) -> Result<ServiceTags, LoadError> {
    let paths = settings
        .listeners
        .iter()
        .map(|listener| listener.service_tags.as_deref());
    ServiceTags::load(paths.clone().flatten(), |path, most| source.read(path, most)).map_err(|error| {
        let mut named = paths.enumerate().filter(|(_, path)| *path == Some(error.path()));
        LoadError::ServiceTags(named.next().map_or(0, |(number, _)| number), error)
    })
}
