//! The head of a request as gateways get it.
//!
//! It is written straight from what the client sent, once for each attempt: nothing is cloned, removed or inserted in
//! between. Hop-by-hop fields end here, forwarding fields are added.

use super::fields;
use super::replay::Framing;
use crate::message;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Version};
use portolan_core::identity::ClientAddress;

#[cfg(test)]
mod tests;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What the gateway is told of the client's side.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// The peer's address as `X-Forwarded-For` has it.
    pub peer: &'a HeaderValue,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Whether the peer is a trusted proxy, whose own word on the client's side stands.
    pub is_trusted: bool,
    /// Which of the fields about the client's side go on.
    pub policy: &'a ClientAddress,
    /// Random numbers for a trace that begins here.
    pub chance: [u64; 3],
}

/// A checked request and all that a gateway is told with it. Only the gateway's own Host is still missing.
#[derive(Debug)]
pub struct Outbound<'a> {
    request: &'a Parts,
    /// What host the client asked for. Empty when it did not say.
    authority: &'a str,
    forwarding: Forwarding<'a>,
    framing: Framing,
    told: Told<'a>,
    trace: Trace<'a>,
}

/// What the client's fields tell that is not just sent on.
#[derive(Debug, Default)]
struct Told<'a> {
    /// The fields that `Connection` names: they end here (RFC 9110, section 7.6.1). Nearly always none.
    named: Vec<&'a [u8]>,
    /// Whether it reads trailers.
    takes_trailers: bool,
    trace: Option<&'a HeaderValue>,
    /// The first line of `X-Forwarded-For`, and whether there are more.
    stations: Option<&'a HeaderValue>,
    has_more_stations: bool,
    /// Whether there are `X-Forwarded-Host` and `X-Forwarded-Proto`.
    has_host: bool,
    has_scheme: bool,
}

/// `traceparent` (W3C Trace Context, section 3.2).
#[derive(Debug)]
enum Trace<'a> {
    Kept(&'a HeaderValue),
    Begun([u8; 55]),
}

impl<'a> Outbound<'a> {
    /// A request that passed [`message::check`], with the authority found there and this framing of its body.
    pub fn new(request: &'a Parts, authority: &'a str, forwarding: Forwarding<'a>, framing: Framing) -> Self {
        let told = Told::by(&request.headers);
        let trace = match told.trace.filter(|value| is_traceparent(value.as_bytes())) {
            Some(value) => Trace::Kept(value),
            None => Trace::Begun(new_trace(forwarding.chance)),
        };
        Self {
            request,
            authority,
            forwarding,
            framing,
            told,
            trace,
        }
    }

    /// Which method it has.
    pub fn method(&self) -> &Method {
        &self.request.method
    }

    /// Whether the client said what host it asks: in HTTP/1.0 it need not.
    pub(super) fn has_host(&self) -> bool {
        !self.authority.is_empty()
    }

    /// How its body is delimited.
    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// The `traceparent` that goes along.
    pub fn traceparent(&self) -> &[u8] {
        match &self.trace {
            Trace::Kept(value) => value.as_bytes(),
            Trace::Begun(text) => text,
        }
    }

    /// Appends the head, with this Host or else the client's. There has to be one of them: we speak HTTP/1.1.
    pub(super) fn write(&self, to: &mut Vec<u8>, host: Option<&HeaderValue>) {
        self.write_line(to);
        let host = host.map_or(self.authority.as_bytes(), HeaderValue::as_bytes);
        field(to, b"host", host);
        self.write_kept(to);
        self.write_forwarding(to);
        match self.framing {
            Framing::None => {}
            Framing::Length(length) => {
                number(to, b"content-length", length);
            }
            Framing::Chunked => field(to, b"transfer-encoding", b"chunked"),
        }
        to.extend_from_slice(b"\r\n");
    }

    /// The request line, in origin form.
    fn write_line(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.request.method.as_str().as_bytes());
        to.push(b' ');
        let target = self.request.uri.path_and_query().map_or("", |target| target.as_str());
        // An absolute form may have no path, and a query all the same.
        if !target.starts_with('/') {
            to.push(b'/');
        }
        to.extend_from_slice(target.as_bytes());
        to.extend_from_slice(b" HTTP/1.1\r\n");
    }

    /// The client's own fields, but for those that end here or are written anew.
    fn write_kept(&self, to: &mut Vec<u8>) {
        for (name, value) in &self.request.headers {
            if !self.is_dropped(name) {
                field(to, name.as_str().as_bytes(), value.as_bytes());
            }
        }
    }

    fn is_dropped(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        if ends_here(text) {
            return true;
        }
        let Forwarding { is_trusted, policy, .. } = self.forwarding;
        if !policy.passes(text, is_trusted) {
            return true;
        }
        let is_rewritten = match text.as_bytes()[0] {
            b'x' => *name == X_FORWARDED_FOR,
            b't' => match self.trace {
                Trace::Kept(_) => false,
                // A state without its parent means nothing (W3C Trace Context, section 4.3).
                Trace::Begun(_) => *name == TRACEPARENT || *name == TRACESTATE,
            },
            b'm' => *name == header::MAX_FORWARDS && self.request.method == Method::OPTIONS,
            _ => false,
        };
        let mut named = self.told.named.iter();
        is_rewritten || named.any(|named| named.eq_ignore_ascii_case(text.as_bytes()))
    }

    fn write_forwarding(&self, to: &mut Vec<u8>) {
        let Self {
            request,
            forwarding,
            told,
            ..
        } = self;
        if self.has_host() && !(forwarding.is_trusted && told.has_host) {
            field(to, b"x-forwarded-host", self.authority.as_bytes());
        }
        if !(forwarding.is_trusted && told.has_scheme) {
            field(to, b"x-forwarded-proto", forwarding.scheme.as_bytes());
        }
        to.extend_from_slice(b"x-forwarded-for: ");
        let more = told.has_more_stations.then(|| request.headers.get_all(X_FORWARDED_FOR));
        let more = more.into_iter().flat_map(|lines| lines.iter().skip(1));
        for stations in told.stations.into_iter().chain(more).filter(|it| !it.is_empty()) {
            to.extend_from_slice(stations.as_bytes());
            to.extend_from_slice(b", ");
        }
        to.extend_from_slice(forwarding.peer.as_bytes());
        to.extend_from_slice(b"\r\n");
        field(
            to,
            b"via",
            if request.version == Version::HTTP_10 {
                b"1.0 portolan"
            } else {
                b"1.1 portolan"
            },
        );
        if let Trace::Begun(trace) = &self.trace {
            field(to, b"traceparent", trace);
        }
        if told.takes_trailers {
            field(to, b"te", b"trailers");
            field(to, b"connection", b"te");
        }
        if request.method == Method::OPTIONS
            && let Ok(Some(left @ 1..)) = message::max_forwards(&request.headers)
        {
            number(to, b"max-forwards", left - 1);
        }
    }
}

fn field(to: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    to.extend_from_slice(name);
    to.extend_from_slice(b": ");
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}

fn number(to: &mut Vec<u8>, name: &[u8], value: u64) {
    field(to, name, itoa::Buffer::new().format(value).as_bytes());
}

/// Whether a field of a request ends here, or is written anew whatever it says.
fn ends_here(name: &str) -> bool {
    // `Expect` is answered by us, and `Proxy` turns into an environment variable behind some gateways.
    fields::is_hop(name)
        || matches!(
            name,
            "host" | "te" | "expect" | "proxy" | "http2-settings" | "content-length" | "transfer-encoding"
        )
}

impl<'a> Told<'a> {
    /// One pass over all fields costs less than looking up each.
    fn by(headers: &'a HeaderMap) -> Self {
        let mut told = Self::default();
        for (name, value) in headers {
            if *name == header::CONNECTION {
                told.names(value.as_bytes());
            } else if *name == header::TE {
                let mut tokens = fields::tokens(value.as_bytes());
                told.takes_trailers |= tokens.any(|token| token.eq_ignore_ascii_case(b"trailers"));
            } else {
                match name.as_str() {
                    "traceparent" => told.trace = told.trace.or(Some(value)),
                    "x-forwarded-for" if told.stations.is_none() => told.stations = Some(value),
                    "x-forwarded-for" => told.has_more_stations = true,
                    "x-forwarded-host" => told.has_host = true,
                    "x-forwarded-proto" => told.has_scheme = true,
                    _ => {}
                }
            }
        }
        told
    }

    fn names(&mut self, connection: &'a [u8]) {
        if !fields::is_usual_connection(connection) {
            // What stands for the way of the request is not the client's to take away.
            let named = fields::tokens(connection).filter(|token| !is_of_the_way(token));
            self.named.extend(named);
        }
    }
}

fn is_of_the_way(token: &[u8]) -> bool {
    let ours = [
        header::VIA,
        header::FORWARDED,
        X_FORWARDED_FOR,
        X_FORWARDED_HOST,
        X_FORWARDED_PROTO,
        TRACEPARENT,
        TRACESTATE,
    ];
    ours.iter()
        .any(|name| token.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// `version-trace-parent-flags` in lower-case hex, neither id all zeros (W3C Trace Context, section 3.2.2).
fn is_traceparent(value: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |part: &[u8]| is_hex(part) && part.iter().any(|byte| *byte != b'0');
    let Some((head, rest)) = value.split_at_checked(55) else {
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
fn new_trace(chance: [u64; 3]) -> [u8; 55] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    // An id of zeros is invalid.
    let [high, low, parent] = chance.map(|number| number | 1);
    write_hex(&mut text[3..19], high);
    write_hex(&mut text[19..35], low);
    write_hex(&mut text[36..52], parent);
    text
}

fn write_hex(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}
