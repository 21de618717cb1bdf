//! The administration API over HTTP: liveness, readiness, metrics, explanations of decisions, and operators' orders. It
//! runs on the control thread and does not slow down requests.

mod access;
mod answer;
mod audit;
pub mod backend;
mod connections;
mod drills;
mod events;
mod explain;
mod guard;
mod history;
mod learned;
mod metrics;
mod names;
mod peers;
mod plugins;
mod query;
mod routes;
mod socket;
mod tls;
mod tokens;
pub mod view;

use crate::telemetry::exposition::{Format, Values};
pub use access::Access;
use backend::AdminBackend;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
pub use peers::Peers;
use socket::Accepted;
pub use socket::{Listener, Socket, SocketFile, is_reachable};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
pub use tls::AdminTls;
pub use tokens::{TokenError, Tokens};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

/// Connections at a time. Scrapers, probes and a few people need far fewer; more would only use up memory.
const CONNECTIONS: usize = 128;

/// How long a connection may take to send the head of its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What may stop accepting for a moment: no descriptors left, most likely.
const PAUSE: Duration = Duration::from_millis(50);

/// All metrics as values.
pub fn metric_values(instance: &dyn AdminBackend) -> Vec<Values> {
    metrics::exposition(&instance.snapshot(), instance.readiness(), Format::Values).into_values()
}

/// Answers on this listener until the task is dropped.
pub async fn serve(listener: Listener, access: Arc<Access>, instance: Arc<dyn AdminBackend>) -> Infallible {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Never closed, so there always comes a permit.
        let permit = Arc::clone(&permits).acquire_owned().await;
        match listener.accept().await {
            Ok(accepted) => {
                let (instance, access) = (Arc::clone(&instance), Arc::clone(&access));
                tokio::spawn(async move {
                    let _permit = permit;
                    open(accepted, instance, access).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection to the administration");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
struct Caller {
    /// For logs, and for those who look at what was ordered.
    name: String,
    /// Whether a client certificate proves who it is.
    has_certificate: bool,
}

impl Caller {
    fn without_certificate(name: String) -> Self {
        Self {
            name,
            has_certificate: false,
        }
    }
}

async fn open(accepted: Accepted, instance: Arc<dyn AdminBackend>, access: Arc<Access>) {
    match (accepted, access.tls()) {
        (Accepted::Tcp(stream, peer), Some(tls)) => {
            let Some(stream) = tls.accept(stream, peer).await else {
                return;
            };
            let subject = tls::client_subject(&stream);
            let caller = Caller {
                has_certificate: subject.is_some(),
                name: subject.map_or_else(|| peer.to_string(), |subject| format!("{peer}, {subject}")),
            };
            converse(stream, instance, access, caller).await;
        }
        (Accepted::Tcp(stream, peer), None) => {
            converse(stream, instance, access, Caller::without_certificate(peer.to_string())).await;
        }
        (Accepted::Unix(stream, user), _) => {
            let name = user.map_or_else(|| "a local user".to_owned(), |user| format!("uid {user}"));
            converse(stream, instance, access, Caller::without_certificate(name)).await;
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    instance: Arc<dyn AdminBackend>,
    access: Arc<Access>,
    caller: Caller,
) {
    let caller = Arc::new(caller);
    let service = service_fn(move |request: Request<Incoming>| {
        let (instance, access, caller) = (Arc::clone(&instance), Arc::clone(&access), Arc::clone(&caller));
        async move {
            // Orders carry everything in their path: no other body is read than that of a report.
            let (head, body) = request.into_parts();
            Ok::<_, Infallible>(routes::answer(&*instance, &access, &caller, &head, body).await)
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
