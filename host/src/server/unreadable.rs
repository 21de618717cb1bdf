//! Requests whose head could not be read.

use crate::vitals::Reason;
use http::StatusCode;
use portolan_core::proxy_protocol;

/// How a TLS client begins: a record of a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: &[u8] = &[0x16, 0x03];

/// A request whose head could not be read, so that no handler saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadableRequest {
    /// The reason.
    pub reason: Reason,
    /// The status that its client got; `None` when the connection was closed without an answer.
    pub status: Option<StatusCode>,
}

impl UnreadableRequest {
    /// A head that did not come within its time.
    pub(super) const TIMEOUT: Self = Self {
        reason: Reason::HeadTimeout,
        status: None,
    };

    /// What hyper could not read of these bytes, and how it answered; `None` for an error that is not about a head.
    pub(super) fn of(error: &hyper::Error, bytes: &[u8]) -> Option<Self> {
        if !error.is_parse() {
            return None;
        }
        if error.is_parse_version_h2() {
            return Some(Self {
                reason: Reason::Http2,
                status: Some(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
            });
        }
        // Hyper distinguishes the rest by its text only. The integration tests send one of each.
        let (reason, status) = match &*error.to_string() {
            _ if bytes.starts_with(TLS_HANDSHAKE) => (Reason::Tls, StatusCode::BAD_REQUEST),
            _ if proxy_protocol::is_begun(bytes) => (Reason::ProxyProtocol, StatusCode::BAD_REQUEST),
            "URI too long" => (Reason::LongTarget, StatusCode::URI_TOO_LONG),
            _ if error.is_parse_too_large() => (Reason::LargeHead, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            "invalid HTTP method parsed" => (Reason::Method, StatusCode::BAD_REQUEST),
            "invalid URI" => (Reason::Target, StatusCode::BAD_REQUEST),
            "invalid HTTP version parsed" => (Reason::Version, StatusCode::BAD_REQUEST),
            "invalid content-length parsed" => (Reason::ContentLength, StatusCode::BAD_REQUEST),
            text if text.ends_with("transfer-encoding parsed") => (Reason::TransferEncoding, StatusCode::BAD_REQUEST),
            _ => (Reason::Field, StatusCode::BAD_REQUEST),
        };
        Some(Self {
            reason,
            status: Some(status),
        })
    }
}
