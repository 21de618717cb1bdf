//! Responses to requests whose head could not be read.

use super::date;
use crate::fields;
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::Body;
use http_body_util::BodyExt;

/// A response as it is written to a request that begins with these bytes as far as they are left.
pub(super) async fn written<B: Body<Data = Bytes>>(response: Response<B>, request: &[u8]) -> Vec<u8> {
    let (mut head, body) = response.into_parts();
    // Our own bodies do not fail.
    let body = body.collect().await.map(|it| it.to_bytes()).unwrap_or_default();
    head.headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let mut bytes = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in &head.headers {
        fields::write(&mut bytes, name.as_str().as_bytes(), value.as_bytes());
    }
    bytes.extend_from_slice(b"date: ");
    date::write(&mut bytes);
    bytes.extend_from_slice(b"\r\n\r\n");
    // A response to HEAD has no content (RFC 9110, section 9.3.2).
    if !request.starts_with(b"HEAD ") {
        bytes.extend_from_slice(&body);
    }
    bytes
}
