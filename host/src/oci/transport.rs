//! One HTTP exchange with one origin: resolved, dialed, within time limits. A connection carries one exchange.

use super::error::OciError;
use super::reference::Registry;
use crate::dns::Resolver;
use crate::tls::{Authorities, ClientTls};
use crate::upstream::dial::{Dialer, Opening};
use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portolan_core::config::GatewayHost;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a connection, the head of an answer, or the next part of its body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest error that is read, in bytes.
const MAX_ERROR: u64 = 64 << 10;

/// Where requests go: what a browser calls an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) is_https: bool,
    /// A name, or an address without brackets.
    host: Arc<str>,
    port: u16,
}

impl Origin {
    /// That of a registry.
    pub(super) fn of(registry: &Registry, is_https: bool) -> Self {
        let host = match registry.host() {
            GatewayHost::Name(name) => name,
            GatewayHost::Ip(address) => address.to_string().into(),
        };
        Self {
            is_https,
            host,
            port: registry.port().unwrap_or(if is_https { 443 } else { 80 }),
        }
    }

    /// The origin of an absolute URL.
    pub(super) fn of_url(url: &Uri) -> Option<Self> {
        let is_https = match url.scheme()? {
            scheme if *scheme == Scheme::HTTPS => true,
            scheme if *scheme == Scheme::HTTP => false,
            _ => return None,
        };
        Some(Self {
            is_https,
            host: url.host()?.trim_matches(['[', ']']).to_ascii_lowercase().into(),
            port: url.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
        })
    }

    fn gateway_host(&self) -> GatewayHost {
        match self.host.parse() {
            Ok(address) => GatewayHost::Ip(address),
            Err(_) => GatewayHost::Name(Arc::clone(&self.host)),
        }
    }

    pub(super) fn is_loopback(&self) -> bool {
        match self.gateway_host() {
            GatewayHost::Ip(address) => address.is_loopback(),
            GatewayHost::Name(name) => &*name == "localhost",
        }
    }
}

/// `host:port`.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Opens connections for one operation.
pub(super) struct Transport {
    resolver: Resolver,
    tls: Option<ClientTls>,
}

impl Transport {
    /// In the current runtime. `authorities`: who must have issued certificates. `None`: those of the system, which are read
    /// when they are needed.
    pub(super) fn new(
        authorities: Option<&Authorities>,
        name_servers: Option<Arc<[SocketAddr]>>,
    ) -> Result<Self, OciError> {
        let resolver = Resolver::system(Handle::current());
        if name_servers.is_some() {
            resolver.configure(name_servers);
        }
        let tls = authorities.map(client_tls).transpose()?;
        Ok(Self { resolver, tls })
    }

    /// Sends a request to an origin. Gives the head of its answer.
    pub(super) async fn send(&mut self, origin: &Origin, request: Request<Full<Bytes>>) -> Result<Answer, OciError> {
        let unreachable = |reason: String| OciError::Unreachable {
            host: origin.to_string(),
            reason,
        };
        let host = origin.gateway_host();
        let tls = match origin.is_https {
            false => None,
            true => {
                let tls = match &mut self.tls {
                    Some(tls) => tls,
                    none => {
                        let system = Authorities::of_system().map_err(|error| OciError::Tls(error.to_string()))?;
                        none.insert(client_tls(&system)?)
                    }
                };
                let named = tls.origin(&host);
                Some(named.ok_or_else(|| unreachable("no certificate can be for this host".into()))?)
            }
        };
        let addresses = match &host {
            GatewayHost::Ip(address) => vec![*address],
            GatewayHost::Name(_) => timeout(PATIENCE, self.resolver.addresses(&host))
                .await
                .unwrap_or_default(),
        };
        let addresses: Vec<_> = addresses.iter().map(|ip| SocketAddr::new(*ip, origin.port)).collect();
        let opening = Opening {
            tls: tls.as_ref(),
            ..Opening::default()
        };
        let dialed = Dialer::tcp().dial_any(&addresses, opening, PATIENCE).await;
        let dialed = dialed.map_err(|error| unreachable(causes(&error)))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(dialed.transport))
            .await
            .map_err(|error| unreachable(causes(&error)))?;
        // Ends with the exchange; its errors are those of the exchange.
        tokio::spawn(connection);
        let (mut head, body) = request.into_parts();
        let authority = HeaderValue::try_from(origin.to_string()).map_err(|error| unreachable(error.to_string()))?;
        head.headers.insert(header::HOST, authority);
        head.headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("portolan/", env!("CARGO_PKG_VERSION"))),
        );
        // What is sent takes its time as well, on a line of at least half a Mbit/s.
        let patience = PATIENCE + Duration::from_secs(hyper::body::Body::size_hint(&body).lower() / (64 << 10));
        let target = head.uri.path_and_query().map_or("/", |it| it.as_str());
        head.uri = Uri::try_from(target).map_err(|error| unreachable(error.to_string()))?;
        let response = timeout(patience, sender.send_request(Request::from_parts(head, body))).await;
        let response = response.map_err(|_| unreachable(format!("no answer within {patience:?}")))?;
        let (head, body) = response.map_err(|error| unreachable(causes(&error)))?.into_parts();
        Ok(Answer {
            origin: origin.clone(),
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

fn client_tls(authorities: &Authorities) -> Result<ClientTls, OciError> {
    ClientTls::new(authorities, None, None).map_err(|error| OciError::Tls(error.to_string()))
}

/// The body of the answer to a GET, at most so many bytes of it. `authorities`: who must have issued the certificate of an https URL;
/// `None`: those of the system.
///
/// # Errors
/// When the URL has no origin, nothing answers in time, or the answer is not a success.
pub async fn fetch(
    url: &Uri,
    authorization: Option<&HeaderValue>,
    authorities: Option<&Authorities>,
    name_servers: Option<Arc<[SocketAddr]>>,
    most: u64,
) -> Result<Bytes, OciError> {
    let unreachable = |reason: &str| OciError::Unreachable {
        host: url.to_string(),
        reason: reason.to_owned(),
    };
    let origin = Origin::of_url(url).ok_or_else(|| unreachable("it is neither an http nor an https URL"))?;
    let mut request = Request::get(url.clone());
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let request = request.body(Full::default());
    let request = request.map_err(|error| unreachable(&error.to_string()))?;
    let mut answer = Transport::new(authorities, name_servers)?
        .send(&origin, request)
        .await?;
    match answer.status.is_success() {
        true => answer.bytes("the answer", most).await,
        false => Err(answer.error("its answer").await),
    }
}

/// An answer, whose body has not been read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) origin: Origin,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Incoming,
}

impl Answer {
    /// A field that is text.
    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next part of the body. `None` at its end.
    ///
    /// # Errors
    /// When it does not come in time, or the connection breaks.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, OciError> {
        let broken = |reason: String| OciError::Unreachable {
            host: self.origin.to_string(),
            reason,
        };
        loop {
            let frame = timeout(PATIENCE, self.body.frame()).await;
            match frame.map_err(|_| broken(format!("nothing came for {PATIENCE:?}")))? {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(error)) => return Err(broken(causes(&error))),
            }
        }
    }

    /// All of the body, which may have so many bytes.
    ///
    /// # Errors
    /// When there is more, and those of [`Self::next`].
    pub(super) async fn bytes(&mut self, what: &'static str, most: u64) -> Result<Bytes, OciError> {
        let mut all = Vec::new();
        while let Some(part) = self.next().await? {
            if all.len() as u64 + part.len() as u64 > most {
                let reason = format!("has more than {most} bytes, which is the limit");
                return Err(OciError::Size { what, reason });
            }
            all.extend_from_slice(&part);
        }
        Ok(all.into())
    }

    /// What the registry says of an error (OCI distribution specification, "Error Codes"), or that it says nothing.
    pub(super) async fn message(&mut self) -> String {
        // The body of a 416 may be announced as long as the blob, and never comes.
        if self.status == StatusCode::RANGE_NOT_SATISFIABLE {
            return "the range is outside of the content".to_owned();
        }
        let body = self.bytes("the error", MAX_ERROR).await.unwrap_or_default();
        message(&body).unwrap_or_else(|| "it gives no reason".to_owned())
    }

    /// The error that this answer is.
    pub(super) async fn error(mut self, what: &str) -> OciError {
        OciError::Status {
            message: self.message().await,
            host: self.origin.to_string(),
            what: what.to_owned(),
            status: self.status,
        }
    }
}

/// The reason in the body of an error: of a registry, of a token service, or its first line.
fn message(body: &[u8]) -> Option<String> {
    if let Ok(parsed) = serde_json::from_slice::<Value>(body) {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let errors = parsed["errors"].as_array().into_iter().flatten();
        let errors: Vec<_> = errors
            .filter_map(|error| match (text(&error["code"]), text(&error["message"])) {
                (Some(code), Some(message)) => Some(format!("{message} ({code})")),
                (one, other) => one.or(other),
            })
            .collect();
        if !errors.is_empty() {
            return Some(clean(&errors.join("; ")));
        }
        let one = text(&parsed["error_description"]).or_else(|| text(&parsed["message"]));
        let one = one
            .or_else(|| text(&parsed["details"]))
            .or_else(|| text(&parsed["error"]));
        if let Some(one) = one {
            return Some(clean(&one));
        }
    }
    let line = std::str::from_utf8(body)
        .ok()?
        .lines()
        .find(|line| !line.trim().is_empty())?;
    Some(clean(line.trim()))
}

/// A text of somebody else's as one line that can be printed.
fn clean(text: &str) -> String {
    let characters = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character });
    characters.take(500).collect()
}

/// An error and all that caused it, on one line.
pub(super) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}
