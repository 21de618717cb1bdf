//! The listening socket: how it is bound, and how connections are accepted from it.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How many connections the kernel keeps for us to accept.
const BACKLOG: i32 = 4096;

/// How long accepting pauses when the process or the system has no descriptors or memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Binds a listening socket that several workers may share: each has one of its own on the same port, and the kernel
/// spreads connections over them.
///
/// # Errors
/// When the address cannot be bound.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        // `[::]` is for IPv6 alone, so that it can coexist with `0.0.0.0` on the same port.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it on Linux, which saves a system call each.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The next connection. Errors never end the loop: a connection that went away while it waited is passed over, and when
/// descriptors or memory are exhausted, accepting pauses instead of spinning.
pub(super) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection, trying again");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// The connections that already wait, without waiting for more.
pub(super) fn accept_waiting(listener: &TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    std::iter::from_fn(move || {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match listener.poll_accept(&mut context) {
            std::task::Poll::Ready(accepted) => accepted.ok(),
            std::task::Poll::Pending => None,
        }
    })
}

/// Whether an error is about the connection that was to be accepted, and not about the listener. Linux
/// reports network errors of the new connection here (accept(2)).
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}
