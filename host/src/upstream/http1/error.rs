//! What can go wrong with an exchange.

use super::response::Malformed;
use crate::vitals::UpstreamError;
use std::io;
use thiserror::Error;

/// Why a connection brought no response, or not all of it.
#[derive(Debug, Error)]
pub(in crate::upstream) enum ExchangeError {
    /// Nothing of the request was sent.
    #[error("the connection was closed before anything was sent")]
    Unsent,
    /// It broke before anything of a response came: perhaps it was being closed while we wrote.
    #[error("the connection was closed without a response")]
    Unanswered(#[source] Option<io::Error>),
    /// It broke in the middle.
    #[error("the connection was closed in the middle of the response")]
    Cut(#[source] Option<io::Error>),
    /// The client did not send its body.
    #[error("the client did not send its body")]
    Abandoned,
    /// What came is no response.
    #[error("malformed response")]
    Malformed(#[from] Malformed),
}

impl ExchangeError {
    /// Its kind; `None` when it is the client's fault.
    pub(in crate::upstream) fn kind(&self) -> Option<UpstreamError> {
        match self {
            Self::Unsent | Self::Unanswered(_) => Some(UpstreamError::Reset),
            Self::Cut(_) => Some(UpstreamError::Cut),
            Self::Malformed(_) => Some(UpstreamError::Malformed),
            Self::Abandoned => None,
        }
    }
}
