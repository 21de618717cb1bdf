//! The administration API over HTTP: liveness, readiness, metrics, explanations of decisions, and operators' orders. It
//! runs on the control thread and does not slow down requests.

mod access;
mod answer;
pub mod backend;
mod connections;
mod guard;
mod metrics;
mod names;
mod routes;
mod tokens;
pub mod view;

pub use access::Access;
use backend::AdminBackend;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
pub use tokens::{TokenError, Tokens};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at a time. Scrapers, probes and a few people need far fewer; more would only use up memory.
const CONNECTIONS: usize = 128;

/// How long a connection may take to send the head of its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What may stop accepting for a moment: no descriptors left, most likely.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers on this listener until the task is dropped.
pub async fn serve(listener: TcpListener, access: Arc<Access>, instance: Arc<dyn AdminBackend>) -> Infallible {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Never closed, so there always comes a permit.
        let permit = Arc::clone(&permits).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (instance, access) = (Arc::clone(&instance), Arc::clone(&access));
                tokio::spawn(async move {
                    let _permit = permit;
                    converse(stream, instance, access, peer.ip().to_canonical()).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection to the administration");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, instance: Arc<dyn AdminBackend>, access: Arc<Access>, from: IpAddr) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (instance, access) = (Arc::clone(&instance), Arc::clone(&access));
        async move {
            // Orders carry everything in their path: bodies are not read.
            let (head, _) = request.into_parts();
            Ok::<_, Infallible>(routes::answer(&*instance, &access, from, &head).await)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection to the administration broke");
    }
}

#[cfg(test)]
mod tests;
