//! `portolan plugin build`.

mod component;
mod error;
mod languages;
mod rename;
mod tools;

use super::{file, project};
use crate::cli::output::{self, Colour};
use crate::plugin::{PluginSettings, judge};
use anyhow::Context;
use component::Wasi;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to build.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Make a component of this core module instead of building the project in the current folder
    #[arg(long, value_name = "FILE", requires = "out")]
    module: Option<PathBuf>,
    /// Where the component goes; without it, NAME.wasm
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace what a module imports of WASI preview 1 by functions that do nothing
    #[arg(long, requires = "module")]
    no_wasi: bool,
    /// Do not install the project's tools (pip, npm): fail where one is missing
    #[arg(long, conflicts_with = "module")]
    no_install: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (component, out, settings) = match &arguments.module {
        Some(module) => {
            let bytes = file::read(module)?;
            let wasi = if arguments.no_wasi {
                Wasi::Removed
            } else {
                Wasi::Rejected
            };
            let component = component::of(&bytes, component::Text::Utf8, wasi)
                .with_context(|| format!("failed to make a component of {}", module.display()))?;
            (
                component,
                arguments.out.clone().unwrap_or_default(),
                PluginSettings::default(),
            )
        }
        None => {
            let Some(project) = project::current()? else {
                anyhow::bail!("there is no plugin.yaml in this folder: portolan plugin new makes a project");
            };
            let component = languages::build(&project, !arguments.no_install)?;
            let out = arguments.out.clone().unwrap_or_else(|| project::component(&project));
            (component, out, languages::settings(project.language))
        }
    };
    write(&out, &component)?;
    let size = file::size(component.len() as u64);
    Ok(match judge(&component, &settings) {
        Ok(()) => {
            let accepted = output::coloured(Colour::Green, "accepted");
            output::print(&format!("{}: {size}, {accepted}\n", out.display()))?;
            ExitCode::SUCCESS
        }
        Err(problem) => {
            let rejected = output::coloured(Colour::Red, "rejected");
            output::print(&format!("{}: {size}, {rejected}: {problem}\n", out.display()))?;
            ExitCode::FAILURE
        }
    })
}

/// Replaces a file as a whole: a proxy that watches it never sees a part.
fn write(out: &Path, component: &[u8]) -> anyhow::Result<()> {
    let failed = || format!("failed to write {}", out.display());
    let part = out.with_extension("wasm.part");
    fs::write(&part, component).with_context(failed)?;
    fs::rename(&part, out).with_context(failed)
}
