//! Manifests and indexes, as registries store them.

use super::digest::Digest;
use super::error::OciError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An image manifest.
pub(super) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
/// An index.
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// All of them: a registry answers 404 when that of what it has is missing.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// Layers that are components: as the CNCF's working group names them, and as was usual before.
pub(super) const WASM: [&str; 2] = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];
/// The configuration of an artifact that says what its component imports.
pub(super) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// The largest manifest, in bytes: registries take no larger ones.
pub(super) const MAX_MANIFEST: u64 = 4 << 20;

/// Some content, described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    /// Its type.
    #[serde(default)]
    pub(super) media_type: String,
    /// Its digest, by whatever algorithm.
    pub(super) digest: String,
    /// Its size in bytes, as the manifest says; what comes may be another.
    pub(super) size: u64,
    /// Anything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
    /// Of a manifest in an index: what it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
    /// Of a manifest in an index: what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<String>,
}

/// What a manifest in an index is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    /// The architecture, such as `wasm`.
    #[serde(default)]
    pub(super) architecture: String,
}

impl Descriptor {
    /// That of content.
    pub(super) fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.into(),
            digest: Digest::of(bytes).to_string(),
            size: bytes.len() as u64,
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// Its digest by SHA-256.
    pub(super) fn sha256(&self) -> Result<Digest, OciError> {
        self.digest.parse().map_err(OciError::Manifest)
    }
}

/// A manifest as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Of its bytes.
    pub(super) digest: Digest,
    pub(super) bytes: Bytes,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Image(Image),
    Index(Vec<Descriptor>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) config: Option<Descriptor>,
    pub(super) layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Manifest {
    /// A manifest that came with a `Content-Type`. What it is says its own `mediaType`, without that the header, and
    /// without both its shape.
    ///
    /// # Errors
    /// When it is neither a manifest nor an index, or body and header disagree.
    pub(super) fn parse(bytes: Bytes, content_type: Option<&str>) -> Result<Self, OciError> {
        let wrong = |reason: String| OciError::Manifest(reason);
        let body: Body = serde_json::from_slice(&bytes).map_err(|error| wrong(format!("not a manifest: {error}")))?;
        if body.schema_version != 2 {
            return Err(wrong(format!("schemaVersion {} is not supported", body.schema_version)));
        }
        let header = content_type.map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let of_header = header.as_deref().and_then(is_index);
        let of_body = match &body.media_type {
            Some(named) => Some(is_index(named).ok_or_else(|| wrong(format!("{named} is not a type of manifests")))?),
            None => None,
        };
        if let (Some(named), Some(header), Some(_)) = (&body.media_type, &header, of_header)
            && named != header
        {
            return Err(wrong(format!("the body says {named}, and Content-Type says {header}")));
        }
        let kind = match (of_body.or(of_header), body.layers, body.manifests) {
            (Some(true) | None, None, Some(manifests)) => Kind::Index(manifests),
            (Some(false) | None, Some(layers), None) => Kind::Image(Image {
                config: body.config,
                layers,
            }),
            // An image without layers, or an index without manifests.
            (Some(false), None, None) => Kind::Image(Image {
                config: body.config,
                layers: Vec::new(),
            }),
            (Some(true), None, None) => Kind::Index(Vec::new()),
            _ => return Err(wrong("it has neither layers nor manifests, or both".into())),
        };
        Ok(Self {
            digest: Digest::of(&bytes),
            bytes,
            kind,
        })
    }
}

/// Whether a type is that of an index; `None`: of nothing that is known.
fn is_index(media_type: &str) -> Option<bool> {
    match media_type {
        INDEX | DOCKER_INDEX => Some(true),
        IMAGE | DOCKER_IMAGE => Some(false),
        _ => None,
    }
}

/// The manifest of an index that is the plugin's: the only one, or the one for `wasm`.
///
/// # Errors
/// When it is not certain which.
pub(super) fn entry(manifests: &[Descriptor]) -> Result<&Descriptor, OciError> {
    if let [only] = manifests {
        return Ok(only);
    }
    let is_wasm = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|it| it.architecture == "wasm");
    let mut wasm = manifests.iter().filter(is_wasm);
    match (wasm.next(), wasm.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => Err(OciError::Manifest(format!(
            "the index has {} manifests, and none of them has the architecture wasm",
            manifests.len()
        ))),
        (Some(_), Some(_)) => Err(OciError::Manifest(
            "the index has several manifests with the architecture wasm: name one by its digest".into(),
        )),
    }
}

impl Image {
    /// The layer with the component.
    ///
    /// # Errors
    /// When there is not exactly one, or it is something else.
    pub(super) fn component(&self) -> Result<&Descriptor, OciError> {
        match &self.layers[..] {
            [layer] if WASM.contains(&layer.media_type.as_str()) => Ok(layer),
            [layer] => Err(OciError::Manifest(format!(
                "its layer is {}, and not {}: was it pushed as application/wasm?",
                layer.media_type, WASM[0]
            ))),
            layers => Err(OciError::Manifest(format!(
                "it has {} layers, and a plugin has one, of type {}",
                layers.len(),
                WASM[0]
            ))),
        }
    }
}
