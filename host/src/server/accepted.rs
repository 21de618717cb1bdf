//! A connection that has been accepted, whatever it is carried by.
//!
//! What happens between a socket and its first request belongs here: the PROXY protocol's header, which names another
//! peer, and the TLS handshake, which settles the protocol. Everything behind this sees a stream of bytes and where it
//! arrived.

use crate::arrival::{Arrival, ListenerId};
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A byte stream to a client.
pub(super) trait ClientStream: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Makes dropping the stream reset the connection, so that its client does not take the end for an orderly one.
    fn reset_when_dropped(&self);
}

impl ClientStream for TcpStream {
    fn reset_when_dropped(&self) {
        // A socket that is gone already cannot be reset, and need not be.
        let _ = self.set_zero_linger();
    }
}

/// A connection from which requests can be read.
#[derive(Debug)]
pub(super) struct Accepted<S> {
    pub(super) io: S,
    pub(super) arrival: Rc<Arrival>,
}

impl Accepted<TcpStream> {
    /// A connection without TLS to a listener at this address.
    pub(super) fn plain(stream: TcpStream, listener: ListenerId, peer: SocketAddr, address: SocketAddr) -> Self {
        // A listener on all addresses learns which one it was.
        let local = stream.local_addr().unwrap_or(address);
        Self {
            io: stream,
            arrival: Rc::new(Arrival::plain(listener, peer, local)),
        }
    }
}
