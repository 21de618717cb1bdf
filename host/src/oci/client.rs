//! Reading and writing one repository. Every request is sent as it is wanted; what a 401 asks for is done, and it is repeated.

mod blob;
mod upload;

use super::authorization::{Applicant, Authorization, NO_CREDENTIALS, authorize, denied};
use super::credentials::Credentials;
use super::digest::Digest;
use super::error::OciError;
use super::manifest::{ACCEPT, Descriptor, Kind, MAX_MANIFEST, Manifest};
use super::reference::Reference;
use super::transport::{Answer, Origin, Transport};
use crate::tls::Authorities;
use bytes::Bytes;
use http::header::{ACCEPT as ACCEPT_HEADER, AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use std::net::SocketAddr;
use std::sync::Arc;

/// How many redirects are followed.
const REDIRECTS: usize = 5;

/// How a registry is asked.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Who asks.
    pub credentials: Credentials,
    /// Who must have issued its certificate. `None`: the authorities of the system.
    pub authorities: Option<Authorities>,
    /// Whether it is asked without TLS.
    pub plain_http: bool,
    /// The name servers. `None`: those of the system.
    pub name_servers: Option<Arc<[SocketAddr]>>,
}

/// One repository of a registry.
pub struct Client {
    transport: Transport,
    credentials: Credentials,
    origin: Origin,
    repository: Arc<str>,
    authorization: Option<Authorization>,
}

/// One request, which may be sent more than once.
struct Wanted {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    /// For the repository of a reference. Within a runtime, on which names are resolved.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(reference: &Reference, access: &Access) -> Result<Self, OciError> {
        Ok(Self {
            transport: Transport::new(access.authorities.as_ref(), access.name_servers.clone())?,
            credentials: access.credentials.clone(),
            origin: Origin::of(&reference.registry, !access.plain_http),
            repository: Arc::clone(&reference.repository),
            authorization: None,
        })
    }

    /// The manifest with a tag or digest. `None`: it has the digest `known`.
    ///
    /// # Errors
    /// When there is none, or what came is not what was asked for.
    pub(super) async fn manifest(&mut self, name: &str, known: Option<Digest>) -> Result<Option<Manifest>, OciError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_HEADER, HeaderValue::from_static(ACCEPT));
        if let Some(known) = known {
            let tag = HeaderValue::try_from(format!("\"{known}\""));
            headers.insert(
                IF_NONE_MATCH,
                tag.map_err(|error| OciError::Manifest(error.to_string()))?,
            );
        }
        let path = self.path(&format!("manifests/{name}"));
        let mut answer = self.get(&path, headers).await?;
        if answer.status == StatusCode::NOT_MODIFIED && known.is_some() {
            return Ok(None);
        }
        if answer.status != StatusCode::OK {
            return Err(answer.error(&format!("GET {path}")).await);
        }
        let bytes = answer.bytes("the manifest", MAX_MANIFEST).await?;
        let actual = Digest::of(&bytes);
        if let Ok(expected) = name.parse::<Digest>()
            && expected != actual
        {
            let what = "the manifest";
            return Err(OciError::Digest { what, expected, actual });
        }
        if known == Some(actual) {
            return Ok(None);
        }
        Manifest::parse(bytes, answer.header(CONTENT_TYPE)).map(Some)
    }

    /// The same; `None` where there is none.
    pub(super) async fn find_manifest(&mut self, name: &str) -> Result<Option<Manifest>, OciError> {
        match self.manifest(name, None).await {
            Err(error) if error.is_missing() => Ok(None),
            found => found,
        }
    }

    /// What refers to a manifest: by the referrers API, or by the tag that stands for it (OCI distribution specification 1.1,
    /// "Referrers Tag Schema").
    ///
    /// # Errors
    /// When neither can be asked.
    pub(super) async fn referrers(&mut self, of: Digest) -> Result<Vec<Descriptor>, OciError> {
        let path = self.path(&format!("referrers/{of}"));
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_HEADER, HeaderValue::from_static(super::manifest::INDEX));
        let mut answer = self.get(&path, headers).await?;
        if answer.status == StatusCode::OK {
            let bytes = answer.bytes("the list of referrers", MAX_MANIFEST).await?;
            if let Ok(Manifest {
                kind: Kind::Index(found),
                ..
            }) = Manifest::parse(bytes, None)
            {
                return Ok(found);
            }
        }
        drop(answer);
        match self.find_manifest(&format!("sha256-{}", of.hex())).await? {
            Some(Manifest {
                kind: Kind::Index(found),
                ..
            }) => Ok(found),
            _ => Ok(Vec::new()),
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository)
    }

    /// Reads something; follows redirects.
    async fn get(&mut self, path: &str, headers: HeaderMap) -> Result<Answer, OciError> {
        let wanted = Wanted {
            method: Method::GET,
            headers,
            body: Bytes::new(),
        };
        let mut answer = self.send(path, &wanted, "pull").await?;
        for _ in 0..REDIRECTS {
            if !is_redirect(answer.status) {
                return Ok(answer);
            }
            let (origin, target) = self.next(&answer)?;
            let own = origin == self.origin;
            let mut headers = wanted.headers.clone();
            if own {
                self.authorization
                    .iter()
                    .for_each(|it| drop(headers.insert(AUTHORIZATION, it.value.clone())));
            } else {
                // Blob stores reject what they do not expect.
                headers.remove(ACCEPT_HEADER);
            }
            let moved = Wanted {
                headers,
                ..wanted.copy()
            };
            answer = self.transport.send(&origin, moved.request(&target)?).await?;
        }
        Err(OciError::Redirect {
            host: self.origin.to_string(),
            reason: format!("more than {REDIRECTS} times"),
        })
    }

    /// Sends a request to the registry, and once more with what a 401 asks for. `actions`: what it needs to be allowed.
    async fn send(&mut self, path: &str, wanted: &Wanted, actions: &str) -> Result<Answer, OciError> {
        let what = format!("{} {}", wanted.method, path.split('?').next().unwrap_or_default());
        self.authorization = self.authorization.take().filter(Authorization::is_good);
        let first = self.send_once(path, wanted).await?;
        let answer = if first.status == StatusCode::UNAUTHORIZED {
            let applicant = Applicant {
                credentials: &self.credentials,
                origin: &self.origin,
                scope: format!("repository:{}:{actions}", self.repository),
            };
            self.authorization = Some(authorize(&mut self.transport, &applicant, first, &what).await?);
            self.send_once(path, wanted).await?
        } else {
            first
        };
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let hint = match self.credentials {
                    Credentials::Anonymous => NO_CREDENTIALS,
                    _ => "these credentials do not allow it",
                };
                Err(denied(answer, &what, hint).await)
            }
            _ => Ok(answer),
        }
    }

    async fn send_once(&mut self, path: &str, wanted: &Wanted) -> Result<Answer, OciError> {
        let mut request = wanted.request(path)?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.value.clone());
        }
        self.transport.send(&self.origin, request).await
    }

    /// Where a redirect leads. Never from TLS to none, but on this machine.
    fn next(&self, answer: &Answer) -> Result<(Origin, String), OciError> {
        let wrong = |reason: &str| OciError::Redirect {
            host: answer.origin.to_string(),
            reason: reason.to_owned(),
        };
        let location = answer.header(LOCATION).ok_or_else(|| wrong("without a Location"))?;
        if location.starts_with('/') && !location.starts_with("//") {
            return Ok((answer.origin.clone(), location.to_owned()));
        }
        let url: Uri = location.parse().map_err(|_| wrong("its Location is not a URL"))?;
        let origin = Origin::of_url(&url).ok_or_else(|| wrong("its Location is not an http or https URL"))?;
        if !origin.is_https && !origin.is_loopback() && answer.origin.is_https {
            return Err(wrong("from https to http"));
        }
        let target = url.path_and_query().map_or("/", |it| it.as_str());
        Ok((origin, target.to_owned()))
    }
}

impl Wanted {
    fn copy(&self) -> Self {
        Self {
            method: self.method.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
        }
    }

    fn request(&self, target: &str) -> Result<Request<Full<Bytes>>, OciError> {
        let request = Request::builder().method(self.method.clone()).uri(target);
        let request = request.body(Full::new(self.body.clone()));
        let mut request = request.map_err(|error| OciError::Manifest(format!("{target} is not a path: {error}")))?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
