//! Writing blobs and manifests.

use super::super::digest::Digest;
use super::super::error::OciError;
use super::super::manifest::Descriptor;
use super::{Client, Wanted};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

impl Client {
    /// Uploads a blob that is not there yet.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub(in crate::oci) async fn push_blob(&mut self, media_type: &str, bytes: Bytes) -> Result<Descriptor, OciError> {
        let descriptor = Descriptor::of(media_type, &bytes);
        let digest = Digest::of(&bytes);
        let path = self.path(&format!("blobs/{digest}"));
        let head = wanted(Method::HEAD, None, Bytes::new());
        if self.send(&path, &head, "pull,push").await?.status == StatusCode::OK {
            return Ok(descriptor);
        }
        let begin = self.path("blobs/uploads/");
        let answer = self
            .send(&begin, &wanted(Method::POST, None, Bytes::new()), "pull,push")
            .await?;
        if answer.status != StatusCode::ACCEPTED {
            return Err(answer.error(&format!("POST {begin}")).await);
        }
        let (origin, target) = self.next(&answer)?;
        let separator = if target.contains('?') { '&' } else { '?' };
        let target = format!("{target}{separator}digest={digest}");
        let put = wanted(Method::PUT, Some("application/octet-stream"), bytes);
        let answer = if origin == self.origin {
            self.send(&target, &put, "pull,push").await?
        } else {
            // A store of blobs that gets no credentials.
            let request = put.request(&target)?;
            debug_assert!(!request.headers().contains_key(AUTHORIZATION));
            self.transport.send(&origin, request).await?
        };
        match answer.status {
            StatusCode::CREATED => Ok(descriptor),
            _ => Err(answer.error("PUT of a blob").await),
        }
    }

    /// Writes a manifest under a tag or its digest.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub(in crate::oci) async fn push_manifest(
        &mut self,
        name: &str,
        media_type: &'static str,
        bytes: Bytes,
    ) -> Result<(), OciError> {
        let path = self.path(&format!("manifests/{name}"));
        let put = wanted(Method::PUT, Some(media_type), bytes);
        let answer = self.send(&path, &put, "pull,push").await?;
        match answer.status {
            StatusCode::CREATED | StatusCode::OK => Ok(()),
            _ => Err(answer.error(&format!("PUT {path}")).await),
        }
    }
}

fn wanted(method: Method, media_type: Option<&'static str>, body: Bytes) -> Wanted {
    let media_type = media_type.map(|it| (CONTENT_TYPE, HeaderValue::from_static(it)));
    Wanted {
        method,
        headers: media_type.into_iter().collect::<HeaderMap>(),
        body,
    }
}
