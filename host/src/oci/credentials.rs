//! Who asks a registry.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use thiserror::Error;

/// Why credentials cannot be found.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("failed to read credentials from {}: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A program of Docker's configuration does not give any.
    #[error("failed to get credentials by {program}: {reason}")]
    Helper {
        /// Its name.
        program: String,
        /// Why not.
        reason: String,
    },
}

/// A token of Microsoft Entra, for registries of Azure.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

/// Gives tokens of Microsoft Entra for registries of Azure.
pub trait EntraTokens: fmt::Debug + Send + Sync {
    /// A token that is good now.
    fn token(&self) -> TokenFuture<'_>;
}

/// Who asks.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A name and its password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// A refresh token, as `identitytoken` of Docker's configuration is.
    IdentityToken(String),
    /// An identity of Azure.
    Azure(Arc<dyn EntraTokens>),
}

/// Without what is secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { username, .. } => write!(f, "Basic({username})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
            Self::Azure(tokens) => write!(f, "Azure({tokens:?})"),
        }
    }
}
