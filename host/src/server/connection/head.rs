//! The head of a request: parsed, and where the request ends (RFC 9112, section 6).

use super::remaining::Remaining;
use crate::chunks::Chunks;
use crate::fields;
use crate::message::{NoPath, Unreadable, has_no_path};
use arrayvec::ArrayVec;
use bytes::{Buf, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Uri, Version};
use httparse::{ParserConfig, Status};
use memchr::memchr_iter;
use portolan_core::proxy_protocol;
use std::mem::MaybeUninit;

/// So many fields are read without allocating room for them.
const USUAL_FIELDS: usize = 256;

/// Longest target: what `http` can hold.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// How a TLS client begins: a record of a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: &[u8] = &[0x16, 0x03];

/// How a client of HTTP/2 begins (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A request's head, and what its connection has to know of it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) request: Request<()>,
    /// The body.
    pub(crate) body: Remaining,
    /// Whether the client waits for 100 Continue before it sends the body.
    pub(crate) expects_continue: bool,
    /// Whether the client wants the connection to stay open (RFC 9112, section 9.3).
    pub(crate) keeps_open: bool,
    /// Whether the client takes trailers (RFC 9110, section 10.1.4).
    pub(crate) accepts_trailers: bool,
}

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
}

/// Drops the empty lines that may come before a request (RFC 9112, section 2.2). They begin none: a client may send one and be idle.
pub(crate) fn skip_empty_lines(read: &mut BytesMut) {
    loop {
        match **read {
            [b'\n', ..] => read.advance(1),
            [b'\r', b'\n', ..] => read.advance(2),
            _ => return,
        }
    }
}

/// Whether it is worth while to parse what was read. `looked_at`: how much of it was there when a head was not whole.
///
/// A head that comes byte by byte is looked at once when it begins, and once when it ends.
pub(crate) fn may_be_whole(read: &[u8], looked_at: usize, limits: Limits) -> bool {
    if looked_at == 0 || read.len() >= limits.bytes {
        return true;
    }
    // An empty line, whose beginning may have been there before.
    let new = &read[looked_at.saturating_sub(3)..];
    memchr_iter(b'\n', new).any(|at| matches!(new[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

/// The next head in what was read, if it is all there. `headers`: an empty map, whose memory is used.
///
/// # Errors
/// When no request can be read. What was read is left as it is.
pub(crate) fn parse(read: &mut BytesMut, limits: Limits, headers: &mut HeaderMap) -> Result<Option<Head>, Unreadable> {
    let mut usual = [const { MaybeUninit::uninit() }; USUAL_FIELDS];
    let mut more = Vec::new();
    let room = if limits.fields <= USUAL_FIELDS {
        &mut usual[..limits.fields]
    } else {
        more.resize_with(limits.fields, MaybeUninit::uninit);
        &mut more[..]
    };
    let mut request = httparse::Request::new(&mut []);
    let length = match ParserConfig::default().parse_request_with_uninit_headers(&mut request, read, room) {
        Ok(Status::Complete(length)) if length <= limits.bytes => length,
        Ok(Status::Partial) if read.len() < limits.bytes => return Ok(None),
        Ok(_) => return Err(Unreadable::LargeHead),
        Err(error) => return Err(reason(error, request.method.is_some(), read)),
    };
    // All three are there in a request that is complete.
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    if target.len() > MAX_TARGET {
        return Err(Unreadable::LongTarget);
    }
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Unreadable::Method)?;
    let version = match request.version {
        Some(1) => Version::HTTP_11,
        _ => Version::HTTP_10,
    };
    let target = Place::of(target.as_bytes(), read);
    let mut few = ArrayVec::<(Place, Place), USUAL_FIELDS>::new();
    let mut many = Vec::new();
    let places = request
        .headers
        .iter()
        .map(|field| (Place::of(field.name.as_bytes(), read), Place::of(field.value, read)));
    let places: &[(Place, Place)] = if limits.fields <= USUAL_FIELDS {
        few.extend(places);
        &few
    } else {
        many.extend(places);
        &many
    };
    let lacks_path = method == Method::OPTIONS && has_no_path(read[..length].trim_ascii_start());
    let whole = read.split_to(length).freeze();
    let head = head_of(&whole, (method, target, version), places, headers);
    match head {
        Ok(mut head) => {
            if lacks_path {
                head.request.extensions_mut().insert(NoPath);
            }
            Ok(Some(head))
        }
        Err(why) => {
            give_back(&whole, read);
            Err(why)
        }
    }
}

/// The response to an unreadable request depends on how it begins.
#[cold]
fn give_back(whole: &[u8], read: &mut BytesMut) {
    let rest = std::mem::replace(read, BytesMut::from(whole));
    read.extend_from_slice(&rest);
}

/// What is wrong with these bytes, which the parser did not accept. `has_method`: whether it got beyond the method.
#[cold]
fn reason(error: httparse::Error, has_method: bool, read: &[u8]) -> Unreadable {
    let bytes = read.trim_ascii_start();
    match error {
        httparse::Error::TooManyHeaders => Unreadable::LargeHead,
        _ if bytes.starts_with(HTTP2_PREFACE) => Unreadable::Http2,
        _ if bytes.starts_with(TLS_HANDSHAKE) => Unreadable::Tls,
        _ if proxy_protocol::is_begun(bytes) => Unreadable::ProxyProtocol,
        httparse::Error::Token if has_method => Unreadable::Target,
        httparse::Error::Token => Unreadable::Method,
        httparse::Error::Version => Unreadable::Version,
        _ => Unreadable::Field,
    }
}

/// The position of a part in a head.
#[derive(Clone, Copy, Debug)]
struct Place {
    from: u32,
    to: u32,
}

impl Place {
    fn of(part: &[u8], read: &[u8]) -> Self {
        let (from, to) = fields::place(read, part);
        Self {
            from: from as u32,
            to: to as u32,
        }
    }

    fn range(self) -> std::ops::Range<usize> {
        self.from as usize..self.to as usize
    }
}

fn head_of(
    whole: &Bytes,
    (method, target, version): (Method, Place, Version),
    places: &[(Place, Place)],
    headers: &mut HeaderMap,
) -> Result<Head, Unreadable> {
    let target = Uri::from_maybe_shared(whole.slice(target.range())).map_err(|_| Unreadable::Target)?;
    let mut framing = Framing::default();
    let mut connection = Persistence {
        keeps_open: version == Version::HTTP_11,
        closes: false,
    };
    let (mut expects_continue, mut accepts_trailers) = (false, false);
    let mut headers = std::mem::take(headers);
    headers.reserve(places.len());
    for (name, value) in places {
        let name = fields::request_name(&whole[name.range()]).map_err(|_| Unreadable::Field)?;
        let text = &whole[value.range()];
        if name == header::TRANSFER_ENCODING {
            framing.coding(text, version)?;
            // It is the coding that counts (RFC 9112, section 6.3).
            headers.remove(header::CONTENT_LENGTH);
        } else if name == header::CONTENT_LENGTH {
            if !framing.length(text)? {
                continue;
            }
        } else if name == header::CONNECTION {
            connection.option(text);
        } else if name == header::EXPECT {
            expects_continue = version == Version::HTTP_11 && text.eq_ignore_ascii_case(b"100-continue");
        } else if name == header::TE {
            accepts_trailers |= fields::tokens(text).any(|token| token.eq_ignore_ascii_case(b"trailers"));
        }
        let value = HeaderValue::from_maybe_shared(whole.slice(value.range())).map_err(|_| Unreadable::Field)?;
        headers.try_append(name, value).map_err(|_| Unreadable::LargeHead)?;
    }
    let body = framing.body()?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = target;
    *request.version_mut() = version;
    *request.headers_mut() = headers;
    Ok(Head {
        request,
        expects_continue: expects_continue && !body.is_none(),
        body,
        keeps_open: connection.keeps_open && !connection.closes && !framing.is_doubtful(),
        accepts_trailers,
    })
}

/// What `Connection` says of the connection: `close` wins at any position.
struct Persistence {
    keeps_open: bool,
    closes: bool,
}

impl Persistence {
    fn option(&mut self, value: &[u8]) {
        for token in fields::tokens(value) {
            self.closes |= token.eq_ignore_ascii_case(b"close");
            self.keeps_open |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

/// The framing fields of a head.
#[derive(Debug, Default)]
struct Framing {
    /// Whether the last coding is `chunked`, if there is one.
    is_chunked: Option<bool>,
    length: Option<u64>,
}

impl Framing {
    /// Which codings are accepted before `chunked` is for [`message::check`](crate::message::check).
    fn coding(&mut self, value: &[u8], version: Version) -> Result<(), Unreadable> {
        if version == Version::HTTP_10 {
            return Err(Unreadable::TransferEncoding);
        }
        let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
        self.is_chunked = Some(last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        Ok(())
    }

    /// `1*DIGIT`, perhaps the same number several times (RFC 9110, section 8.6). Whether it is the first, and counts.
    fn length(&mut self, value: &[u8]) -> Result<bool, Unreadable> {
        if self.is_chunked.is_some() {
            self.length = self.length.or(Some(0));
            return Ok(false);
        }
        let length = fields::number(value).ok_or(Unreadable::ContentLength)?;
        match self.length.replace(length) {
            None => Ok(true),
            Some(before) if before == length => Ok(false),
            Some(_) => Err(Unreadable::ContentLength),
        }
    }

    /// Whether another recipient might have taken the length and not the coding: such a connection is not used again (RFC 9112, section 6.1).
    fn is_doubtful(&self) -> bool {
        self.is_chunked.is_some() && self.length.is_some()
    }

    fn body(&self) -> Result<Remaining, Unreadable> {
        match (self.is_chunked, self.length) {
            (Some(true), _) => Ok(Remaining::Chunked(Chunks::default())),
            (Some(false), _) => Err(Unreadable::TransferEncoding),
            (None, length) => Ok(Remaining::Length(length.unwrap_or(0))),
        }
    }
}

#[cfg(test)]
mod tests;
