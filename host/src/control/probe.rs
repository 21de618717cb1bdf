//! Asking a gateway whether it is well: over a connection of its own, so that the answer says that new ones are possible.

use bytes::Bytes;
use http::request::Parts;
use http::{Request, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portolan_core::config::{GatewayAddress, GatewayHost, Probe};
use portolan_core::health::probing::{ProbeFailure, ProbeResult};
use portolan_core::health::tracker::DueProbe;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// By this name probes introduce themselves.
const USER_AGENT: &str = "portolan-probe";

/// Whether a request is one of our probes, by its own word.
pub fn is_one(head: &Parts) -> bool {
    head.headers
        .get(header::USER_AGENT)
        .is_some_and(|name| name == USER_AGENT)
}

/// Finds out where the host of a gateway is.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host, best first; none when nobody knows any.
    fn addresses(&self, host: &GatewayHost) -> impl Future<Output = Vec<IpAddr>> + Send;
}

/// Makes probes.
pub trait Prober: Send + Sync + 'static {
    /// Makes a probe and says how it ended, within its timeout.
    fn probe(&self, due: &DueProbe) -> impl Future<Output = ProbeResult> + Send;
}

/// Makes probes over the network.
#[derive(Debug)]
pub struct Network<R> {
    resolver: Arc<R>,
}

impl<R: Resolve> Network<R> {
    /// Names are resolved by `resolver`.
    pub fn new(resolver: Arc<R>) -> Self {
        Self { resolver }
    }
}

impl<R: Resolve> Prober for Network<R> {
    /// All addresses of the host are tried in turn, each with its part of the time that is left, until one answers.
    async fn probe(&self, due: &DueProbe) -> ProbeResult {
        let begun = Instant::now();
        let addresses = timeout(due.timeout, self.resolver.addresses(&due.address.host)).await;
        let addresses = addresses.unwrap_or_default();
        let mut result = Err(ProbeFailure::Unreachable);
        for (tried, ip) in addresses.iter().enumerate() {
            let left = due.timeout.saturating_sub(begun.elapsed());
            let patience = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            result = ask(SocketAddr::new(*ip, due.address.port), due, patience).await;
            if matches!(result, Ok(_) | Err(ProbeFailure::Status(_))) {
                break;
            }
        }
        result
    }
}

/// Asks one address of a gateway. Returns the time from the request to the answer, or to a TCP connection.
async fn ask(address: SocketAddr, due: &DueProbe, patience: Duration) -> ProbeResult {
    let begun = Instant::now();
    let stream = match timeout(patience, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => return Err(ProbeFailure::Refused),
        Ok(Err(_)) | Err(_) => return Err(ProbeFailure::Unreachable),
    };
    let path = match &due.probe {
        Probe::Tcp => return Ok(begun.elapsed()),
        Probe::Http { path } => path,
    };
    let connected = Instant::now();
    let left = patience.saturating_sub(begun.elapsed());
    let status = match timeout(left, get(stream, &due.address, path)).await {
        Ok(Ok(status)) => status,
        Ok(Err(Broken)) => return Err(ProbeFailure::Broken),
        Err(_) => return Err(ProbeFailure::Silent),
    };
    if status.is_success() {
        Ok(connected.elapsed())
    } else {
        Err(ProbeFailure::Status(status.as_u16()))
    }
}

/// The connection ended without an answer, or with one that is not HTTP.
struct Broken;

impl From<hyper::Error> for Broken {
    fn from(_: hyper::Error) -> Self {
        Self
    }
}

impl From<http::Error> for Broken {
    fn from(_: http::Error) -> Self {
        Self
    }
}

async fn get(stream: TcpStream, address: &GatewayAddress, path: &str) -> Result<http::StatusCode, Broken> {
    let request = Request::get(path)
        .header(header::HOST, address.authority())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    let response = tokio::select! {
        biased;
        response = &mut answer => response,
        // The connection may be over with the answer.
        _ = connection => answer.await,
    };
    Ok(response?.status())
}

#[cfg(test)]
mod tests;
