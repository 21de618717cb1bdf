//! `portolan plugin pull`.

use super::registry::{self, RegistryArguments};
use super::verify::policy;
use super::write;
use crate::cli::output;
use crate::oci::{self, Pull, Reference};
use crate::plugin::PluginLimits;
use anyhow::{Context, anyhow};
use std::path::PathBuf;
use std::process::ExitCode;

/// What to pull.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// What: HOST[:PORT]/REPOSITORY with :TAG or @sha256:DIGEST, with or without oci:// in front
    #[arg(value_name = "REF")]
    reference: Reference,
    /// Where to write it; default: the last part of the repository with .wasm in this folder
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A public key, one of which must have signed it, as often as needed; default: signatures are not looked for
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    #[command(flatten)]
    registry: RegistryArguments,
}

/// Pulls a component into a file.
///
/// # Errors
/// When the registry does not give it, or it is not what was asked for.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let reference = &arguments.reference;
    let access = arguments.registry.access(reference)?;
    let policy = match arguments.key.is_empty() {
        true => None,
        false => Some(policy(&arguments.key, reference.identity())?),
    };
    let pull = Pull {
        reference,
        access: &access,
        policy: policy.as_ref(),
        known: None,
        here: None,
        most: PluginLimits::MAX_FILE,
    };
    let pulled = registry::run(reference, oci::pull(&pull));
    let pulled = pulled.with_context(|| format!("failed to pull {reference}"))?;
    let pulled = pulled.ok_or_else(|| anyhow!("failed to pull {reference}"))?;
    let path = arguments.out.clone().unwrap_or_else(|| {
        let name = reference.repository.rsplit('/').next().unwrap_or("plugin");
        PathBuf::from(format!("{name}.wasm"))
    });
    write::replace(&path, &pulled.component)?;
    let signed = pulled.verified.signer.map(|key| format!(", signed with {key}"));
    output::print(&format!(
        "{} ({} bytes) is oci://{}{}\n",
        path.display(),
        pulled.component.len(),
        reference.at(pulled.verified.manifest),
        signed.unwrap_or_default(),
    ))?;
    Ok(ExitCode::SUCCESS)
}
