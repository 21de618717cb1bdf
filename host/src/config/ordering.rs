//! How the regions of a service are ordered: its policy, and where round trips are counted from.

use super::compound::At;
use super::document::{Content, Node};
use super::error::Mistakes;
use super::section::section;
use super::shape::Shape;
use super::values::{word, words};
use portolan_core::config::{LatencyFrom, Policy};
use serde_json::{Value, json};

/// A policy: a word, or a mapping with `plugin`, `latency` or `weighted`.
#[derive(Debug)]
pub(super) enum PolicyShape {
    Word(Policy),
    Section(PolicySection),
}

section! {
    /// By a plugin, or by round trips with from.
    PolicySection {
        /// The plugin, by its name in plugins.
        optional plugin: At<String>,
        /// With plugin: the order that the plugin gets, and that is used when it fails.
        optional from: At<From>,
        /// By round trips.
        optional latency: FromSection,
        /// By chance, in proportion to the weights, then by round trips.
        optional weighted: FromSection,
    }
}

section! {
    /// Where round trips are counted from.
    FromSection {
        /// client: estimated by where the client is; for data near its users, and where clients are sent to regions directly.
        /// here: from this instance to each gateway, measured; where all traffic passes through it. Default: client.
        optional from: From,
    }
}

words! {
    /// Where round trips are counted from.
    From {
        /// The client.
        Client = "client",
        /// This instance.
        Here = "here",
    }
}

/// The words, in the order in which they are documented.
const WORDS: [(&str, &Policy); 4] = [
    ("latency", &Policy::Latency),
    ("distance", &Policy::Distance),
    ("priority", &Policy::Priority),
    ("weighted", &Policy::Weighted),
];

impl PolicyShape {
    /// The plugin that it names.
    pub(super) fn plugin(&self) -> Option<&At<String>> {
        match self {
            Self::Word(_) => None,
            Self::Section(section) => section.plugin.as_ref(),
        }
    }

    /// The policy, unless it is a plugin; and where round trips are counted from.
    pub(super) fn built_in(&self) -> (Option<Policy>, LatencyFrom) {
        let section = match self {
            Self::Word(policy) => return (Some(policy.clone()), LatencyFrom::default()),
            Self::Section(section) => section,
        };
        let (policy, from) = match (&section.latency, &section.weighted) {
            (Some(latency), _) => (Some(Policy::Latency), latency.from),
            (None, Some(weighted)) => (Some(Policy::Weighted), weighted.from),
            (None, None) => (None, section.from.map(|from| from.value)),
        };
        let from = match from {
            Some(From::Here) => LatencyFrom::Here,
            Some(From::Client) | None => LatencyFrom::Client,
        };
        (policy, from)
    }
}

impl Shape for PolicyShape {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let Content::Map(entries) = node.content() else {
            let otherwise = "latency, distance, priority, weighted or { plugin: NAME }";
            return Some(Self::Word(word(node, &WORDS, otherwise, mistakes)?.clone()));
        };
        let section = PolicySection::read(node, mistakes)?;
        let kinds = [
            section.plugin.is_some(),
            section.latency.is_some(),
            section.weighted.is_some(),
        ];
        let (kinds, from) = (kinds.iter().filter(|is| **is).count(), section.from);
        if kinds == 0 && entries.len() == usize::from(from.is_some()) {
            mistakes.at(node.id(), "one of plugin, latency, weighted is needed");
        } else if kinds > 1 {
            mistakes.at(node.id(), "only one of plugin, latency, weighted is possible");
        } else if let Some(from) = from.filter(|_| kinds == 1 && section.plugin.is_none()) {
            mistakes.at_key(from.id, "belongs one level deeper: { latency: { from: … } }");
        }
        Some(Self::Section(section))
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "enum": WORDS.map(|(word, _)| word) }, PolicySection::schema()] })
    }
}
