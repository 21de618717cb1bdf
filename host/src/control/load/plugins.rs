//! Plugins: from their sources to versions that were tried.

use super::LoadError;
use crate::config::{PluginSource, Settings};
use crate::control::last_good::digest;
use crate::control::loaded::plugin_regions;
use crate::control::overrides::PluginOverrides;
use crate::control::source::Source;
use crate::plugin::{PluginEngine, PluginError, PluginLimits, PluginVersion, embedded};
use bytes::Bytes;
use portolan_core::config::{Policy, Service};
use portolan_core::health::ServiceHealth;
use portolan_core::id::{Generation, PluginName};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The components of the active plugins, by name.
pub(in crate::control) type Components = BTreeMap<PluginName, Component>;

/// The component of an active plugin.
#[derive(Clone, Debug)]
pub(in crate::control) struct Component {
    /// The component itself.
    pub(in crate::control) bytes: Bytes,
    /// The digest of the configured one.
    pub(in crate::control) configured: String,
    /// Whether it is not the configured one.
    pub(in crate::control) is_pinned: bool,
}

/// A version that may be rolled out.
#[derive(Clone, Debug)]
pub(in crate::control) struct Candidate {
    pub(in crate::control) version: Arc<PluginVersion>,
    pub(in crate::control) bytes: Bytes,
}

/// A plugin that was loaded.
#[derive(Debug)]
pub(in crate::control) struct LoadedPlugin {
    /// The version that is active from now on.
    pub(in crate::control) version: Arc<PluginVersion>,
    pub(in crate::control) component: Component,
    /// The configured version, when it is not active yet.
    pub(in crate::control) candidate: Option<Candidate>,
}

/// What decides which version of a plugin is active, besides the configuration.
#[derive(Clone, Debug, Default)]
pub(in crate::control) struct Standing {
    /// What operators and rollouts have ordered.
    pub(in crate::control) overrides: PluginOverrides,
    /// The active components. A new version passes through the rollout where there is one before.
    pub(in crate::control) active: Components,
}

/// The file of a plugin, when it is in one.
pub(in crate::control) fn plugin_file(source: &PluginSource) -> Option<PathBuf> {
    match source {
        PluginSource::File(path) => Some(path.clone()),
        PluginSource::Embedded(_) | PluginSource::Registry(_) => None,
    }
}

/// Loads one plugin and tries it on the regions of the services that use it.
///
/// For as long as the configured version is the one that an override was made against, the version of that is loaded. A new version
/// that has to be rolled out is loaded beside the active one. A suspended version is rejected.
pub(in crate::control) fn plugin(
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
pub(in crate::control) fn short(digest: &str) -> String {
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
pub(in crate::control) fn tried(
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
