//! The head of a gateway's response: parsed, checked, and freed of what ends here, in one pass.
//!
//! Its framing must leave no doubt (RFC 9112, section 6.3): where another reader might see another end of the message,
//! it is no response.

use super::fields;
use arrayvec::ArrayVec;
use bytes::{Buf, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use httparse::Status;
use std::mem::MaybeUninit;
use std::ops::Range;
use thiserror::Error;

#[cfg(test)]
mod tests;

/// Most fields of a head.
const MAX_FIELDS: usize = 128;

/// Most bytes of a head.
const MAX_HEAD: usize = u16::MAX as usize;

/// A response's head, ready for the client.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) ends: Ends,
    /// Whether the gateway keeps the connection open afterwards.
    pub(super) keeps_open: bool,
}

/// How the body of a response is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// After so many bytes; 0 when there is none.
    Length(u64),
    /// As the chunked coding says.
    Chunked,
    /// With the connection.
    Closed,
}

/// Why something is no response.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Malformed {
    #[error("it is no HTTP: {0}")]
    Syntax(#[from] httparse::Error),
    #[error("its head is too large")]
    TooLarge,
    #[error("its content length is none")]
    Length,
    #[error("its transfer coding leaves doubt about its end")]
    Coding,
    #[error("it switches protocols, which nobody asked for")]
    Switching,
    #[error("its chunks are malformed")]
    Chunks,
}

/// The next head in what was read, if it is all there. It answers a request of this method.
pub(super) fn parse(read: &mut BytesMut, method: &Method) -> Result<Option<Head>, Malformed> {
    loop {
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
        match code {
            101 => return Err(Malformed::Switching),
            // Interim responses are for us (RFC 9110, section 15.2).
            100..=199 => read.advance(length),
            _ => {
                let mut places = ArrayVec::<Place, MAX_FIELDS>::new();
                places.extend(response.headers.iter().map(|field| Place::of(field, read)));
                let status = StatusCode::from_u16(code).map_err(|_| httparse::Error::Status)?;
                let head = read.split_to(length).freeze();
                return head_of(status, version, &head, &places, method).map(Some);
            }
        }
    }
}

/// Where a field stands in the head, which is shorter than 64 KiB: this is made for every response, and small.
#[derive(Clone, Copy)]
struct Place {
    name: (u16, u16),
    value: (u16, u16),
}

impl Place {
    fn of(field: &httparse::Header<'_>, head: &[u8]) -> Self {
        let place = |part: &[u8]| {
            let from = part.as_ptr().addr() - head.as_ptr().addr();
            (from as u16, (from + part.len()) as u16)
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
    let mut headers = HeaderMap::with_capacity(places.len());
    let mut framing = Said::default();
    let mut connection = Vec::new();
    for &Place { name, value } in places {
        let name = HeaderName::from_bytes(&head[range(name)]).map_err(|_| httparse::Error::HeaderName)?;
        let value = HeaderValue::from_maybe_shared(head.slice(range(value)));
        let value = value.map_err(|_| httparse::Error::HeaderValue)?;
        if name == header::CONNECTION {
            connection.push(value);
        } else if name == header::TRANSFER_ENCODING {
            framing.coding(value.as_bytes())?;
        } else if name == header::CONTENT_LENGTH {
            framing.length(value.as_bytes(), &mut headers)?;
        } else if !fields::is_hop(name.as_str()) {
            headers.append(name, value);
        }
    }
    let mut keeps_open = version == 1;
    for value in &connection {
        end_named(&mut headers, value, &mut keeps_open);
    }
    let has_none = method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let ends = if has_none {
        Ends::Length(0)
    } else {
        framing.ends(version)?
    };
    Ok(Head {
        status,
        headers,
        ends,
        keeps_open: keeps_open && ends != Ends::Closed,
    })
}

/// What a head says of its body's framing.
#[derive(Default)]
struct Said {
    is_chunked: bool,
    length: Option<u64>,
}

impl Said {
    /// Only `chunked`, once: no other coding was asked for.
    fn coding(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let is_chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
        if self.is_chunked || !is_chunked {
            return Err(Malformed::Coding);
        }
        self.is_chunked = true;
        Ok(())
    }

    /// A length, perhaps the same one several times (RFC 9110, section 8.6). It goes on as one number.
    fn length(&mut self, value: &[u8], headers: &mut HeaderMap) -> Result<(), Malformed> {
        for part in value.split(|byte| *byte == b',') {
            let digits = part.trim_ascii();
            let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(digits).ok().filter(|_| is_number);
            let length = text.and_then(|text| text.parse().ok()).ok_or(Malformed::Length)?;
            if self.length.is_some_and(|before| before != length) {
                return Err(Malformed::Length);
            }
            if self.length.replace(length).is_none() {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
        }
        Ok(())
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

/// Removes the fields that `Connection` names, and learns whether the connection stays open.
fn end_named(headers: &mut HeaderMap, connection: &HeaderValue, keeps_open: &mut bool) {
    for token in fields::tokens(connection) {
        if token.eq_ignore_ascii_case("close") {
            *keeps_open = false;
            // It wins over a `keep-alive` beside it.
            return;
        } else if token.eq_ignore_ascii_case("keep-alive") {
            *keeps_open = true;
        } else if !token.eq_ignore_ascii_case("content-length") {
            headers.remove(token);
        }
    }
}
