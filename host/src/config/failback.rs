//! What a region that has recovered waits for before it gets traffic again.

use super::compound::At;
use super::document::{Content, Node};
use super::error::Mistakes;
use super::quantities::{H, S, Time};
use super::regions::GatewayUrl;
use super::section::section;
use super::shape::{Shape, shown, wanted};
use super::values::{FilePath, scalar, word, words};
use portolan_core::config::{Failback, Gate, GateCheck, GatewayAddress, Scheme};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

section! {
    /// What a region that was unhealthy waits for before it gets traffic again. While no other region of the service may answer, it gets
    /// requests all the same.
    FailbackSection {
        /// How long it must be healthy without a failed probe. Default: 0s.
        optional hold_down: Time<0, { 24 * H }>,
        /// What opens the way afterwards. operator: the command failback. A check: a URL that answers with 2xx, or that command.
        /// Default: nothing is needed.
        optional gate: GateShape,
    }
}

section! {
    /// A request that something answers which knows more than health checks do.
    GateSection {
        /// The URL, such as http://127.0.0.1:9100/failback/{region}. {region} and {service} stand for their names. With https://, the
        /// certificate must be for its host.
        required url: CheckUrl,
        /// With an https:// URL: a file of the certificate authorities that are trusted, in PEM, instead of the system's. Watched for
        /// changes.
        optional ca: At<FilePath>,
        /// Time from one request to the next, and until one has failed. Default: 5s.
        optional interval: Time<{ S / 10 }, { H }>,
    }
}

words! {
    /// What opens the way.
    GateWord {
        /// The command.
        Operator = "operator",
    }
}

/// `operator` or `{ url: … }`.
#[derive(Debug)]
pub(super) enum GateShape {
    Operator,
    Check(GateSection),
}

impl Shape for GateShape {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        if let Content::Map(_) = node.content() {
            return GateSection::read(node, mistakes).map(Self::Check);
        }
        let words = [("operator", ())];
        word(node, &words, "operator or { url: \"http://…\" }", mistakes).map(|()| Self::Operator)
    }

    fn schema() -> Value {
        json!({ "anyOf": [GateWord::schema(), GateSection::schema()] })
    }
}

/// A URL with a path.
#[derive(Clone, Debug)]
pub(super) struct CheckUrl {
    address: GatewayAddress,
    path: String,
}

impl Shape for CheckUrl {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        const WANTED: &str = "a URL such as http://127.0.0.1:9100/failback/{region}";
        let Some(text) = scalar(node) else {
            return wanted(node, WANTED, mistakes);
        };
        let at = text.find("://").map_or(0, |at| at + 3);
        let (origin, path) = match text[at..].find(['/', '?']) {
            Some(path) => text.split_at(at + path),
            None => (text, "/"),
        };
        let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let address = match GatewayUrl::address(origin) {
            Ok(address) if is_path => address,
            Ok(_) | Err(_) => {
                mistakes.at(node.id(), format!("wanted {WANTED}, got {}", shown(text)));
                return None;
            }
        };
        Some(Self {
            address,
            path: path.to_owned(),
        })
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^https?://[^/?#]+([/?][!\"$-~]*)?$" })
    }
}

impl FailbackSection {
    /// The file of the authorities that are trusted with the gate.
    pub(super) fn gate_ca(&self, folder: &Path, mistakes: &mut Mistakes<'_>) -> Option<PathBuf> {
        let Some(GateShape::Check(GateSection { ca: Some(ca), url, .. })) = &self.gate else {
            return None;
        };
        if url.as_ref().is_some_and(|url| url.address.scheme == Scheme::Http) {
            mistakes.at(
                ca.id,
                "has no effect with an http:// URL: remove it, or ask over https://",
            );
        }
        Some(ca.within(folder))
    }

    pub(super) fn settings(&self) -> Failback {
        const INTERVAL: Duration = Duration::from_secs(5);
        Failback {
            hold_down: self.hold_down.map_or(Duration::ZERO, |time| time.0),
            gate: self.gate.as_ref().and_then(|gate| match gate {
                GateShape::Operator => Some(Gate::Operator),
                GateShape::Check(section) => {
                    // What could not be read is a mistake already.
                    let url = section.url.as_ref()?;
                    Some(Gate::Check(Box::new(GateCheck {
                        address: url.address.clone(),
                        path: url.path.clone(),
                        interval: section.interval.map_or(INTERVAL, |time| time.0),
                    })))
                }
            }),
        }
    }
}
