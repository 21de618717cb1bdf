//! Errors of an exchange.

use super::response::Malformed;
use crate::tls::failure;
use crate::vitals::UpstreamError;
use portolan_core::tls::TlsFailure;
use std::io;
use thiserror::Error;

/// Why a response is missing or incomplete.
#[derive(Debug, Error)]
pub(in crate::upstream) enum ExchangeError {
    /// Nothing of the request was sent.
    #[error("the connection was closed before anything was sent")]
    Unsent,
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
}

impl ExchangeError {
    /// Its kind; `None` when it is the client's fault.
    pub(in crate::upstream) fn kind(&self) -> Option<UpstreamError> {
        match self {
            // In TLS 1.3 a gateway rejects a client certificate after the handshake, when the request may be there.
            Self::Unanswered(Some(error)) if failure::of(error) == Some(TlsFailure::ClientCertificate) => {
                Some(UpstreamError::TlsClientCertificate)
            }
            Self::Unsent | Self::Unanswered(_) => Some(UpstreamError::Reset),
            Self::Cut(_) => Some(UpstreamError::Cut),
            Self::Unclear => Some(UpstreamError::TlsNoCloseNotify),
            Self::Malformed(_) => Some(UpstreamError::Malformed),
            Self::Abandoned => None,
        }
    }
}
