//! What can go wrong with a registry.

use super::component::NotAComponent;
use super::credentials::CredentialsError;
use super::digest::Digest;
use super::reference::{ReferenceError, Registry};
use super::signature::SignatureError;
use http::StatusCode;
use std::time::Duration;
use thiserror::Error;

/// Why something could not be pulled or pushed. No message has a credential, or the query of a URL.
#[derive(Debug, Error)]
pub enum OciError {
    /// Not a reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// No connection, or no HTTP on it.
    #[error("failed to reach {host}: {reason}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// Why.
        reason: String,
    },
    /// It takes too long.
    #[error("{0} did not finish within {1:?}")]
    TimedOut(Registry, Duration),
    /// The registry says no.
    #[error("{host} answered {status} to {what}: {message}")]
    Status {
        /// Host and port.
        host: String,
        /// The method and path.
        what: String,
        /// The status.
        status: StatusCode,
        /// What the registry says, or that it says nothing.
        message: String,
    },
    /// The registry does not let us in.
    #[error("{host} denied {what}: {message}; {hint}")]
    Denied {
        /// Host and port.
        host: String,
        /// The method and path.
        what: String,
        /// What the registry says.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// A challenge that cannot be met.
    #[error("{host} asks for credentials in a way that is not supported: {reason}")]
    Challenge {
        /// Host and port.
        host: String,
        /// Why.
        reason: String,
    },
    /// Credentials cannot be found.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A redirect that is not followed.
    #[error("{host} redirects in a way that is not followed: {reason}")]
    Redirect {
        /// Host and port.
        host: String,
        /// Why.
        reason: String,
    },
    /// Content that is not what its digest says.
    #[error("{what} has the digest {actual}, and {expected} was asked for: it was changed, or damaged on its way")]
    Digest {
        /// What.
        what: &'static str,
        /// As asked for.
        expected: Digest,
        /// As it came.
        actual: Digest,
    },
    /// More than is allowed, or another size than described.
    #[error("{what} {reason}")]
    Size {
        /// What.
        what: &'static str,
        /// The sizes.
        reason: String,
    },
    /// A manifest that is not a plugin's.
    #[error("the manifest cannot be used: {0}")]
    Manifest(String),
    /// What the component imports cannot be given.
    #[error(
        "the plugin imports what the proxy does not offer, according to its manifest: {}: nothing else of it was fetched",
        .0.join(", ")
    )]
    Imports(Vec<String>),
    /// A signature that is missing or wrong.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A file that cannot be a plugin.
    #[error(transparent)]
    Component(#[from] NotAComponent),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(String),
    /// The system does not do its part.
    #[error("failed to start: {0}")]
    System(#[from] std::io::Error),
}

impl OciError {
    /// Whether the registry has no such manifest or blob.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Its kind, in metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::TimedOut(..) | Self::Tls(_) | Self::System(_) => "unreachable",
            Self::Status { .. } | Self::Redirect { .. } => "status",
            Self::Denied { .. } | Self::Challenge { .. } | Self::Credentials(_) => "denied",
            Self::Digest { .. } | Self::Size { .. } => "damaged",
            Self::Signature(_) => "signature",
            Self::Reference(_) | Self::Manifest(_) | Self::Imports(_) | Self::Component(_) => "unsuitable",
        }
    }
}
