//! What becomes of a message's fields on its way through: hop-by-hop fields end here, forwarding fields are added.
//!
//! Header maps are edited in place.

use crate::message;
use arrayvec::ArrayVec;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Uri, Version};

#[cfg(test)]
mod tests;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Fields of the client's side that only a trusted proxy before us may set: ours, Azure's and Front Door's.
const RESERVED: [&str; 3] = ["x-portolan-", "x-azure-", "x-fd-"];

/// What the gateway is told of the client's side.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// The peer's address as `X-Forwarded-For` has it.
    pub peer: &'a HeaderValue,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Whether the peer is a trusted proxy, whose own word on the client's side stands.
    pub is_trusted: bool,
    /// Random numbers for a trace that begins here.
    pub chance: [u64; 3],
}

/// Makes a checked request ready for any gateway; only its own Host is still missing. See [`message::check`].
pub fn prepare_request(request: &mut Parts, forwarding: &Forwarding<'_>) {
    to_origin_form(request);
    let headers = &mut request.headers;
    end_hop(headers, |name| {
        is_hop_of_request(name) || !forwarding.is_trusted && is_reserved(name)
    });
    if let Some(host) = headers.get(header::HOST)
        && !(forwarding.is_trusted && headers.contains_key(X_FORWARDED_HOST))
    {
        let host = host.clone();
        headers.insert(X_FORWARDED_HOST, host);
    }
    if !(forwarding.is_trusted && headers.contains_key(X_FORWARDED_PROTO)) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(forwarding.scheme));
    }
    let forwarded_for = appended(headers, forwarding.peer);
    headers.insert(X_FORWARDED_FOR, forwarded_for);
    let received = if request.version == Version::HTTP_10 {
        "1.0 portolan"
    } else {
        "1.1 portolan"
    };
    headers.append(header::VIA, HeaderValue::from_static(received));
    if !headers
        .get(TRACEPARENT)
        .is_some_and(|value| is_traceparent(value.as_bytes()))
    {
        // A state without its parent means nothing (W3C Trace Context, section 4.3).
        headers.remove(TRACESTATE);
        headers.insert(TRACEPARENT, new_trace(forwarding.chance));
    }
    if request.method == Method::OPTIONS
        && let Ok(Some(left @ 1..)) = message::max_forwards(headers)
    {
        headers.insert(header::MAX_FORWARDS, HeaderValue::from(left - 1));
    }
    request.version = Version::HTTP_11;
}

/// Whether a gateway's response can be sent on. Its framing must leave no doubt (RFC 9112, section 6.3), and it must
/// not switch protocols, which nobody asked for.
pub(super) fn is_sound_response(response: &http::response::Parts) -> bool {
    let mut codings = response.headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_framed = match codings.next() {
        None => true,
        Some(coding) => {
            coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
                && codings.next().is_none()
                && !response.headers.contains_key(header::CONTENT_LENGTH)
        }
    };
    is_framed && !response.status.is_informational()
}

/// Makes a gateway's response ready for the client. `length` is that of its body, where it is known.
pub(super) fn prepare_response(response: &mut http::response::Parts, length: Option<u64>) {
    end_hop(&mut response.headers, is_hop_of_response);
    let mut lengths = response.headers.get_all(header::CONTENT_LENGTH).iter();
    let is_plain = |value: &HeaderValue| value.as_bytes().iter().all(u8::is_ascii_digit);
    if let Some(first) = lengths.next()
        && (lengths.next().is_some() || !is_plain(first))
    {
        // The same length said twice; hyper made sure of that.
        match length {
            Some(length) => response
                .headers
                .insert(header::CONTENT_LENGTH, HeaderValue::from(length)),
            None => response.headers.remove(header::CONTENT_LENGTH),
        };
    }
    response.version = Version::HTTP_11;
}

/// An absolute form becomes a path, and its authority wins over Host (RFC 9112, section 3.2.2).
fn to_origin_form(request: &mut Parts) {
    let Some(authority) = request.uri.authority() else {
        return;
    };
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        request.headers.insert(header::HOST, host);
    }
    let path = request.uri.path_and_query().cloned();
    request.uri = path.map_or(Uri::from_static("/"), Uri::from);
}

/// Removes the fields that end here: those named so, and those that `Connection` names (RFC 9110, section 7.6.1).
fn end_hop(headers: &mut HeaderMap, ends_here: impl Fn(&str) -> bool) {
    let mut takes_trailers = false;
    loop {
        let ending = headers.keys().filter(|name| ends_here(name.as_str())).take(8);
        let ending: ArrayVec<HeaderName, 8> = ending.cloned().collect();
        if ending.is_empty() {
            break;
        }
        for name in ending {
            if name == header::CONNECTION {
                remove_named(headers);
            } else if name == header::TE {
                takes_trailers = headers
                    .get_all(header::TE)
                    .iter()
                    .any(|value| tokens(value).any(is("trailers")));
            }
            headers.remove(name);
        }
    }
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
}

fn remove_named(headers: &mut HeaderMap) {
    let is_usual = |value: &HeaderValue| matches!(value.as_bytes(), b"keep-alive" | b"close" | b"Keep-Alive");
    let mut values = headers.get_all(header::CONNECTION).iter();
    if values.next().is_some_and(is_usual) && values.next().is_none() {
        return;
    }
    let values: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    for name in values.iter().flat_map(tokens) {
        // Whatever a client writes here: these belong to the message, or are looked at on their own.
        let stays = ["host", "content-length", "transfer-encoding", "te"]
            .iter()
            .any(|kept| is(kept)(name));
        if !stays {
            headers.remove(name);
        }
    }
}

fn is_hop_of_request(name: &str) -> bool {
    // `Expect` is answered by us, and `Proxy` turns into an environment variable behind some gateways.
    is_hop(name) || matches!(name, "te" | "expect" | "proxy" | "http2-settings")
}

fn is_hop_of_response(name: &str) -> bool {
    is_hop(name) || name == "transfer-encoding"
}

fn is_hop(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "proxy-connection" | "upgrade")
}

fn is_reserved(name: &str) -> bool {
    name.starts_with("x-") && RESERVED.iter().any(|prefix| name.starts_with(prefix))
}

/// The elements of a list of tokens.
fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let text = value.to_str().unwrap_or_default();
    text.split(',').map(str::trim).filter(|token| !token.is_empty())
}

fn is(expected: &str) -> impl Fn(&str) -> bool {
    move |token| token.eq_ignore_ascii_case(expected)
}

/// The way so far, and the peer as its last station.
fn appended(headers: &HeaderMap, peer: &HeaderValue) -> HeaderValue {
    let mut so_far = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .filter(|value| !value.is_empty())
        .peekable();
    if so_far.peek().is_none() {
        return peer.clone();
    }
    let mut way = Vec::with_capacity(128);
    for value in so_far {
        way.extend_from_slice(value.as_bytes());
        way.extend_from_slice(b", ");
    }
    way.extend_from_slice(peer.as_bytes());
    // Values put together from values.
    HeaderValue::try_from(way).unwrap_or_else(|_| peer.clone())
}

/// `version-trace-parent-flags` in lower-case hex, neither id all zeros (W3C Trace Context, section 3.2.2).
fn is_traceparent(value: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |part: &[u8]| is_hex(part) && part.iter().any(|byte| *byte != b'0');
    let (Some((head, rest)), [.., _]) = (value.split_at_checked(55), value) else {
        return false;
    };
    let well_formed = is_hex(&head[..2])
        && head[2] == b'-'
        && is_id(&head[3..35])
        && head[35] == b'-'
        && is_id(&head[36..52])
        && head[52] == b'-'
        && is_hex(&head[53..]);
    // Later versions may append; version ff is forbidden.
    well_formed && &head[..2] != b"ff" && (rest.is_empty() || &head[..2] != b"00" && rest[0] == b'-')
}

/// A trace that begins here, not sampled.
fn new_trace(chance: [u64; 3]) -> HeaderValue {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    // An id of zeros is invalid.
    let [high, low, parent] = chance.map(|number| number | 1);
    write_hex(&mut text[3..19], high);
    write_hex(&mut text[19..35], low);
    write_hex(&mut text[36..52], parent);
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""))
}

fn write_hex(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}
