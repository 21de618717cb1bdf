//! The head of a gateway's response: parsed, validated, and stripped of hop-by-hop fields, in one pass.
//!
//! Its framing must be unambiguous (RFC 9112, section 6.3): a head that another recipient might frame differently is
//! malformed.

use crate::fields::{self, ResponseField};
use crate::upstream::head::{Ends, Expected, Head, MAX_HEAD, MAX_INTERIM};
use crate::upstream::interim::Switch;
use crate::upstream::malformed::Malformed;
use arrayvec::ArrayVec;
use bytes::{Buf, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use httparse::Status;
use hyper::ext::ReasonPhrase;
use passed::Passed;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::rc::{Rc, Weak};
use std::time::Duration;

mod passed;
#[cfg(test)]
mod tests;

/// Most fields of a head.
const MAX_FIELDS: usize = 256;

/// How many fields there is room for at once: as many as a browser's request has.
const USUAL_FIELDS: usize = 24;

/// The next head in what was read, if it is all there. It answers a request of this method. Interim responses before it are
/// counted, and passed on or dropped.
pub(in crate::upstream) fn parse(
    read: &mut BytesMut,
    method: &Method,
    expected: &mut Expected,
) -> Result<Option<Head>, Malformed> {
    loop {
        match read.first() {
            // Asked before anything came, as for every response.
            None => return Ok(None),
            Some(b'H') => {}
            // The parser would pass over empty lines, which only servers may do (RFC 9112, section 2.2).
            Some(_) => return Err(Malformed::Syntax(httparse::Error::Version)),
        }
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let parsed = config.parse_response_with_uninit_headers(&mut response, read, &mut fields);
        let (Status::Complete(length), Some(code), Some(version)) = (parsed?, response.code, response.version) else {
            return if read.len() < MAX_HEAD {
                Ok(None)
            } else {
                Err(Malformed::TooLarge)
            };
        };
        if length > MAX_HEAD {
            return Err(Malformed::TooLarge);
        }
        let names = response.headers.iter().map(|field| field.name.as_bytes());
        if !fields::are_lines(&read[..length], names.map(|name| fields::place(read, name).0)) {
            return Err(Malformed::LineEnd);
        }
        match code {
            101 => return switched(read.split_to(length).freeze(), version, method, expected.upgrade.take()).map(Some),
            100..=199 if expected.interims == MAX_INTERIM => return Err(Malformed::Interim),
            // Some clients take one for the response (RFC 9110, section 15.2). 100 is for the proxy itself, which expects none.
            100..=199 => {
                expected.interims += 1;
                match expected
                    .interim
                    .as_ref()
                    .and_then(Weak::upgrade)
                    .filter(|_| code != 100)
                {
                    None => read.advance(length),
                    Some(to) => {
                        let mut places = ArrayVec::<Place, MAX_FIELDS>::new();
                        places.extend(response.headers.iter().map(|field| Place::of(field, read)));
                        let status = StatusCode::from_u16(code).map_err(|_| httparse::Error::Status)?;
                        let head = read.split_to(length).freeze();
                        let mut head = head_of(status, version, &head, &places, method)?;
                        head.headers.remove(header::CONTENT_LENGTH);
                        to.pass(status, &head.headers);
                    }
                }
            }
            // Those above 599 are invalid (RFC 9110, section 15), and in use: clients take them for 5xx.
            ..100 | 1000.. => return Err(Malformed::Syntax(httparse::Error::Status)),
            _ => {
                let status = StatusCode::from_u16(code).map_err(|_| httparse::Error::Status)?;
                if expected.as_lines
                    && !is_bodiless(method, status)
                    && let Some(passed) = Passed::of(response.headers, &read[..length], version)?
                {
                    return Ok(Some(passed.head(status, read.split_to(length).freeze())));
                }
                let mut places = ArrayVec::<Place, MAX_FIELDS>::new();
                places.extend(response.headers.iter().map(|field| Place::of(field, read)));
                let head = read.split_to(length).freeze();
                return head_of(status, version, &head, &places, method).map(Some);
            }
        }
    }
}

/// The head of a 101.
#[cold]
fn switched(head: Bytes, version: u8, method: &Method, upgrade: Option<Rc<dyn Switch>>) -> Result<Head, Malformed> {
    // Not in HTTP/1.0 (RFC 9110, section 7.8).
    let upgrade = upgrade.filter(|_| version == 1).ok_or(Malformed::Switching)?;
    // Parsed once more: it is rare, and what was parsed before refers to memory that has been taken over since.
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, &head, &mut fields)?;
    let places: ArrayVec<Place, MAX_FIELDS> = response.headers.iter().map(|field| Place::of(field, &head)).collect();
    let is_upgrade = |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case("upgrade");
    let named: Vec<&[u8]> = response
        .headers
        .iter()
        .filter(is_upgrade)
        .map(|field| field.value)
        .collect();
    let mut switched = head_of(StatusCode::SWITCHING_PROTOCOLS, version, &head, &places, method)?;
    switched.headers.remove(header::CONTENT_LENGTH);
    if !upgrade.agrees(&named, &mut switched.headers) {
        return Err(Malformed::Protocol);
    }
    switched.ends = Ends::Switched;
    switched.keeps_open = false;
    Ok(switched)
}

/// The position of a field in the head, which is shorter than 64 KiB: this is made for every response, and small.
#[derive(Clone, Copy)]
struct Place {
    name: (u16, u16),
    value: (u16, u16),
}

impl Place {
    fn of(field: &httparse::Header<'_>, head: &[u8]) -> Self {
        let place = |part: &[u8]| {
            let (from, to) = fields::place(head, part);
            (from as u16, to as u16)
        };
        Self {
            name: place(field.name.as_bytes()),
            value: place(field.value),
        }
    }
}

fn range((from, to): (u16, u16)) -> Range<usize> {
    usize::from(from)..usize::from(to)
}

fn head_of(
    status: StatusCode,
    version: u8,
    head: &Bytes,
    places: &[Place],
    method: &Method,
) -> Result<Head, Malformed> {
    // The downstream side reads the next request into the same memory, and requests have more fields.
    let mut headers = HeaderMap::with_capacity(places.len().max(USUAL_FIELDS));
    let shared = |value| {
        let value = HeaderValue::from_maybe_shared(head.slice(range(value)));
        value.map_err(|_| httparse::Error::HeaderValue)
    };
    let mut framing = Framing::default();
    let mut idle_timeout = None;
    let mut connection = ArrayVec::<&[u8], MAX_FIELDS>::new();
    let mut is_rewritable = false;
    for &Place { name, value } in places {
        let name = fields::response_name(&head[range(name)]).map_err(|_| httparse::Error::HeaderName)?;
        let text = &head[range(value)];
        if name == header::CONNECTION {
            connection.push(text);
        } else if name == header::TRANSFER_ENCODING {
            framing.coding(text)?;
        } else if name == header::CONTENT_LENGTH {
            let number = framing.length(text)?;
            headers.insert(name, number.map_or_else(|| shared(value), Ok)?);
        } else {
            match fields::of_response(name.as_str()) {
                ResponseField::Hop => {
                    if name.as_str() == "keep-alive" {
                        idle_timeout = idle_timeout.or_else(|| announced(text));
                    }
                    continue;
                }
                ResponseField::Rewritable => is_rewritable = true,
                ResponseField::Other => {}
            }
            headers.append(name, shared(value)?);
        }
    }
    let keeps_open = end_named(&mut headers, &connection, version);
    let is_bodiless = is_bodiless(method, status);
    let ends = if is_bodiless {
        Ends::Length(0)
    } else {
        framing.ends(version)?
    };
    // A body where none may be (RFC 9112, section 6.3): what follows on this connection might be part of it.
    let is_odd = status == StatusCode::NO_CONTENT && framing.has_body();
    // Optional in a 304 (RFC 9110, section 8.6), and some clients wait for such a body or fail (undici 7).
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        headers.remove(header::CONTENT_LENGTH);
    }
    Ok(Head {
        status,
        reason: unusual_reason(status, head),
        headers,
        lines: None,
        ends,
        keeps_open: keeps_open && !is_odd && ends != Ends::Closed,
        is_bodiless,
        idle_timeout,
        is_rewritable,
    })
}

/// Whether a response has no body whatever its fields say (RFC 9112, section 6.3).
fn is_bodiless(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The seconds of `timeout` in `Keep-Alive: timeout=5, max=100` (RFC 2068, section 19.7.1.1).
fn announced(value: &[u8]) -> Option<Duration> {
    let seconds = fields::tokens(value).find_map(|parameter| {
        let (name, seconds) = parameter.split_at_checked(b"timeout=".len())?;
        name.eq_ignore_ascii_case(b"timeout=").then_some(seconds)
    })?;
    let seconds = fields::number(seconds).filter(|seconds| u32::try_from(*seconds).is_ok());
    seconds.map(Duration::from_secs)
}

/// The reason phrase of a head, where the status has another one or none. An empty one counts as the usual one.
fn unusual_reason(status: StatusCode, head: &Bytes) -> Option<ReasonPhrase> {
    // `HTTP/1.1 200`, whose parser allows nothing else before it.
    let behind = &head["HTTP/1.1 200".len()..];
    let usual = status.canonical_reason();
    let is_usual = |usual: &str| {
        let phrase = behind
            .strip_prefix(b" ")
            .and_then(|it| it.strip_prefix(usual.as_bytes()));
        phrase.is_some_and(|rest| rest.starts_with(b"\r"))
    };
    if usual.is_some_and(is_usual) {
        None
    } else {
        written_reason(head, usual.is_some())
    }
}

#[cold]
fn written_reason(head: &Bytes, has_usual: bool) -> Option<ReasonPhrase> {
    let end = head.iter().position(|byte| *byte == b'\r')?;
    let phrase = head.slice(end.min("HTTP/1.1 200 ".len())..end);
    if phrase.is_empty() && has_usual {
        return None;
    }
    // The parser has checked its bytes.
    ReasonPhrase::try_from(phrase).ok()
}

/// The framing fields of a head.
#[derive(Default)]
struct Framing {
    is_chunked: bool,
    length: Option<u64>,
}

impl Framing {
    /// Only `chunked`, once: no other coding was asked for.
    fn coding(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let is_chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
        if self.is_chunked || !is_chunked {
            return Err(Malformed::Coding);
        }
        self.is_chunked = true;
        Ok(())
    }

    /// A length, perhaps the same one several times (RFC 9110, section 8.6). Gives the one number as which a list goes on.
    fn length(&mut self, value: &[u8]) -> Result<Option<HeaderValue>, Malformed> {
        let mut parts = 0;
        for part in value.split(|byte| *byte == b',') {
            let length = fields::length(part.trim_ascii()).ok_or(Malformed::Length)?;
            if self.length.replace(length).is_some_and(|before| before != length) {
                return Err(Malformed::Length);
            }
            parts += 1;
        }
        Ok(self.length.filter(|_| parts > 1).map(HeaderValue::from))
    }

    /// Whether it announces a body.
    fn has_body(&self) -> bool {
        self.is_chunked || self.length.is_some_and(|length| length > 0)
    }

    fn ends(&self, version: u8) -> Result<Ends, Malformed> {
        match (self.is_chunked, self.length) {
            (true, None) if version == 1 => Ok(Ends::Chunked),
            // Both at once is how requests and responses are smuggled; HTTP/1.0 has no codings.
            (true, _) => Err(Malformed::Coding),
            (false, Some(length)) => Ok(Ends::Length(length)),
            (false, None) => Ok(Ends::Closed),
        }
    }
}

/// Removes the fields that the lines of `Connection` name, and says whether the connection stays open (RFC 9112, section
/// 9.3): `close` wins at any position.
fn end_named(headers: &mut HeaderMap, connection: &[&[u8]], version: u8) -> bool {
    let (mut keeps_open, mut closes) = (version == 1, false);
    for token in connection.iter().copied().flat_map(fields::tokens) {
        if token.eq_ignore_ascii_case(b"close") {
            closes = true;
        } else if token.eq_ignore_ascii_case(b"keep-alive") {
            keeps_open = true;
        } else if let Ok(name) = HeaderName::from_bytes(token)
            && !is_for_all(&name)
        {
            headers.remove(name);
        }
    }
    keeps_open && !closes
}

/// End-to-end fields, which `Connection` must not name (RFC 9110, section 7.6.1). A gateway that does so is wrong: without
/// them its response could be misread, or stored by caches.
fn is_for_all(name: &HeaderName) -> bool {
    let for_all = [
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::CONTENT_RANGE,
        header::CACHE_CONTROL,
        header::VARY,
        header::SET_COOKIE,
        header::DATE,
    ];
    for_all.contains(name)
}
