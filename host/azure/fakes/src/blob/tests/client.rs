//! The real client of the blob service, over a transport of a few lines.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::Bytes;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::Headers;
use azure_core::http::{
    AsyncRawResponse, ClientOptions, HttpClient, Request, RetryOptions, StatusCode, Transport, Url,
};
use azure_storage_blob::models::{
    BlobClientAcquireLeaseOptions, BlobClientDownloadOptions, BlockBlobClientUploadOptions,
};
use azure_storage_blob::{BlobClient, BlobClientOptions, BlobContainerClient, BlobContainerClientOptions};

use super::super::*;
use crate::clock::unix_seconds;
use crate::testing::send;

/// The newest version that both the fake and the emulator take.
pub(super) const VERSION: &str = "2025-11-05";

/// Two lease ids.
pub(super) const A: &str = "0000000a-0000-4000-8000-00000000000a";
pub(super) const B: &str = "0000000b-0000-4000-8000-00000000000b";

/// Status and error code of a rejection.
pub(super) type Rejection = (u16, String);

/// A transport; with an authority, one that speaks TLS and trusts it.
#[derive(Debug)]
struct Wire(Option<Arc<CertificateAuthority>>);

/// A credential that has one token.
#[derive(Debug)]
struct Token(String);

#[async_trait]
impl TokenCredential for Token {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        let expires = SystemTime::now() + Duration::from_secs(3600);
        Ok(AccessToken::new(self.0.clone(), expires.into()))
    }
}

#[async_trait]
impl HttpClient for Wire {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let headers: Vec<(&str, &str)> = request
            .headers()
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        let method = http::Method::from_bytes(request.method().as_ref().as_bytes()).unwrap();
        let body: Bytes = request.body().into();
        let reply = send(method, request.url(), &headers, body, self.0.as_deref()).await;
        let reply = reply.map_err(|error| Error::new(ErrorKind::Io, error))?;
        let mut headers = Headers::new();
        for (name, value) in &reply.headers {
            headers.insert(name.as_str().to_owned(), value.to_str().unwrap().to_owned());
        }
        Ok(AsyncRawResponse::from_bytes(
            StatusCode::from(reply.status.as_u16()),
            headers,
            reply.body,
        ))
    }
}

fn options(authority: Option<Arc<CertificateAuthority>>) -> ClientOptions {
    ClientOptions {
        transport: Some(Transport::new(Arc::new(Wire(authority)))),
        retry: RetryOptions::none(),
        ..Default::default()
    }
}

/// A client of a container; the URL carries the signature.
pub(super) fn container(url: &Url) -> BlobContainerClient {
    let options = BlobContainerClientOptions {
        client_options: options(None),
        version: VERSION.to_owned(),
    };
    BlobContainerClient::new(url.clone(), None, Some(options)).unwrap()
}

/// A client of a blob, by the path that the publisher uses.
pub(super) fn blob(container: &Url, name: &str, version: &str) -> BlobClient {
    let mut url = container.clone();
    url.set_path(&format!("{}/{name}", container.path()));
    let options = BlobClientOptions {
        client_options: options(None),
        version: version.to_owned(),
    };
    BlobClient::new(url, None, Some(options)).unwrap()
}

/// A blob of a container.
pub(super) fn hand(container: &Url, name: &str) -> Hand {
    Hand(blob(container, name, VERSION))
}

/// A client of a blob that logs in with a token.
pub(super) fn blob_by_token(url: Url, token: String, authority: Arc<CertificateAuthority>) -> BlobClient {
    let options = BlobClientOptions {
        client_options: options(Some(authority)),
        version: VERSION.to_owned(),
    };
    BlobClient::new(url, Some(Arc::new(Token(token))), Some(options)).unwrap()
}

pub(super) fn rejection<T>(outcome: azure_core::Result<T>) -> Rejection {
    match outcome {
        Ok(_) => (0, "not rejected".to_owned()),
        Err(error) => match error.kind() {
            ErrorKind::HttpResponse { status, error_code, .. } => {
                (u16::from(*status), error_code.clone().unwrap_or_default())
            }
            other => (0, format!("{other:?} {error}")),
        },
    }
}

pub(super) fn rejected(status: u16, code: &str) -> Rejection {
    (status, code.to_owned())
}

/// Short forms of a test's requests for one blob.
pub(super) struct Hand(pub(super) BlobClient);

impl Hand {
    pub(super) async fn put(&self, content: &str) -> azure_core::Result<()> {
        self.put_if(content, Default::default()).await
    }

    pub(super) async fn put_if(
        &self,
        content: &str,
        options: BlockBlobClientUploadOptions<'_>,
    ) -> azure_core::Result<()> {
        self.0
            .upload(Bytes::from(content.to_owned()).into(), Some(options))
            .await
            .map(|_| ())
    }

    pub(super) async fn put_leased(&self, content: &str, lease: &str) -> azure_core::Result<()> {
        let options = BlockBlobClientUploadOptions {
            lease_id: Some(lease.to_owned()),
            ..Default::default()
        };
        self.put_if(content, options).await
    }

    pub(super) async fn get(&self) -> azure_core::Result<String> {
        Ok(self.get_if(BlobClientDownloadOptions::default()).await?.1)
    }

    pub(super) async fn get_if(&self, options: BlobClientDownloadOptions<'_>) -> azure_core::Result<(Headers, String)> {
        let answer = self.0.download(Some(options)).await?;
        let body = answer.body.collect().await?;
        Ok((answer.headers, String::from_utf8_lossy(&body).into_owned()))
    }

    pub(super) async fn head(&self, name: &'static str) -> Option<String> {
        let answer = self.0.get_properties(None).await.unwrap();
        answer.headers().get_optional_string(&name.into())
    }

    pub(super) async fn acquire(&self, seconds: i32, id: &str) -> azure_core::Result<()> {
        let options = BlobClientAcquireLeaseOptions {
            proposed_lease_id: Some(id.to_owned()),
            ..Default::default()
        };
        self.0.acquire_lease(seconds, Some(options)).await.map(|_| ())
    }

    pub(super) async fn renew(&self, id: &str) -> azure_core::Result<()> {
        self.0.renew_lease(id.to_owned(), None).await.map(|_| ())
    }

    pub(super) async fn release(&self, id: &str) -> azure_core::Result<()> {
        self.0.release_lease(id.to_owned(), None).await.map(|_| ())
    }
}

/// A store under test: the fake, whose time is put forward, or an emulator, whose time passes.
pub(super) struct Subject {
    pub(super) fake: Option<(Clock, FakeBlob)>,
    service: Url,
}

impl Subject {
    pub(super) async fn fake() -> Subject {
        let clock = Clock::stopped();
        let blob = FakeBlob::start(&clock, &Tokens::new(&clock)).await.unwrap();
        let service = blob.url();
        Subject {
            fake: Some((clock, blob)),
            service,
        }
    }

    /// The emulator that `PORTOLAN_AZURITE` names, such as `http://127.0.0.1:10000/devstoreaccount1`.
    pub(super) fn emulator() -> Option<Subject> {
        let url = std::env::var("PORTOLAN_AZURITE").ok()?;
        let service = Url::parse(&format!("{}/", url.trim_end_matches('/'))).unwrap();
        Some(Subject { fake: None, service })
    }

    /// A container's URL with a signature that allows everything.
    pub(super) fn container(&self, name: &str) -> Url {
        sign(&self.service.join(name).unwrap(), self.now(), Duration::from_secs(3600))
    }

    /// A new container; an emulator may still have that of an earlier run.
    pub(super) async fn new_container(&self, name: &str) -> Url {
        let url = match self.fake {
            Some(_) => self.container(name),
            None => self.container(&format!("{name}-{}", unix_seconds(self.now()))),
        };
        container(&url).create(None).await.unwrap();
        url
    }

    pub(super) fn now(&self) -> SystemTime {
        self.fake
            .as_ref()
            .map_or_else(SystemTime::now, |(clock, _)| clock.now())
    }

    pub(super) async fn pass(&self, time: Duration) {
        match &self.fake {
            Some((clock, _)) => clock.advance(time),
            None => tokio::time::sleep(time).await,
        }
    }
}
