//! `portolan plugin verify`.

use super::file;
use super::registry::{self, RegistryArguments};
use crate::cli::output;
use crate::oci::key::PublicKey;
use crate::oci::{self, Policy, Reference};
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to verify.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// What: HOST[:PORT]/REPOSITORY with :TAG or @sha256:DIGEST, with or without oci:// in front
    #[arg(value_name = "REF")]
    reference: Reference,
    /// A public key, one of which must have signed it, as often as needed
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// The registry and repository that the signature must be for; default: those of REF
    #[arg(long, value_name = "HOST/REPOSITORY")]
    identity: Option<String>,
    #[command(flatten)]
    registry: RegistryArguments,
}

/// Verifies the signatures of a manifest, as a proxy does that requires them.
///
/// # Errors
/// When no signature counts, or the registry does not answer.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let reference = &arguments.reference;
    let access = arguments.registry.access(reference)?;
    let identity = arguments.identity.clone().unwrap_or_else(|| reference.identity());
    let policy = policy(&arguments.key, identity)?;
    let found = registry::run(reference, oci::signatures(reference, &access));
    let (digests, signatures) = found.with_context(|| format!("failed to verify {reference}"))?;
    let key = policy.check(&digests, &signatures)?;
    output::print(&format!("oci://{} is signed with {key}\n", reference.at(digests[0])))?;
    Ok(ExitCode::SUCCESS)
}

/// The policy that one of these keys must have signed.
///
/// # Errors
/// When a key cannot be used.
pub(super) fn policy(keys: &[PathBuf], identity: String) -> anyhow::Result<Policy> {
    let keys = keys.iter().map(|path| Ok(PublicKey::parse(path, &file::read(path)?)?));
    Ok(Policy {
        keys: keys.collect::<anyhow::Result<_>>()?,
        identity,
        required: true,
    })
}
