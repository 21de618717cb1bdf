//! Blobs: fetched within a limit, resumed where the connection broke, checked against their digest.

use super::super::digest::Digest;
use super::super::error::OciError;
use super::super::manifest::Descriptor;
use super::super::transport::Answer;
use super::Client;
use bytes::Bytes;
use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};

/// How often a blob is begun or resumed.
const ATTEMPTS: usize = 4;

impl Client {
    /// The content of a blob, which may have so many bytes.
    ///
    /// # Errors
    /// When there is none, or what came is not what was described.
    pub(in crate::oci) async fn blob(
        &mut self,
        what: &'static str,
        descriptor: &Descriptor,
        most: u64,
    ) -> Result<Bytes, OciError> {
        let expected = descriptor.sha256()?;
        let size = descriptor.size;
        if size > most {
            let reason = format!("has {size} bytes, and {most} are allowed");
            return Err(OciError::Size { what, reason });
        }
        let mut bytes = Vec::new();
        for attempt in 1.. {
            match self.fill(what, expected, size, &mut bytes).await {
                Ok(()) => break,
                // There is more of it than before, or another chance.
                Err(OciError::Unreachable { host, reason }) if attempt < ATTEMPTS => {
                    tracing::debug!(%host, have = bytes.len(), size, "a blob broke off: {reason}");
                }
                Err(error) => return Err(error),
            }
        }
        let mut hash = Sha256::new();
        hash.update(&bytes);
        let actual = Digest::finish(hash);
        match actual == expected {
            true => Ok(bytes.into()),
            false => Err(OciError::Digest { what, expected, actual }),
        }
    }

    /// Fetches what is missing.
    async fn fill(
        &mut self,
        what: &'static str,
        digest: Digest,
        size: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), OciError> {
        let have = bytes.len() as u64;
        // Nothing is left to ask for: a registry would answer 416.
        if have == size && have > 0 {
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        if have > 0 {
            let range = HeaderValue::try_from(format!("bytes={have}-"));
            headers.insert(RANGE, range.map_err(|error| OciError::Manifest(error.to_string()))?);
        }
        let path = self.path(&format!("blobs/{digest}"));
        let mut answer = self.get(&path, headers).await?;
        match answer.status {
            StatusCode::OK => bytes.clear(),
            StatusCode::PARTIAL_CONTENT if begins_at(&answer, have) => {}
            // What is here is not the beginning of what is there.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
                bytes.clear();
                return Err(OciError::Unreachable {
                    host: answer.origin.to_string(),
                    reason: "it does not resume where the connection broke".into(),
                });
            }
            _ => return Err(answer.error(&format!("GET {path}")).await),
        }
        while let Some(part) = answer.next().await? {
            if bytes.len() as u64 + part.len() as u64 > size {
                let reason = format!("is larger than the {size} bytes of its descriptor");
                return Err(OciError::Size { what, reason });
            }
            bytes.extend_from_slice(&part);
        }
        match bytes.len() as u64 == size {
            true => Ok(()),
            false => Err(OciError::Size {
                what,
                reason: format!("has {} bytes, and {size} by its descriptor", bytes.len()),
            }),
        }
    }
}

/// Whether a part of the content begins where the last one ended.
fn begins_at(answer: &Answer, have: u64) -> bool {
    let range = answer
        .header(CONTENT_RANGE)
        .and_then(|text| text.strip_prefix("bytes "));
    range
        .and_then(|text| text.split_once('-'))
        .is_some_and(|(from, _)| from.parse() == Ok(have))
}
