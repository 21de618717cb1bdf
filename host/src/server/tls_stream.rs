//! A client's stream behind TLS.

use super::accepted::ClientStream;
use crate::tls::HTTP2;
use rustls::ServerConnection;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream as Stream;

/// A stream whose handshake is done.
#[derive(Debug)]
pub(super) struct TlsStream(Box<Stream<TcpStream>>);

impl TlsStream {
    /// Boxed: a session has more than a kilobyte, and the stream is moved.
    pub(super) fn new(stream: Stream<TcpStream>) -> Self {
        Self(Box::new(stream))
    }

    /// Whether HTTP/2 was agreed on (ALPN).
    pub(super) fn is_http2(&self) -> bool {
        self.session().alpn_protocol() == Some(HTTP2)
    }

    pub(super) fn session(&self) -> &ServerConnection {
        self.0.get_ref().1
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut *self.0).poll_read(context, buffer) {
            // An end without close_notify, as many clients end their connections. No request ends with its connection, so
            // that nothing can be cut off by it: RFC 9112, section 9.8.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            polled => polled,
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write_vectored(context, buffers)
    }
}

impl ClientStream for TlsStream {
    /// Bytes on the socket may be the client's close_notify: they are decrypted, and remain to be read.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let (socket, session) = self.0.get_mut();
        loop {
            let state = session.process_new_packets().map_err(io::Error::other)?;
            if state.plaintext_bytes_to_read() > 0 {
                return Poll::Ready(Ok(false));
            }
            if state.peer_has_closed() {
                return Poll::Ready(Ok(true));
            }
            match session.read_tls(&mut Blocking(socket, context)) {
                Ok(0) => return Poll::Ready(Ok(true)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // What the socket has had no room for yet. An error is noticed by the one who reads.
        let _ = Pin::new(&mut *self.0).poll_flush(context);
        let (socket, session) = self.0.get_mut();
        // A request may have come together with the end of the handshake.
        match session.process_new_packets() {
            Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {
                socket.poll_read_ready(context).map(drop)
            }
            _ => Poll::Ready(()),
        }
    }

    fn reset_when_dropped(&self) {
        self.0.get_ref().0.reset_when_dropped();
    }

    fn say_goodbye(&mut self) {
        let (socket, session) = self.0.get_mut();
        session.send_close_notify();
        let mut context = Context::from_waker(std::task::Waker::noop());
        while session.wants_write() {
            // What does not go into the socket's buffer at once is not waited for.
            let Ok(1..) = session.write_tls(&mut Blocking(socket, &mut context)) else {
                return;
            };
        }
    }
}

/// A socket as rustls reads and writes it: with an error where it would block.
struct Blocking<'a, 'b>(&'a mut TcpStream, &'a mut Context<'b>);

fn or_would_block<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Blocking<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        or_would_block(Pin::new(&mut *self.0).poll_read(self.1, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl Write for Blocking<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.0).poll_write(self.1, bytes))
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.0).poll_write_vectored(self.1, buffers))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
