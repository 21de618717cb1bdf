//! Probes of active health checks: each over a connection of its own, so that they also check that new ones are possible.
//!
//! They connect as requests do. With an https gateway every probe shakes hands, one of kind tcp too: a gateway whose certificate has
//! expired takes no requests.

mod grpc;
mod request;

use crate::tls::{Offer, Origin};
use crate::upstream::dial::{self, DialError, Dialer, Transport};
use http::header;
use http::request::Parts;
use portolan_core::config::{GatewayHost, Probe, Protocol};
use portolan_core::health::probing::{ProbeFailure, ProbeResult};
use portolan_core::health::tracker::DueProbe;
use portolan_core::proxy_protocol::LOCAL;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Whether a request is one of our probes, by its `User-Agent`.
pub fn is_one(head: &Parts) -> bool {
    head.headers
        .get(header::USER_AGENT)
        .is_some_and(|name| name == request::USER_AGENT)
}

/// Resolves the host of a gateway.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host, best first; none when it cannot be resolved.
    fn addresses(&self, host: &GatewayHost) -> impl Future<Output = Vec<IpAddr>> + Send;
}

/// Makes probes.
pub trait Prober: Send + Sync + 'static {
    /// Makes a probe, over TLS where that is given, and gives its results within its timeout.
    fn probe(&self, due: &DueProbe, tls: Option<Arc<Origin>>) -> impl Future<Output = Probed> + Send;
}

/// The results of a probe, one for each address of the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probed(pub Vec<Asked>);

/// The result for one address of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The address.
    pub address: IpAddr,
    /// How long the connection took to open, if it did.
    pub connected: Option<Duration>,
    /// The result.
    pub result: ProbeResult,
}

impl Probed {
    /// The shortest time that a connection to one of its addresses took to open, whatever the answer was.
    pub fn connected(&self) -> Option<Duration> {
        self.0.iter().filter_map(|asked| asked.connected).min()
    }

    /// The result for the gateway as a whole: it is well when one of its addresses is.
    pub fn result(&self) -> ProbeResult {
        let results = self.0.iter().map(|asked| asked.result);
        let passed = results.clone().filter_map(Result::ok).min();
        let failed = results.filter_map(Result::err);
        // An answer says more than a failed connection.
        let failure = failed.max_by_key(|failure| failure.is_answer());
        passed.ok_or(failure.unwrap_or(ProbeFailure::Unreachable))
    }
}

/// Makes probes over the network.
#[derive(Debug)]
pub struct Network<R> {
    resolver: Arc<R>,
    dialer: Dialer,
}

impl<R: Resolve> Network<R> {
    /// Names are resolved by `resolver`, connections opened by `dialer`.
    pub fn new(resolver: Arc<R>, dialer: Dialer) -> Self {
        Self { resolver, dialer }
    }
}

impl<R: Resolve> Prober for Network<R> {
    /// All addresses of the host are asked at once.
    async fn probe(&self, due: &DueProbe, tls: Option<Arc<Origin>>) -> Probed {
        let begun = Instant::now();
        let addresses = timeout(due.timeout, self.resolver.addresses(&due.address.host)).await;
        let left = due.timeout.saturating_sub(begun.elapsed());
        let mut probes = JoinSet::new();
        for ip in addresses.unwrap_or_default() {
            let (dialer, due, tls) = (self.dialer.clone(), due.clone(), tls.clone());
            probes.spawn(async move { ask(&dialer, ip, &due, tls.as_deref(), left).await });
        }
        Probed(probes.join_all().await)
    }
}

/// Probes one address of a gateway.
async fn ask(dialer: &Dialer, ip: IpAddr, due: &DueProbe, tls: Option<&Origin>, limit: Duration) -> Asked {
    let address = SocketAddr::new(ip, due.address.port);
    let begun = Instant::now();
    let preface: &[u8] = if due.proxy_protocol { &LOCAL } else { &[] };
    let (connected, result) = match dialer.connect(address, preface, limit).await {
        Ok(connected) => (
            Some(connected.round_trip),
            exchange(connected.transport, address, due, tls, (begun, limit)).await,
        ),
        Err(error) => (None, Err(failure(error))),
    };
    Asked {
        address: ip,
        connected,
        result,
    }
}

/// The probe over an open connection. Gives the time from the request to the answer, or to an open connection.
async fn exchange(
    mut transport: Transport,
    address: SocketAddr,
    due: &DueProbe,
    tls: Option<&Origin>,
    (begun, limit): (Instant, Duration),
) -> ProbeResult {
    if let Some(origin) = tls {
        let left = limit.saturating_sub(begun.elapsed());
        let secured = dial::handshake(transport, origin, offer(due), address, left).await;
        transport = secured.map_err(failure)?;
    }
    let connected = Instant::now();
    let left = limit.saturating_sub(begun.elapsed());
    let is_http2 = due.protocol == Protocol::Http2 || transport.is_http2();
    let checked = match &due.probe {
        Probe::Tcp => return Ok(begun.elapsed()),
        Probe::Http(probe) => timeout(left, request::check(transport, is_http2, &due.address, probe)).await,
        Probe::Grpc(probe) => timeout(left, grpc::check(transport, &due.address, probe, left)).await,
    };
    match checked {
        Ok(result) => result.map(|()| connected.elapsed()),
        Err(_) => Err(ProbeFailure::TimedOut),
    }
}

/// What is offered to the gateway: what requests offer, but for gRPC, which is of HTTP/2 only.
fn offer(due: &DueProbe) -> Offer {
    match due.protocol {
        _ if matches!(due.probe, Probe::Grpc(_)) => Offer::Http2,
        Protocol::Http1 => Offer::Http1,
        Protocol::Http2 => Offer::Http2,
        Protocol::Auto => Offer::Both,
    }
}

fn failure(error: DialError) -> ProbeFailure {
    match error {
        DialError::Refused(_) => ProbeFailure::Refused,
        // It accepted the connection.
        DialError::HandshakeTimedOut(_) => ProbeFailure::TimedOut,
        DialError::Tls(_, failure, _) => ProbeFailure::Tls(failure),
        _ => ProbeFailure::Unreachable,
    }
}

#[cfg(test)]
mod tests;
