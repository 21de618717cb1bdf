//! Fields of requests and responses that a proxy must not simply copy.

use http::header::{self, HeaderName, InvalidHeaderName};
use portolan_core::identity::{self, fields::FieldKind};

/// Whether a field is always hop-by-hop (RFC 9110, section 7.6.1). Names are in lower case.
pub(crate) fn is_hop(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "proxy-connection" | "upgrade")
}

/// What becomes of a response's field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseField {
    /// It is hop-by-hop: see [`is_hop`].
    Hop,
    /// It is copied, and may be rewritten when the head is whole: it may name the gateway, or announces trailers.
    Rewritable,
    /// It is copied.
    Other,
}

/// What becomes of a field of a response. Names are in lower case.
pub(crate) fn of_response(name: &str) -> ResponseField {
    match name {
        // All of the names are compared at once: a field costs no more than it does with those of `is_hop` alone.
        "location" | "content-location" | "refresh" | "set-cookie" | "trailer" => ResponseField::Rewritable,
        _ if is_hop(name) => ResponseField::Hop,
        _ => ResponseField::Other,
    }
}

/// What becomes of a line of a response's head that is passed on as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseLine {
    /// It is copied.
    Copied,
    /// It is copied, and need not be added.
    Date,
    /// It says of the connection whether it stays open, and which fields are hop-by-hop.
    Connection,
    /// It says of the connection how long it stays open.
    KeepAlive,
    /// It is hop-by-hop besides.
    Hop,
    /// It delimits the body.
    ContentLength,
    /// It delimits the body.
    TransferEncoding,
    /// It is not simply copied: it is [`ResponseField::Rewritable`], or one that the proxy may replace by its own.
    Rewritable,
}

/// What becomes of a line with this name, in any case. Nearly all names are told apart from those that are not copied by their length.
#[inline]
pub(crate) fn of_line(name: &[u8]) -> ResponseLine {
    let names: &[(&[u8], ResponseLine)] = match name.len() {
        4 => &[(b"date", ResponseLine::Date)],
        7 => &[
            (b"upgrade", ResponseLine::Hop),
            (b"refresh", ResponseLine::Rewritable),
            (b"trailer", ResponseLine::Rewritable),
            (b"alt-svc", ResponseLine::Rewritable),
        ],
        8 => &[(b"location", ResponseLine::Rewritable)],
        10 => &[
            (b"connection", ResponseLine::Connection),
            (b"keep-alive", ResponseLine::KeepAlive),
            (b"set-cookie", ResponseLine::Rewritable),
        ],
        14 => &[(b"content-length", ResponseLine::ContentLength)],
        16 => &[
            (b"proxy-connection", ResponseLine::Hop),
            (b"content-location", ResponseLine::Rewritable),
        ],
        17 => &[
            (b"transfer-encoding", ResponseLine::TransferEncoding),
            (b"x-portolan-region", ResponseLine::Rewritable),
            (b"x-portolan-reason", ResponseLine::Rewritable),
        ],
        _ => return ResponseLine::Copied,
    };
    let named = names.iter().find(|(it, _)| name.eq_ignore_ascii_case(it));
    named.map_or(ResponseLine::Copied, |(_, becomes)| *becomes)
}

/// The name of a response's field. Those of nearly every response, as nearly every server writes them, are recognised as a whole: making a
/// name of bytes costs ten times as much.
pub(crate) fn response_name(written: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    Ok(match written {
        b"Date" | b"date" => header::DATE,
        b"ETag" | b"etag" => header::ETAG,
        b"Vary" | b"vary" => header::VARY,
        b"Server" | b"server" => header::SERVER,
        b"Connection" | b"connection" => header::CONNECTION,
        b"Keep-Alive" | b"keep-alive" => KEEP_ALIVE,
        b"Set-Cookie" | b"set-cookie" => header::SET_COOKIE,
        b"Content-Type" | b"content-type" => header::CONTENT_TYPE,
        b"Accept-Ranges" | b"accept-ranges" => header::ACCEPT_RANGES,
        b"Cache-Control" | b"cache-control" => header::CACHE_CONTROL,
        b"Last-Modified" | b"last-modified" => header::LAST_MODIFIED,
        b"Content-Length" | b"content-length" => header::CONTENT_LENGTH,
        b"Content-Encoding" | b"content-encoding" => header::CONTENT_ENCODING,
        b"Transfer-Encoding" | b"transfer-encoding" => header::TRANSFER_ENCODING,
        other => HeaderName::from_bytes(other)?,
    })
}

// Names that `http` does not know. It would take memory for each.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The name of a request's field: see [`response_name`].
pub(crate) fn request_name(written: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    Ok(match written {
        b"TE" | b"te" => header::TE,
        b"Host" | b"host" => header::HOST,
        b"Range" | b"range" => header::RANGE,
        b"Accept" | b"accept" => header::ACCEPT,
        b"Cookie" | b"cookie" => header::COOKIE,
        b"Expect" | b"expect" => header::EXPECT,
        b"Origin" | b"origin" => header::ORIGIN,
        b"Referer" | b"referer" => header::REFERER,
        b"Connection" | b"connection" => header::CONNECTION,
        b"User-Agent" | b"user-agent" => header::USER_AGENT,
        b"Content-Type" | b"content-type" => header::CONTENT_TYPE,
        b"Authorization" | b"authorization" => header::AUTHORIZATION,
        b"Cache-Control" | b"cache-control" => header::CACHE_CONTROL,
        b"If-None-Match" | b"if-none-match" => header::IF_NONE_MATCH,
        b"Content-Length" | b"content-length" => header::CONTENT_LENGTH,
        b"Accept-Encoding" | b"accept-encoding" => header::ACCEPT_ENCODING,
        b"Accept-Language" | b"accept-language" => header::ACCEPT_LANGUAGE,
        b"If-Modified-Since" | b"if-modified-since" => header::IF_MODIFIED_SINCE,
        b"Transfer-Encoding" | b"transfer-encoding" => header::TRANSFER_ENCODING,
        b"Upgrade-Insecure-Requests" | b"upgrade-insecure-requests" => header::UPGRADE_INSECURE_REQUESTS,
        b"Traceparent" | b"traceparent" => TRACEPARENT,
        b"X-Request-Id" | b"X-Request-ID" | b"x-request-id" => X_REQUEST_ID,
        b"X-Forwarded-For" | b"x-forwarded-for" => X_FORWARDED_FOR,
        b"X-Forwarded-Host" | b"x-forwarded-host" => X_FORWARDED_HOST,
        b"X-Forwarded-Proto" | b"x-forwarded-proto" => X_FORWARDED_PROTO,
        other => HeaderName::from_bytes(other)?,
    })
}

/// Whether `Connection` names no fields, as in nearly all messages.
pub(crate) fn is_usual_connection(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

/// The elements of a list of tokens. An invalid element does not affect the others.
pub(crate) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let elements = value.split(|byte| *byte == b',');
    elements.map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Appends a field as HTTP/1.1 has it, with its CR LF.
#[inline]
pub(crate) fn write(to: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    to.reserve(name.len() + value.len() + b": \r\n".len());
    to.extend_from_slice(name);
    to.extend_from_slice(b": ");
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}

/// `1*DIGIT`, as far as it fits.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let digit = |number: u64, byte: &u8| {
        let digit = byte.wrapping_sub(b'0');
        let more = number.checked_mul(10)?.checked_add(digit.into())?;
        (digit <= 9).then_some(more)
    };
    text.iter().try_fold(0, digit).filter(|_| !text.is_empty())
}

/// The length of a body (RFC 9110, section 8.6): a [`number`] that recipients with signed ones can read too.
pub(crate) fn length(text: &[u8]) -> Option<u64> {
    number(text).filter(|length| i64::try_from(*length).is_ok())
}

/// Whether a field may be a trailer: not one for framing, routing, authentication or caching (RFC 9110, section 6.5.1). A
/// recipient that merges trailers into the head would trust it.
pub(crate) fn may_trail(name: &str) -> bool {
    !is_hop(name) && !comes_before(name) && matches!(identity::fields::kind(name), (FieldKind::Other, _))
}

fn comes_before(name: &str) -> bool {
    let is_framing = matches!(name, "transfer-encoding" | "content-length" | "trailer" | "te");
    let is_routing = matches!(name, "host" | "via" | "proxy" | "http2-settings");
    let modifies =
        matches!(name, "expect" | "max-forwards" | "range" | "pragma" | "cache-control") || name.starts_with("if-");
    let authenticates = matches!(
        name,
        "authorization" | "cookie" | "set-cookie" | "www-authenticate" | "authentication-info"
    ) || name.starts_with("proxy-");
    let controls = matches!(
        name,
        "age" | "date" | "expires" | "location" | "retry-after" | "vary" | "warning"
    );
    let describes = matches!(
        name,
        "content-encoding" | "content-type" | "content-range" | "content-location" | "content-language"
    );
    is_framing || is_routing || modifies || authenticates || controls || describes
}

/// The byte range of a part within its text.
pub(crate) fn place(text: &[u8], part: &[u8]) -> (usize, usize) {
    let from = part.as_ptr().addr() - text.as_ptr().addr();
    (from, from + part.len())
}

/// Whether every line of a head, or of trailers, ends in CR LF; its fields begin at these places. The parser also accepts a
/// bare LF, which other recipients may not (RFC 9112, section 2.2).
pub(crate) fn are_lines(text: &[u8], mut fields: impl Iterator<Item = usize>) -> bool {
    fields.all(|at| at == 0 || text[..at].ends_with(b"\r\n")) && (text.ends_with(b"\r\n\r\n") || text == b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_list_element_does_not_affect_the_others() {
        let value = b" close ,, x-\xe4 ,\tX-Own";
        assert_eq!(tokens(value).collect::<Vec<_>>(), [&b"close"[..], b"x-\xe4", b"X-Own"]);
    }

    #[test]
    fn a_number_is_digits_and_nothing_else() {
        for (text, value) in [("0", 0), ("0017", 17), ("18446744073709551615", u64::MAX)] {
            assert_eq!(number(text.as_bytes()), Some(value));
        }
        for text in [
            "",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1_0",
            "0x1",
            "a",
            "18446744073709551616",
            "1:",
            "1/",
        ] {
            assert_eq!(number(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_length_is_at_most_the_largest_signed_number() {
        assert_eq!(length(b"9223372036854775807"), Some(i64::MAX.unsigned_abs()));
        assert_eq!((length(b"9223372036854775808"), length(b"")), (None, None));
    }

    #[test]
    fn a_line_becomes_what_a_field_with_its_name_does() {
        let ours = ["alt-svc", "x-portolan-region", "x-portolan-reason"];
        let names = [
            "date",
            "x-date",
            "host",
            "upgrade",
            "refresh",
            "trailer",
            "referer",
            "location",
            "connection",
            "keep-alive",
            "set-cookie",
            "user-agent",
            "content-length",
            "content-digest",
            "proxy-connection",
            "content-location",
            "content-language",
            "transfer-encoding",
            "x-transfer-encodi",
            "strict-transport-security",
            "server",
            "",
        ];
        for name in names.into_iter().chain(ours) {
            let expected = match name {
                "date" => ResponseLine::Date,
                "connection" => ResponseLine::Connection,
                "keep-alive" => ResponseLine::KeepAlive,
                "content-length" => ResponseLine::ContentLength,
                "transfer-encoding" => ResponseLine::TransferEncoding,
                _ => match of_response(name) {
                    ResponseField::Hop => ResponseLine::Hop,
                    ResponseField::Rewritable => ResponseLine::Rewritable,
                    ResponseField::Other if ours.contains(&name) => ResponseLine::Rewritable,
                    ResponseField::Other => ResponseLine::Copied,
                },
            };
            assert_eq!(of_line(name.as_bytes()), expected, "{name}");
            assert_eq!(of_line(name.to_ascii_uppercase().as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn a_name_is_the_same_however_it_is_written() {
        for name in [
            "Date",
            "ETag",
            "Vary",
            "Server",
            "Connection",
            "Set-Cookie",
            "Content-Type",
            "Accept-Ranges",
            "Cache-Control",
            "Last-Modified",
            "Content-Length",
            "Content-Encoding",
            "Transfer-Encoding",
            "Keep-Alive",
            "X-Own",
            "X-Frame-Options",
            "TE",
            "Host",
            "Range",
            "Accept",
            "Cookie",
            "Expect",
            "Origin",
            "Referer",
            "User-Agent",
            "Authorization",
            "If-None-Match",
            "Accept-Encoding",
            "Accept-Language",
            "If-Modified-Since",
            "Upgrade-Insecure-Requests",
            "Traceparent",
            "X-Request-Id",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
        ] {
            let lower = name.to_ascii_lowercase();
            for written in [name, &lower, &name.to_ascii_uppercase()] {
                for read in [response_name(written.as_bytes()), request_name(written.as_bytes())] {
                    let read = read.expect("a name");
                    assert_eq!(read.as_str(), lower, "{written}");
                    assert_eq!(read, HeaderName::from_bytes(lower.as_bytes()).expect("a name"));
                }
            }
        }
        assert!(response_name(b"Content Type").is_err());
        assert!(request_name(b"Content Type").is_err());
    }

    #[test]
    fn framing_routing_and_caching_fields_are_not_trailers() {
        for name in ["x-checksum", "server-timing", "grpc-status", "etag", "digest"] {
            assert!(may_trail(name), "{name}");
        }
        for name in [
            "content-length",
            "host",
            "connection",
            "authorization",
            "proxy-authorization",
            "set-cookie",
            "if-match",
            "x-forwarded-for",
            "x-forwarded_for",
            "x-azure-fdid",
            "x_azure_fdid",
            "x-portolan-region",
            "x-real-ip",
            "forwarded",
            "content_length",
            "cache-control",
        ] {
            assert!(!may_trail(name), "{name}");
        }
    }
}
