//! The chunked coding (RFC 9112, section 7.1), of requests and of responses.
//!
//! Reading is strict: a line that does not end in CR LF, or a size that is not a hexadecimal number, might
//! be read differently by another recipient (request smuggling).

use crate::fields;
use bytes::{Buf, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use httparse::Status;
use memchr::memchr;
use std::io::Write;
use thiserror::Error;

#[cfg(test)]
mod tests;

/// Longest line of a chunk's size, with extensions, which are ignored.
const MAX_LINE: usize = 4 * 1024;

/// Most bytes of chunk extensions in one body, against abuse (RFC 9112, section 7.1.1).
const MAX_EXTENSIONS: usize = 16 * 1024;

/// Most bytes of trailers.
const MAX_TRAILERS: usize = 16 * 1024;

/// Most fields of trailers.
const MAX_TRAILER_FIELDS: usize = 64;

/// Reads a chunked body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chunks {
    next: Next,
    extensions: usize,
}

/// Why a chunked body cannot be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// No size, or no end of a line behind the data.
    #[error("malformed chunks")]
    Chunks,
    /// No fields in place of trailers.
    #[error("malformed trailers: {0}")]
    Trailers(#[from] httparse::Error),
    /// More trailers than are accepted.
    #[error("the trailers are too large")]
    TooLarge,
    /// A bare LF.
    #[error("a line does not end in CR LF")]
    LineEnd,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// A line with a size.
    #[default]
    Size,
    /// This many bytes of data, at least one.
    Data(u64),
    /// The end of the chunk's line.
    LineEnd,
    /// Trailers and the last line.
    Trailers,
}

/// A part of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Data(Bytes),
    /// The end, with trailers if there were any.
    End(Option<HeaderMap>),
}

impl Chunks {
    /// The next piece in what was read, if there is one. After [`Piece::End`] nothing may be asked for.
    pub(crate) fn next(&mut self, read: &mut BytesMut) -> Result<Option<Piece>, Malformed> {
        loop {
            self.next = match self.next {
                Next::Size => match self.size(read)? {
                    None => return Ok(None),
                    Some(0) => Next::Trailers,
                    Some(size) => Next::Data(size),
                },
                Next::Data(left) => {
                    if read.is_empty() {
                        return Ok(None);
                    }
                    let length = read.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - length as u64;
                    self.next = if left == 0 { Next::LineEnd } else { Next::Data(left) };
                    return Ok(Some(Piece::Data(read.split_to(length).freeze())));
                }
                Next::LineEnd => match **read {
                    [b'\r', b'\n', ..] => {
                        read.advance(2);
                        Next::Size
                    }
                    [] | [b'\r'] => return Ok(None),
                    _ => return Err(Malformed::Chunks),
                },
                Next::Trailers => return trailers(read),
            };
        }
    }

    /// `1*HEXDIG [ chunk-ext ] CRLF`
    fn size(&mut self, read: &mut BytesMut) -> Result<Option<u64>, Malformed> {
        let Some(end) = memchr(b'\n', &read[..read.len().min(MAX_LINE)]) else {
            return if read.len() < MAX_LINE {
                Ok(None)
            } else {
                Err(Malformed::Chunks)
            };
        };
        let line = read[..end].strip_suffix(b"\r").ok_or(Malformed::Chunks)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (digits, extension) = line.split_at(digits);
        // Some senders pad with spaces, which is unambiguous.
        let blank = extension.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let is_sound = matches!(extension[blank..], [] | [b';', ..]);
        if !is_sound || extension.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(Malformed::Chunks);
        }
        self.extensions += extension.len();
        let text = std::str::from_utf8(digits).map_err(|_| Malformed::Chunks)?;
        let size = u64::from_str_radix(text, 16).map_err(|_| Malformed::Chunks)?;
        if self.extensions > MAX_EXTENSIONS {
            return Err(Malformed::Chunks);
        }
        read.advance(end + 1);
        Ok(Some(size))
    }
}

/// `trailer-section CRLF`
fn trailers(read: &mut BytesMut) -> Result<Option<Piece>, Malformed> {
    if read.starts_with(b"\r\n") {
        read.advance(2);
        return Ok(Some(Piece::End(None)));
    }
    let mut room = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
    match httparse::parse_headers(read, &mut room)? {
        Status::Partial if read.len() < MAX_TRAILERS => Ok(None),
        Status::Complete((length, found)) if length <= MAX_TRAILERS => {
            let places = found.iter().map(|field| fields::place(read, field.name.as_bytes()).0);
            if !fields::are_lines(&read[..length], places) {
                return Err(Malformed::LineEnd);
            }
            let mut trailers = HeaderMap::with_capacity(found.len());
            for field in found {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| httparse::Error::HeaderName)?;
                let value = HeaderValue::from_bytes(field.value).map_err(|_| httparse::Error::HeaderValue)?;
                if fields::may_trail(name.as_str()) {
                    trailers.append(name, value);
                }
            }
            read.advance(length);
            Ok(Some(Piece::End((!trailers.is_empty()).then_some(trailers))))
        }
        _ => Err(Malformed::TooLarge),
    }
}

/// Appends the line before a chunk of this size, which is not 0.
pub(crate) fn write_size(to: &mut Vec<u8>, size: usize) {
    // Writing to memory cannot fail.
    let _ = write!(to, "{size:x}\r\n");
}

/// Appends the end of a body.
pub(crate) fn write_end(to: &mut Vec<u8>, trailers: Option<&HeaderMap>) {
    to.extend_from_slice(b"0\r\n");
    for (name, value) in trailers
        .into_iter()
        .flatten()
        .filter(|(name, _)| fields::may_trail(name.as_str()))
    {
        fields::write(to, name.as_str().as_bytes(), value.as_bytes());
    }
    to.extend_from_slice(b"\r\n");
}
