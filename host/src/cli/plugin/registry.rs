//! What all commands that talk to a registry have in common.

use super::file;
use crate::oci::{self, Access, OciError, Reference};
use crate::tls::Authorities;
use std::path::PathBuf;
use std::time::Duration;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// How the registry is asked.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RegistryArguments {
    /// A file of certificate authorities, one of which must have issued the registry's certificate; default: those of the system
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Ask without TLS; a registry on this machine is asked without, unless --ca is given
    #[arg(long, conflicts_with = "ca")]
    plain_http: bool,
}

impl RegistryArguments {
    /// Who asks, and how.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub(super) fn access(&self, reference: &Reference) -> anyhow::Result<Access> {
        let authorities = match &self.ca {
            Some(path) => Some(Authorities::of_file(path, &file::read(path)?)?),
            None => None,
        };
        Ok(Access {
            credentials: oci::credentials_of_environment(&reference.registry, true).map_err(OciError::from)?,
            plain_http: self.plain_http || self.ca.is_none() && reference.registry.is_loopback(),
            authorities,
            name_servers: None,
        })
    }
}

/// Runs an operation to its end.
///
/// # Errors
/// The operation's own, and when it does not end in time.
pub(super) fn run<T: Send>(
    reference: &Reference,
    operation: impl Future<Output = Result<T, OciError>> + Send,
) -> Result<T, OciError> {
    oci::run(&reference.registry, PATIENCE, operation)
}
