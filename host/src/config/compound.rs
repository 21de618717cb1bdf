//! What values are combined to: lists, mappings from names, alternatives.

use super::document::{Content, Node, NodeId};
use super::error::Mistakes;
use super::shape::{Shape, wanted};
use super::values::plain;
use serde_json::{Value, json};
use std::ops::Deref;

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) id: NodeId,
}

impl<T> Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Shape> Shape for At<T> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        Some(Self {
            value: T::read(node, mistakes)?,
            id: node.id(),
        })
    }

    fn schema() -> Value {
        T::schema()
    }
}

/// A value that may have mistakes of its own, and yet is known to be there.
impl<T: Shape> Shape for Option<T> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        Some(T::read(node, mistakes))
    }

    fn schema() -> Value {
        T::schema()
    }
}

/// A list. What cannot be read is left out; that has been reported.
impl<T: Shape> Shape for Vec<T> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let Content::List(items) = node.content() else {
            return wanted(node, "a list", mistakes);
        };
        Some(
            items
                .iter()
                .filter_map(|id| T::read(node.other(*id), mistakes))
                .collect(),
        )
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }
}

/// A list of at least one value. What cannot be read is left out; that has been reported.
#[derive(Debug)]
pub(super) struct NonEmpty<T>(Vec<T>);

impl<T> Deref for NonEmpty<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Shape> Shape for NonEmpty<T> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        if matches!(node.content(), Content::List(items) if items.is_empty()) {
            mistakes.at(node.id(), "at least one is needed");
        }
        Shape::read(node, mistakes).map(Self)
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema(), "minItems": 1 })
    }
}

/// A list that may be written without brackets when it has one value.
#[derive(Debug)]
pub(super) struct OneOrMore<T>(pub(super) Vec<T>);

impl<T: Shape> Shape for OneOrMore<T> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match node.content() {
            Content::List(_) => Shape::read(node, mistakes).map(Self),
            _ => Some(Self(vec![T::read(node, mistakes)?])),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [T::schema(), Vec::<T>::schema()] })
    }
}

/// Values by name, whatever the names are: who uses them judges those. What cannot be read is left out; that has been reported.
#[derive(Debug)]
pub(super) struct ByName<T>(pub(super) Vec<(At<String>, T)>);

impl<T: Shape> Shape for ByName<T> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let Content::Map(entries) = node.content() else {
            return wanted(node, "a mapping from names to values", mistakes);
        };
        let entries = entries.iter().map(|id| node.other(*id));
        let read = entries.filter_map(|entry| {
            let name = At {
                value: entry.key()?.to_owned(),
                id: entry.id(),
            };
            Some((name, T::read(entry, mistakes)?))
        });
        Some(Self(read.collect()))
    }

    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }
}

/// Values under names of the operator's choice, in the order of the file. A value that cannot be read keeps its name,
/// so that others may refer to it.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) Vec<(At<String>, Option<T>)>);

impl<T> Named<T> {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl<T: Shape> Shape for Named<T> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let Content::Map(entries) = node.content() else {
            return wanted(node, "a mapping from names", mistakes);
        };
        let mut named = Vec::with_capacity(entries.len());
        for entry in entries.iter().map(|id| node.other(*id)) {
            let name = At {
                value: entry.key().unwrap_or_default().to_owned(),
                id: entry.id(),
            };
            if !is_name(&name) {
                mistakes.at_key(
                    name.id,
                    "a name has 1 to 63 letters, digits, - and _ and begins with a letter or digit",
                );
            }
            named.push((name, T::read(entry, mistakes)));
        }
        Some(Self(named))
    }

    fn schema() -> Value {
        json!({ "type": "object", "propertyNames": { "pattern": NAME }, "additionalProperties": T::schema() })
    }
}

/// What [`is_name`] accepts, as a regular expression.
pub(super) const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$";

/// Whether a text is fit for a name in logs, metrics and paths.
pub(super) fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    text.len() <= 63 && text.bytes().all(fits) && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// A value, or `off`.
#[derive(Debug)]
pub(super) enum OrOff<T> {
    On(T),
    Off,
}

impl<T: Shape> Shape for OrOff<T> {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match plain(node) {
            Some("off" | "false") => Some(Self::Off),
            _ => T::read(node, mistakes).map(Self::On),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "enum": ["off", false] }, T::schema()] })
    }
}
