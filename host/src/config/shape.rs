//! What values of the configuration look like: how they are read, and how the JSON Schema describes them.
//!
//! Both come from one declaration, so they cannot drift apart. A section of the file is declared with
//! [`section!`](super::section::section): its keys, which of them are required, and what they mean.

use super::document::{Content, Node};
use super::error::Mistakes;
pub(super) use super::error::shown;
use super::suggest;
use serde_json::Value;

/// Something that is written in a configuration file.
pub(super) trait Shape: Sized {
    /// Reads it. `None` when it cannot be read, which has been reported then.
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self>;

    /// Its JSON Schema. Everything that can be read agrees with it.
    fn schema() -> Value;
}

/// The values of a section by their keys.
pub(super) struct Fields<'a> {
    section: Node<'a>,
    found: Vec<(&'a str, Node<'a>)>,
}

impl<'a> Fields<'a> {
    /// Takes a section apart and reports the keys it does not have. A misspelt key is reported, and counts as the one
    /// that was probably meant: so its value is checked as well, and no key is reported as missing.
    pub(super) fn of(section: Node<'a>, keys: &[&'a str], mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let Content::Map(entries) = section.content() else {
            let shown: Vec<_> = keys.iter().take(4).copied().collect();
            let rest = if keys.len() > shown.len() { ", …" } else { "" };
            return wanted(
                section,
                &format!("a mapping with keys such as {}{rest}", shown.join(", ")),
                mistakes,
            );
        };
        let (mut found, mut unknown) = (Vec::new(), Vec::new());
        for node in entries.iter().map(|id| section.other(*id)) {
            match keys.iter().find(|key| node.key() == Some(**key)) {
                Some(key) => found.push((*key, node)),
                None => unknown.push(node),
            }
        }
        for node in unknown {
            let free = keys
                .iter()
                .copied()
                .filter(|key| found.iter().all(|(taken, _)| taken != key));
            match suggest::closest(node.key().unwrap_or_default(), free) {
                Some(meant) => {
                    mistakes.at_key(node.id(), format!("unknown key — did you mean {meant}?"));
                    found.push((meant, node));
                }
                None if matches!(node.content(), Content::Broken) => {}
                None => mistakes.at_key(node.id(), format!("unknown key — possible here: {}", keys.join(", "))),
            }
        }
        Some(Self { section, found })
    }

    /// The value of a key that may be left out.
    pub(super) fn optional<T: Shape>(&mut self, key: &str, mistakes: &mut Mistakes<'_>) -> Option<T> {
        let (_, node) = self.found.iter().find(|(found, _)| *found == key)?;
        T::read(*node, mistakes)
    }

    /// The value of a key that must be there.
    pub(super) fn required<T: Shape>(&mut self, key: &str, mistakes: &mut Mistakes<'_>) -> Option<T> {
        if self.found.iter().all(|(found, _)| *found != key) {
            mistakes.at(self.section.id(), format!("{key} is missing"));
        }
        self.optional(key, mistakes)
    }
}

/// Reports that a value is not what it should be.
pub(super) fn wanted<T>(node: Node<'_>, what: &str, mistakes: &mut Mistakes<'_>) -> Option<T> {
    let got = match node.content() {
        Content::Broken => return None,
        Content::Scalar { text, plain: true } if text.is_empty() => "nothing".into(),
        Content::Scalar { text, plain: true } if is_nothing(text) => {
            format!("{text}, which is no value: put it in quotes if the word is meant")
        }
        Content::Scalar { text, .. } => shown(text),
        Content::List(_) => "a list".into(),
        Content::Map(_) => "a mapping".into(),
    };
    mistakes.at(node.id(), format!("wanted {what}, got {got}"));
    None
}

/// All of what came about, when all of it did. Every one is looked at, also after one that is missing.
pub(super) fn all<T>(parts: impl IntoIterator<Item = Option<T>>) -> Option<Vec<T>> {
    let parts: Vec<_> = parts.into_iter().collect();
    parts.into_iter().collect()
}

/// Whether a plain scalar is no value at all.
pub(super) fn is_nothing(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}
