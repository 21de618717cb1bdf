//! A connection that has been accepted, whatever it is carried by.
//!
//! What happens between a socket and its first request comes before: the PROXY protocol header, which names another
//! peer, and the TLS handshake, which settles the protocol. Everything behind this sees a stream of bytes and where it
//! arrived.

use crate::arrival::{Arrival, ListenerId, RequestLimits};
use portolan_core::proxy_protocol::Header;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A byte stream to a client.
pub(super) trait ClientStream: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Whether the client has closed its side, without reading anything: ready with `true` when it has, with `false` when
    /// there are bytes to be read before that is known.
    ///
    /// # Errors
    /// When the connection was reset.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>>;

    /// Whether there may be bytes to be read, or the client has closed its side or reset the connection. Reads nothing; what waits to be
    /// written is written meanwhile.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// Makes dropping the stream reset the connection, so that its client does not take the end for an orderly one.
    fn reset_when_dropped(&self);

    /// Tells the client that nothing more will come, where the protocol has a word for it and as far as it can be written at
    /// once.
    fn say_goodbye(&mut self) {}
}

impl ClientStream for TcpStream {
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut byte = [0];
        let peeked = ready!(self.poll_peek(context, &mut ReadBuf::new(&mut byte)));
        Poll::Ready(peeked.map(|count| count == 0))
    }

    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // An error is for the one who reads.
        self.poll_read_ready(context).map(drop)
    }

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
    /// A connection without TLS to a listener at this address. `header`: the PROXY protocol header that it began with.
    pub(super) fn plain(
        stream: TcpStream,
        listener: ListenerId,
        peer: SocketAddr,
        address: SocketAddr,
        header: Option<Header>,
        limits: RequestLimits,
    ) -> Self {
        // A listener on all addresses asks which one it was.
        let local = match address.ip().is_unspecified() {
            true => stream.local_addr().unwrap_or(address),
            false => address,
        };
        let arrival = Arrival::plain(listener, peer, local).limited(limits);
        Self {
            io: stream,
            arrival: Rc::new(match header {
                Some(header) => arrival.passed_on(header),
                None => arrival,
            }),
        }
    }
}
