//! Azure Blob storage: one container, the leader's blob leased, one blob per vantage.

use super::{Blob, Found, LeaseId, Read, Store, StoreError};
use crate::identity::{Identity, IdentityError, read_secret};
use crate::net::Net;
use crate::settings::{Access, StoreSettings};
use crate::store_time::StoreTime;
use azure_core::credentials::TokenCredential;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{ClientOptions, Etag, RetryOptions, Transport};
use azure_core::time::parse_rfc7231;
use azure_storage_blob::models::{
    BlobClientAcquireLeaseOptions, BlobClientDownloadOptions, BlobClientRenewLeaseResultHeaders,
    BlockBlobClientUploadOptions,
};
use azure_storage_blob::{BlobClient, BlobClientOptions};
use bytes::Bytes;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

/// The newest protocol version that the Azurite emulator supports as well; nothing newer is needed.
const VERSION: &str = "2025-11-05";

/// Azure Blob storage.
#[derive(Debug)]
pub struct BlobStore {
    settings: StoreSettings,
    identity: Arc<Identity>,
    net: Net,
}

impl BlobStore {
    /// The container of the settings. No request is sent yet.
    pub fn new(settings: StoreSettings, identity: Arc<Identity>, net: Net) -> Self {
        Self {
            settings,
            identity,
            net,
        }
    }

    fn client(&self, blob: &Blob) -> Result<BlobClient, StoreError> {
        let mut url = self.settings.container.clone();
        let folder = url.path().trim_end_matches('/').to_owned();
        let path = match self.settings.prefix.as_str() {
            "" => format!("{folder}/{blob}"),
            prefix => format!("{folder}/{prefix}/{blob}"),
        };
        url.set_path(&path);
        let credential: Option<Arc<dyn TokenCredential>> = match &self.settings.access {
            Access::Identity => Some(self.identity.clone()),
            Access::Signature(source) => {
                // Read for each call: signatures end, and a new one should need no restart.
                let signature =
                    read_secret(source).map_err(|error: IdentityError| StoreError::Denied(error.to_string()))?;
                url.set_query(Some(signature.trim_start_matches('?')));
                None
            }
        };
        let options = BlobClientOptions {
            client_options: ClientOptions {
                transport: Some(Transport::new(Arc::new(self.net.clone()))),
                retry: RetryOptions::none(),
                ..ClientOptions::default()
            },
            version: VERSION.to_owned(),
        };
        BlobClient::new(url, credential, Some(options)).map_err(|error| StoreError::Denied(error.to_string()))
    }

    async fn failed(&self, error: Error) -> StoreError {
        if error.http_status().map(u16::from) == Some(401) {
            self.identity.forget().await;
        }
        meaning(&error)
    }

    /// The blob has to be there before it can be leased.
    async fn create_leader(&self) -> Result<(), StoreError> {
        let options = BlockBlobClientUploadOptions {
            if_none_match: Some(Etag::from("*")),
            ..BlockBlobClientUploadOptions::default()
        };
        let empty = b"{}".to_vec();
        match self
            .client(&Blob::Leader)?
            .upload(Bytes::from(empty).into(), Some(options))
            .await
        {
            Ok(_) => Ok(()),
            // Another was faster, and may have leased it already.
            Err(error) if matches!(error.http_status().map(u16::from), Some(409 | 412)) => Ok(()),
            Err(error) => Err(self.failed(error).await),
        }
    }
}

#[async_trait::async_trait]
impl Store for BlobStore {
    async fn read(&self, blob: &Blob) -> Result<Read, StoreError> {
        let one_part = BlobClientDownloadOptions {
            parallel: NonZero::new(1),
            partition_size: NonZero::new(1 << 20),
            ..BlobClientDownloadOptions::default()
        };
        match self.client(blob)?.download(Some(one_part)).await {
            Ok(download) => {
                let now = date(&download.headers, "date")?;
                let modified = date(&download.headers, "last-modified")?;
                let leased = header(&download.headers, "x-ms-lease-state") == Some("leased");
                let bytes = match download.body.collect().await {
                    Ok(bytes) => bytes.to_vec(),
                    Err(error) => return Err(self.failed(error).await),
                };
                let found = Some(Found { bytes, modified });
                Ok(Read { now, found, leased })
            }
            Err(error) => match error.kind() {
                ErrorKind::HttpResponse {
                    error_code: Some(code),
                    raw_response: Some(response),
                    ..
                } if code == "BlobNotFound" => Ok(Read {
                    now: date(response.headers(), "date")?,
                    found: None,
                    leased: false,
                }),
                _ => Err(self.failed(error).await),
            },
        }
    }

    async fn write(&self, blob: &Blob, bytes: Vec<u8>, lease: Option<&LeaseId>) -> Result<(), StoreError> {
        let options = BlockBlobClientUploadOptions {
            lease_id: lease.map(|lease| lease.as_str().to_owned()),
            blob_content_type: Some("application/json".to_owned()),
            ..BlockBlobClientUploadOptions::default()
        };
        match self
            .client(blob)?
            .upload(Bytes::from(bytes).into(), Some(options))
            .await
        {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn acquire(&self, lease: &LeaseId, duration: Duration) -> Result<(), StoreError> {
        let client = self.client(&Blob::Leader)?;
        let seconds = i32::try_from(duration.as_secs()).unwrap_or(60);
        let options = || BlobClientAcquireLeaseOptions {
            proposed_lease_id: Some(lease.as_str().to_owned()),
            ..BlobClientAcquireLeaseOptions::default()
        };
        let mut answer = client.acquire_lease(seconds, Some(options())).await;
        if matches!(answer.as_ref().map_err(code), Err(Some("BlobNotFound"))) {
            self.create_leader().await?;
            answer = client.acquire_lease(seconds, Some(options())).await;
        }
        match answer {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn renew(&self, lease: &LeaseId) -> Result<(), StoreError> {
        match self
            .client(&Blob::Leader)?
            .renew_lease(lease.as_str().to_owned(), None)
            .await
        {
            // Success is a plain 200, which an intermediary may answer as well; only the store has the lease.
            Ok(renewed) if renewed.lease_id().ok().flatten().as_deref() == Some(lease.as_str()) => Ok(()),
            Ok(_) => Err(strange(200)),
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn release(&self, lease: &LeaseId) -> Result<(), StoreError> {
        match self
            .client(&Blob::Leader)?
            .release_lease(lease.as_str().to_owned(), None)
            .await
        {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(error).await),
        }
    }
}

fn code(error: &Error) -> Option<&str> {
    match error.kind() {
        ErrorKind::HttpResponse { error_code, .. } => error_code.as_deref(),
        _ => None,
    }
}

/// Classifies an error of the service. Its text may hold the signature of the URL, so only codes are kept.
fn meaning(error: &Error) -> StoreError {
    let ErrorKind::HttpResponse { status, error_code, .. } = error.kind() else {
        let text = crate::net::causes(error);
        return match error.kind() {
            ErrorKind::Credential => StoreError::Credential(text),
            _ => StoreError::Unavailable(text),
        };
    };
    let (status, code) = (u16::from(*status), error_code.as_deref().unwrap_or("no code"));
    let text = format!("{status} {code}");
    match (status, code) {
        (200..=399, _) => strange(status),
        (409, "LeaseAlreadyPresent") => StoreError::Held,
        (409 | 412, code) if code.starts_with("Lease") => StoreError::Lost,
        (412, _) => StoreError::Lost,
        (404, _) => StoreError::NoContainer(text),
        (400..=499, _) if status != 408 && status != 429 => StoreError::Denied(text),
        _ => StoreError::Unavailable(text),
    }
}

/// An answer that is not the store's.
fn strange(status: u16) -> StoreError {
    StoreError::Unavailable(format!("an answer with status {status} that is none of the store's"))
}

fn header<'a>(headers: &'a Headers, name: &'static str) -> Option<&'a str> {
    headers.get_optional_str(&HeaderName::from_static(name))
}

fn date(headers: &Headers, name: &'static str) -> Result<StoreTime, StoreError> {
    header(headers, name)
        .and_then(|text| parse_rfc7231(text).ok())
        .map(|moment| StoreTime(moment.unix_timestamp() * 1000))
        .ok_or_else(|| StoreError::Unavailable(format!("the answer has no usable `{name}`")))
}
