//! Hosts as routes have them.

use super::document::Node;
use super::error::Mistakes;
use super::names::ascii_hint;
use super::shape::{Shape, shown, wanted};
use super::values::scalar;
use portolan_core::route::HostPattern;
use serde_json::{Value, json};

/// A host pattern.
#[derive(Clone, Debug)]
pub(super) struct Host(pub(super) HostPattern);

impl Host {
    /// The host, where it is one.
    pub(super) fn exact(&self) -> Option<&str> {
        match &self.0 {
            HostPattern::Exact(host) => Some(host),
            HostPattern::Below(_) | HostPattern::Any => None,
        }
    }
}

impl Shape for Host {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let text = scalar(node);
        if let Some(hint) = text.and_then(ascii_hint) {
            mistakes.at(node.id(), format!("{hint}, got {}", shown(text.unwrap_or_default())));
            return None;
        }
        match text.and_then(|text| HostPattern::parse(text).ok()) {
            Some(host) => Some(Self(host)),
            None => wanted(
                node,
                "a host without port, such as shop.example.net, \"*.example.net\" or \"*\"",
                mistakes,
            ),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": r"^(\*|(\*\.)?[A-Za-z0-9._-]+|\[[^/]*\])$" })
    }
}
