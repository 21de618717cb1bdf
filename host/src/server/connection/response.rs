//! A response as it is written: its head, and how its body ends (RFC 9112, sections 6 and 7).

use super::date;
use super::wire::Output;
use crate::chunks;
use crate::fields;
use crate::lines::Lines;
use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName};
use http::response::Parts;
use http_body::{Frame, SizeHint};
use hyper::ext::ReasonPhrase;

/// Room for the head of nearly every response, and a small body.
const USUAL: usize = 1024;

/// What a response depends on of its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) is_head: bool,
    pub(super) is_http_10: bool,
    /// Whether the connection is to stay open after the response.
    pub(super) keeps_open: bool,
    pub(super) accepts_trailers: bool,
}

/// How a body ends.
#[derive(Debug)]
pub(super) enum Ends {
    /// After so many more bytes.
    Length(u64),
    /// With the last chunk, behind which there may be these trailers.
    Chunked(Vec<HeaderName>),
    /// With the connection.
    Closed,
}

/// Why a body cannot be written to its end: there is less of it than its head says.
#[derive(Debug)]
pub(super) struct Short;

/// Whether a response may have a body (RFC 9110, section 6.4.1).
fn may_have_body(status: StatusCode) -> bool {
    !status.is_informational() && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Appends a head, with fields that are written as they came where there are such. Gives how its body ends, and whether the connection
/// stays open after it. `size`: that of the body; `None`: there is none.
pub(super) fn head(
    (response, lines): (&Parts, Option<&Lines>),
    size: Option<&SizeHint>,
    asked: Asked,
    to: &mut Vec<u8>,
) -> (Ends, bool) {
    to.reserve(USUAL);
    line(response, asked.is_http_10, to);
    let switches = response.status == StatusCode::SWITCHING_PROTOCOLS;
    let may_have_body = may_have_body(response.status);
    let is_chunkable = may_have_body && !asked.is_head && !asked.is_http_10;
    let (mut keeps_open, mut has_date) = (asked.keeps_open, false);
    let (mut length, mut trailers) = (None, Vec::new());
    if let Some(lines) = lines {
        lines.write(to);
        has_date = lines.has_date();
    }
    for (name, value) in &response.headers {
        if *name == header::CONTENT_LENGTH {
            // Written below: what a body is known to have counts, and not what its head says.
            length = fields::number(value.as_bytes()).filter(|_| may_have_body);
            continue;
        } else if *name == header::CONNECTION && !switches {
            keeps_open &= !fields::tokens(value.as_bytes()).any(|token| token.eq_ignore_ascii_case(b"close"));
            continue;
        } else if *name == header::TRANSFER_ENCODING {
            continue;
        } else if *name == header::TRAILER {
            if !is_chunkable {
                continue;
            }
            let names = fields::tokens(value.as_bytes()).filter_map(|name| HeaderName::from_bytes(name).ok());
            trailers.extend(names);
        } else if *name == header::DATE {
            has_date = true;
        }
        fields::write(to, name.as_str().as_bytes(), value.as_bytes());
    }
    let exact = size.map_or(Some(0), SizeHint::exact);
    let ends = match (exact, length) {
        _ if asked.is_head || !may_have_body => {
            // Of a HEAD, what the body would have. Where nobody says, there is none to count.
            let would_have = length.or(exact.filter(|exact| may_have_body && *exact > 0));
            would_have.into_iter().for_each(|length| content_length(length, to));
            Ends::Length(0)
        }
        (Some(length), _) | (None, Some(length)) => {
            content_length(length, to);
            Ends::Length(length)
        }
        (None, None) if is_chunkable => {
            to.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Ends::Chunked(match asked.accepts_trailers {
                true => trailers,
                false => Vec::new(),
            })
        }
        (None, None) => {
            keeps_open = false;
            Ends::Closed
        }
    };
    match (keeps_open, asked.is_http_10) {
        _ if switches => {}
        (false, _) => to.extend_from_slice(b"connection: close\r\n"),
        (true, true) => to.extend_from_slice(b"connection: keep-alive\r\n"),
        (true, false) => {}
    }
    if !has_date {
        to.extend_from_slice(b"date: ");
        date::write(to);
        to.extend_from_slice(b"\r\n");
    }
    to.extend_from_slice(b"\r\n");
    (ends, keeps_open && !switches)
}

fn line(response: &Parts, is_http_10: bool, to: &mut Vec<u8>) {
    let reason = response.extensions.get::<ReasonPhrase>();
    if response.status == StatusCode::OK && reason.is_none() && !is_http_10 {
        to.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    let reason = match reason {
        Some(reason) => reason.as_bytes(),
        // Some clients insist on one.
        None => response.status.canonical_reason().unwrap_or("<none>").as_bytes(),
    };
    let version: &[u8] = if is_http_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " };
    for part in [version, response.status.as_str().as_bytes(), b" ", reason, b"\r\n"] {
        to.extend_from_slice(part);
    }
}

fn content_length(length: u64, to: &mut Vec<u8>) {
    fields::write(to, b"content-length", itoa::Buffer::new().format(length).as_bytes());
}

impl Ends {
    /// Whether nothing is to come.
    pub(super) fn is_reached(&self) -> bool {
        matches!(self, Self::Length(0))
    }

    /// Adds a part of the body. Nothing follows trailers.
    pub(super) fn add(&mut self, frame: Frame<Bytes>, to: &mut Output) {
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => self.add_data(data, to),
            Err(frame) => {
                if let (Ok(trailers), Self::Chunked(announced)) = (frame.into_trailers(), &*self) {
                    end_chunks(Some(&trailers), announced, to);
                    *self = Self::Length(0);
                }
            }
        }
    }

    fn add_data(&mut self, mut data: Bytes, to: &mut Output) {
        match self {
            Self::Length(left) => {
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
                to.add(data);
            }
            Self::Chunked(_) => {
                to.write(|to| chunks::write_size(to, data.len()));
                to.add(data);
                to.add(Bytes::from_static(b"\r\n"));
            }
            Self::Closed => to.add(data),
        }
    }

    /// The body has ended.
    ///
    /// # Errors
    /// When more of it had been announced.
    pub(super) fn end(&mut self, to: &mut Output) -> Result<(), Short> {
        match std::mem::replace(self, Self::Length(0)) {
            Self::Length(1..) => Err(Short),
            Self::Chunked(announced) => {
                end_chunks(None, &announced, to);
                Ok(())
            }
            Self::Length(0) | Self::Closed => Ok(()),
        }
    }
}

/// Ends a chunked body, with those of the trailers that were announced.
fn end_chunks(trailers: Option<&HeaderMap>, announced: &[HeaderName], to: &mut Output) {
    let trailers = trailers.map(|trailers| {
        let announced = trailers.iter().filter(|(name, _)| announced.contains(name));
        announced
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<HeaderMap>()
    });
    to.write(|to| chunks::write_end(to, trailers.as_ref()));
}

#[cfg(test)]
mod tests;
