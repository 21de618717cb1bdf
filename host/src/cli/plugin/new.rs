//! `portolan plugin new`.

mod templates;

use super::project;
use crate::cli::output;
use crate::config::PluginLanguage;
use anyhow::{Context, bail};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use templates::{Template, files};

/// The project to make.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Its name, and that of its folder: a letter, then letters, digits and -, in lower case
    #[arg(value_name = "NAME")]
    name: String,
    /// The language it is written in
    #[arg(long, value_name = "LANGUAGE")]
    lang: Language,
}

/// A language on the command line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(in crate::cli) enum Language {
    Rust,
    Js,
    Python,
    Go,
    C,
    Zig,
    #[value(name = "assemblyscript")]
    AssemblyScript,
}

impl From<Language> for PluginLanguage {
    fn from(language: Language) -> Self {
        match language {
            Language::Rust => Self::Rust,
            Language::Js => Self::JavaScript,
            Language::Python => Self::Python,
            Language::Go => Self::Go,
            Language::C => Self::C,
            Language::Zig => Self::Zig,
            Language::AssemblyScript => Self::AssemblyScript,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let name = arguments.name.as_str();
    if !is_name(name) {
        bail!("a plugin's name is a letter, then letters, digits and - in lower case, at most 40: not {name:?}");
    }
    let folder = PathBuf::from(name);
    // Fails where there is something: nothing is replaced.
    fs::create_dir(&folder).with_context(|| format!("failed to make the folder {name}"))?;
    let template = Template {
        name,
        language: arguments.lang.into(),
    };
    for (path, text) in files(&template) {
        let path = folder.join(path);
        let failed = || format!("failed to write {}", path.display());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(failed)?;
        }
        fs::write(&path, text).with_context(failed)?;
    }
    output::print(&format!(
        "{name}: a plugin in {}. Next:\n  cd {name}\n  portolan plugin build\n  portolan plugin test\n{name}/README.md \
         and {name}/{} say more.\n",
        template.language_name(),
        project::FILE,
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether a name is one in every language and file system.
fn is_name(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=40).contains(&name.len())
        && name.bytes().all(sound)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_every_language() {
        for name in ["a", "canary-by-header", "x2"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "2x",
            "-a",
            "a-",
            "A",
            "a_b",
            "a/b",
            "..",
            "a b",
            "é",
            &"a".repeat(41),
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
