//! The steps of a pull: manifest, signatures, configuration, and the component last, when all before allow it.

use super::client::{Access, Client};
use super::component::foreign_imports;
use super::digest::Digest;
use super::error::OciError;
use super::evidence::{Evidence, Verified};
use super::manifest::{Kind, Manifest, WASM_CONFIG, entry};
use super::reference::Reference;
use super::signature::{ANNOTATION, ARTIFACT, PAYLOAD, Policy, Signature};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

/// The largest configuration of an artifact that is read, in bytes.
const MAX_CONFIG: u64 = 1 << 20;
/// The largest payload of a signature, in bytes.
const MAX_PAYLOAD: u64 = 64 << 10;
/// How many signatures of a manifest are looked at.
const MAX_SIGNATURES: usize = 32;

/// What to pull.
#[derive(Clone, Copy, Debug)]
pub struct Pull<'a> {
    /// Which artifact.
    pub reference: &'a Reference,
    /// How its registry is asked.
    pub access: &'a Access,
    /// Which signatures it needs. `None`: they are not looked for.
    pub policy: Option<&'a Policy>,
    /// The digest of the manifest that was found last: nothing is fetched while it is the same.
    pub known: Option<Digest>,
    /// A component that is here already, with its digest.
    pub here: Option<(Digest, &'a Bytes)>,
    /// How many bytes a component may have.
    pub most: u64,
}

/// What was pulled, and verified.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The component.
    pub component: Bytes,
    /// What proves it.
    pub evidence: Evidence,
    /// What that proves.
    pub verified: Verified,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    component: Names,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Names {
    imports: Vec<String>,
}

/// Pulls a component. `None`: the manifest is the one that is known. Within a runtime.
///
/// # Errors
/// When something is missing, wrong or too large, or not signed as the policy wants it.
pub async fn pull(pull: &Pull<'_>) -> Result<Option<Pulled>, OciError> {
    let mut client = Client::new(pull.reference, pull.access)?;
    let Some(first) = client.manifest(&pull.reference.wanted(), pull.known).await? else {
        return Ok(None);
    };
    let (mut manifests, mut digests) = (vec![first.bytes], vec![first.digest]);
    if let Kind::Index(entries) = &first.kind {
        let name = entry(entries)?.sha256()?;
        let found = client.manifest(&name.to_string(), None).await?;
        let found = found.ok_or_else(|| OciError::Manifest("it is not there".into()))?;
        manifests.push(found.bytes);
        digests.push(found.digest);
    }
    let mut evidence = Evidence {
        manifests,
        signatures: Vec::new(),
    };
    // Before anything else is fetched.
    let (_, image, layer) = evidence.chain(pull.reference)?;
    if pull.policy.is_some() {
        evidence.signatures = signatures_of(&mut client, &digests).await?;
    }
    let verified = evidence.verify(pull.reference, pull.policy)?;
    if let Some(config) = image.config.filter(|config| config.media_type == WASM_CONFIG) {
        let bytes = client.blob("the configuration", &config, MAX_CONFIG).await?;
        // What it says is a help, and the component decides.
        let config: Config = serde_json::from_slice(&bytes).unwrap_or_default();
        let foreign = foreign_imports(&config.component.imports);
        if !foreign.is_empty() {
            return Err(OciError::Imports(foreign));
        }
    }
    let component = match pull.here.filter(|(digest, _)| *digest == verified.component) {
        Some((_, here)) => here.clone(),
        None => client.blob("the component", &layer, pull.most).await?,
    };
    verified.holds(&component)?;
    Ok(Some(Pulled {
        component,
        evidence,
        verified,
    }))
}

/// The manifests that a reference leads to, and all signatures of them. Within a runtime.
///
/// # Errors
/// When they cannot be read.
pub async fn signatures(reference: &Reference, access: &Access) -> Result<(Vec<Digest>, Vec<Signature>), OciError> {
    let mut client = Client::new(reference, access)?;
    let first = client.manifest(&reference.wanted(), None).await?;
    let first = first.ok_or_else(|| OciError::Manifest("it is not there".into()))?;
    let mut digests = vec![first.digest];
    if let Kind::Index(entries) = &first.kind
        && let Ok(only) = entry(entries)
    {
        digests.push(only.sha256()?);
    }
    let found = signatures_of(&mut client, &digests).await?;
    Ok((digests, found))
}

/// All signatures of manifests: under the tag of each, and among what refers to it.
async fn signatures_of(client: &mut Client, digests: &[Digest]) -> Result<Vec<Signature>, OciError> {
    let mut found = Vec::new();
    for digest in digests {
        let tag = signature_tag(*digest);
        if let Some(manifest) = client.find_manifest(&tag).await? {
            read(client, &manifest, &mut found).await?;
        }
        for referrer in client.referrers(*digest).await? {
            if referrer.artifact_type.as_deref() == Some(ARTIFACT)
                && found.len() < MAX_SIGNATURES
                && let Some(manifest) = client.find_manifest(&referrer.sha256()?.to_string()).await?
            {
                read(client, &manifest, &mut found).await?;
            }
        }
    }
    Ok(found)
}

/// The tag under which the signatures of a manifest are.
pub(super) fn signature_tag(digest: Digest) -> String {
    format!("sha256-{}.sig", digest.hex())
}

/// The signatures in a manifest. What is none is left out.
async fn read(client: &mut Client, manifest: &Manifest, found: &mut Vec<Signature>) -> Result<(), OciError> {
    let Kind::Image(image) = &manifest.kind else {
        return Ok(());
    };
    let layers = image.layers.iter().filter(|layer| layer.media_type == PAYLOAD);
    for layer in layers {
        let encoded = layer.annotations.get(ANNOTATION);
        let Some(Ok(signature)) = encoded.map(|text| STANDARD.decode(text)) else {
            continue;
        };
        if found.len() == MAX_SIGNATURES {
            return Ok(());
        }
        let payload = client.blob("the payload of a signature", layer, MAX_PAYLOAD).await?;
        found.push(Signature { payload, signature });
    }
    Ok(())
}
