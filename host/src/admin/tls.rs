//! TLS of the administration.

use crate::server::{self, HandshakeError};
use crate::tls::{ServerTls, certificate_subject};
use crate::vitals::{Handshakes, TlsVersion};
use rustls::{HandshakeKind, ProtocolVersion};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;

/// TLS of the administration: what is loaded now, and what came of its handshakes.
#[derive(Clone, Debug)]
pub struct AdminTls {
    context: watch::Receiver<Arc<ServerTls>>,
    /// The handshakes since the start.
    pub handshakes: Arc<Handshakes>,
}

impl AdminTls {
    /// By what is loaded, now and whenever its files are replaced.
    pub fn new(context: watch::Receiver<Arc<ServerTls>>) -> Self {
        Self {
            context,
            handshakes: Arc::default(),
        }
    }

    /// What is loaded now.
    pub fn context(&self) -> Arc<ServerTls> {
        Arc::clone(&self.context.borrow())
    }

    /// Performs the handshake. `None` when it failed, which has been counted and logged then.
    pub(super) async fn accept(&self, stream: TcpStream, peer: IpAddr) -> Option<TlsStream<TcpStream>> {
        match server::accept_tls(stream, &self.context()).await {
            Ok(stream) => {
                let session = stream.get_ref().1;
                let version = match session.protocol_version() {
                    Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
                    _ => TlsVersion::Tls13,
                };
                let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
                self.handshakes.completed(version, resumed);
                Some(stream)
            }
            Err(HandshakeError { failure, error }) => {
                let suppressed = self.handshakes.failed(failure, Instant::now());
                let (reason, explanation) = (failure.as_str(), failure.explanation());
                let error = error.map(|error| error.to_string()).unwrap_or_default();
                if let Some(suppressed) = suppressed.filter(|_| failure.is_notable()) {
                    tracing::info!(%peer, reason, error, suppressed, "TLS handshake with the administration failed: {explanation}");
                }
                None
            }
        }
    }
}

/// Whom a client's certificate is for; `None` when it sent none.
pub(super) fn client_subject(stream: &TlsStream<TcpStream>) -> Option<String> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    Some(certificate_subject(certificate).unwrap_or_else(|| "a client certificate".to_owned()))
}
