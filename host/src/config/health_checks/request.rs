//! The parts of a health check's request and of the expected response, as they are written.

use crate::config::document::{Content, Node};
use crate::config::error::Mistakes;
use crate::config::names::ascii_hint;
use crate::config::shape::{Shape, shown, wanted};
use crate::config::values::scalar;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use portolan_core::route::HostPattern;
use serde_json::{Value, json};
use std::ops::RangeInclusive;

/// Path and query.
#[derive(Clone, Debug)]
pub(in crate::config) struct ProbePath(pub(super) String);

impl Shape for ProbePath {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let fits =
            |text: &&str| text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        match scalar(node).filter(fits) {
            Some(path) => Some(Self(path.to_owned())),
            None => wanted(node, "a path that begins with /, such as /healthz", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^/[!\"$-~]*$" })
    }
}

/// The longest name of a service of gRPC in bytes.
const MAX_GRPC_SERVICE: usize = 255;

/// The name of a service of gRPC, or nothing.
#[derive(Clone, Debug)]
pub(in crate::config) struct GrpcService(pub(super) String);

impl Shape for GrpcService {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match scalar(node).filter(|text| text.len() <= MAX_GRPC_SERVICE) {
            Some(name) => Some(Self(name.to_owned())),
            None => wanted(
                node,
                "the name of a service such as shop.v1.Cart, of up to 255 bytes",
                mistakes,
            ),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }
}

/// A value of Host.
#[derive(Clone, Debug)]
pub(in crate::config) struct ProbeHost(pub(super) HeaderValue);

impl Shape for ProbeHost {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let text = scalar(node).unwrap_or_default();
        if let Some(hint) = ascii_hint(text) {
            mistakes.at(node.id(), format!("{hint}, got {}", shown(text)));
            return None;
        }
        match host(text) {
            Some(host) => Some(Self(host)),
            None => wanted(
                node,
                "a host such as shop.example.net or shop.example.net:8080",
                mistakes,
            ),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": r"^([A-Za-z0-9._-]+|\[[^/]*\])(:[0-9]{1,5})?$" })
    }
}

/// `host[:port]`, in lower case and without the final dot of a name.
fn host(text: &str) -> Option<HeaderValue> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    };
    let port = match port {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse::<u16>().ok()?),
        Some(_) => return None,
        None => None,
    };
    match (HostPattern::parse(name).ok()?, port) {
        (HostPattern::Exact(name), None) => HeaderValue::try_from(&*name).ok(),
        (HostPattern::Exact(name), Some(port)) => HeaderValue::try_from(format!("{name}:{port}")).ok(),
        (HostPattern::Below(_) | HostPattern::Any, _) => None,
    }
}

/// Fields that the probe sets itself, or that would change where the request ends.
const RESERVED: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields by their names.
#[derive(Clone, Debug)]
pub(in crate::config) struct ProbeFields(pub(super) HeaderMap);

impl Shape for ProbeFields {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let Content::Map(entries) = node.content() else {
            return wanted(node, "a mapping from the names of fields to their values", mistakes);
        };
        let mut fields = HeaderMap::new();
        for entry in entries.iter().map(|id| node.other(*id)) {
            let key = entry.key().unwrap_or_default();
            let Ok(name) = HeaderName::try_from(key) else {
                mistakes.at_key(entry.id(), format!("{} is no name of a field", shown(key)));
                continue;
            };
            if RESERVED.contains(&name) {
                let instead = if name == header::HOST {
                    ": use health_check.host"
                } else {
                    ""
                };
                mistakes.at_key(entry.id(), format!("{name} is set by the probe{instead}"));
                continue;
            }
            // Its value may be secret, and is not shown.
            match scalar(entry).and_then(|text| HeaderValue::try_from(text).ok()) {
                Some(value) => {
                    if fields.insert(name, value).is_some() {
                        mistakes.at_key(entry.id(), "this field is already set");
                    }
                }
                None => mistakes.at(entry.id(), "wanted a line of text"),
            }
        }
        Some(Self(fields))
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" },
            "additionalProperties": { "anyOf": [{ "type": "string" }, { "type": "number" }, { "type": "boolean" }] },
        })
    }
}

/// Statuses: one, a range, or a class.
#[derive(Clone, Debug)]
pub(in crate::config) struct Statuses(pub(super) RangeInclusive<u16>);

impl Shape for Statuses {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match scalar(node).and_then(statuses) {
            Some(statuses) => Some(Self(statuses)),
            None => wanted(node, "statuses from 200 to 599, such as 200, 200-399 or 2xx", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "type": "integer", "minimum": 200, "maximum": 599 },
                          { "type": "string", "pattern": "^[2-5]([0-9][0-9](-[2-5][0-9][0-9])?|xx)$" }] })
    }
}

fn statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let status = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|status| digits && (200..=599).contains(status))
    };
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class
            .parse()
            .ok()
            .filter(|class| (2..=5).contains(class) && text.len() == 3)?;
        let first = class * 100;
        return Some(first..=first + 99);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = status(first)?..=status(last)?;
    (!range.is_empty()).then_some(range)
}
