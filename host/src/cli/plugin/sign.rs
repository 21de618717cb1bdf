//! `portolan plugin sign`.

use super::file;
use super::registry::{self, RegistryArguments};
use crate::cli::output;
use crate::oci::key::SigningKey;
use crate::oci::{self, Reference};
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to sign.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// What: HOST[:PORT]/REPOSITORY with @sha256:DIGEST as push prints it, or with :TAG, which is signed as it is now
    #[arg(value_name = "REF")]
    reference: Reference,
    /// The private key: ECDSA on P-256 or Ed25519, PEM without a password
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The registry and repository that the signature is for, where it will be pulled from another one, such as a mirror
    #[arg(long, value_name = "HOST/REPOSITORY")]
    identity: Option<String>,
    #[command(flatten)]
    registry: RegistryArguments,
}

/// Signs a manifest.
///
/// # Errors
/// When the key cannot be used, or the registry does not take the signature.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let reference = &arguments.reference;
    let key = SigningKey::parse(&arguments.key, &file::read(&arguments.key)?)?;
    let access = arguments.registry.access(reference)?;
    let identity = arguments.identity.clone().unwrap_or_else(|| reference.identity());
    let signed = registry::run(reference, oci::sign(reference, &identity, &key, &access));
    let digest = signed.with_context(|| format!("failed to sign {reference}"))?;
    output::print(&format!("oci://{} is signed for {identity}\n", reference.at(digest)))?;
    Ok(ExitCode::SUCCESS)
}
