//! Cosign's signatures ("simple signing"), verified offline, and the policy that wants them.

use super::digest::Digest;
use super::key::PublicKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;

/// The type of a layer that is a signature.
pub(super) const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Its annotation with the signature itself, in base64.
pub(super) const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The type of a manifest with signatures that refers to what is signed.
pub(super) const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
const TYPE: &str = "cosign container image signature";

/// A signature and what was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What was signed: JSON that names a digest.
    pub payload: Bytes,
    /// The signature over its bytes.
    pub signature: Vec<u8>,
}

/// Which signatures a plugin needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// One of these keys must have signed it.
    pub keys: Vec<PublicKey>,
    /// Registry and repository that the signature must be for.
    pub identity: String,
    /// Whether it is rejected without. Otherwise that is only reported.
    pub required: bool,
}

/// Why a manifest is not signed as it must be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SignatureError {
    /// There are no signatures.
    #[error("{0} is not signed: `portolan plugin sign` signs it")]
    Unsigned(Digest),
    /// None of them counts.
    #[error("{digest} has no valid signature: {}", reasons.join("; "))]
    Invalid {
        /// What was to be signed.
        digest: Digest,
        /// Of each signature, why it does not count.
        reasons: Vec<String>,
    },
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Identity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// What is signed for a manifest of this identity.
pub(super) fn payload(identity: &str, digest: Digest) -> Bytes {
    let payload = json!({
        "critical": {
            "identity": { "docker-reference": identity },
            "image": { "docker-manifest-digest": digest.to_string() },
            "type": TYPE,
        },
        "optional": null,
    });
    payload.to_string().into()
}

impl Policy {
    /// The file of the key that has signed one of these manifests: an index, or what it leads to.
    ///
    /// # Errors
    /// When no signature counts.
    pub fn check(&self, manifests: &[Digest], signatures: &[Signature]) -> Result<&str, SignatureError> {
        let digest = manifests.first().copied().unwrap_or_else(|| Digest::of(b""));
        if signatures.is_empty() {
            return Err(SignatureError::Unsigned(digest));
        }
        let mut reasons = Vec::new();
        for signature in signatures {
            match self.signer(manifests, signature) {
                Ok(key) => return Ok(key.name()),
                Err(reason) if !reasons.contains(&reason) => reasons.push(reason),
                Err(_) => {}
            }
        }
        Err(SignatureError::Invalid { digest, reasons })
    }

    /// Who has made a signature: first that is verified, over the bytes as they came, and only then what they say.
    fn signer(&self, manifests: &[Digest], signature: &Signature) -> Result<&PublicKey, String> {
        let verifies = |key: &&PublicKey| key.verifies(&signature.payload, &signature.signature);
        let key = self.keys.iter().find(verifies);
        let key = key.ok_or("it was made with another key than those that are trusted")?;
        let payload: Payload =
            serde_json::from_slice(&signature.payload).map_err(|error| format!("its payload is malformed: {error}"))?;
        let Critical { identity, image, kind } = payload.critical;
        let signed: Digest = image
            .digest
            .parse()
            .map_err(|error| format!("it is for no digest: {error}"))?;
        if !manifests.contains(&signed) {
            return Err(format!("it is for {signed}"));
        }
        if repository(&identity.reference) != self.identity {
            return Err(format!(
                "it is for {}, and {} is wanted (signature.identity names another)",
                identity.reference, self.identity
            ));
        }
        if kind != TYPE {
            return Err(format!("it is a {kind:?}, and a {TYPE:?} is wanted"));
        }
        Ok(key)
    }
}

/// A reference without its tag and digest.
fn repository(reference: &str) -> &str {
    let reference = reference.split('@').next().unwrap_or_default();
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => reference,
    }
}

/// As it is kept in files.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    payload: String,
    signature: String,
}

impl From<&Signature> for Kept {
    fn from(signature: &Signature) -> Self {
        Self {
            payload: STANDARD.encode(&signature.payload),
            signature: STANDARD.encode(&signature.signature),
        }
    }
}

impl TryFrom<&Kept> for Signature {
    type Error = base64::DecodeError;

    fn try_from(kept: &Kept) -> Result<Self, base64::DecodeError> {
        Ok(Self {
            payload: STANDARD.decode(&kept.payload)?.into(),
            signature: STANDARD.decode(&kept.signature)?,
        })
    }
}
