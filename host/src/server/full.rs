//! Connections beyond a limit.

use super::ListenerTerms;
use crate::arrival::ListenerId;
use crate::vitals::ConnectionLimit;
use std::cell::Cell;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// The answer to them.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Time between two messages about them.
const MESSAGES: Duration = Duration::from_secs(10);

/// Rejects connections of a listener.
#[derive(Debug, Default)]
pub(super) struct Full {
    /// By limit: how many were rejected since the last message, and when that was.
    unreported: [Cell<(u64, Option<Instant>)>; ConnectionLimit::ALL.len()],
}

impl Full {
    /// Answers a connection beyond a limit, which is closed then.
    pub(super) fn reject(
        &self,
        stream: &TcpStream,
        listener: &ListenerId,
        limit: ConnectionLimit,
        terms: &ListenerTerms,
    ) {
        // A client of TLS would not understand it. Otherwise this goes into an empty socket buffer at once; if it does
        // not, the connection is closed all the same.
        if terms.tls.is_none() {
            let _ = stream.try_write(FULL);
        }
        let unreported = &self.unreported[limit as usize];
        let (count, last) = unreported.get();
        let now = Instant::now();
        if last.is_some_and(|last| now.duration_since(last) < MESSAGES) {
            return unreported.set((count + 1, last));
        }
        unreported.set((0, Some(now)));
        tracing::warn!(
            %listener,
            limit = limit.as_str(),
            rejected = count + 1,
            "connections rejected with 503: as many as allowed are open"
        );
    }
}
