//! A handshake where no requests have to be kept from waiting, as on the control thread.

use super::super::Limits;
use super::{Failed, answer, foreign, linger};
use crate::tls::ServerTls;
use crate::vitals::HandshakeFailure;
use std::io;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A handshake that failed.
#[derive(Debug)]
pub struct HandshakeError {
    /// Why.
    pub failure: HandshakeFailure,
    /// The error, where there was one.
    pub error: Option<io::Error>,
}

/// Performs a handshake. A client that speaks plain HTTP is told so.
///
/// # Errors
/// When it fails, or takes longer than one of a listener may.
pub async fn accept_tls(stream: TcpStream, tls: &ServerTls) -> Result<TlsStream<TcpStream>, HandshakeError> {
    let done = timeout(Limits::default().handshake_timeout, handshake(stream, tls)).await;
    let failed = match done {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(failed)) => failed,
        Err(_) => Failed::because(HandshakeFailure::Timeout),
    };
    let Failed { failure, error, stream } = failed;
    if let Some(stream) = stream {
        linger(stream, answer(failure)).await;
    }
    Err(HandshakeError { failure, error })
}

async fn handshake(mut stream: TcpStream, tls: &ServerTls) -> Result<TlsStream<TcpStream>, Failed> {
    if let Some(failure) = foreign(&mut stream).await? {
        return Err(Failed {
            failure,
            error: None,
            stream: Some(stream),
        });
    }
    let accepted = TlsAcceptor::from(tls.config.clone())
        .accept(stream)
        .into_fallible()
        .await;
    accepted.map_err(|(error, stream)| Failed::of(error, Some(stream)))
}
