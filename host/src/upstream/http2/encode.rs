//! The head of a request in HTTP/2.

use crate::upstream::replay::Framing;
use crate::upstream::request::{FieldSink, Outbound};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri, Version};
use percent_encoding::{AsciiSet, utf8_percent_encode};
use std::borrow::Cow;

/// How a gateway is named in requests.
#[derive(Clone, Copy, Debug)]
pub(in crate::upstream) struct Named<'a> {
    /// Its own authority; `None`: what the client requested.
    pub(in crate::upstream) authority: Option<&'a Authority>,
    /// Whether it is spoken to over TLS.
    pub(in crate::upstream) is_https: bool,
}

/// A head with the pseudo-header fields in the place of a request line and Host. `None` for a target that HTTP/2 cannot express.
pub(super) fn head(request: &Outbound<'_>, named: Named<'_>) -> Option<Request<()>> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(match named.is_https {
        true => Scheme::HTTPS,
        false => Scheme::HTTP,
    });
    parts.authority = Some(match named.authority {
        Some(own) => own.clone(),
        None => Authority::try_from(request.authority()).ok()?,
    });
    parts.path_and_query = Some(PathAndQuery::try_from(&*path(request.target())).ok()?);
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = Uri::from_parts(parts).ok()?;
    *head.version_mut() = Version::HTTP_2;
    let headers = head.headers_mut();
    request.fields(headers);
    if let Framing::Length(length) = request.framing() {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Some(head)
}

/// Path and query, or `*`.
fn path(target: &str) -> Cow<'_, str> {
    // No octet above 0x7F is part of a URI (RFC 3986, section 2); clients send UTF-8 all the same.
    let encoded: Cow<'_, str> = utf8_percent_encode(target, ONLY_ASCII).into();
    // An absolute form may have no path, and a query all the same.
    match encoded.starts_with('/') || encoded == "*" {
        true => encoded,
        false => format!("/{encoded}").into(),
    }
}

/// Nothing but what is beyond ASCII, which is encoded in any case.
const ONLY_ASCII: &AsciiSet = &AsciiSet::EMPTY;

/// What is valid in HTTP/1.1 is valid here: nothing is left out.
impl FieldSink for HeaderMap {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            self.append(name, value);
        }
    }

    fn copy(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.append(name.clone(), value.clone());
    }

    fn list<'v>(&mut self, name: &[u8], elements: impl Iterator<Item = &'v [u8]>) {
        let mut value = Vec::new();
        for element in elements {
            if !value.is_empty() {
                value.extend_from_slice(b", ");
            }
            value.extend_from_slice(element);
        }
        self.field(name, &value);
    }
}
