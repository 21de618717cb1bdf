//! The dialer: opens every outgoing connection, for traffic, probes and the command line.
//!
//! Resolving comes before (see [`Resolver`](crate::dns::Resolver)), HTTP after. How a connection is opened is a [`Connect`], so
//! that tests can put gateways in memory behind everything above.

use rustix::io::Errno;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Opens connections.
#[derive(Clone, Debug)]
pub struct Dialer {
    connect: Arc<dyn Connect>,
}

/// How a connection is opened.
pub trait Connect: Debug + Send + Sync {
    /// Opens a connection to an address.
    fn connect(&self, address: SocketAddr) -> Connecting<'_>;
}

/// A connection that is being opened.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Transport>> + Send + 'a>>;

/// An open connection, as bytes. Dispatch is a comparison, not an indirect call.
#[derive(Debug)]
pub enum Transport {
    /// Plain TCP.
    Tcp(TcpStream),
    /// In memory.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum DialError {
    /// There is no address to connect to.
    #[error("its name has no address")]
    NoAddress,
    /// The host refused the connection.
    #[error("{0} refused the connection")]
    Refused(SocketAddr),
    /// Another error of the network.
    #[error("{0} cannot be reached")]
    Unreachable(SocketAddr, #[source] io::Error),
    /// No connection in time.
    #[error("no connection to {0} in time")]
    TimedOut(SocketAddr),
    /// An error of this process, not of the host.
    #[error("this process has no descriptors, ports or memory left")]
    Exhausted(#[source] io::Error),
}

/// Connections over TCP.
#[derive(Clone, Copy, Debug)]
struct Tcp;

impl Dialer {
    /// Over TCP.
    pub fn tcp() -> Self {
        Self::new(Arc::new(Tcp))
    }

    /// By other means.
    pub fn new(connect: Arc<dyn Connect>) -> Self {
        Self { connect }
    }

    /// Connects to an address within `limit`.
    ///
    /// # Errors
    /// When there is no connection within `limit`.
    pub async fn dial(&self, address: SocketAddr, limit: Duration) -> Result<Transport, DialError> {
        match timeout(limit, self.connect.connect(address)).await {
            Ok(Ok(transport)) => Ok(transport),
            Ok(Err(error)) if is_our_own(&error) => Err(DialError::Exhausted(error)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(DialError::Refused(address)),
            Ok(Err(error)) => Err(DialError::Unreachable(address, error)),
            Err(_) => Err(DialError::TimedOut(address)),
        }
    }

    /// Connects to one of several addresses, tried in turn from the one at `first`, each within `limit`. Gives the place
    /// of the one that accepted.
    ///
    /// # Errors
    /// The last one's, when none accepts.
    pub async fn dial_any(
        &self,
        addresses: &[SocketAddr],
        first: usize,
        limit: Duration,
    ) -> Result<(usize, Transport), DialError> {
        let mut failure = DialError::NoAddress;
        for index in (first..first + addresses.len()).map(|index| index % addresses.len()) {
            match self.dial(addresses[index], limit).await {
                Ok(transport) => return Ok((index, transport)),
                Err(error @ DialError::Exhausted(_)) => return Err(error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

impl Connect for Tcp {
    fn connect(&self, address: SocketAddr) -> Connecting<'_> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Transport::Tcp(stream))
        })
    }
}

/// Whether an error of connect(2) is about this process and not about the host.
fn is_our_own(error: &io::Error) -> bool {
    let own = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
    ];
    Errno::from_io_error(error).is_some_and(|errno| own.contains(&errno))
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            #[cfg(test)]
            Self::Memory(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            #[cfg(test)]
            Self::Memory(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            #[cfg(test)]
            Self::Memory(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            #[cfg(test)]
            Self::Memory(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
