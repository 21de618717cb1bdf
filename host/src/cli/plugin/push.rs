//! `portolan plugin push`.

use super::file;
use super::registry::{self, RegistryArguments};
use crate::cli::output;
use crate::oci::{self, Reference};
use crate::plugin::PluginLimits;
use anyhow::{Context, bail};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to push.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to: HOST[:PORT]/REPOSITORY:TAG, with or without oci:// in front
    #[arg(value_name = "REF")]
    reference: Reference,
    #[command(flatten)]
    registry: RegistryArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Pushes a file.
///
/// # Errors
/// When the file is not a component, or the registry does not take it.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let reference = &arguments.reference;
    let component = file::read(&arguments.file)?;
    if component.len() as u64 > PluginLimits::MAX_FILE {
        let most = PluginLimits::MAX_FILE;
        bail!(
            "{} has more than {most} bytes: no proxy would load it",
            arguments.file.display()
        );
    }
    let access = arguments.registry.access(reference)?;
    let pushed = registry::run(reference, oci::push(component.into(), reference, &access));
    let pushed = pushed.with_context(|| format!("failed to push {}", arguments.file.display()))?;
    let by_digest = format!("oci://{}", reference.at(pushed.manifest));
    if arguments.json {
        let component = pushed.component.to_string();
        output::print_json(&json!({ "reference": by_digest, "component": component }))?;
    } else {
        output::print(&format!("{by_digest}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
