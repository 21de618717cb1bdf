//! Requests whose head could not be read: hyper's errors become reasons and responses.

use crate::message::Unreadable;
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::Body;
use http_body_util::BodyExt;
use portolan_core::proxy_protocol;
use std::time::SystemTime;

/// How a TLS client begins: a record of a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: &[u8] = &[0x16, 0x03];

/// What hyper could not read of these bytes; `None` for an error that is not about a head.
pub(super) fn reason(error: &hyper::Error, bytes: &[u8]) -> Option<Unreadable> {
    if !error.is_parse() {
        return None;
    }
    if error.is_parse_version_h2() {
        return Some(Unreadable::Http2);
    }
    if error.is_parse_too_large() {
        let is_target = error.to_string() == "URI too long";
        return Some(if is_target {
            Unreadable::LongTarget
        } else {
            Unreadable::LargeHead
        });
    }
    // Hyper distinguishes the rest by its text only. The integration tests send one of each.
    Some(match &*error.to_string() {
        "invalid content-length parsed" => Unreadable::ContentLength,
        text if text.ends_with("transfer-encoding parsed") => Unreadable::TransferEncoding,
        // The first line is another protocol's.
        _ if bytes.starts_with(TLS_HANDSHAKE) => Unreadable::Tls,
        _ if proxy_protocol::is_begun(bytes) => Unreadable::ProxyProtocol,
        "invalid HTTP method parsed" => Unreadable::Method,
        "invalid URI" => Unreadable::Target,
        "invalid HTTP version parsed" => Unreadable::Version,
        _ => Unreadable::Field,
    })
}

/// A response as it is written in place of hyper's, to a request that begins with these bytes as far as they are left.
pub(super) async fn written<B: Body<Data = Bytes>>(response: Response<B>, request: &[u8]) -> Vec<u8> {
    let (mut head, body) = response.into_parts();
    // Our own bodies do not fail.
    let body = body.collect().await.map(|it| it.to_bytes()).unwrap_or_default();
    let date = httpdate::fmt_http_date(SystemTime::now());
    head.headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    head.headers
        .extend(HeaderValue::try_from(date).map(|date| (header::DATE, date)));
    let mut bytes = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in &head.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    // A response to HEAD has no content (RFC 9110, section 9.3.2).
    if !request.starts_with(b"HEAD ") {
        bytes.extend_from_slice(&body);
    }
    bytes
}
