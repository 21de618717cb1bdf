//! Where an artifact is: `oci://host[:port]/repository[:tag][@sha256:…]`.

use super::digest::Digest;
use portolan_core::config::GatewayHost;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::sync::Arc;
use thiserror::Error;

/// The scheme in front of a reference.
pub(super) const SCHEME: &str = "oci://";

/// Why a text is not a reference.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("wanted oci://HOST[:PORT]/REPOSITORY with :TAG or @sha256:DIGEST: {0}")]
pub struct ReferenceError(String);

/// A registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registry {
    /// As it is written: a name, an IPv4 address, or an IPv6 one in brackets; and a port where there is one.
    text: Arc<str>,
    /// How much of it is the host.
    host: usize,
    port: Option<u16>,
}

/// Where an artifact is. Has a tag, a digest, or both; then the digest counts, and the tag is a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The registry.
    pub registry: Registry,
    /// The repository.
    pub repository: Arc<str>,
    /// The tag.
    pub tag: Option<Arc<str>>,
    /// The digest of the manifest.
    pub digest: Option<Digest>,
}

impl Registry {
    /// The host, to connect to.
    pub fn host(&self) -> GatewayHost {
        let text = self.host_text();
        match text.parse() {
            Ok(address) => GatewayHost::Ip(address),
            // The registry of Docker Hub is not where its references say.
            Err(_) if text == "docker.io" => GatewayHost::Name("registry-1.docker.io".into()),
            Err(_) => GatewayHost::Name(text.into()),
        }
    }

    /// The host as text, an IPv6 address without brackets.
    pub(super) fn host_text(&self) -> &str {
        self.text[..self.host].trim_matches(['[', ']'])
    }

    /// The port, where one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        match self.host() {
            GatewayHost::Ip(address) => address.is_loopback(),
            GatewayHost::Name(name) => &*name == "localhost",
        }
    }

    /// As it is written: `host` or `host:port`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Registry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bracketed = text.starts_with('[');
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                let number: Option<u16> = port.parse().ok().filter(|port| *port != 0);
                (host, Some(number.ok_or_else(|| format!("{port:?} is not a port"))?))
            }
            _ => (text, None),
        };
        let is_host = if bracketed {
            let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
        } else {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        if !is_host {
            return Err(format!("{host:?} is not the host of a registry"));
        }
        Ok(Self {
            text: text.to_ascii_lowercase().into(),
            host: host.len(),
            port,
        })
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Reference {
    /// What manifests are asked for: the digest, or else the tag.
    pub(super) fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.to_string(),
            (None, None) => String::new(),
        }
    }

    /// The same artifact in its repository, by digest alone.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Registry and repository: whose artifact it is.
    pub fn identity(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    /// The scheme may be left out.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |reason: String| ReferenceError(reason);
        let rest = text.strip_prefix(SCHEME).unwrap_or(text);
        if rest.contains("://") {
            return Err(wrong("only oci:// is a scheme of registries".into()));
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(wrong)?)),
            None => (rest, None),
        };
        let Some((registry, path)) = rest.split_once('/') else {
            return Err(wrong("there is no repository after the host".into()));
        };
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            let plus = if tag.contains('+') {
                " (+ of versions is usually written _)"
            } else {
                ""
            };
            return Err(wrong(format!("{tag:?} is not a tag{plus}")));
        }
        if !repository.split('/').all(is_component) || repository.len() > 255 {
            let reason = "names are of lower-case letters and digits, separated by . _ __ or -";
            return Err(wrong(format!("{repository:?} is not a repository: {reason}")));
        }
        if tag.is_none() && digest.is_none() {
            return Err(wrong("there is neither a tag nor a digest".into()));
        }
        Ok(Self {
            registry: registry.parse().map_err(wrong)?,
            repository: repository.into(),
            tag: tag.map(Into::into),
            digest,
        })
    }
}

/// Without the scheme.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

fn is_tag(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let begins = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    begins && text.len() <= 128 && text.bytes().all(is_inner)
}

/// A part of a repository: letters and digits, between them a dot, one or two underscores, or hyphens.
fn is_component(text: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |byte: Option<&u8>| byte.is_some_and(is_letter);
    let bytes = text.as_bytes();
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.split(is_letter).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
        })
}
