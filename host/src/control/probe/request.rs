//! An HTTP probe: a request as the health check says, and a response as it expects.

use crate::tls::failure;
use crate::upstream::dial::Transport;
use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portolan_core::config::{GatewayAddress, HttpProbe};
use portolan_core::health::probing::ProbeFailure;
use std::error::Error;
use std::io;
use std::pin::pin;

/// The `User-Agent` of probes.
pub(super) const USER_AGENT: &str = "portolan-probe";

/// Most bytes of a body that are searched for the expected text.
const MAX_BODY: usize = 64 * 1024;

/// Sends the probe's request over a fresh connection, and checks the response.
pub(super) async fn check(
    transport: Transport,
    is_http2: bool,
    address: &GatewayAddress,
    probe: &HttpProbe,
) -> Result<(), ProbeFailure> {
    let io = TokioIo::new(transport);
    if is_http2 {
        let request = over_http2(request(address, probe)?, address)?;
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(broken)?;
        return exchange(sender.send_request(request), connection, probe).await;
    }
    let mut request = request(address, probe)?;
    // The probe's own fields may say something else.
    let close = HeaderValue::from_static("close");
    request.headers_mut().entry(header::CONNECTION).or_insert(close);
    let (mut sender, connection) = http1::handshake(io).await.map_err(broken)?;
    exchange(sender.send_request(request), connection, probe).await
}

/// Waits for the response while the connection is driven.
async fn exchange(
    response: impl Future<Output = hyper::Result<Response<Incoming>>>,
    connection: impl Future<Output = hyper::Result<()>>,
    probe: &HttpProbe,
) -> Result<(), ProbeFailure> {
    let exchange = async { judge(response.await.map_err(|error| unanswered(&error))?, probe).await };
    let mut exchange = pin!(exchange);
    tokio::select! {
        biased;
        result = &mut exchange => result,
        // The connection may be over with the answer.
        _ = connection => exchange.await,
    }
}

fn request(address: &GatewayAddress, probe: &HttpProbe) -> Result<Request<Empty<Bytes>>, ProbeFailure> {
    let own = || HeaderValue::try_from(address.authority());
    let host = probe.host.clone().map_or_else(own, Ok).map_err(broken)?;
    let mut request = Request::new(Empty::new());
    *request.method_mut() = probe.method.clone();
    *request.uri_mut() = probe.path.parse().map_err(broken)?;
    let fields = request.headers_mut();
    fields.insert(header::HOST, host);
    fields.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    fields.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    fields.extend(probe.fields.clone());
    Ok(request)
}

/// The host is the authority; there are no fields of the connection.
fn over_http2(
    mut request: Request<Empty<Bytes>>,
    address: &GatewayAddress,
) -> Result<Request<Empty<Bytes>>, ProbeFailure> {
    let host = request.headers_mut().remove(header::HOST).ok_or(ProbeFailure::Broken)?;
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(match address.scheme {
        portolan_core::config::Scheme::Http => Scheme::HTTP,
        portolan_core::config::Scheme::Https => Scheme::HTTPS,
    });
    parts.authority = Some(Authority::try_from(host.as_bytes()).map_err(broken)?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(broken)?;
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(header::CONNECTION);
    Ok(request)
}

async fn judge(response: Response<Incoming>, probe: &HttpProbe) -> Result<(), ProbeFailure> {
    let status = response.status().as_u16();
    if !probe.expects(status) {
        return Err(ProbeFailure::Status(status));
    }
    match &probe.body {
        None => Ok(()),
        Some(text) => find(response.into_body(), text.as_bytes()).await,
    }
}

/// Reads a body until the text was found in it.
async fn find(mut body: Incoming, text: &[u8]) -> Result<(), ProbeFailure> {
    let mut read = Vec::new();
    while read.len() < MAX_BODY {
        let Some(frame) = body.frame().await else { break };
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        // The text may have begun in what was read before.
        let from = (read.len() + 1).saturating_sub(text.len());
        read.extend_from_slice(&data);
        if read[from..].windows(text.len()).any(|part| part == text) {
            return Ok(());
        }
    }
    Err(ProbeFailure::Body)
}

/// There is no answer. In TLS 1.3 a gateway rejects a client certificate only now.
fn unanswered(error: &hyper::Error) -> ProbeFailure {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(failure) = error.downcast_ref::<io::Error>().and_then(failure::of) {
            return ProbeFailure::Tls(failure);
        }
        cause = error.source();
    }
    ProbeFailure::Broken
}

/// The connection ended without an answer, or with one that is not HTTP; or there is no such request.
fn broken<E>(_: E) -> ProbeFailure {
    ProbeFailure::Broken
}
