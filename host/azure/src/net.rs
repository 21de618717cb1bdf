//! The one HTTP transport, for both generations of Azure crates: hyper and rustls, with the limits that none of their layers
//! has. No redirects, no proxies, no plain HTTP but on the machine itself.

use crate::settings::may_be_called;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};
use thiserror::Error;
use url::Url;

/// The largest accepted answer.
const LARGEST_ANSWER: usize = 4 << 20;

/// Why a request was not answered.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NetError {
    /// Neither TLS nor on this machine.
    #[error("will not call {0}: plain http would leave the machine")]
    Plain(String),
    /// No connection: nothing was sent.
    #[error("failed to connect to {0}: {1}")]
    Connect(String, String),
    /// The connection broke: the request may have arrived.
    #[error("{0} broke the connection: {1}")]
    Broken(String, String),
    /// No answer in time: the request may have arrived.
    #[error("{0} did not answer within {1:?}")]
    Timeout(String, Duration),
    /// An answer larger than 4 MiB.
    #[error("the answer of {0} is larger than {LARGEST_ANSWER} bytes")]
    TooLarge(String),
    /// Not a valid request.
    #[error("not a request: {0}")]
    Request(String),
}

/// Certificates that cannot be used.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The file of further certificates cannot be read.
    #[error("cannot read certificates: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// A certificate that rustls rejects, or its protocol versions.
    #[error("cannot use certificates: {0}")]
    Tls(#[from] rustls::Error),
    /// No trusted certificate at all.
    #[error("no trusted certificates: install the system's (ca-certificates) or name a ca_file")]
    Nothing,
}

/// The transport. Clones share connections.
#[derive(Clone)]
pub struct Net {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

impl Net {
    /// A transport that trusts the system's certificates, and those in `more` (PEM). No request takes longer than `timeout`.
    ///
    /// # Errors
    /// When there is nothing to trust, or `more` holds no certificates.
    pub fn new(more: Option<&[u8]>, timeout: Duration) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        // Some certificates of the system may be malformed; the good ones are enough.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(pem) = more {
            let before = roots.len();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate?)?;
            }
            if roots.len() == before {
                return Err(TrustError::Nothing);
            }
        }
        if roots.is_empty() {
            return Err(TrustError::Nothing);
        }
        // Named, since another part of the program may bring a second provider along.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout.min(Duration::from_secs(10))));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(60))
            // Whether a request that may have arrived is repeated is the caller's decision.
            .retry_canceled_requests(false)
            .build(connector);
        Ok(Self { client, timeout })
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// When there is no answer, or one that is too large.
    pub async fn call(&self, url: &Url, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NetError> {
        let host = || url.host_str().unwrap_or("nowhere").to_owned();
        if !may_be_called(url) {
            return Err(NetError::Plain(host()));
        }
        let answer = tokio::time::timeout(self.timeout, async {
            let response = self.client.request(request.map(Full::new)).await.map_err(|error| {
                if error.is_connect() {
                    NetError::Connect(host(), causes(&error))
                } else {
                    NetError::Broken(host(), causes(&error))
                }
            })?;
            let (head, body) = response.into_parts();
            match Limited::new(body, LARGEST_ANSWER).collect().await {
                Ok(body) => Ok(http::Response::from_parts(head, body.to_bytes())),
                Err(error) if error.is::<LengthLimitError>() => Err(NetError::TooLarge(host())),
                Err(error) => Err(NetError::Broken(host(), causes(&*error))),
            }
        });
        answer
            .await
            .unwrap_or_else(|_| Err(NetError::Timeout(host(), self.timeout)))
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// An error and all that caused it, on one line.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// For identity and blobs, which are of the new generation.
mod current {
    use super::{Bytes, Net, NetError, io};
    use azure_core::error::{Error, ErrorKind};
    use azure_core::http::headers::Headers;
    use azure_core::http::{AsyncRawResponse, HttpClient, Request};

    #[async_trait::async_trait]
    impl HttpClient for Net {
        async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
            let mut ours = http::Request::builder()
                .method(request.method().as_str())
                .uri(request.url().as_str());
            for (name, value) in request.headers().iter() {
                ours = ours.header(name.as_str(), value.as_str());
            }
            let ours = ours
                .body(Bytes::from(request.body()))
                .map_err(|error| failed(NetError::Request(error.to_string())))?;
            let (head, body) = self.call(request.url(), ours).await.map_err(failed)?.into_parts();
            let mut headers = Headers::new();
            for (name, value) in &head.headers {
                if let Ok(value) = value.to_str() {
                    headers.insert(name.as_str().to_owned(), value.to_owned());
                }
            }
            Ok(AsyncRawResponse::from_bytes(head.status.as_u16().into(), headers, body))
        }
    }

    fn failed(error: NetError) -> Error {
        let kind = match error {
            NetError::Connect(..) | NetError::Plain(_) => ErrorKind::Connection,
            _ => ErrorKind::Io,
        };
        Error::new(kind, io::Error::other(error))
    }
}
