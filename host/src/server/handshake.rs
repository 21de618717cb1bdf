//! The TLS handshake of an accepted connection.
//!
//! A full handshake costs as much as hundreds of requests. So that a flood of them does not keep requests waiting, a worker
//! computes one at a time, and between two of them it looks at everything else that is ready: see [`HandshakeGate`].

mod standalone;

pub use standalone::{HandshakeError, accept_tls};

use super::accepted::Accepted;
use super::connection::unless_over;
use super::registry::Entry;
use super::tls_stream::TlsStream;
use crate::arrival::TlsFacts;
use crate::tls::{ServerTls, VerifiedClient};
use crate::vitals::{HandshakeFailure, ListenerVitals, TlsVersion};
use portolan_core::proxy_protocol;
use rustls::server::Acceptor;
use rustls::{Error as TlsError, HandshakeKind, InvalidMessage, PeerIncompatible, PeerMisbehaved, ProtocolVersion};
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;

/// Handshakes that may wait to be computed on one worker. A full handshake takes 0.1 to 5 ms, by the kind of the key.
const MAX_WAITING: usize = 1024;

/// How long a client is read from after a failed handshake. Closed at once with data unread, the connection would be reset,
/// and the client would lose the alert that says why.
const LINGER: Duration = Duration::from_secs(1);

/// The response to HTTP without TLS.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\
    content-length: 41\r\n\r\n400 Bad Request: this port expects HTTPS\n";

/// Lets one handshake at a time be computed on a worker.
#[derive(Debug)]
pub(super) struct HandshakeGate {
    permits: Semaphore,
    waiting: Cell<usize>,
}

impl Default for HandshakeGate {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(1),
            waiting: Cell::new(0),
        }
    }
}

impl HandshakeGate {
    /// Computes something when it is its turn, in the order of arrival. `None` when too many wait.
    async fn compute<T>(&self, work: impl AsyncFnOnce() -> T) -> Option<T> {
        if self.waiting.get() >= MAX_WAITING {
            return None;
        }
        let permit = {
            let _waits = Waits::new(&self.waiting);
            self.permits.acquire().await.ok()?
        };
        let done = work().await;
        // Runs again after the system was asked for what is ready, and all of that had its turn.
        tokio::task::yield_now().await;
        drop(permit);
        Some(done)
    }
}

/// One that waits, until dropped.
struct Waits<'a>(&'a Cell<usize>);

impl<'a> Waits<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A handshake that failed: how, with which error, and the socket when something is to be sent or read on it still.
struct Failed {
    failure: HandshakeFailure,
    error: Option<io::Error>,
    stream: Option<TcpStream>,
}

impl Failed {
    fn because(failure: HandshakeFailure) -> Self {
        Self {
            failure,
            error: None,
            stream: None,
        }
    }

    fn of(error: io::Error, stream: Option<TcpStream>) -> Self {
        Self {
            failure: failure(&error),
            error: Some(error),
            stream,
        }
    }
}

/// Performs the handshake. `None` when it failed, which has been counted, logged and answered then.
pub(super) async fn accept(
    accepted: Accepted<TcpStream>,
    tls: &ServerTls,
    gate: &HandshakeGate,
    vitals: &ListenerVitals,
    entry: &Entry,
) -> Option<Accepted<TlsStream>> {
    let peer = accepted.arrival.peer;
    entry.activity.begin_handshake();
    poll_fn(|context| {
        entry.activity.belongs_to(context.waker());
        Poll::Ready(())
    })
    .await;
    let handshake = pin!(handshake(accepted, tls, gate));
    let done = unless_over(&entry.activity, handshake).await;
    let failed = match done {
        Some(Ok(accepted)) => {
            entry.activity.end_handshake();
            let session = accepted.io.session();
            let version = match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
                _ => TlsVersion::Tls13,
            };
            let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
            vitals.handshakes.completed(version, resumed);
            return Some(accepted);
        }
        Some(Err(failed)) => failed,
        None if entry.activity.is_late_handshake() => Failed::because(HandshakeFailure::Timeout),
        None => Failed::because(HandshakeFailure::Draining),
    };
    report(&failed, vitals, peer);
    if let Some(stream) = failed.stream {
        entry.activity.lingers();
        unless_over(&entry.activity, pin!(linger(stream, answer(failed.failure)))).await;
    }
    None
}

/// What a client gets that speaks something else.
fn answer(failure: HandshakeFailure) -> &'static [u8] {
    if failure == HandshakeFailure::PlainHttp {
        PLAIN_HTTP
    } else {
        b""
    }
}

async fn handshake(
    accepted: Accepted<TcpStream>,
    tls: &ServerTls,
    gate: &HandshakeGate,
) -> Result<Accepted<TlsStream>, Failed> {
    let Accepted {
        io: mut stream,
        arrival,
    } = accepted;
    if let Some(failure) = foreign(&mut stream).await? {
        return Err(Failed {
            failure,
            error: None,
            stream: Some(stream),
        });
    }
    // The hello is read before anything is computed: a slow client keeps nobody waiting.
    let mut acceptor = pin!(LazyConfigAcceptor::new(Acceptor::default(), stream));
    let hello = match acceptor.as_mut().await {
        Ok(hello) => hello,
        Err(error) => return Err(Failed::of(error, acceptor.take_io())),
    };
    let first = gate.compute(async || {
        // Here the session is looked up or agreed upon, and signed for.
        let mut rest = Box::pin(hello.into_stream(tls.config.clone()).into_fallible());
        let polled = poll_fn(|context| Poll::Ready(rest.as_mut().poll(context))).await;
        (polled, rest)
    });
    let done = match first.await {
        None => return Err(Failed::because(HandshakeFailure::Overload)),
        Some((Poll::Ready(done), _)) => done,
        Some((Poll::Pending, rest)) => rest.await,
    };
    match done {
        Ok(stream) => {
            let stream = TlsStream::new(stream);
            let facts = facts(&stream, tls);
            Ok(Accepted {
                io: stream,
                arrival: Rc::new(Rc::unwrap_or_clone(arrival).secured(facts)),
            })
        }
        Err((error, stream)) => Err(Failed::of(error, Some(stream))),
    }
}

fn facts(stream: &TlsStream, tls: &ServerTls) -> TlsFacts {
    let session = stream.session();
    let client = session.peer_certificates().and_then(<[_]>::first);
    TlsFacts {
        server_name: session.server_name().map(Into::into),
        certificates: tls.certificates.clone(),
        client: client.and_then(VerifiedClient::of).map(Box::new),
        forwards_client_certificate: tls.forwards_client_certificate,
    }
}

/// What a client speaks that does not begin with a TLS record of a handshake; `None` when it does.
async fn foreign(stream: &mut TcpStream) -> Result<Option<HandshakeFailure>, Failed> {
    const HANDSHAKE: u8 = 22;
    let mut first = [0; 16];
    let count = match stream.peek(&mut first).await {
        Ok(0) => return Err(Failed::because(HandshakeFailure::Disconnected)),
        Ok(count) => count,
        Err(error) => return Err(Failed::of(error, None)),
    };
    let first = &first[..count];
    Ok(match first {
        [HANDSHAKE, ..] => None,
        _ if proxy_protocol::is_begun(first) => Some(HandshakeFailure::ProxyHeader),
        // A method, as far as it came.
        _ if first
            .iter()
            .take_while(|byte| **byte != b' ')
            .all(u8::is_ascii_uppercase) =>
        {
            Some(HandshakeFailure::PlainHttp)
        }
        _ => Some(HandshakeFailure::NotTls),
    })
}

fn failure(error: &io::Error) -> HandshakeFailure {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
        return match error.kind() {
            io::ErrorKind::InvalidData => HandshakeFailure::Protocol,
            _ => HandshakeFailure::Disconnected,
        };
    };
    match tls {
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => HandshakeFailure::NotTls,
        TlsError::InvalidMessage(InvalidMessage::InvalidServerName)
        | TlsError::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName) => HandshakeFailure::ServerName,
        TlsError::NoApplicationProtocol => HandshakeFailure::Alpn,
        TlsError::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            // Which clients of TLS 1.1 and older do not send, and all others do. rustls looks for it first.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic,
        ) => HandshakeFailure::Version,
        TlsError::PeerIncompatible(_) => HandshakeFailure::Parameters,
        TlsError::NoCertificatesPresented => HandshakeFailure::NoClientCertificate,
        TlsError::InvalidCertificate(_) | TlsError::InvalidCertRevocationList(_) => HandshakeFailure::ClientCertificate,
        TlsError::AlertReceived(_) => HandshakeFailure::ClientAlert,
        _ => HandshakeFailure::Protocol,
    }
}

fn report(failed: &Failed, vitals: &ListenerVitals, peer: SocketAddr) {
    let failure = failed.failure;
    let suppressed = vitals.handshakes.failed(failure, Instant::now());
    let (listener, reason) = (&vitals.id, failure.as_str());
    let error = failed.error.as_ref().map(ToString::to_string).unwrap_or_default();
    match suppressed.filter(|_| failure.is_notable()) {
        Some(suppressed) => tracing::info!(
            %listener, %peer, reason, error, suppressed, "TLS handshake failed: {}", failure.explanation()
        ),
        None => tracing::debug!(%listener, %peer, reason, error, "TLS handshake failed: {}", failure.explanation()),
    }
}

/// Sends what is left to be sent, and reads until the client has closed, for a bounded time.
async fn linger(mut stream: TcpStream, answer: &[u8]) {
    let read_on = async {
        if stream.write_all(answer).await.is_err() || stream.shutdown().await.is_err() {
            return;
        }
        let mut ignored = [0; 512];
        while matches!(stream.read(&mut ignored).await, Ok(1..)) {}
    };
    // When the time is over, the connection is closed all the same.
    let _ = tokio::time::timeout(LINGER, read_on).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixStream;
    use tokio::task::{LocalSet, spawn_local};

    /// On a runtime like a worker's.
    fn on_a_worker(test: impl Future<Output = ()> + 'static) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        LocalSet::new().block_on(&runtime.expect("a runtime"), test);
    }

    #[test]
    fn requests_have_their_turn_between_two_handshakes() {
        on_a_worker(async {
            let (gate, computed) = (Rc::new(HandshakeGate::default()), Rc::new(Cell::new(0_u32)));
            for _ in 0..1000 {
                let (gate, computed) = (Rc::clone(&gate), Rc::clone(&computed));
                spawn_local(async move {
                    let done = gate.compute(async || computed.set(computed.get() + 1)).await;
                    assert!(done.is_some());
                });
            }
            let (mut client, mut server) = UnixStream::pair().expect("a pair");
            spawn_local(async move {
                let mut byte = [0];
                while server.read_exact(&mut byte).await.is_ok() {
                    server.write_all(&byte).await.expect("written");
                }
            });
            let mut most = 0;
            while computed.get() < 900 {
                let before = computed.get();
                let mut byte = [1];
                client.write_all(&byte).await.expect("written");
                client.read_exact(&mut byte).await.expect("read");
                most = most.max(computed.get() - before);
            }
            // There and back, each with one handshake before it, and the one that was running.
            assert!(most <= 4, "{most} handshakes during one exchange");
        });
    }

    #[test]
    fn more_handshakes_than_may_wait_are_rejected() {
        on_a_worker(async {
            let gate = Rc::new(HandshakeGate::default());
            let spawned = (0..MAX_WAITING + 10).map(|_| {
                let gate = Rc::clone(&gate);
                spawn_local(async move { gate.compute(async || ()).await.is_some() })
            });
            let spawned: Vec<_> = spawned.collect();
            let mut rejected = 0;
            for task in spawned {
                rejected += usize::from(!task.await.expect("no panic"));
            }
            // One is being computed.
            assert_eq!(rejected, 9);
            assert_eq!(gate.waiting.get(), 0);
        });
    }
}
