//! One message to a collector, within a time limit, and what became of it (OTLP 1, section "OTLP/HTTP").

use crate::dns::Resolver;
use crate::telemetry::spans::Signal;
use crate::tls::{Authorities, ClientTls};
use crate::upstream::dial::{Dialer, Opening};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use portolan_core::config::GatewayHost;
use prost::Message;
use std::cell::RefCell;
use std::error::Error as StdError;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::time::timeout;

/// How old authorities may become before they are read again.
const AUTHORITIES_AGE: Duration = Duration::from_secs(600);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Why a message was not delivered.
#[derive(Debug, Error)]
pub enum ExportError {
    /// It may be sent again, after so long where the collector says it.
    #[error("{reason}")]
    Retryable {
        /// What was wrong.
        reason: String,
        /// The collector's `Retry-After`.
        after: Option<Duration>,
    },
    /// It would be refused again.
    #[error("{0}")]
    Permanent(String),
}

/// What a collector said of a message that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// How many spans or points it rejected.
    pub rejected: u64,
    /// Why, or a warning.
    pub message: String,
}

/// A message and where it goes.
#[derive(Debug)]
pub struct Export<'a> {
    /// What it has.
    pub signal: Signal,
    /// Where it goes.
    pub url: &'a Uri,
    /// Header fields.
    pub headers: HeaderMap,
    /// The message.
    pub body: Bytes,
    /// A file with the authorities that are trusted. `None`: those of the system.
    pub ca: Option<&'a Path>,
    /// How long it may take.
    pub within: Duration,
}

/// Sends messages.
#[derive(Debug)]
pub struct Client {
    resolver: Arc<Resolver>,
    tls: RefCell<Option<Known>>,
}

/// TLS with authorities that were read.
#[derive(Debug)]
struct Known {
    /// Of which file; `None`: those of the system.
    ca: Option<PathBuf>,
    read: Instant,
    tls: Arc<ClientTls>,
}

impl Client {
    /// With names as this resolver has them.
    pub fn new(resolver: Arc<Resolver>) -> Self {
        Self {
            resolver,
            tls: RefCell::default(),
        }
    }

    /// TLS with these authorities. They are read again once in a while: reading those of the system takes milliseconds.
    fn tls(&self, ca: Option<&Path>) -> Result<Arc<ClientTls>, String> {
        let mut known = self.tls.borrow_mut();
        if let Some(known) = known.as_ref().filter(|known| known.ca.as_deref() == ca)
            && known.read.elapsed() < AUTHORITIES_AGE
        {
            return Ok(Arc::clone(&known.tls));
        }
        let tls = ClientTls::new(&authorities(ca)?, None, None).map_err(|error| error.to_string())?;
        let tls = Arc::new(tls);
        *known = Some(Known {
            ca: ca.map(Path::to_owned),
            read: Instant::now(),
            tls: Arc::clone(&tls),
        });
        Ok(tls)
    }
}

impl Export<'_> {
    /// Sends it over a connection of its own.
    ///
    /// # Errors
    /// When the collector cannot be reached, does not answer in time, or does not take it.
    pub async fn send(self, client: &Client) -> Result<Delivered, ExportError> {
        let (signal, within) = (self.signal, self.within);
        let exchange = timeout(within, self.exchange(client)).await;
        let (status, headers, body) = exchange.map_err(|_| ExportError::Retryable {
            reason: format!("no answer within {within:?}"),
            after: None,
        })??;
        if status.is_success() {
            return Ok(delivered(signal, &body));
        }
        let reason = format!("it answered {status}");
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(ExportError::Retryable {
                reason,
                after: headers.get(header::RETRY_AFTER).and_then(retry_after),
            }),
            _ => Err(ExportError::Permanent(reason)),
        }
    }

    async fn exchange(self, client: &Client) -> Result<(StatusCode, HeaderMap, Bytes), ExportError> {
        let retryable = |reason: String| ExportError::Retryable { reason, after: None };
        let permanent = |reason: String| ExportError::Permanent(reason);
        let is_https = self.url.scheme_str() == Some("https");
        let host = self.url.host().unwrap_or_default().trim_matches(['[', ']']);
        let host = match host.parse() {
            Ok(address) => GatewayHost::Ip(address),
            Err(_) => GatewayHost::Name(host.to_ascii_lowercase().into()),
        };
        let port = self.url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let tls = match is_https {
            false => None,
            true => {
                let tls = client.tls(self.ca).map_err(permanent)?;
                let origin = tls.origin(&host);
                Some(origin.ok_or_else(|| permanent("no certificate can be for this host".into()))?)
            }
        };
        let addresses = client.resolver.addresses(&host).await;
        let addresses: Vec<_> = addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        let opening = Opening {
            tls: tls.as_ref(),
            ..Opening::default()
        };
        let dialed = Dialer::tcp().dial_any(&addresses, opening, self.within).await;
        let dialed = dialed.map_err(|error| retryable(causes(&error)))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(dialed.transport))
            .await
            .map_err(|error| retryable(causes(&error)))?;
        // Ends with the exchange; its errors are those of the exchange.
        let driver = tokio::spawn(connection);
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = Method::POST;
        let target = self.url.path_and_query().map_or("/", |target| target.as_str());
        *request.uri_mut() = Uri::try_from(target).map_err(|error| permanent(error.to_string()))?;
        let headers = request.headers_mut();
        *headers = self.headers;
        let authority = self.url.authority().map_or("", |authority| authority.as_str());
        let authority = HeaderValue::try_from(authority).map_err(|error| permanent(error.to_string()))?;
        headers.insert(header::HOST, authority);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let agent = concat!("portolan/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        let exchanged = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            // What is longer is not read: it says nothing that is needed.
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            Ok::<_, hyper::Error>((head.status, head.headers, body))
        };
        let exchanged = exchanged.await.map_err(|error| retryable(causes(&error)));
        driver.abort();
        exchanged
    }
}

fn authorities(file: Option<&Path>) -> Result<Authorities, String> {
    match file {
        None => Authorities::of_system().map_err(|error| error.to_string()),
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let read = Authorities::of_file(path, &bytes);
            read.map_err(|error| error.to_string())
        }
    }
}

fn delivered(signal: Signal, body: &[u8]) -> Delivered {
    let of = |rejected: i64, message: String| Delivered {
        rejected: u64::try_from(rejected).unwrap_or_default(),
        message,
    };
    let partial = match signal {
        Signal::Traces => ExportTraceServiceResponse::decode(body).ok().and_then(|answer| {
            let partial = answer.partial_success?;
            Some(of(partial.rejected_spans, partial.error_message))
        }),
        Signal::Metrics => ExportMetricsServiceResponse::decode(body).ok().and_then(|answer| {
            let partial = answer.partial_success?;
            Some(of(partial.rejected_data_points, partial.error_message))
        }),
    };
    partial.unwrap_or_default()
}

/// Seconds, as collectors have it. A date is not obeyed: the usual time is waited.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An error and all that caused it, on one line.
fn causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
