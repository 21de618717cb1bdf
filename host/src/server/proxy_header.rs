//! The PROXY protocol header with which a trusted proxy begins a connection, before anything else is read from it.
//!
//! Exactly the header is read: what follows it stays in the socket, for TLS or HTTP, however the bytes were sent.

use super::connection::unless_over;
use super::registry::Entry;
use crate::vitals::{ListenerVitals, ProxyHeader};
use portolan_core::proxy_protocol::{self, Header, HeaderError, Origin, Version};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// How many bytes are looked at at a time: most headers are shorter.
const PEEKED: usize = 256;

/// Why a connection is closed without a header. The texts are HAProxy's.
#[derive(Debug, Error)]
enum ReceiveError {
    #[error("Connection closed while waiting for PROXY protocol header")]
    Empty,
    #[error("Connection error while waiting for PROXY protocol header: {0}")]
    Abort(#[from] io::Error),
    #[error("Timeout while waiting for PROXY protocol header")]
    Timeout,
    #[error("Truncated PROXY protocol header received")]
    Truncated,
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// Receives the header of a connection from a proxy that must send one. `None` when the connection is to be closed, which has
/// been counted, and logged where it is an error.
pub(super) async fn receive(
    stream: &mut TcpStream,
    peer: SocketAddr,
    entry: &Entry,
    vitals: &ListenerVitals,
) -> Option<Header> {
    let activity = &entry.activity;
    poll_fn(|context| {
        activity.belongs_to(context.waker());
        Poll::Ready(())
    })
    .await;
    let received = unless_over(activity, pin!(read(stream))).await;
    if received.is_none() && entry.is_draining() {
        return None;
    }
    match received.unwrap_or(Err(ReceiveError::Timeout)) {
        Ok(header) => {
            vitals.count_proxy_header(header.kind());
            Some(header)
        }
        Err(error) => {
            vitals.count_proxy_header(error.kind());
            match error {
                // Health checks of load balancers do that all the time.
                ReceiveError::Empty => tracing::debug!(listener = %vitals.id, %peer, "connection closed: {error}"),
                _ => report(&error, peer, vitals),
            }
            None
        }
    }
}

/// Logs why a connection was closed, one line in ten seconds.
fn report(error: &ReceiveError, peer: SocketAddr, vitals: &ListenerVitals) {
    if let Some(suppressed) = vitals.log_proxy_header(Instant::now()) {
        let (listener, kind) = (&vitals.id, error.kind().as_str());
        tracing::warn!(%listener, %peer, kind, suppressed, "connection closed: {error}");
    }
}

/// Reads the header and not a byte more.
async fn read(stream: &mut TcpStream) -> Result<Header, ReceiveError> {
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        bytes.resize(before + PEEKED, 0);
        let count = stream.peek(&mut bytes[before..]).await?;
        if count == 0 {
            return Err(if before == 0 {
                ReceiveError::Empty
            } else {
                ReceiveError::Truncated
            });
        }
        bytes.truncate(before + count);
        // Bounded: what is longer than a header may be is invalid.
        let parsed = proxy_protocol::parse(&bytes)?;
        if let Some((_, length)) = &parsed {
            bytes.truncate(*length);
        }
        stream.read_exact(&mut bytes[before..]).await?;
        if let Some((header, _)) = parsed {
            return Ok(header);
        }
    }
}

/// What a header, or its absence, is counted as.
trait Counted {
    fn kind(&self) -> ProxyHeader;
}

impl Counted for Header {
    fn kind(&self) -> ProxyHeader {
        match (self.origin, self.version) {
            (Origin::Local, _) => ProxyHeader::Local,
            (_, Version::V1) => ProxyHeader::V1,
            (_, Version::V2) => ProxyHeader::V2,
        }
    }
}

impl Counted for ReceiveError {
    fn kind(&self) -> ProxyHeader {
        match self {
            Self::Empty => ProxyHeader::Empty,
            Self::Abort(_) => ProxyHeader::Abort,
            Self::Timeout => ProxyHeader::Timeout,
            Self::Truncated => ProxyHeader::Truncated,
            Self::Header(HeaderError::NotHeader) => ProxyHeader::NotHeader,
            Self::Header(HeaderError::Invalid(_)) => ProxyHeader::BadHeader,
        }
    }
}

#[cfg(test)]
mod tests;
