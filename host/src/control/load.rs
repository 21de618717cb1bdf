//! Loads the configuration and the files it names: read, compiled and tried, off the request path.

use super::artifacts::{ArtifactError, Artifacts};
use super::certificates::{LoadedTls, Purpose, TlsFileError, TlsFiles};
use super::files::{Files, Stamps};
use super::last_good::{Content, LastGood, digest};
use super::loaded::{Loaded, Origins, Plugins, UpstreamOrigins, plugin_regions};
use super::overrides::PluginOverrides;
use super::source::Source;
use super::upstream_tls::{self, OutOfDate, UpstreamTlsError};
use crate::affinity::AffinityKeys;
use crate::config::{self, ConfigErrors, Configuration, Fixed, Mistake, PluginSource, Settings, UpstreamTls};
use crate::geo::coverage::{self, CoverageLoss};
use crate::geo::{Geo, GeoError};
use crate::plugin::{EngineError, PluginEngine, PluginError, PluginLimits, PluginVersion, embedded};
use crate::service_tags::{ServiceTags, ServiceTagsError};
use crate::tls::FileError;
use bytes::Bytes;
use portolan_core::config::{Policy, Service};
use portolan_core::health::ServiceHealth;
use portolan_core::id::{Generation, PluginName, ServiceName};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use thiserror::Error;

/// The largest file of keys, in bytes.
const MAX_KEYS: u64 = 64 * 1024;

/// Why a configuration or something it names could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The configuration has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A location database cannot be used.
    #[error(transparent)]
    Geo(#[from] GeoError),
    /// A file of service tags cannot be used. With the number of the first listener that names it.
    #[error("listeners[{0}].{1}")]
    ServiceTags(usize, ServiceTagsError),
    /// A plugin cannot be used.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// Plugins cannot be run on this machine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// TLS of a listener cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    /// A plugin's file cannot be read.
    #[error("plugins.{name}.source: failed to read {}: {error}", path.display())]
    PluginFile {
        /// The plugin.
        name: PluginName,
        /// Its file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A plugin cannot be had from its registry.
    #[error("plugins.{name}.source: {error}")]
    Artifact {
        /// The plugin.
        name: PluginName,
        /// Why not.
        error: ArtifactError,
    },
    /// TLS with gateways cannot be set up.
    #[error(transparent)]
    UpstreamTls(#[from] UpstreamTlsError),
    /// The keys of affinity cookies cannot be read.
    #[error("affinity_keys: {0}")]
    AffinityKeys(AffinityKeysError),
    /// No embedded plugin of that name.
    #[error("plugins.{name}.source: there is no embedded plugin {wanted}")]
    NotEmbedded {
        /// The plugin.
        name: PluginName,
        /// The name that was looked for.
        wanted: Arc<str>,
    },
    /// The version that is active instead of the configured one cannot be used with this configuration.
    #[error(
        "plugins.{name}: version {version} is active instead of the configured one, and cannot be used with this configuration: \
         {error}; make the configured one active with `portolan rollback {name} --end`, or change source"
    )]
    Pinned {
        /// The plugin.
        name: PluginName,
        /// The digest of the version that is active.
        version: String,
        /// Why not.
        error: PluginError,
    },
    /// The configured version was rolled back before.
    #[error(
        "plugins.{name}: version {version} is suspended: {reason}; build another one, or activate it with \
         `portolan plugin promote {name} --force` or `portolan plugin deploy {name} FILE`"
    )]
    Suspended {
        /// The plugin.
        name: PluginName,
        /// The digest of the version.
        version: String,
        /// Why it is.
        reason: String,
    },
}

impl LoadError {
    /// The key of the configuration that it is about, from the outermost to the innermost.
    pub fn key(&self) -> Vec<String> {
        let key = |keys: &[&str]| keys.iter().map(ToString::to_string).collect();
        match self {
            Self::Config(_) | Self::Engine(_) => Vec::new(),
            Self::AffinityKeys(_) => key(&["affinity_keys"]),
            Self::Geo(error) => key(&["geo", error.key()]),
            Self::ServiceTags(number, _) => key(&["listeners", &number.to_string(), "client_address", "service_tags"]),
            Self::UpstreamTls(error) => error.key(),
            Self::Plugin(error) => key(&["plugins", error.plugin.as_str(), "source"]),
            Self::PluginFile { name, .. } | Self::Artifact { name, .. } | Self::NotEmbedded { name, .. } => {
                key(&["plugins", name.as_str(), "source"])
            }
            Self::Pinned { name, .. } | Self::Suspended { name, .. } => key(&["plugins", name.as_str()]),
            Self::Tls(error) => error.user.key(),
        }
    }
}

/// Everything that keeps a configuration and what it names from being loaded: at least one error.
#[derive(Debug, Error)]
pub struct LoadErrors(pub Vec<LoadError>);

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let newline = if index > 0 { "\n" } else { "" };
            write!(f, "{newline}{error}")?;
        }
        Ok(())
    }
}

impl LoadErrors {
    /// Whether it is worth trying again although no file changes: a registry did not do its part.
    pub(super) fn may_pass(&self) -> bool {
        self.0.iter().any(|error| matches!(error, LoadError::Artifact { .. }))
    }

    fn of(error: impl Into<LoadError>) -> Self {
        Self(vec![error.into()])
    }
}

/// Why keys of affinity cookies cannot be used.
#[derive(Debug, Error)]
pub enum AffinityKeysError {
    /// The file cannot be read.
    #[error("failed to read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It has something else in it.
    #[error(transparent)]
    Keys(#[from] FileError),
}

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

/// The components of the active plugins, by name.
pub(super) type Components = BTreeMap<PluginName, Component>;

/// The component of an active plugin.
#[derive(Clone, Debug)]
pub(super) struct Component {
    /// The component itself.
    pub(super) bytes: Bytes,
    /// The digest of the configured one.
    pub(super) configured: String,
    /// Whether it is not the configured one.
    pub(super) is_pinned: bool,
}

/// A version that may be rolled out.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) version: Arc<PluginVersion>,
    pub(super) bytes: Bytes,
}

/// A plugin that was loaded.
#[derive(Debug)]
pub(super) struct LoadedPlugin {
    /// The version that is active from now on.
    pub(super) version: Arc<PluginVersion>,
    pub(super) component: Component,
    /// The configured version, when it is not active yet.
    pub(super) candidate: Option<Candidate>,
}

/// What decides which version of a plugin is active, besides the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// What operators and rollouts have ordered.
    pub(super) overrides: PluginOverrides,
    /// The active components. A new version passes through the rollout where there is one before.
    pub(super) active: Components,
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

/// The file of a plugin, when it is in one.
pub(super) fn plugin_file(source: &PluginSource) -> Option<PathBuf> {
    match source {
        PluginSource::File(path) => Some(path.clone()),
        PluginSource::Embedded(_) | PluginSource::Registry(_) => None,
    }
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

/// Loads one plugin and tries it on the regions of the services that use it.
///
/// For as long as the configured version is the one that an override was made against, the version of that is loaded. A new version
/// that has to be rolled out is loaded beside the active one. A suspended version is rejected.
pub(super) fn plugin(
    name: &PluginName,
    settings: &Settings,
    engine: &PluginEngine,
    standing: &Standing,
    source: &Source<'_>,
) -> Result<LoadedPlugin, LoadError> {
    let bytes = read(name, &settings.plugins[name].source, source)?;
    let configured = digest(&bytes);
    let pin = standing.overrides.pins.get(name);
    if let Some(pin) = pin.filter(|pin| pin.configured == configured) {
        let version = tried(name, &pin.component, settings, engine).map_err(|error| LoadError::Pinned {
            name: name.clone(),
            version: short(&pin.active),
            error,
        });
        return Ok(LoadedPlugin {
            version: version?,
            component: Component {
                bytes: pin.component.clone(),
                configured,
                is_pinned: true,
            },
            candidate: None,
        });
    }
    if let Some(suspended) = standing.overrides.suspended(name, &configured) {
        return Err(LoadError::Suspended {
            name: name.clone(),
            version: short(&configured),
            reason: suspended.reason.clone(),
        });
    }
    let candidate = tried(name, &bytes, settings, engine)?;
    let before = standing.active.get(name).filter(|before| before.bytes != bytes);
    if let Some(before) = before.filter(|_| settings.plugins[name].rollout.is_some()) {
        match tried(name, &before.bytes, settings, engine) {
            Ok(version) => {
                return Ok(LoadedPlugin {
                    version,
                    component: Component {
                        bytes: before.bytes.clone(),
                        configured,
                        is_pinned: true,
                    },
                    candidate: Some(Candidate {
                        version: candidate,
                        bytes,
                    }),
                });
            }
            Err(error) => {
                tracing::warn!("the new version is active at once, the one before cannot be used any more: {error}")
            }
        }
    }
    Ok(LoadedPlugin {
        version: candidate,
        component: Component {
            bytes,
            configured,
            is_pinned: false,
        },
        candidate: None,
    })
}

/// The first digits of a digest, for people.
pub(super) fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

/// The component that is configured for a plugin.
fn read(name: &PluginName, plugin: &PluginSource, source: &Source<'_>) -> Result<Bytes, LoadError> {
    match plugin {
        PluginSource::Embedded(wanted) => {
            let found = embedded::find(wanted).ok_or_else(|| LoadError::NotEmbedded {
                name: name.clone(),
                wanted: Arc::clone(wanted),
            })?;
            Ok(Bytes::from_static(found))
        }
        PluginSource::File(path) => source
            .read(path, PluginLimits::MAX_FILE)
            .map_err(|error| LoadError::PluginFile {
                name: name.clone(),
                path: path.clone(),
                error,
            }),
        PluginSource::Registry(artifact) => {
            let loaded = source.artifacts().load(artifact, source);
            loaded.map_err(|error| LoadError::Artifact {
                name: name.clone(),
                error,
            })
        }
    }
}

/// Compiles a component and tries it on the regions of the services that use it.
pub(super) fn tried(
    name: &PluginName,
    component: &[u8],
    settings: &Settings,
    engine: &PluginEngine,
) -> Result<Arc<PluginVersion>, PluginError> {
    let services = settings.routing.services().iter();
    let users = services.filter(|it| it.policy == Policy::Plugin(name.clone()));
    let unknown = |service: &Service| ServiceHealth::unknown(service.gateways().len());
    let tables: Vec<_> = users
        .map(|it| plugin_regions(Generation::default(), it, &unknown(it), &[]))
        .collect();
    engine.load(name, component, &settings.plugins[name].deployment, &tables)
}
