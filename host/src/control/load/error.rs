//! Why something could not be loaded.

use crate::config::ConfigErrors;
use crate::control::artifacts::ArtifactError;
use crate::control::certificates::TlsFileError;
use crate::control::upstream_tls::UpstreamTlsError;
use crate::geo::GeoError;
use crate::plugin::{EngineError, PluginError};
use crate::service_tags::ServiceTagsError;
use crate::tls::FileError;
use portolan_core::id::PluginName;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

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
    pub(in crate::control) fn may_pass(&self) -> bool {
        self.0.iter().any(|error| matches!(error, LoadError::Artifact { .. }))
    }

    pub(super) fn of(error: impl Into<LoadError>) -> Self {
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
