//! What a plugin's file is, for people who look at it: nothing here decides whether it is accepted.

use super::contract::PACKAGE;
use super::error::Problem;
use super::inspect::inspect;
use super::settings::PluginSettings;
use crate::hex;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use wasmparser::{CustomSectionReader, Parser, Payload, ProducersSectionReader};

/// How many names of each kind are listed, and how long each may be: a file may have thousands of megabytes of them.
const NAMES: usize = 100;
const LENGTH: usize = 200;

/// What there is in a file, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Description {
    /// SHA-256 in hexadecimal digits.
    pub digest: String,
    /// In bytes.
    pub size: u64,
    /// The contract it was built for, for example `portolan:routing@0.1.0`.
    pub contract: Option<String>,
    /// What the component imports, at most 100 names.
    pub imports: Vec<String>,
    /// What it exports, at most 100 names.
    pub exports: Vec<String>,
    /// Core modules in it.
    pub modules: u64,
    /// The memory it begins with, in bytes.
    pub memory: u64,
    /// The languages and tools that made it, at most 100.
    pub producers: Vec<String>,
}

/// Judges a file as the loader does before it compiles it. Takes one pass over the file, and no memory beside it.
///
/// # Errors
/// Why it is rejected.
pub fn judge(bytes: &[u8], settings: &PluginSettings) -> Result<(), Problem> {
    settings.check()?;
    inspect(bytes, settings)
}

impl Description {
    /// Describes a file up to where it is damaged.
    pub fn of(bytes: &[u8]) -> Self {
        let mut it = Self {
            digest: hex::digits(&Sha256::digest(bytes)),
            size: bytes.len() as u64,
            ..Self::default()
        };
        let mut producers = BTreeSet::new();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
            match payload {
                Payload::ModuleSection { .. } => {
                    depth += 1;
                    it.modules += 1;
                }
                Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::MemorySection(section) => {
                    let pages = section.into_iter().map_while(Result::ok).map(|memory| memory.initial);
                    it.memory = pages.fold(it.memory, |sum, pages| {
                        sum.saturating_add(pages.saturating_mul(64 << 10))
                    });
                }
                Payload::ComponentImportSection(section) if depth == 0 => {
                    let names = section.into_iter().map_while(Result::ok);
                    add(&mut it.imports, names.map(|import| import.name.name));
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    let names = section.into_iter().map_while(Result::ok);
                    add(&mut it.exports, names.map(|export| export.name.name));
                }
                Payload::CustomSection(section) if section.name() == "producers" => {
                    made_by(&section, &mut producers);
                }
                _ => {}
            }
        }
        it.contract = it.exports.iter().chain(&it.imports).find_map(|name| {
            let (interface, version) = name.split_once('@')?;
            let package = interface.split_once('/').map_or(interface, |(package, _)| package);
            (package == PACKAGE).then(|| format!("{package}@{version}"))
        });
        it.producers = producers.into_iter().collect();
        it
    }
}

fn add<'a>(names: &mut Vec<String>, more: impl Iterator<Item = &'a str>) {
    let room = NAMES - names.len();
    names.extend(more.take(room).map(short));
}

/// The languages and tools in a `producers` section (WebAssembly tool conventions).
fn made_by(section: &CustomSectionReader<'_>, producers: &mut BTreeSet<String>) {
    let Ok(fields) = ProducersSectionReader::new(section.data_reader()) else {
        return;
    };
    for field in fields.into_iter().map_while(Result::ok) {
        for value in field.values.into_iter().map_while(Result::ok) {
            if producers.len() >= NAMES {
                return;
            }
            let space = if value.version.is_empty() { "" } else { " " };
            producers.insert(short(&format!("{}{space}{}", value.name, value.version)));
        }
    }
}

/// A name on one line, cut to a length that fits it.
fn short(name: &str) -> String {
    let clean = name.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::embedded;

    #[test]
    fn an_embedded_plugin_is_described() {
        let it = Description::of(embedded::NEAREST);
        assert_eq!(it.size, embedded::NEAREST.len() as u64);
        assert_eq!(it.digest.len(), 64);
        assert!(
            it.contract
                .as_deref()
                .is_some_and(|it| it.starts_with("portolan:routing@0.")),
            "{it:?}"
        );
        assert!(
            it.exports.iter().any(|name| name.contains("portolan:routing/plugin@")),
            "{it:?}"
        );
        assert!(
            it.producers.iter().any(|name| name.starts_with("wit-bindgen-rust")),
            "{it:?}"
        );
        assert!(it.memory >= 64 << 10 && it.modules > 0, "{it:?}");
        assert_eq!(judge(embedded::NEAREST, &PluginSettings::default()), Ok(()));
    }

    #[test]
    fn what_is_damaged_is_described_as_far_as_it_goes() {
        for end in [0, 4, 8, 100, embedded::NEAREST.len() / 2] {
            let it = Description::of(&embedded::NEAREST[..end]);
            assert_eq!(it.size, end as u64);
        }
        assert_eq!(Description::of(b"\x7fELF and so on").exports, [] as [&str; 0]);
    }
}
