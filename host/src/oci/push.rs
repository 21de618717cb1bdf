//! Pushing a component as an artifact (CNCF TAG Runtime, "Wasm OCI Artifact layout"), and signing it as cosign does. The same
//! component gives the same manifest, whenever and from wherever it is pushed.

use super::client::{Access, Client};
use super::component::component_names;
use super::digest::Digest;
use super::error::OciError;
use super::key::SigningKey;
use super::manifest::{Descriptor, IMAGE, Kind, MAX_MANIFEST, Manifest, WASM, WASM_CONFIG};
use super::pull::signature_tag;
use super::reference::Reference;
use super::signature::{ANNOTATION, PAYLOAD, payload};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

/// The type of the configuration beside signatures, as cosign has it.
const SIGNATURE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// What was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of the manifest.
    pub manifest: Digest,
    /// The digest of the component.
    pub component: Digest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    schema_version: u32,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

impl Body {
    fn bytes(config: Descriptor, layers: Vec<Descriptor>) -> Result<Bytes, OciError> {
        let body = Self {
            schema_version: 2,
            media_type: IMAGE,
            config,
            layers,
        };
        let bytes = serde_json::to_vec(&body).map_err(|error| OciError::Manifest(error.to_string()))?;
        match bytes.len() as u64 <= MAX_MANIFEST {
            true => Ok(bytes.into()),
            false => Err(OciError::Manifest(
                "it has more than 4 MiB, which no registry takes".into(),
            )),
        }
    }
}

/// Pushes a component under the tag of a reference. Within a runtime.
///
/// # Errors
/// When it is not a component, or the registry does not take it.
pub async fn push(component: Bytes, reference: &Reference, access: &Access) -> Result<Pushed, OciError> {
    let names = component_names(&component)?;
    let config = json!({
        // Fixed: the time of a push is not a property of the component.
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [Digest::of(&component).to_string()],
        "component": { "imports": names.imports, "exports": names.exports },
    });
    let mut client = Client::new(reference, access)?;
    let layer = client.push_blob(WASM[0], component.clone()).await?;
    let config = client.push_blob(WASM_CONFIG, config.to_string().into()).await?;
    let manifest = Body::bytes(config, vec![layer])?;
    let digest = Digest::of(&manifest);
    if let Some(expected) = reference.digest.filter(|expected| *expected != digest) {
        let (what, actual) = ("the manifest of this file", digest);
        return Err(OciError::Digest { what, expected, actual });
    }
    let name = reference
        .tag
        .as_deref()
        .map_or_else(|| digest.to_string(), str::to_owned);
    client.push_manifest(&name, IMAGE, manifest).await?;
    Ok(Pushed {
        manifest: digest,
        component: Digest::of(&component),
    })
}

/// Signs what a reference leads to, beside the signatures that it has. Gives the digest that is signed. Within a runtime.
///
/// # Errors
/// When the artifact cannot be read, or its signature not be written.
pub async fn sign(
    reference: &Reference,
    identity: &str,
    key: &SigningKey,
    access: &Access,
) -> Result<Digest, OciError> {
    let mut client = Client::new(reference, access)?;
    let found = client.manifest(&reference.wanted(), None).await?;
    let digest = found
        .ok_or_else(|| OciError::Manifest("it is not there".into()))?
        .digest;
    let tag = signature_tag(digest);
    let mut layers = match client.find_manifest(&tag).await? {
        Some(Manifest {
            kind: Kind::Image(image),
            ..
        }) => image.layers,
        _ => Vec::new(),
    };
    let payload = payload(identity, digest);
    let signature = key
        .sign(&payload)
        .map_err(|error| OciError::Manifest(error.to_string()))?;
    // One by this key may be there: a signature of ECDSA is another one each time.
    if is_signed(&layers, &payload, key) {
        return Ok(digest);
    }
    let mut layer = client.push_blob(PAYLOAD, payload).await?;
    layer.annotations.insert(ANNOTATION.into(), STANDARD.encode(signature));
    layers.push(layer);
    let diff_ids: Vec<Value> = layers.iter().map(|layer| layer.digest.clone().into()).collect();
    let config = json!({
        "architecture": "", "created": "0001-01-01T00:00:00Z", "os": "", "config": {},
        "history": [{ "created": "0001-01-01T00:00:00Z" }],
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = client.push_blob(SIGNATURE_CONFIG, config.to_string().into()).await?;
    client.push_manifest(&tag, IMAGE, Body::bytes(config, layers)?).await?;
    Ok(digest)
}

/// Whether this key has signed this payload.
fn is_signed(layers: &[Descriptor], payload: &[u8], key: &SigningKey) -> bool {
    let (digest, public) = (Digest::of(payload).to_string(), key.public());
    let mut same = layers.iter().filter(|layer| layer.digest == digest);
    same.any(|layer| {
        let signature = layer.annotations.get(ANNOTATION).map(|text| STANDARD.decode(text));
        matches!(signature, Some(Ok(signature)) if public.verifies(payload, &signature))
    })
}
