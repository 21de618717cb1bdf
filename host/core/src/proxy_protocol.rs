//! The header with which a proxy says whose connection it passes on: versions 1 and 2 of the PROXY protocol.
//!
//! By the specification of HAProxy, `doc/proxy-protocol.txt` (sections 2.1 and 2.2). A header is a single part at the very
//! beginning of a connection, and everything in it has a bound; what does not fit the specification is invalid, never
//! guessed.

mod crc32c;
mod encode;
#[cfg(test)]
mod tests;
mod tlv;
mod v1;
mod v2;

pub use encode::{LOCAL, MAX_ENCODED, encode};
pub use tlv::{Extensions, Tls};

use std::net::SocketAddr;
use thiserror::Error;

/// The largest header that is accepted, in bytes; nginx has the same limit. The specification allows 65,551.
pub const MAX_HEADER: usize = 4096;

/// A header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its version.
    pub version: Version,
    /// Whose connection it is.
    pub origin: Origin,
    /// Further properties of the connection. None in version 1.
    pub extensions: Extensions,
}

/// The version of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The proxy's own, as for its health checks (`LOCAL`).
    Local,
    /// Passed on for a client that the header does not name: `UNKNOWN`, `AF_UNSPEC`, a Unix socket, or datagrams.
    Unknown,
    /// Passed on for a client over TCP.
    Tcp {
        /// The client.
        source: SocketAddr,
        /// What the client connected to.
        destination: SocketAddr,
    },
}

/// Why bytes are not a header.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum HeaderError {
    /// They begin otherwise than a header of either version.
    #[error("Received something which does not look like a PROXY protocol header")]
    NotHeader,
    /// They are malformed.
    #[error("Received an invalid PROXY protocol header: {0}")]
    Invalid(&'static str),
}

/// Reads the header at the beginning of `bytes`. `Some` with the number of its bytes when it is whole, `None` when more bytes are
/// needed.
///
/// # Errors
/// As soon as the bytes cannot become a valid header.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    if begins(bytes, v2::SIGNATURE) {
        v2::parse(bytes)
    } else if begins(bytes, v1::PREFIX) {
        v1::parse(bytes)
    } else {
        Err(HeaderError::NotHeader)
    }
}

/// Whether these are the first bytes of a header, as far as they go: two at least, so that one letter is not taken for it. Without the
/// empty lines that version 2 begins with, too: readers of HTTP pass over them (RFC 9112, section 2.2).
pub fn is_begun(bytes: &[u8]) -> bool {
    let beginnings = [v1::PREFIX, v2::SIGNATURE, v2::SIGNATURE.trim_ascii_start()];
    bytes.len() > 1 && beginnings.into_iter().any(|beginning| begins(bytes, beginning))
}

/// Whether bytes begin like this, as far as they go.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    let common = bytes.len().min(with.len());
    bytes[..common] == with[..common]
}
