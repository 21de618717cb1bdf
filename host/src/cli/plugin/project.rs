//! A plugin project: the folder that `portolan plugin new` makes.

use super::suite::CASES;
use crate::config::{PluginProject, plugin_project};
use anyhow::Context;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The project's file.
pub(super) const FILE: &str = "plugin.yaml";

/// The project in the current folder; `None` where there is none.
///
/// # Errors
/// When its file cannot be read, or has mistakes.
pub(super) fn current() -> anyhow::Result<Option<PluginProject>> {
    match fs::read_to_string(FILE) {
        Ok(text) => Ok(Some(plugin_project(&text, Path::new(FILE))?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("failed to read plugin.yaml"),
    }
}

/// The plugin that a command is about: the file that it names, else that of the project.
///
/// # Errors
/// When neither is there.
pub(super) fn plugin_file(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(file) = named {
        return Ok(file.to_owned());
    }
    let Some(project) = current()? else {
        anyhow::bail!(
            "there is no plugin.yaml in this folder: name the plugin's file, or change to a project's folder"
        );
    };
    let file = component(&project);
    if !file.exists() {
        anyhow::bail!("{} is not there yet: run portolan plugin build", file.display());
    }
    Ok(file)
}

/// The file with the cases.
pub(super) fn cases_file(named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| CASES.into(), Path::to_owned)
}

/// The component that a project builds.
pub(super) fn component(project: &PluginProject) -> PathBuf {
    format!("{}.wasm", project.name).into()
}
