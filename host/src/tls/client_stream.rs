//! An open TLS connection to a gateway.

use rustls::ClientConnection;
use socket2::{SockRef, Socket};
use std::io::{self, BufRead, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// An open TLS connection to a gateway. When it is dropped the gateway gets close_notify, if the system takes it at once.
///
/// An end without close_notify is an error of kind `UnexpectedEof` when it is read.
#[derive(Debug)]
pub struct ClientStream(TlsStream<TcpStream>);

impl ClientStream {
    pub(super) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self(stream)
    }

    /// Whether HTTP/2 was agreed on.
    pub fn is_http2(&self) -> bool {
        self.0.get_ref().1.alpn_protocol() == Some(b"h2")
    }

    /// Makes dropping it reset the connection.
    ///
    /// # Errors
    /// When the system does not know the socket.
    pub fn reset_when_dropped(&self) -> io::Result<()> {
        self.0.get_ref().0.set_zero_linger()
    }

    /// How much there is to read: asks the system, while a read asks only after an event. `Ok(0)` is the end. No content is
    /// taken; what TLS sends for itself, such as tickets, is processed.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; else the connection's error.
    pub fn peek(&mut self) -> io::Result<usize> {
        let (stream, session) = self.0.get_mut();
        let socket = SockRef::from(&*stream);
        let mut socket: &Socket = &socket;
        while session.wants_read() {
            match session.read_tls(&mut socket) {
                Ok(0) => break,
                Ok(_) => session.process_new_packets().map_err(io::Error::other)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
        }
        session.reader().fill_buf().map(<[u8]>::len)
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        let (stream, session) = self.0.get_mut();
        let socket = SockRef::from(&*stream);
        close(session, &socket);
    }
}

/// Sends close_notify as far as the system takes it: nobody waits for a connection that is dropped.
fn close(session: &mut ClientConnection, mut socket: &Socket) {
    session.send_close_notify();
    while session.wants_write() {
        if !matches!(session.write_tls(&mut socket), Ok(1..)) {
            return;
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
