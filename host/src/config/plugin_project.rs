//! The file of a plugin project, `plugin.yaml`.

use super::compound::At;
use super::compound::is_name;
use super::document::Document;
use super::error::{ConfigErrors, Mistake, Mistakes};
use super::section::section;
use super::shape::Shape;
use super::values::words;
use std::path::Path;

section! {
    /// A plugin project.
    ProjectFile {
        /// The name of the plugin, and of its file without .wasm.
        required name: At<String>,
        /// The language it is written in: rust, js, python, go, c, zig, assemblyscript.
        required language: LanguageWord,
    }
}

words! {
    /// A language.
    LanguageWord {
        /// Rust.
        Rust = "rust",
        /// JavaScript.
        Js = "js",
        /// Python.
        Python = "python",
        /// Go.
        Go = "go",
        /// C.
        C = "c",
        /// Zig.
        Zig = "zig",
        /// AssemblyScript.
        AssemblyScript = "assemblyscript",
    }
}

/// The language of a plugin project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are called so")]
pub enum PluginLanguage {
    Rust,
    JavaScript,
    Python,
    Go,
    C,
    Zig,
    AssemblyScript,
}

/// A plugin project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginProject {
    /// The plugin's name.
    pub name: String,
    /// Its language.
    pub language: PluginLanguage,
}

/// Reads the file of a project.
///
/// # Errors
/// All its mistakes.
pub fn plugin_project(text: &str, file: &Path) -> Result<PluginProject, ConfigErrors> {
    let document = Document::parse(text, false).map_err(|error| ConfigErrors {
        file: file.to_owned(),
        mistakes: vec![Mistake::from(error)],
        more: 0,
    })?;
    let mut mistakes = Mistakes::of(&document);
    let project = ProjectFile::read(document.root(), &mut mistakes).and_then(|file| {
        let name = file.name?;
        if !is_name(&name) {
            mistakes.at(
                name.id,
                "a name has 1 to 63 letters, digits, - and _ and begins with a letter or digit",
            );
        }
        let language = match file.language? {
            LanguageWord::Rust => PluginLanguage::Rust,
            LanguageWord::Js => PluginLanguage::JavaScript,
            LanguageWord::Python => PluginLanguage::Python,
            LanguageWord::Go => PluginLanguage::Go,
            LanguageWord::C => PluginLanguage::C,
            LanguageWord::Zig => PluginLanguage::Zig,
            LanguageWord::AssemblyScript => PluginLanguage::AssemblyScript,
        };
        Some(PluginProject {
            name: name.value,
            language,
        })
    });
    mistakes.into_warnings(file)?;
    project.ok_or_else(|| ConfigErrors::whole(file, "does not hold together"))
}
