//! The transport below the generated clients of the management API: token, limits, answers.
//!
//! The generated clients put the bearer into the request before anything can be checked, follow links to any host with it,
//! and their pipeline prints it at debug level. They get a placeholder instead; the token is put in here, for requests to
//! the configured host only. A token that is rejected is renewed once.

use crate::identity::{Identity, IdentityError};
use crate::net::{Net, NetError};
use crate::operation::{Answer, same_host};
use azure_core_legacy as legacy;
use bytes::Bytes;
use http::header::{AUTHORIZATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;
use time::OffsetDateTime;
use url::Url;

const OURSELVES: &str = concat!("portolan/", env!("CARGO_PKG_VERSION"));

/// Why a call was not answered.
#[derive(Debug, Error)]
pub enum ArmError {
    /// The URL is not on the host of the management API.
    #[error("will not send our token to {0}: it is not the configured management API")]
    Foreign(String),
    /// There is no token.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is no answer.
    #[error(transparent)]
    Net(#[from] NetError),
}

/// The remaining rate limit as reported by the API. `None` until it is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// Reads.
    pub reads: Option<u32>,
    /// Writes.
    pub writes: Option<u32>,
}

/// The management API.
#[derive(Clone, Debug)]
pub struct Arm {
    net: Net,
    identity: Arc<Identity>,
    /// The root of the API.
    pub endpoint: Url,
    scope: String,
    allowance: Arc<Mutex<Allowance>>,
}

impl Arm {
    /// The API at an endpoint, with tokens for a scope.
    pub fn new(net: Net, identity: Arc<Identity>, endpoint: Url, scope: String) -> Self {
        Self {
            net,
            identity,
            endpoint,
            scope,
            allowance: Arc::default(),
        }
    }

    /// The remaining rate limit.
    pub fn allowance(&self) -> Allowance {
        *self.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets a token.
    ///
    /// # Errors
    /// When there is none.
    pub async fn authenticate(&self) -> Result<(), ArmError> {
        self.identity.token(&self.scope).await?;
        Ok(())
    }

    /// Reads a URL of the API.
    ///
    /// # Errors
    /// When there is no answer; any status is one.
    pub async fn get(&self, url: &Url) -> Result<Answer, ArmError> {
        self.send(url, &Method::GET, &HeaderMap::new(), Bytes::new())
            .await
            .map(|reply| reply.answer())
    }

    async fn send(&self, url: &Url, method: &Method, headers: &HeaderMap, body: Bytes) -> Result<Reply, ArmError> {
        if !same_host(url, &self.endpoint) {
            return Err(ArmError::Foreign(url.host_str().unwrap_or("nowhere").to_owned()));
        }
        let reply = self.attempt(url, method, headers, body.clone()).await?;
        if reply.status != 401 {
            return Ok(reply);
        }
        // Nothing was done. The token may have been revoked, or our clock may have been wrong about its end.
        self.identity.forget().await;
        self.attempt(url, method, headers, body).await
    }

    async fn attempt(&self, url: &Url, method: &Method, headers: &HeaderMap, body: Bytes) -> Result<Reply, ArmError> {
        let token = self.identity.token(&self.scope).await?;
        let reject = |error: &dyn std::fmt::Display| NetError::Request(error.to_string());
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.secret())).map_err(|error| reject(&error))?;
        bearer.set_sensitive(true);
        let mut request = http::Request::builder()
            .method(method)
            .uri(url.as_str())
            .body(body)
            .map_err(|error| reject(&error))?;
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(AUTHORIZATION, bearer);
        request
            .headers_mut()
            .insert(USER_AGENT, HeaderValue::from_static(OURSELVES));
        let (head, body) = self.net.call(url, request).await?.into_parts();
        self.note_allowance(&head.headers);
        Ok(Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }

    fn note_allowance(&self, headers: &HeaderMap) {
        let left = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        allowance.reads = left("x-ms-ratelimit-remaining-subscription-reads").or(allowance.reads);
        allowance.writes = left("x-ms-ratelimit-remaining-subscription-writes").or(allowance.writes);
    }
}

#[derive(Clone, Debug)]
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn answer(&self) -> Answer {
        let text = |name: HeaderName| Some(self.headers.get(name)?.to_str().ok()?.trim().to_owned());
        Answer {
            status: self.status,
            async_operation: text(HeaderName::from_static("azure-asyncoperation")),
            location: text(http::header::LOCATION),
            retry_after: text(RETRY_AFTER)
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs),
            body: self.body.to_vec(),
        }
    }
}

/// The transport of one generated call. It keeps the raw answer: the generated clients hide headers, and replace the errors
/// of the service by their own.
#[derive(Debug)]
pub(crate) struct Tap {
    arm: Arm,
    last: Mutex<Option<Result<Answer, ArmError>>>,
}

impl Tap {
    /// A tap for one call.
    pub(crate) fn new(arm: &Arm) -> Arc<Self> {
        Arc::new(Self {
            arm: arm.clone(),
            last: Mutex::default(),
        })
    }

    /// The last answer, or why there is none. `None` when nothing was sent.
    pub(crate) fn take(&self) -> Option<Result<Answer, ArmError>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait::async_trait]
impl legacy::HttpClient for Tap {
    async fn execute_request(&self, request: &legacy::Request) -> legacy::Result<legacy::Response> {
        use legacy::error::{Error, ErrorKind};
        let method: Method = request.method().as_ref().parse().unwrap_or_default();
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers().iter() {
            let pair = (
                HeaderName::try_from(name.as_str()),
                HeaderValue::try_from(value.as_str()),
            );
            if let (Ok(name), Ok(value)) = pair {
                headers.insert(name, value);
            }
        }
        let body = match request.body() {
            legacy::Body::Bytes(bytes) => bytes.clone(),
            legacy::Body::SeekableStream(_) => {
                return Err(Error::message(ErrorKind::Other, "the management API takes no streams"));
            }
        };
        let sent = self.arm.send(request.url(), &method, &headers, body).await;
        let result = match &sent {
            Ok(reply) => Ok(response(reply)),
            Err(error) => Err(Error::message(ErrorKind::Io, error.to_string())),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(sent.map(|reply| reply.answer()));
        result
    }
}

fn response(reply: &Reply) -> legacy::Response {
    let headers: std::collections::HashMap<_, _> = reply
        .headers
        .iter()
        .filter_map(|(name, value)| {
            let name = legacy::headers::HeaderName::from(name.as_str().to_owned());
            Some((
                name,
                legacy::headers::HeaderValue::from(value.to_str().ok()?.to_owned()),
            ))
        })
        .collect();
    let status = legacy::StatusCode::try_from(reply.status).unwrap_or(legacy::StatusCode::InternalServerError);
    let body = reply.body.clone();
    legacy::Response::new(
        status,
        headers.into(),
        Box::pin(futures::stream::once(async move { Ok(body) })),
    )
}

/// The token that the generated clients are given.
#[derive(Debug)]
pub(crate) struct Placeholder;

#[async_trait::async_trait]
impl legacy::auth::TokenCredential for Placeholder {
    async fn get_token(&self, _: &[&str]) -> legacy::Result<legacy::auth::AccessToken> {
        let for_ever = OffsetDateTime::now_utc() + Duration::from_secs(3600);
        Ok(legacy::auth::AccessToken::new("put-in-by-the-transport", for_ever))
    }

    async fn clear_cache(&self) -> legacy::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
