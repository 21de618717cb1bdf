//! Requests that ask for another protocol on their connection (RFC 9110, section 7.8), such as WebSocket.
//!
//! A client of HTTP/2 asks by extended CONNECT (RFC 8441); its gateway is asked by `Upgrade`, and the handshake of WebSocket with it is
//! the proxy's own.

use super::interim::Switch;
use super::replay::Framing;
use crate::fields;
use crate::message::ExtendedConnect;
use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{StatusCode, Version, header};
use std::rc::Rc;

/// The protocol of the handshake that is the proxy's own.
const WEBSOCKET: &[u8] = b"websocket";

/// What a server adds to the key before it hashes both (RFC 6455, section 1.3).
const WEBSOCKET_ID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a request asks its gateway to change to.
#[derive(Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The protocols, as they are sent: a list.
    offered: Vec<u8>,
    /// The proxy's own handshake, where the client of HTTP/2 made none.
    own: Option<Handshake>,
}

/// The client's part of a WebSocket handshake, and what the server has to answer.
#[derive(Debug, PartialEq, Eq)]
struct Handshake {
    key: HeaderValue,
    accept: HeaderValue,
}

/// Whether a request of HTTP/1.1 asks for another protocol, as far as its fields say. One with a body is not changed: what comes after
/// it would belong to the other protocol only if the gateway agrees.
pub fn is_asked(request: &Parts, has_body: bool) -> bool {
    let mut connection = request.headers.get_all(header::CONNECTION).iter();
    match request.version {
        Version::HTTP_11 => !has_body && connection.any(|value| names_upgrade(value.as_bytes())),
        Version::HTTP_2 => request.extensions.get::<ExtendedConnect>().is_some(),
        _ => false,
    }
}

/// Whether a value of `Connection` names `Upgrade`.
pub(super) fn names_upgrade(connection: &[u8]) -> bool {
    fields::tokens(connection).any(|token| token.eq_ignore_ascii_case(b"upgrade"))
}

impl Upgrade {
    /// What a request asks for, if anything. `is_named`: whether its `Connection` names `Upgrade`.
    pub(super) fn of(request: &Parts, is_named: bool, framing: Framing) -> Option<Rc<Self>> {
        match request.version {
            Version::HTTP_11 if is_named && matches!(framing, Framing::None | Framing::Length(0)) => {
                Self::asked(&request.headers)
            }
            Version::HTTP_2 if request.extensions.get::<ExtendedConnect>().is_some() => Self::bridged(),
            _ => None,
        }
    }

    fn asked(headers: &HeaderMap) -> Option<Rc<Self>> {
        let mut offered = Vec::new();
        let lines = headers.get_all(UPGRADE).iter();
        for protocol in lines.flat_map(|line| fields::tokens(line.as_bytes())) {
            if !is_protocol(protocol) || ends_here(protocol) {
                continue;
            }
            if !offered.is_empty() {
                offered.extend_from_slice(b", ");
            }
            offered.extend_from_slice(protocol);
        }
        (!offered.is_empty()).then(|| Rc::new(Self { offered, own: None }))
    }

    fn bridged() -> Option<Rc<Self>> {
        Some(Rc::new(Self {
            offered: WEBSOCKET.to_vec(),
            own: Some(Handshake::new()?),
        }))
    }

    /// Whether the client may get a response with this status. To a client of HTTP/2 any success would open a tunnel.
    pub(super) fn permits(&self, status: StatusCode) -> bool {
        self.own.is_none() || !status.is_success()
    }

    /// Whether a field of the client is replaced.
    pub(super) fn replaces(&self, name: &HeaderName) -> bool {
        self.own.is_some() && *name == SEC_WEBSOCKET_KEY
    }

    /// Its fields, but `Connection`.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static [u8], &[u8])> {
        let key = self
            .own
            .as_ref()
            .map(|own| (&b"sec-websocket-key"[..], own.key.as_bytes()));
        [(&b"upgrade"[..], &self.offered[..])].into_iter().chain(key)
    }
}

impl Switch for Upgrade {
    fn agrees(&self, named: &[&[u8]], headers: &mut HeaderMap) -> bool {
        let mut protocols = named.iter().copied().flat_map(fields::tokens).peekable();
        let is_offered = |protocol: &[u8]| fields::tokens(&self.offered).any(|it| it.eq_ignore_ascii_case(protocol));
        if protocols.peek().is_none() || !protocols.all(is_offered) {
            return false;
        }
        if let Some(own) = &self.own {
            let mut accepts = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
            if accepts.next() != Some(&own.accept) || accepts.next().is_some() {
                return false;
            }
            headers.remove(SEC_WEBSOCKET_ACCEPT);
            return true;
        }
        let Ok(protocol) = HeaderValue::from_bytes(&named.join(&b", "[..])) else {
            return false;
        };
        headers.insert(UPGRADE, protocol);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        true
    }
}

impl Handshake {
    /// `None` when the system has no random numbers.
    fn new() -> Option<Self> {
        let mut nonce = [0; 16];
        rand::fill(&mut nonce).ok()?;
        Some(Self::of(BASE64.encode(nonce)))
    }

    fn of(key: String) -> Self {
        let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        hash.update(key.as_bytes());
        hash.update(WEBSOCKET_ID);
        // Base64 is always a header value.
        let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
        Self {
            accept: value(BASE64.encode(hash.finish())),
            key: value(key),
        }
    }
}

/// `protocol-name [ "/" protocol-version ]`, both of them tokens.
fn is_protocol(text: &[u8]) -> bool {
    let is_token = |part: &[u8]| HeaderName::from_bytes(part).is_ok();
    let mut parts = text.splitn(2, |byte| *byte == b'/');
    parts.all(is_token)
}

/// Protocols that the proxy itself would have to speak from then on: HTTP/2 without TLS, other versions of HTTP, TLS (RFC 2817).
fn ends_here(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    let names: [&[u8]; 4] = [b"h2c", b"h2", b"http", b"tls"];
    names.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(version: Version, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::new(());
        *request.version_mut() = version;
        for (name, value) in fields {
            let name = HeaderName::try_from(*name).expect("a name");
            request
                .headers_mut()
                .append(name, HeaderValue::try_from(*value).expect("a value"));
        }
        request.into_parts().0
    }

    fn offered(fields: &[(&str, &str)]) -> Option<String> {
        let asked = Upgrade::of(&parts(Version::HTTP_11, fields), true, Framing::None)?;
        Some(String::from_utf8(asked.offered.clone()).expect("text"))
    }

    #[test]
    fn what_the_proxy_would_have_to_speak_is_not_offered() {
        assert_eq!(offered(&[("upgrade", "WebSocket")]).as_deref(), Some("WebSocket"));
        let several = [
            ("upgrade", "h2c, SPDY/3.1,HTTP/2.0"),
            ("upgrade", "x y,,tls/1.0, my-own/2"),
        ];
        assert_eq!(offered(&several).as_deref(), Some("SPDY/3.1, my-own/2"));
        for none in ["h2c", "TLS/1.2", "H2C, h2", "", "a/b/c", "/", "é"] {
            assert_eq!(offered(&[("upgrade", none)]), None, "{none:?}");
        }
        assert_eq!(offered(&[]), None);
    }

    #[test]
    fn only_http_1_1_without_a_body_asks_by_upgrade() {
        let fields = [("connection", "keep-alive, UPGRADE"), ("upgrade", "websocket")];
        for (version, framing, expected) in [
            (Version::HTTP_11, Framing::None, true),
            (Version::HTTP_11, Framing::Length(0), true),
            (Version::HTTP_11, Framing::Length(1), false),
            (Version::HTTP_11, Framing::Chunked, false),
            (Version::HTTP_10, Framing::None, false),
            (Version::HTTP_2, Framing::None, false),
        ] {
            let request = parts(version, &fields);
            assert_eq!(Upgrade::of(&request, true, framing).is_some(), expected, "{version:?}");
            let has_body = !matches!(framing, Framing::None | Framing::Length(0));
            assert_eq!(is_asked(&request, has_body), expected, "{version:?}");
        }
        let unnamed = parts(Version::HTTP_11, &[("upgrade", "websocket"), ("connection", "close")]);
        assert!(!is_asked(&unnamed, false) && Upgrade::of(&unnamed, false, Framing::None).is_none());
    }

    #[test]
    fn a_gateway_changes_to_what_it_was_asked_for() {
        let request = parts(Version::HTTP_11, &[("upgrade", "websocket, SPDY/3.1")]);
        let asked = Upgrade::of(&request, true, Framing::None).expect("asked");
        for (named, expected) in [
            (&[&b"WebSocket"[..]][..], true),
            (&[b"spdy/3.1"], true),
            (&[b"SPDY/3.1, websocket"], true),
            (&[b"SPDY/3.1", b"websocket"], true),
            (&[b"SPDY"], false),
            (&[b"websocket, other"], false),
            (&[b""], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            assert_eq!(asked.agrees(named, &mut headers), expected, "{named:?}");
            assert_eq!(headers.contains_key(UPGRADE), expected, "{named:?}");
        }
    }

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn the_answer_to_a_handshake_of_our_own_is_checked() {
        let own = Handshake::of("dGhlIHNhbXBsZSBub25jZQ==".to_owned());
        assert_eq!(own.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let accept = own.accept.clone();
        let upgrade = Upgrade {
            offered: WEBSOCKET.to_vec(),
            own: Some(own),
        };
        let wrong = HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOp=");
        for (accepts, expected) in [
            (vec![accept.clone()], true),
            (vec![], false),
            (vec![wrong.clone()], false),
            (vec![accept, wrong], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in &accepts {
                headers.append(SEC_WEBSOCKET_ACCEPT, value.clone());
            }
            assert_eq!(upgrade.agrees(&[b"websocket"], &mut headers), expected, "{accepts:?}");
            assert!(!expected || headers.is_empty(), "{headers:?}");
        }
        let keys = [Upgrade::bridged(), Upgrade::bridged()];
        assert_ne!(keys[0], keys[1]);
    }
}
