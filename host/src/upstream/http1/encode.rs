//! The head of a request in HTTP/1.1.

use crate::fields;
use crate::upstream::replay::Framing;
use crate::upstream::request::{FieldSink, Outbound};
use http::HeaderValue;
use percent_encoding::{AsciiSet, utf8_percent_encode};

/// What a request says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Persistence {
    /// Nothing: it is persistent.
    Usual,
    /// That it is persistent. Some servers only then say when they close it (`Keep-Alive: timeout=5`).
    Ask,
    /// That it ends with the response.
    Close,
}

/// Appends a head, with this Host or else the client's: HTTP/1.1 has to have one.
pub(in crate::upstream) fn head(
    request: &Outbound<'_>,
    host: Option<&HeaderValue>,
    persistence: Persistence,
    to: &mut Vec<u8>,
) {
    line(request, to);
    to.field(
        b"host",
        host.map_or(request.authority().as_bytes(), HeaderValue::as_bytes),
    );
    request.fields(to);
    let connection: &[u8] = match (persistence, request.accepts_trailers()) {
        (Persistence::Usual, false) => b"",
        (Persistence::Usual, true) => b"te",
        (Persistence::Ask, false) => b"keep-alive",
        (Persistence::Ask, true) => b"keep-alive, te",
        (Persistence::Close, false) => b"close",
        (Persistence::Close, true) => b"close, te",
    };
    match request.upgrade() {
        None if connection.is_empty() => {}
        None => to.field(b"connection", connection),
        Some(upgrade) => {
            let te: &[u8] = if request.accepts_trailers() {
                b"upgrade, te"
            } else {
                b"upgrade"
            };
            to.field(b"connection", te);
            for (name, value) in upgrade.fields() {
                to.field(name, value);
            }
        }
    }
    match request.framing() {
        Framing::None => {}
        Framing::Length(length) => {
            to.field(b"content-length", itoa::Buffer::new().format(length).as_bytes());
        }
        Framing::Chunked => to.field(b"transfer-encoding", b"chunked"),
    }
    to.extend_from_slice(b"\r\n");
}

/// The request line, in origin form.
fn line(request: &Outbound<'_>, to: &mut Vec<u8>) {
    to.extend_from_slice(request.method().as_str().as_bytes());
    to.push(b' ');
    let target = request.target();
    // An absolute form may have no path, and a query all the same.
    if !target.starts_with('/') && target != "*" {
        to.push(b'/');
    }
    if target.is_ascii() {
        to.extend_from_slice(target.as_bytes());
    } else {
        // No octet above 0x7F is part of a URI (RFC 3986, section 2); clients send UTF-8 all the same.
        to.extend(utf8_percent_encode(target, ONLY_ASCII).flat_map(str::as_bytes));
    }
    to.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Nothing but what is beyond ASCII, which is encoded in any case.
const ONLY_ASCII: &AsciiSet = &AsciiSet::EMPTY;

impl FieldSink for Vec<u8> {
    #[inline]
    fn field(&mut self, name: &[u8], value: &[u8]) {
        fields::write(self, name, value);
    }

    #[inline]
    fn list<'v>(&mut self, name: &[u8], elements: impl Iterator<Item = &'v [u8]>) {
        self.extend_from_slice(name);
        let mut separator: &[u8] = b": ";
        for element in elements {
            self.extend_from_slice(separator);
            self.extend_from_slice(element);
            separator = b", ";
        }
        self.extend_from_slice(b"\r\n");
    }
}
