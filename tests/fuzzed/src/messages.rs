//! Reading and writing messages as a connection does.

use super::head::{Ends, Expected};
use super::http1::response;
use crate::chunks::{self, Chunks, Piece};
use crate::host::server::connection::head::{self, Head, Limits, may_be_whole};
use crate::lines::Lines;
use crate::message::Unreadable;
use bytes::BytesMut;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use httparse::Status;

/// What became of bytes read as a response, or as a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A whole message, and how many bytes follow it.
    Whole(Box<Message>, usize),
    /// More bytes are needed.
    Partial,
    /// It is none.
    Malformed,
}

/// A response, or only its body and trailers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    pub(crate) keeps_open: bool,
}

/// Reads the head of a request that comes in parts of at most `step` bytes, as a connection does. Gives what follows it as well. `None`:
/// more is needed.
pub(crate) fn read_request(
    mut rest: &[u8],
    limits: Limits,
    step: usize,
) -> Result<Option<(Head, Vec<u8>)>, Unreadable> {
    let (mut read, mut looked_at) = (BytesMut::new(), 0);
    while feed(&mut read, &mut rest, step) {
        if may_be_whole(&read, looked_at, limits)
            && let Some(head) = head::parse(&mut read, limits, &mut HeaderMap::new())?
        {
            return Ok(Some((head, [&read[..], rest].concat())));
        }
        looked_at = read.len();
    }
    Ok(None)
}

/// The content of a request's body, if all of it is there.
pub(crate) fn read_content(mut head: Head, rest: &[u8]) -> Option<Vec<u8>> {
    let (mut read, mut content) = (BytesMut::from(rest), Vec::new());
    loop {
        match head.body.next(&mut read).ok()?? {
            Piece::Data(data) => content.extend_from_slice(&data),
            Piece::End(_) => return Some(content),
        }
    }
}

/// Reads a response that comes in parts of at most `step` bytes, as a connection does. `as_lines`: for a request whose response nobody looks
/// into.
pub(crate) fn read_response(mut rest: &[u8], method: &Method, step: usize, as_lines: bool) -> Outcome {
    let (mut read, mut expected) = (BytesMut::new(), Expected::new(None, None, as_lines));
    let head = loop {
        match response::parse(&mut read, method, &mut expected) {
            Ok(Some(head)) => break head,
            Ok(None) if feed(&mut read, &mut rest, step) => {}
            Ok(None) => return Outcome::Partial,
            Err(_) => return Outcome::Malformed,
        }
    };
    let mut message = Message {
        status: head.status,
        headers: head.lines.as_ref().map_or(head.headers, fields_of),
        body: Vec::new(),
        trailers: HeaderMap::new(),
        keeps_open: head.keeps_open,
    };
    let length = match head.ends {
        Ends::Chunked => return read_chunks(read, rest, step, message),
        Ends::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        Ends::Closed => read.len() + rest.len(),
        Ends::Switched => panic!("no other protocol was asked for"),
    };
    message.body.extend_from_slice(&read);
    message.body.extend_from_slice(rest);
    if message.body.len() < length {
        return Outcome::Partial;
    }
    let left = message.body.len() - length;
    message.body.truncate(length);
    Outcome::Whole(Box::new(message), left)
}

/// What a client reads in lines that are passed on.
fn fields_of(lines: &Lines) -> HeaderMap {
    let mut text = Vec::new();
    lines.write(&mut text);
    text.extend_from_slice(b"\r\n");
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let parsed = httparse::parse_headers(&text, &mut fields).expect("fields");
    let Status::Complete((length, fields)) = parsed else {
        panic!("lines without an end: {}", text.escape_ascii());
    };
    assert_eq!(length, text.len(), "there is more than fields: {}", text.escape_ascii());
    let field = |field: &httparse::Header<'_>| {
        let name = HeaderName::from_bytes(field.name.as_bytes()).expect("a name");
        (name, HeaderValue::from_bytes(field.value).expect("a value"))
    };
    let fields: HeaderMap = fields.iter().map(field).collect();
    assert_eq!(lines.has_date(), fields.contains_key("date"));
    fields
}

/// Reads a chunked body.
pub(crate) fn read_body(rest: &[u8], step: usize) -> Outcome {
    let message = Message {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Vec::new(),
        trailers: HeaderMap::new(),
        keeps_open: true,
    };
    read_chunks(BytesMut::new(), rest, step, message)
}

fn read_chunks(mut read: BytesMut, mut rest: &[u8], step: usize, mut message: Message) -> Outcome {
    let mut chunks = Chunks::default();
    loop {
        match chunks.next(&mut read) {
            Ok(Some(Piece::Data(data))) => message.body.extend_from_slice(&data),
            Ok(Some(Piece::End(trailers))) => {
                message.trailers = trailers.unwrap_or_default();
                return Outcome::Whole(Box::new(message), read.len() + rest.len());
            }
            Ok(None) if feed(&mut read, &mut rest, step) => {}
            Ok(None) => return Outcome::Partial,
            Err(_) => return Outcome::Malformed,
        }
    }
}

/// Whether there was more to read.
fn feed(read: &mut BytesMut, rest: &mut &[u8], step: usize) -> bool {
    let (now, later) = rest.split_at(rest.len().min(step));
    read.extend_from_slice(now);
    *rest = later;
    !now.is_empty()
}

/// Writes a body in these chunks, as requests are sent.
pub(crate) fn write_body(parts: &[&[u8]], trailers: Option<&HeaderMap>) -> Vec<u8> {
    let mut text = Vec::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        chunks::write_size(&mut text, part.len());
        text.extend_from_slice(part);
        text.extend_from_slice(b"\r\n");
    }
    chunks::write_end(&mut text, trailers);
    text
}
