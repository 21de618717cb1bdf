//! What a route changes of the fields of requests and responses.

use super::compound::{At, ByName, OneOrMore};
use super::document::Node;
use super::error::Mistakes;
use super::section::section;
use super::shape::{Shape, all, shown};
use http::{HeaderName, HeaderValue};
use portolan_core::identity::fields::{FieldKind, kind};
use portolan_core::route::HeaderChanges;
use serde_json::Value;
use std::collections::HashMap;

section! {
    /// Changes of fields. A name is in one of set, add and remove.
    HeaderChangesSection {
        /// Fields and the one value that they have then, whatever there was before.
        optional set: Option<ByName<FieldValue>>,
        /// Fields that are added to those of the same name.
        optional add: Option<ByName<FieldValue>>,
        /// Names of fields that are removed.
        optional remove: Option<OneOrMore<At<String>>>,
    }
}

/// Which fields are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Request,
    Response,
}

impl HeaderChangesSection {
    /// The changes. `None` only when something has been reported.
    pub(super) fn settings(&self, direction: Direction, mistakes: &mut Mistakes<'_>) -> Option<HeaderChanges> {
        if self.set.is_none() && self.add.is_none() && self.remove.is_none() {
            mistakes.at(self.at, "wanted set, add, remove, or several of them");
        }
        let mut seen = HashMap::new();
        let mut name = |name: &At<String>, is_key: bool, mistakes: &mut Mistakes<'_>| {
            let mut report = |message: String| match is_key {
                true => mistakes.at_key(name.id, message),
                false => mistakes.at(name.id, message),
            };
            let Ok(field) = HeaderName::try_from(name.as_str()) else {
                report(format!("{} is not the name of a field", shown(name)));
                return None;
            };
            if let Some(why) = reserved(field.as_str(), direction) {
                report(format!("{field} cannot be changed: {why}"));
                return None;
            }
            if seen.insert(field.clone(), name.id).is_some() {
                report(format!("{field} is in set, add or remove already"));
                return None;
            }
            Some(field)
        };
        let mut values = |values: &Option<Option<ByName<FieldValue>>>, mistakes: &mut Mistakes<'_>| {
            let values = values.iter().flatten().flat_map(|values| &values.0);
            all(values.map(|(field, value)| Some((name(field, true, mistakes)?, value.0.clone()))))
        };
        let (set, add) = (values(&self.set, mistakes), values(&self.add, mistakes));
        let remove = self.remove.iter().flatten().flat_map(|names| &names.0);
        let remove = all(remove.map(|field| name(field, false, mistakes)));
        Some(HeaderChanges {
            set: set?.into(),
            add: add?.into(),
            remove: remove?.into(),
        })
    }
}

/// Why a field, by its name in lower case, is not a route's to change.
fn reserved(name: &str, direction: Direction) -> Option<&'static str> {
    match name {
        "connection" | "keep-alive" | "proxy-connection" | "upgrade" | "te" | "trailer" | "http2-settings" => {
            return Some("it is for one connection (RFC 9110, section 7.6.1)");
        }
        "via" => return Some("it shows which proxies a message has passed"),
        name if name.starts_with("sec-websocket-") => return Some("client and gateway agree by it on a WebSocket"),
        _ => {}
    }
    if direction == Direction::Request {
        match name {
            "host" => return Some("preserve_host and the gateway's name decide what gateways see"),
            "expect" | "max-forwards" => return Some("it is for the next proxy, which this one is"),
            "x-request-id" | "traceparent" | "tracestate" => return Some("it tells which request and trace this is"),
            "proxy" => return Some("gateways may take it for an environment variable (httpoxy)"),
            _ => {}
        }
    }
    match (kind(name).0, direction) {
        (FieldKind::Framing, _) => Some("it delimits the body"),
        (FieldKind::Portolan, _) => Some("Portolan sets it"),
        (FieldKind::Other, _) | (_, Direction::Response) => None,
        (_, Direction::Request) => Some("it says who the client is, which client_address decides"),
    }
}

/// The value of a field.
#[derive(Debug)]
pub(super) struct FieldValue(HeaderValue);

impl Shape for FieldValue {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let value = String::read(node, mistakes)?;
        match HeaderValue::from_str(&value).ok().filter(|_| value.trim() == value) {
            Some(value) => Some(Self(value)),
            None => {
                let message = "a value is visible ASCII with blanks only inside";
                mistakes.at(node.id(), format!("{message}, got {}", shown(&value)));
                None
            }
        }
    }

    fn schema() -> Value {
        String::schema()
    }
}
