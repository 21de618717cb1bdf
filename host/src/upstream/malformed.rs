//! Why a response is malformed.

use crate::chunks;
use thiserror::Error;

/// Why a response is malformed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Malformed {
    #[error("not HTTP: {0}")]
    Syntax(#[from] httparse::Error),
    #[error("the head is too large")]
    TooLarge,
    #[error("invalid content-length")]
    Length,
    #[error("transfer-encoding leaves the end of the body in doubt")]
    Coding,
    #[error("status 101 without an upgrade having been asked for")]
    Switching,
    #[error("status 101 to another protocol than was asked for, or without a valid Sec-WebSocket-Accept")]
    Protocol,
    #[error(transparent)]
    Chunks(#[from] chunks::Malformed),
    #[error("a line does not end in CR LF")]
    LineEnd,
    #[error("too many interim responses")]
    Interim,
}

impl Malformed {
    /// Whether the response does not begin with a status line. On a connection that was used before, this is the rest of the
    /// exchange before it: a body after a response that has none.
    pub(super) fn is_no_status_line(self) -> bool {
        matches!(self, Self::Syntax(httparse::Error::Version | httparse::Error::Status))
    }
}
