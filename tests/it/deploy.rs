//! What `deploy/` says of the program is what the program does: manifests, alerts, templates for Azure, documentation.
//!
//! `deploy/check.sh` renders the chart, the overlays and the templates, and compares them with what is committed in
//! `deploy/rendered`; these tests hold that against the program.

mod azure;
mod commands;
mod documentation;
mod manifests;
mod metrics;
mod reload;

use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// A path of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder that end so, in order.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Renderings of the chart and of the overlays: the file's name, and the objects.
fn renderings() -> Vec<(String, Vec<Value>)> {
    let paths = files(&repository("deploy/rendered"), ".json").into_iter();
    let named = paths.map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), path));
    let found = named.filter(|(name, _)| name.starts_with("chart-") || name.starts_with("overlay-"));
    let found: Vec<_> = found
        .map(|(name, path)| (name, json(&path)["items"].as_array().expect("a list").clone()))
        .collect();
    assert!(found.len() >= 5, "{found:?}");
    found
}

/// Every member of this name, at any depth.
fn members<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                if key == name {
                    found.push(inner);
                }
                members(inner, name, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|inner| members(inner, name, found)),
        _ => {}
    }
}

/// Checks that the program accepts a command line, given as its words after `portolan`.
fn accepts(words: &[&str]) -> Result<(), String> {
    let arguments = std::iter::once("portolan").chain(words.iter().copied());
    portolan::cli::check_arguments(arguments.map(OsString::from))
}

/// The words of a text that begin so, up to the first character that no metric's name has.
fn words_with<'t>(text: &'t str, begin: &str) -> Vec<&'t str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words.filter(|word| word.starts_with(begin)).collect()
}
