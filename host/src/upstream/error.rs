//! Errors of an exchange, whatever protocol carries it.

use super::malformed::Malformed;
use crate::tls::failure;
use crate::vitals::UpstreamError;
use portolan_core::tls::TlsFailure;
use std::io;
use thiserror::Error;

/// Why a response is missing or incomplete.
#[derive(Debug, Error)]
pub(super) enum ExchangeError {
    /// Nothing of the request was sent.
    #[error("the connection was closed before anything was sent")]
    Unsent,
    /// The gateway refused the stream without having processed the request (RFC 9113, section 8.7).
    #[error("the gateway refused the stream")]
    Refused,
    /// The gateway reset the stream before the head of a response: it may have processed the request.
    #[error("the gateway reset the stream: {0}")]
    Reset(h2::Reason),
    /// HTTP/2 has no way to say it.
    #[error("the request cannot be sent over HTTP/2")]
    Inexpressible,
    /// It broke before any byte of a response: it may have been closing while the request was written.
    #[error("the connection was closed without a response")]
    Unanswered(#[source] Option<io::Error>),
    /// It broke in the middle.
    #[error("the connection was closed in the middle of the response")]
    Cut(#[source] Option<io::Error>),
    /// The response ends with its connection, and the connection ended without close_notify: anybody in between may have cut
    /// it. Some servers never send close_notify (Python's http.server, Java's HttpsServer).
    #[error("the TLS connection ended without close_notify: the response may have been cut short")]
    Unclear,
    /// The client's body failed.
    #[error("the client did not send its body")]
    Abandoned,
    /// The response is malformed.
    #[error("malformed response")]
    Malformed(#[from] Malformed),
    /// The gateway violated HTTP/2, in its response or elsewhere on the connection.
    #[error("malformed response: an error of HTTP/2: {0}")]
    Http2(h2::Reason),
}

impl ExchangeError {
    /// Whether the gateway has certainly not processed the request.
    pub(super) fn is_unprocessed(&self) -> bool {
        matches!(self, Self::Unsent | Self::Refused | Self::Inexpressible)
    }

    /// Its kind; `None` when it is the client's fault.
    pub(super) fn kind(&self) -> Option<UpstreamError> {
        match self {
            // In TLS 1.3 a gateway rejects a client certificate after the handshake, when the request may be there.
            Self::Unanswered(Some(error)) if failure::of(error) == Some(TlsFailure::ClientCertificate) => {
                Some(UpstreamError::TlsClientCertificate)
            }
            Self::Refused => Some(UpstreamError::StreamRefused),
            Self::Unsent | Self::Reset(_) | Self::Unanswered(_) => Some(UpstreamError::Reset),
            Self::Cut(_) => Some(UpstreamError::Cut),
            Self::Unclear => Some(UpstreamError::TlsNoCloseNotify),
            Self::Malformed(_) | Self::Http2(_) => Some(UpstreamError::Malformed),
            Self::Abandoned | Self::Inexpressible => None,
        }
    }
}
