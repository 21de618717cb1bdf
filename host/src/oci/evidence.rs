//! All that proves what a component is: the manifests that lead to it, and the signatures over them. It is checked whenever the
//! component is used, wherever both come from: the registry, memory, or the state directory.

use super::digest::Digest;
use super::error::OciError;
use super::manifest::{Descriptor, Image, Kind, Manifest, entry};
use super::reference::Reference;
use super::signature::{Kept, Policy, Signature, SignatureError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The manifests that lead to a component, the first one named by its reference, and the signatures over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub(super) manifests: Vec<Bytes>,
    pub(super) signatures: Vec<Signature>,
}

/// What evidence proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The digest of the manifest that the reference names.
    pub manifest: Digest,
    /// The digest of the component.
    pub component: Digest,
    /// The file of the key that it is signed with.
    pub signer: Option<String>,
    /// Why it is not signed as it should be, where that is allowed.
    pub unsigned: Option<SignatureError>,
}

/// As it is kept in files. Manifests are text, and text keeps its bytes.
#[derive(Serialize, Deserialize)]
struct File {
    manifests: Vec<String>,
    signatures: Vec<Kept>,
}

impl Evidence {
    /// As the content of a file.
    ///
    /// # Errors
    /// When a manifest is not text, which none is that was parsed.
    pub fn to_json(&self) -> Result<Bytes, serde_json::Error> {
        let manifests = self
            .manifests
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let file = File {
            manifests: manifests.collect(),
            signatures: self.signatures.iter().map(Kept::from).collect(),
        };
        serde_json::to_vec(&file).map(Bytes::from)
    }

    /// The evidence in the content of a file. `None`: it is malformed.
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        let file: File = serde_json::from_slice(bytes).ok()?;
        let signatures = file.signatures.iter().map(Signature::try_from);
        Some(Self {
            signatures: signatures.collect::<Result<_, _>>().ok()?,
            manifests: file.manifests.into_iter().map(Bytes::from).collect(),
        })
    }

    /// What it proves of the component that a reference names.
    ///
    /// # Errors
    /// When it proves nothing, or the policy wants more.
    pub fn verify(&self, reference: &Reference, policy: Option<&Policy>) -> Result<Verified, OciError> {
        let (digests, _, layer) = self.chain(reference)?;
        let (signer, unsigned) = match policy.map(|policy| (policy, policy.check(&digests, &self.signatures))) {
            None => (None, None),
            Some((_, Ok(key))) => (Some(key.to_owned()), None),
            Some((policy, Err(error))) if policy.required => return Err(error.into()),
            Some((_, Err(error))) => (None, Some(error)),
        };
        Ok(Verified {
            manifest: digests[0],
            component: layer.sha256()?,
            signer,
            unsigned,
        })
    }

    /// The digests of the manifests, the last of them, and its layer.
    pub(super) fn chain(&self, reference: &Reference) -> Result<(Vec<Digest>, Image, Descriptor), OciError> {
        let mut digests = Vec::new();
        let mut expected = reference.digest;
        for bytes in &self.manifests {
            let manifest = Manifest::parse(bytes.clone(), None)?;
            let actual = manifest.digest;
            if let Some(expected) = expected.filter(|expected| *expected != actual) {
                let what = "the manifest";
                return Err(OciError::Digest { what, expected, actual });
            }
            digests.push(actual);
            match manifest.kind {
                Kind::Index(entries) => expected = Some(entry(&entries)?.sha256()?),
                Kind::Image(image) => {
                    let layer = image.component()?.clone();
                    return Ok((digests, image, layer));
                }
            }
        }
        Err(OciError::Manifest("it leads to no component".into()))
    }
}

impl Verified {
    /// Checks that these bytes are the component.
    ///
    /// # Errors
    /// When they are something else.
    pub fn holds(&self, component: &[u8]) -> Result<(), OciError> {
        let (what, expected, actual) = ("the component", self.component, Digest::of(component));
        match actual == expected {
            true => Ok(()),
            false => Err(OciError::Digest { what, expected, actual }),
        }
    }
}
