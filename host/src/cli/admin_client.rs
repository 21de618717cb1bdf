//! How the command line asks a running instance: over HTTP, HTTPS or a Unix socket.

use crate::dns::Resolver;
use crate::tls::{Authorities, ClientTls, Origin, Pair, failure};
use crate::upstream::dial::{DialError, Dialer, Opening, Transport};
use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portolan_core::config::GatewayHost;
use portolan_core::tls::TlsFailure;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::runtime::Handle;

/// The longest answer that is read.
const MAX_ANSWER: usize = 16 << 20;

/// How long an instance may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which instance.
#[derive(Debug, clap::Args)]
pub(super) struct AdminClient {
    /// The administration of the running instance: http://HOST:PORT, https://HOST:PORT, or unix:/PATH
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9900", env = "PORTOLAN_ADMIN", value_parser = target)]
    admin: Target,
    /// The file with the instance's token (admin.token_file or admin.read_token_file), where it asks for one
    #[arg(long, value_name = "FILE", env = "PORTOLAN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// With https: a file of certificate authorities, one of which must have issued the instance's certificate; default: those
    /// of the system
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// With https: the certificate to show, where the instance asks for one (admin.tls.client_ca)
    #[arg(long, value_name = "FILE", requires = "client_private_key")]
    client_certificate: Option<PathBuf>,
    /// The key of this certificate
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_private_key: Option<PathBuf>,
}

/// Where an administration listens.
#[derive(Clone, Debug)]
enum Target {
    /// `http://` or `https://`, with a host.
    Url(Uri),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn target(text: &str) -> Result<Target, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        // As in a URL: unix:///run/admin.sock is /run/admin.sock.
        let path = path.strip_prefix("//").unwrap_or(path);
        return match path {
            "" => Err("write it as unix:/PATH".to_owned()),
            path => Ok(Target::Unix(path.into())),
        };
    }
    let url: Uri = text.parse().map_err(|error| format!("{error}"))?;
    match url.scheme_str() {
        Some("http" | "https") | None if url.host().is_some() => Ok(Target::Url(url)),
        _ => Err("write it as http://HOST:PORT, https://HOST:PORT or unix:/PATH".to_owned()),
    }
}

impl AdminClient {
    /// Asks the administration, and gives the body of its answer.
    pub(super) fn ask(&self, method: Method, path: &str) -> anyhow::Result<Bytes> {
        self.ask_within(PATIENCE, method, path)
    }

    /// The same, of an instance that may take only so long.
    pub(super) fn ask_within(&self, patience: Duration, method: Method, path: &str) -> anyhow::Result<Bytes> {
        self.send(patience, method, path, Bytes::new())
    }

    /// The same, with a body.
    pub(super) fn send(&self, patience: Duration, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asked = async { tokio::time::timeout(patience, self.open(method, path, body)).await };
        runtime
            .block_on(asked)
            .map_err(|_| anyhow!("no answer from {} within {} s", self.admin, patience.as_secs_f64()))?
    }

    async fn open(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let connecting = || format!("failed to connect to {} (--admin for another)", self.admin);
        match &self.admin {
            Target::Unix(socket) => {
                self.reject_tls_files()?;
                let stream = UnixStream::connect(socket).await.with_context(connecting)?;
                self.exchange(stream, "localhost", (method, path, body)).await
            }
            Target::Url(url) => {
                let host = url.host().unwrap_or_default();
                let is_https = url.scheme_str() == Some("https");
                let port = url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
                let address = host.trim_matches(['[', ']']);
                let address = address
                    .parse()
                    .map_or_else(|_| GatewayHost::Name(Arc::from(address)), GatewayHost::Ip);
                let origin = match is_https {
                    true => Some(self.origin(&address)?),
                    false => {
                        self.reject_tls_files()?;
                        None
                    }
                };
                let dialed = dial(&address, port, origin.as_ref()).await;
                let transport = dialed.map_err(|error| {
                    let hint = match &error {
                        DialError::Tls(_, failure, _) => hint(*failure),
                        _ => "",
                    };
                    let hint = if hint.is_empty() {
                        " (--admin for another)"
                    } else {
                        hint
                    };
                    anyhow::Error::new(error).context(format!("failed to connect to {}{hint}", self.admin))
                })?;
                self.exchange(transport, &format!("{host}:{port}"), (method, path, body))
                    .await
            }
        }
    }

    /// What is for HTTPS only would be ignored.
    fn reject_tls_files(&self) -> anyhow::Result<()> {
        if self.ca.is_some() || self.client_certificate.is_some() {
            bail!(
                "--ca and --client-certificate are for https: {} is without TLS",
                self.admin
            );
        }
        Ok(())
    }

    /// What the instance must prove, and what it is shown.
    fn origin(&self, host: &GatewayHost) -> anyhow::Result<Origin> {
        let authorities = match &self.ca {
            Some(file) => Authorities::of_file(file, &read(file)?)?,
            None => Authorities::of_system().context("--ca FILE names others")?,
        };
        let pair = match (&self.client_certificate, &self.client_private_key) {
            (Some(certificate), Some(key)) => {
                let (chain, private) = (read(certificate)?, read(key)?);
                Some(Pair::parse((certificate, &chain), (key, &private), SystemTime::now())?)
            }
            _ => None,
        };
        let tls = ClientTls::new(&authorities, pair.as_ref(), None)?;
        tls.origin(host)
            .with_context(|| format!("no certificate can be for the host of {}", self.admin))
    }

    async fn exchange<S>(
        &self,
        stream: S,
        host: &str,
        (method, path, body): (Method, &str, Bytes),
    ) -> anyhow::Result<Bytes>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its errors are those of the exchange.
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header(header::HOST, host);
        let request = match &self.token_file {
            Some(file) => request.header(header::AUTHORIZATION, bearer(file)?),
            None => request,
        };
        let response = sender.send_request(request.body(Full::new(body))?).await;
        let response = response.map_err(|error| {
            let hint = tls_failure(&error).map_or("", hint);
            anyhow::Error::new(error).context(format!("{} did not answer{hint}", self.admin))
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body
            .map_err(|error| anyhow!("the instance's answer broke off: {error}"))?
            .to_bytes();
        if !status.is_success() {
            let failure = serde_json::from_slice::<Value>(&body).unwrap_or_default();
            let part = |name: &str| failure[name].as_str().map(str::to_owned);
            let text = || std::str::from_utf8(&body).ok()?.lines().next().map(str::to_owned);
            let error = part("error").or_else(text);
            let error = error.unwrap_or_else(|| format!("the instance answered {status}"));
            bail!(
                "{error}{}",
                part("hint").map_or(String::new(), |hint| format!("; {hint}"))
            );
        }
        Ok(body)
    }
}

/// What to do about a failure of TLS; begins with a space.
fn hint(failure: TlsFailure) -> &'static str {
    match failure {
        TlsFailure::UnknownIssuer => " (--ca FILE names the authority that issued its certificate)",
        TlsFailure::ClientCertificate => {
            " (--client-certificate FILE and --client-private-key FILE show a certificate that it accepts)"
        }
        TlsFailure::NameMismatch => " (use one of the names that its certificate is for)",
        TlsFailure::Handshake => " (an administration without TLS is asked with http://)",
        TlsFailure::Expired | TlsFailure::InvalidCertificate | TlsFailure::Protocol => "",
    }
}

/// In TLS 1.3 a client learns after its handshake that its certificate is rejected.
fn tls_failure(error: &(dyn Error + 'static)) -> Option<TlsFailure> {
    let mut causes = std::iter::successors(Some(error), |&error| Error::source(error));
    causes.find_map(|cause| failure::of(cause.downcast_ref::<io::Error>()?))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("failed to read {}", file.display()))
}

/// `Authorization` with the token in a file.
fn bearer(file: &Path) -> anyhow::Result<HeaderValue> {
    let token =
        fs::read_to_string(file).with_context(|| format!("failed to read the token file {}", file.display()))?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| {
        anyhow!(
            "the token file {} holds more than one line of visible characters",
            file.display()
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A connection to an instance: its name is resolved and its addresses are tried as a gateway's are.
async fn dial(host: &GatewayHost, port: u16, tls: Option<&Origin>) -> Result<Transport, DialError> {
    let addresses = match host {
        GatewayHost::Ip(address) => vec![*address],
        GatewayHost::Name(_) => Resolver::system(Handle::current()).addresses(host).await,
    };
    let addresses: Vec<_> = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    let opening = Opening {
        tls,
        ..Opening::default()
    };
    Ok(Dialer::tcp().dial_any(&addresses, opening, PATIENCE).await?.transport)
}
/// An answer as its view.
pub(super) fn parse<T: DeserializeOwned>(answer: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(answer).context("failed to parse the instance's answer: is it another version?")
}
