//! What a request must be like to be sent on.
//!
//! It has been parsed (`server/connection/head.rs`, in HTTP/2 hyper): fields are well formed, and there is one framing of the body. What remains is what a
//! proxy in particular has to insist on, so that no gateway reads a message in another way than we do.

use crate::fields;
use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{Method, Request, Version};
use hyper::ext::Protocol;
use portolan_core::grpc;
use std::net::Ipv6Addr;
use thiserror::Error;

#[cfg(test)]
mod tests;

/// Longest method. The registered ones have at most 17 letters.
const MAX_METHOD: usize = 32;

/// What a request is routed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// Host and perhaps port. Empty for an HTTP/1.0 request without Host.
    pub authority: &'a str,
    /// The path, beginning with `/`.
    pub path: &'a str,
    /// Whether it passed a proxy that wrote `Via`.
    pub has_via: bool,
}

/// An extension of a request whose target is a URL without a path. `http` makes `/` of it, which is something else in OPTIONS
/// (RFC 9112, section 3.2.4).
#[derive(Clone, Copy, Debug)]
pub struct NoPath;

/// An extension of a request of HTTP/2 that opens a WebSocket (RFC 8441). It is a GET to everything that decides about it, as it is
/// in HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub struct ExtendedConnect;

/// Makes a GET of an extended CONNECT for a protocol that can be spoken to gateways.
pub fn accept_extended_connect<B>(request: &mut Request<B>) {
    let protocol = request.extensions().get::<Protocol>();
    if *request.method() == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_str() == "websocket") {
        *request.method_mut() = Method::GET;
        request.extensions_mut().insert(ExtendedConnect);
    }
}

/// Whether a head begins with OPTIONS of a URL without a path and a query.
pub fn has_no_path(head: &[u8]) -> bool {
    let Some(rest) = head.strip_prefix(b"OPTIONS ") else {
        return false;
    };
    let target = rest
        .split(|byte| *byte == b' ')
        .next()
        .filter(|target| target.len() < rest.len());
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    let authority = schemes.into_iter().find_map(|scheme| {
        let (own, authority) = target?.split_at_checked(scheme.len())?;
        own.eq_ignore_ascii_case(scheme).then_some(authority)
    });
    authority.is_some_and(|authority| !authority.iter().any(|byte| b"/?\r\n".contains(byte)))
}

/// Whether a request is a call of gRPC, which is spoken over HTTP/2 only.
pub fn is_grpc(version: Version, headers: &HeaderMap) -> bool {
    version == Version::HTTP_2
        && headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| grpc::is_content_type(value.as_bytes()))
}

/// Why a request's head could not be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// A method that is not a token, or none.
    #[error("the request does not begin with a method")]
    Method,
    /// A target that is not a URI.
    #[error("the request target is not a URI")]
    Target,
    /// A target longer than the parser accepts.
    #[error("the request target is too long")]
    LongTarget,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// HTTP/2 without TLS.
    #[error("HTTP/2 is not served")]
    Http2,
    /// TLS.
    #[error("this port expects HTTP without TLS")]
    Tls,
    /// A PROXY protocol header.
    #[error("this port expects no PROXY protocol header")]
    ProxyProtocol,
    /// A line that is not a name, a colon and a value.
    #[error("a header field is malformed")]
    Field,
    /// More bytes or fields than are accepted.
    #[error("the header fields are too many or too large")]
    LargeHead,
    /// Not one number (RFC 9112, section 6.3).
    #[error("Content-Length is not one number")]
    ContentLength,
    /// A coding that does not end in `chunked`, or one in HTTP/1.0 (RFC 9112, section 6.1).
    #[error("the transfer coding is not chunked")]
    TransferEncoding,
}

/// Why a request is not sent on.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum NotForwarded {
    /// `OPTIONS *`, or OPTIONS with no forwards left: we are the one who is asked.
    #[error("the proxy itself is asked for its options")]
    OptionsOfOurs,
    /// CONNECT: this is no forward proxy.
    #[error("CONNECT is not served")]
    Connect,
    /// Extended CONNECT (RFC 8441) for another protocol than WebSocket.
    #[error("only websocket is served by extended CONNECT")]
    ConnectProtocol,
    /// TRACE would show clients what proxies add.
    #[error("TRACE is not served")]
    Trace,
    /// A method longer than any.
    #[error("the method is too long")]
    LongMethod,
    /// A request target over the limit.
    #[error("the request target is too long")]
    LongTarget,
    /// Neither a path nor a URL of http or https.
    #[error("the request target is neither a path nor an http URL")]
    Target,
    /// HTTP/1.1 requires Host.
    #[error("there is no Host")]
    NoHost,
    /// More than one Host, even when they agree.
    #[error("there is more than one Host")]
    Hosts,
    /// Host, or the authority of the target, is no `host` or `host:port`.
    #[error("the host is not a host with an optional port")]
    Host,
    /// Anything but `chunked`, once.
    #[error("the transfer coding is not chunked alone")]
    TransferEncoding,
    /// A length no body can have.
    #[error("the content length is out of range")]
    ContentLength,
    /// An expectation other than `100-continue`.
    #[error("an expectation that cannot be met")]
    Expect,
    /// Max-Forwards that is not one number.
    #[error("Max-Forwards is not one number")]
    MaxForwards,
    /// Host and `:authority` of HTTP/2 differ (RFC 9113, section 8.3.1).
    #[error("the host is not the authority")]
    Authority,
    /// A version without a meaning to us.
    #[error("the HTTP version is not served")]
    Version,
}

/// Checks a request's head, and says what to route it by. `max_target`: most bytes of its path and query.
///
/// # Errors
/// When the request must not be sent on.
pub fn check(request: &Parts, max_target: usize) -> Result<RequestHead<'_>, NotForwarded> {
    check_method(request)?;
    let is_http1 = matches!(request.version, Version::HTTP_10 | Version::HTTP_11);
    if !is_http1 && request.version != Version::HTTP_2 {
        return Err(NotForwarded::Version);
    }
    let (host, has_via) = check_fields(request)?;
    if !is_http1 {
        check_http2(request, host)?;
    } else if host.is_none() && request.version != Version::HTTP_10 {
        return Err(NotForwarded::NoHost);
    }
    let (authority, path) = target(request, host.unwrap_or_default(), max_target)?;
    if request.method == Method::OPTIONS && max_forwards(&request.headers)? == Some(0) {
        return Err(NotForwarded::OptionsOfOurs);
    }
    Ok(RequestHead {
        authority,
        path,
        has_via,
    })
}

fn check_method(request: &Parts) -> Result<(), NotForwarded> {
    match request.method {
        Method::GET | Method::POST => Ok(()),
        Method::CONNECT if request.extensions.get::<Protocol>().is_some() => Err(NotForwarded::ConnectProtocol),
        Method::CONNECT => Err(NotForwarded::Connect),
        Method::TRACE => Err(NotForwarded::Trace),
        _ if request.method.as_str().len() > MAX_METHOD => Err(NotForwarded::LongMethod),
        _ => Ok(()),
    }
}

/// Checks the fields, and gives the one valid Host, if any, and whether there is a `Via`. One pass over all of them costs
/// less than looking up each.
///
/// Whoever parsed it has made sure that there is either a coding that ends in `chunked` or one valid length (RFC 9112, section 6).
fn check_fields(request: &Parts) -> Result<(Option<&str>, bool), NotForwarded> {
    let (mut host, mut is_coded, mut has_via) = (None, false, false);
    for (name, value) in &request.headers {
        if *name == header::HOST {
            if host.replace(value).is_some() {
                return Err(NotForwarded::Hosts);
            }
        } else if *name == header::TRANSFER_ENCODING {
            let is_chunked = value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
            if !is_chunked || request.version == Version::HTTP_10 || is_coded {
                return Err(NotForwarded::TransferEncoding);
            }
            is_coded = true;
        } else if *name == header::CONTENT_LENGTH {
            fields::length(value.as_bytes()).ok_or(NotForwarded::ContentLength)?;
        } else if *name == header::EXPECT && !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
            return Err(NotForwarded::Expect);
        } else if *name == header::VIA {
            has_via = true;
        }
    }
    let Some(host) = host else { return Ok((None, has_via)) };
    let host = host.to_str().ok().filter(|host| is_authority(host));
    host.map(|host| (Some(host), has_via)).ok_or(NotForwarded::Host)
}

/// Checks what only HTTP/2 allows. h2 has made sure that there is no field of a connection, no coding, and no control character.
fn check_http2(request: &Parts, host: Option<&str>) -> Result<(), NotForwarded> {
    let mut lengths = request.headers.get_all(header::CONTENT_LENGTH).iter();
    let first = lengths.next();
    if lengths.any(|other| Some(other) != first) {
        return Err(NotForwarded::ContentLength);
    }
    // Of a path without a slash `http` makes one with a slash.
    let target = request.uri.path_and_query().map_or("", |target| target.as_str());
    if !target.starts_with('/') && target != "*" {
        return Err(NotForwarded::Target);
    }
    let port = match request.uri.scheme_str() {
        Some("http") => ":80",
        _ => ":443",
    };
    let bare = |authority: &str| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
    match (request.uri.authority(), host) {
        (Some(authority), Some(host)) if bare(authority.as_str()) != bare(host) => Err(NotForwarded::Authority),
        (None, None) => Err(NotForwarded::NoHost),
        _ => Ok(()),
    }
}

/// The authority and the path (RFC 9112, section 3.2). The authority of an absolute form wins over Host.
fn target<'a>(request: &'a Parts, host: &'a str, max_target: usize) -> Result<(&'a str, &'a str), NotForwarded> {
    let target = &request.uri;
    let path = target.path();
    if target
        .path_and_query()
        .is_some_and(|path| path.as_str().len() > max_target)
    {
        return Err(NotForwarded::LongTarget);
    }
    match (target.scheme_str(), target.authority()) {
        (None, None) if path.starts_with('/') => Ok((host, path)),
        (None, None) if path == "*" && request.method == Method::OPTIONS => Err(NotForwarded::OptionsOfOurs),
        (Some(_), Some(_)) if path == "*" && request.method == Method::OPTIONS => Err(NotForwarded::OptionsOfOurs),
        (Some("http" | "https"), Some(authority)) if path.starts_with('/') => {
            let authority = authority.as_str();
            if is_authority(authority) {
                Ok((authority, path))
            } else {
                Err(NotForwarded::Host)
            }
        }
        _ => Err(NotForwarded::Target),
    }
}

/// `host [ ":" port ]` of RFC 3986, section 3.2, narrowed: never empty, no user, no list, no escapes, a port that exists.
pub fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
            None => return false,
        },
        None => {
            let end = text.bytes().position(|byte| byte == b':');
            let (name, port) = text.split_at(end.unwrap_or(text.len()));
            (is_name(name), port)
        }
    };
    host && is_port(port)
}

/// The bytes of a host's name (RFC 3986, section 3.2.2: unreserved and sub-delims). Not the comma, which would make it a list;
/// nor escapes, which are one name to those who decode them, another to those who do not, and no authority to the rest.
const IN_NAMES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut others: &[u8] = b"-._~!$&'()*+;=";
    while let [first, rest @ ..] = others {
        table[*first as usize] = true;
        others = rest;
    }
    table
};

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && name.bytes().all(|byte| IN_NAMES[usize::from(byte)])
}

/// Nothing, or a colon and perhaps a number up to 65535.
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some("") => true,
        Some(digits) => digits.bytes().all(|digit| digit.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
        None => text.is_empty(),
    }
}

/// How many more times an OPTIONS request may be sent on (RFC 9110, section 7.6.2).
///
/// # Errors
/// When it is not one number.
pub fn max_forwards(headers: &HeaderMap) -> Result<Option<u64>, NotForwarded> {
    let mut values = headers.get_all(header::MAX_FORWARDS).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(NotForwarded::MaxForwards);
    }
    let digits = value
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .map(Some)
        .ok_or(NotForwarded::MaxForwards)
}
