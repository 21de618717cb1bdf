//! Reports the mistakes that the publisher's settings find, at their place in the file.

use crate::config::document::{Content, Node, NodeId};
use crate::config::error::Mistakes;
use crate::config::suggest;
use crate::config::values::scalar;
use portolan_azure::settings::Settings;

/// Reports all mistakes and warnings of the settings made from this section, except for values that could not be read and
/// have their default in the settings.
pub(super) fn report(settings: &Settings, section: NodeId, mistakes: &mut Mistakes<'_>) {
    let found = settings.check().into_iter().map(|mistake| {
        let (place, rest) = find(mistakes.node(section), &as_written(&mistake.path));
        let blank = if rest.is_empty() { "" } else { " " };
        (place, format!("{rest}{blank}{}", mistake.message))
    });
    let is_new = |place: &NodeId| *place == section || !mistakes.has_below(*place);
    let found: Vec<_> = found.filter(|(place, _)| is_new(place)).collect();
    for (place, message) in found {
        mistakes.at(place, message);
    }
    for warning in settings.warnings() {
        mistakes.warn(section, warning);
    }
}

/// The path in the file where the settings use another.
fn as_written(path: &str) -> String {
    match path {
        "min_active" => "caps.min_active".into(),
        "store.access" => "store.container".into(),
        "standard.profile" => "profile.name".into(),
        "classic.front_door" => "classic.name".into(),
        _ => match path.strip_prefix("standard.") {
            Some(rest) => format!("profile.{rest}"),
            None => path.into(),
        },
    }
}

/// Follows a path as far as the file has it; returns the missing rest.
fn find(section: Node<'_>, path: &str) -> (NodeId, String) {
    let mut at = section;
    let mut keys = path.split('.');
    while let Some(key) = keys.next() {
        match child(at, key) {
            Some(next) => at = next,
            None => {
                let rest: Vec<_> = std::iter::once(key).chain(keys).collect();
                return (at.id(), rest.join("."));
            }
        }
    }
    (at.id(), String::new())
}

/// The value of a key, also of one that was misspelt; in a list, the last item for a region.
fn child<'a>(of: Node<'a>, key: &str) -> Option<Node<'a>> {
    match of.content() {
        Content::Map(entries) => {
            let entries: Vec<_> = entries.iter().map(|id| of.other(*id)).collect();
            let exact = entries.iter().find(|entry| entry.key() == Some(key));
            let closest = || {
                let meant = suggest::closest(key, entries.iter().filter_map(|entry| entry.key()));
                entries.iter().find(|entry| entry.key() == meant)
            };
            exact.or_else(closest).copied()
        }
        Content::List(items) => items.iter().rev().map(|id| of.other(*id)).find(|item| {
            let region = child(*item, "region");
            region.and_then(scalar) == Some(key)
        }),
        Content::Scalar { .. } | Content::Broken => None,
    }
}
