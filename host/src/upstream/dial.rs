//! The dialer: opens every outgoing connection, for traffic, probes and the command line.
//!
//! Resolving comes before (see [`Resolver`](crate::dns::Resolver)), HTTP after. How a connection is opened is a [`Connect`], so
//! that tests can put gateways in memory behind everything above. TLS belongs to it: a failed handshake is a failed connection.

use crate::tls::{ClientStream, Offer, Origin, failure};
use portolan_core::tls::TlsFailure;
use rustix::io::Errno;
use socket2::SockRef;
use std::fmt::Debug;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

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
    /// TLS over TCP. Boxed: it is large, and plain connections move around as well.
    Tls(Box<ClientStream>),
    /// In memory.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

impl Transport {
    /// Whether HTTP/2 was agreed on by ALPN.
    pub fn is_http2(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.is_http2(),
            _ => false,
        }
    }

    /// What there is to read: asks the system, while a read asks only after an event. `Ok(0)` is the end. Nothing is taken.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; else the connection's error.
    pub(super) fn peek(&mut self) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => SockRef::from(&*stream).peek(&mut [MaybeUninit::uninit()]),
            Self::Tls(stream) => stream.peek(),
            #[cfg(test)]
            Self::Memory(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Transport {
    /// Makes dropping it reset the connection, so that the other end does not take that for an orderly end.
    pub fn reset_when_dropped(&self) {
        // A socket that is gone already cannot be reset, and need not be.
        let _ = match self {
            Self::Tcp(stream) => stream.set_zero_linger(),
            Self::Tls(stream) => stream.reset_when_dropped(),
            #[cfg(test)]
            Self::Memory(_) => Ok(()),
        };
    }
}

/// What a connection begins with, before HTTP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening<'a> {
    /// Goes before everything else, in plain text.
    pub preface: &'a [u8],
    /// TLS. `None`: a plain connection.
    pub tls: Option<&'a Origin>,
    /// The versions of HTTP that are offered by TLS. With [`Offer::Http2`] alone there is no connection without it.
    pub offer: Offer,
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
    /// A connection, and no TLS handshake in time.
    #[error("no TLS handshake with {0} in time")]
    HandshakeTimedOut(SocketAddr),
    /// A connection, and no TLS on it.
    #[error("no TLS with {0}: {1}")]
    Tls(SocketAddr, TlsFailure, #[source] io::Error),
    /// A connection on which HTTP/2 was begun, and not its answer.
    #[error("{0} accepted the connection and does not speak HTTP/2 on it")]
    NotHttp2(SocketAddr, #[source] io::Error),
    /// The same, and nothing came in time.
    #[error("{0} accepted the connection and did not begin to speak HTTP/2 in time")]
    Http2TimedOut(SocketAddr),
    /// An error of this process, not of the host.
    #[error("this process has no descriptors, ports or memory left")]
    Exhausted(#[source] io::Error),
}

impl DialError {
    /// The same error for another request that waited for the same connection. Its cause is left as text.
    #[must_use]
    pub(super) fn again(&self) -> Self {
        let cause = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
        match self {
            Self::NoAddress => Self::NoAddress,
            Self::Refused(address) => Self::Refused(*address),
            Self::Unreachable(address, error) => Self::Unreachable(*address, cause(error)),
            Self::TimedOut(address) => Self::TimedOut(*address),
            Self::HandshakeTimedOut(address) => Self::HandshakeTimedOut(*address),
            Self::Tls(address, failure, error) => Self::Tls(*address, *failure, cause(error)),
            Self::NotHttp2(address, error) => Self::NotHttp2(*address, cause(error)),
            Self::Http2TimedOut(address) => Self::Http2TimedOut(*address),
            Self::Exhausted(error) => Self::Exhausted(cause(error)),
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub transport: Transport,
    /// From the first packet until the other end's network stack accepted it: a round trip.
    pub round_trip: Duration,
    /// How long the TLS handshake took after that; `None` without TLS.
    pub tls_handshake: Option<Duration>,
}

/// A connection to one of several addresses.
#[derive(Debug)]
pub struct Dialed {
    /// The place of the address that accepted it.
    pub index: usize,
    /// The connection.
    pub transport: Transport,
    /// See [`Connected::round_trip`].
    pub round_trip: Duration,
    /// See [`Connected::tls_handshake`].
    pub tls_handshake: Option<Duration>,
    /// The places of the addresses before it that failed, or were slower although they were tried earlier.
    pub failed: Vec<usize>,
}

/// How long an address has before the next one is tried beside it (RFC 8305, section 5: Connection Attempt Delay).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connection that is being opened within its time limit.
type Dialing<'a> = Pin<Box<dyn Future<Output = Result<Connected, DialError>> + Send + 'a>>;

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

    /// Connects to an address within `limit`, and with TLS shakes hands within another `limit`.
    ///
    /// # Errors
    /// When there is no connection in time.
    pub async fn dial(
        &self,
        address: SocketAddr,
        opening: Opening<'_>,
        limit: Duration,
    ) -> Result<Connected, DialError> {
        let connected = self.connect(address, opening.preface, limit).await?;
        let Some(origin) = opening.tls else {
            return Ok(connected);
        };
        let begun = Instant::now();
        let transport = handshake(connected.transport, origin, opening.offer, address, limit).await?;
        Ok(Connected {
            transport,
            tls_handshake: Some(begun.elapsed()),
            ..connected
        })
    }

    /// Connects to an address and writes `preface`, without TLS, within `limit`.
    ///
    /// # Errors
    /// When there is no connection within `limit`.
    pub async fn connect(&self, address: SocketAddr, preface: &[u8], limit: Duration) -> Result<Connected, DialError> {
        match timeout(limit, self.open(address, preface)).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(error)) if is_our_own(&error) => Err(DialError::Exhausted(error)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(DialError::Refused(address)),
            Ok(Err(error)) => Err(DialError::Unreachable(address, error)),
            Err(_) => Err(DialError::TimedOut(address)),
        }
    }

    async fn open(&self, address: SocketAddr, preface: &[u8]) -> io::Result<Connected> {
        let begun = Instant::now();
        let mut transport = self.connect.connect(address).await?;
        let round_trip = begun.elapsed();
        if !preface.is_empty() {
            transport.write_all(preface).await?;
        }
        Ok(Connected {
            transport,
            round_trip,
            tls_handshake: None,
        })
    }

    /// Connects to one of several addresses, the first ones by preference: each further one is tried when one before it has
    /// failed, or beside it when it is slow ([`ATTEMPT_DELAY`]). Each has `limit`, and with TLS twice that.
    ///
    /// # Errors
    /// The last one's, when none accepts.
    pub async fn dial_any(
        &self,
        addresses: &[SocketAddr],
        opening: Opening<'_>,
        limit: Duration,
    ) -> Result<Dialed, DialError> {
        if let [address] = addresses {
            let connected = self.dial(*address, opening, limit).await?;
            return Ok(Dialed {
                index: 0,
                transport: connected.transport,
                round_trip: connected.round_trip,
                tls_handshake: connected.tls_handshake,
                failed: Vec::new(),
            });
        }
        let mut waiting = (0..addresses.len()).fuse();
        let mut running: Vec<(usize, Dialing<'_>)> = Vec::new();
        let mut dialed = Err(DialError::NoAddress);
        let mut failed = Vec::new();
        let mut next_at = pin!(sleep(Duration::ZERO));
        poll_fn(|context| {
            loop {
                if (running.is_empty() || next_at.as_mut().poll(context).is_ready())
                    && let Some(index) = waiting.next()
                {
                    running.push((index, Box::pin(self.dial(addresses[index], opening, limit))));
                    next_at.as_mut().reset(Instant::now() + ATTEMPT_DELAY);
                }
                let ended = running.iter_mut().enumerate().find_map(|(place, (_, dialing))| {
                    match dialing.as_mut().poll(context) {
                        Poll::Ready(result) => Some((place, result)),
                        Poll::Pending => None,
                    }
                });
                let Some((place, result)) = ended else {
                    match running.is_empty() {
                        true => return Poll::Ready(()),
                        // Armed for the next address, if there is one.
                        false if waiting.len() == 0 || next_at.as_mut().poll(context).is_pending() => {
                            return Poll::Pending;
                        }
                        false => continue,
                    }
                };
                let (index, _) = running.swap_remove(place);
                match result {
                    Ok(connected) => {
                        // Those that were begun earlier are slow; those after it may be as fast.
                        failed.extend(running.iter().map(|it| it.0).filter(|slow| *slow < index));
                        dialed = Ok((index, connected));
                        return Poll::Ready(());
                    }
                    Err(error) => {
                        let is_own = matches!(error, DialError::Exhausted(_));
                        dialed = Err(error);
                        if is_own {
                            return Poll::Ready(());
                        }
                        failed.push(index);
                        // Its successor need not wait.
                        next_at.as_mut().reset(Instant::now());
                    }
                }
            }
        })
        .await;
        dialed.map(|(index, connected)| Dialed {
            index,
            transport: connected.transport,
            round_trip: connected.round_trip,
            tls_handshake: connected.tls_handshake,
            failed,
        })
    }
}

/// Shakes hands over an open connection within `limit`.
///
/// # Errors
/// When the handshake fails or takes longer.
pub async fn handshake(
    transport: Transport,
    origin: &Origin,
    offer: Offer,
    address: SocketAddr,
    limit: Duration,
) -> Result<Transport, DialError> {
    let stream = match transport {
        Transport::Tcp(stream) => stream,
        // It is open already; gateways in memory have no TLS.
        other => return Ok(other),
    };
    match timeout(limit, origin.connect(stream, offer)).await {
        // It knows nothing of ALPN.
        Ok(Ok(stream)) if offer == Offer::Http2 && !stream.is_http2() => {
            let error = io::Error::other("no protocol was agreed on");
            Err(DialError::Tls(address, TlsFailure::Protocol, error))
        }
        Ok(Ok(stream)) => Ok(Transport::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            let failure = failure::of(&error).unwrap_or(TlsFailure::Handshake);
            Err(DialError::Tls(address, failure, error))
        }
        Err(_) => Err(DialError::HandshakeTimedOut(address)),
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
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
            #[cfg(test)]
            Self::Memory(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
            #[cfg(test)]
            Self::Memory(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(context, parts),
            #[cfg(test)]
            Self::Memory(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(context),
            #[cfg(test)]
            Self::Memory(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(context),
            #[cfg(test)]
            Self::Memory(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests;
