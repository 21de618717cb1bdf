//! Components from registries: found where they are already, fetched where not, and verified either way.
//!
//! What was fetched last is held in memory for the next reload, and what is active is kept in the state directory for the next
//! start: neither needs the registry. Both keep the evidence with the component, which is checked again whenever it is used.

#[cfg(feature = "azure")]
mod azure;
mod polls;

use super::last_good::{Content, LastGood};
use crate::config::{AzureCredential, RegistryAccess, RegistryCredentials, RegistrySource, SignaturePolicy};
use crate::oci::credentials::Credentials;
use crate::oci::key::{KeyError, PublicKey};
use crate::oci::{self, Access, Digest, Evidence, OciError, Policy, Pull, Pulled, Reference, Verified};
use crate::plugin::PluginLimits;
use crate::tls::{Authorities, FileError};
use bytes::Bytes;
pub(super) use polls::{Polled, Polls};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;

/// How long a fetch may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest file of a key, a password or authorities, in bytes.
const MAX_FILE_OF_ACCESS: u64 = 1 << 20;

/// Why a component cannot be had.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// The registry, or what came from it.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// A file that is needed to ask or to verify cannot be read.
    #[error("failed to read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file of public keys has none.
    #[error("signature: {0}")]
    Key(#[from] KeyError),
    /// A file of authorities has none.
    #[error("registries: {0}")]
    Authorities(#[from] FileError),
    /// There is none of an earlier run.
    #[error("nothing is kept of it in the state directory")]
    NotKept,
}

/// Where files are read from, and what keeps them for the next start.
pub(super) trait Shelf {
    /// The content of a file as it is now, which may have so many bytes.
    fn read_now(&self, path: &Path, most: u64) -> io::Result<Bytes>;
    /// Keeps content as a file.
    fn keep(&self, path: &Path, bytes: &Bytes);
    /// Where only what was last good counts: the state directory.
    fn last_good(&self) -> Option<&LastGood>;
}

/// A component and what proves it.
#[derive(Clone, Debug)]
struct Held {
    component: Bytes,
    evidence: Evidence,
}

/// What was fetched, by reference. Bounded by what the configuration names.
#[derive(Debug, Default)]
pub(super) struct Artifacts {
    held: Mutex<BTreeMap<Reference, Held>>,
    last_good: Option<LastGood>,
    offline: bool,
}

/// What was held of a reference before.
#[derive(Debug)]
pub(super) struct Before(Option<Held>);

impl Artifacts {
    /// With what is kept in a state directory.
    pub(super) fn new(last_good: Option<LastGood>) -> Self {
        Self {
            last_good,
            ..Self::default()
        }
    }

    /// Without a network: plugins in registries are left out.
    pub(super) fn offline() -> Self {
        Self {
            offline: true,
            ..Self::default()
        }
    }

    /// Whether plugins in registries are left out.
    pub(super) fn is_offline(&self) -> bool {
        self.offline
    }

    /// The component of a source, verified: held, kept, or fetched. It is kept with all that `files` reads. Keys are as their
    /// files are now: one that is not trusted any more verifies nothing, also where the last good content of other files counts.
    pub(super) fn load(&self, source: &RegistrySource, files: &dyn Shelf) -> Result<Bytes, ArtifactError> {
        let policy = source
            .policy
            .as_ref()
            .map(|policy| self::policy(policy, |path| files.read_now(path, MAX_FILE_OF_ACCESS)));
        let policy = policy.transpose()?;
        let held = self.lock().get(&source.reference).cloned();
        let kept = || {
            files
                .last_good()
                .or(self.last_good.as_ref())
                .and_then(|kept| read(kept, &source.reference))
        };
        let mut because = None;
        for candidate in held.into_iter().chain(kept()) {
            match candidate.verify(&source.reference, policy.as_ref()) {
                Ok(verified) => return Ok(self.take(source, candidate, &verified, files)),
                Err(error) => because = Some(error),
            }
        }
        if files.last_good().is_some() {
            return Err(because.map_or(ArtifactError::NotKept, ArtifactError::Oci));
        }
        let pulled = fetch(source, policy.as_ref(), None, None)?;
        let pulled = pulled.ok_or(ArtifactError::NotKept)?;
        let (verified, held) = (pulled.verified.clone(), Held::from(pulled));
        tracing::info!(
            reference = %source.reference,
            manifest = %verified.manifest,
            signed_with = verified.signer.as_deref().unwrap_or("-"),
            "fetched a plugin from its registry"
        );
        Ok(self.take(source, held, &verified, files))
    }

    fn take(&self, source: &RegistrySource, held: Held, verified: &Verified, files: &dyn Shelf) -> Bytes {
        if let Some(error) = &verified.unsigned {
            tracing::warn!(reference = %source.reference, "used although it is not signed as signature says: {error}");
        }
        let component = held.component.clone();
        for content in held.contents(&source.reference) {
            files.keep(&content.path, &content.bytes);
        }
        self.lock().insert(source.reference.clone(), held);
        component
    }

    /// What was fetched by a poll is used from now on.
    pub(super) fn hold(&self, reference: &Reference, pulled: Pulled) -> Before {
        Before(self.lock().insert(reference.clone(), pulled.into()))
    }

    /// As the state directory keeps what is held.
    pub(super) fn contents(&self, reference: &Reference) -> Vec<Content> {
        self.lock()
            .get(reference)
            .map_or(Vec::new(), |held| held.contents(reference))
    }

    /// What was held before is used again.
    pub(super) fn restore(&self, reference: &Reference, before: Before) {
        match before.0 {
            Some(held) => drop(self.lock().insert(reference.clone(), held)),
            None => drop(self.lock().remove(reference)),
        }
    }

    /// The digest of the manifest that a reference names, as far as it is known here, and its component.
    fn known(&self, reference: &Reference) -> Option<(Digest, Bytes)> {
        let held = self.lock().get(reference).cloned()?;
        let verified = held.evidence.verify(reference, None).ok()?;
        Some((verified.manifest, held.component))
    }

    /// Only these are needed from now on.
    pub(super) fn retain(&self, references: &BTreeSet<Reference>) {
        self.lock().retain(|reference, _| references.contains(reference));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Reference, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn verify(&self, reference: &Reference, policy: Option<&Policy>) -> Result<Verified, OciError> {
        let verified = self.evidence.verify(reference, policy)?;
        verified.holds(&self.component)?;
        Ok(verified)
    }

    /// As the state directory keeps it.
    fn contents(&self, reference: &Reference) -> Vec<Content> {
        let (component, evidence) = paths(reference);
        let evidence = self.evidence.to_json().map(|bytes| Content { path: evidence, bytes });
        let component = Content {
            path: component,
            bytes: self.component.clone(),
        };
        evidence.into_iter().chain([component]).collect()
    }
}

impl From<Pulled> for Held {
    fn from(pulled: Pulled) -> Self {
        Self {
            component: pulled.component,
            evidence: pulled.evidence,
        }
    }
}

/// As which files a component and its evidence are kept.
fn paths(reference: &Reference) -> (PathBuf, PathBuf) {
    let folder = Path::new("/oci:").join(reference.to_string());
    (folder.join("component"), folder.join("evidence"))
}

fn read(last_good: &LastGood, reference: &Reference) -> Option<Held> {
    let (component, evidence) = paths(reference);
    let (evidence, _) = last_good.read(&evidence)?;
    Some(Held {
        evidence: Evidence::from_json(&evidence)?,
        component: last_good.read(&component)?.0,
    })
}

/// The content of a file as it is now.
fn read_file(path: &Path) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_FILE_OF_ACCESS).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// The policy with the keys in its files.
fn policy(settings: &SignaturePolicy, read: impl Fn(&Path) -> io::Result<Bytes>) -> Result<Policy, ArtifactError> {
    let keys = settings.keys.iter().map(|path| {
        let failed = |error| ArtifactError::Read {
            path: path.clone(),
            error,
        };
        Ok(PublicKey::parse(path, &read(path).map_err(failed)?)?)
    });
    Ok(Policy {
        keys: keys.collect::<Result<_, ArtifactError>>()?,
        identity: settings.identity.clone(),
        required: settings.required,
    })
}

/// Fetches a component. `None`: the manifest is still `known`. Blocks.
fn fetch(
    source: &RegistrySource,
    policy: Option<&Policy>,
    known: Option<Digest>,
    here: Option<(Digest, &Bytes)>,
) -> Result<Option<Pulled>, ArtifactError> {
    let access = access(&source.access, &source.reference)?;
    let pull = Pull {
        reference: &source.reference,
        access: &access,
        policy,
        known,
        here,
        most: PluginLimits::MAX_FILE,
    };
    Ok(oci::run(&source.reference.registry, PATIENCE, oci::pull(&pull))?)
}

fn access(settings: &RegistryAccess, reference: &Reference) -> Result<Access, ArtifactError> {
    let read = |path: &PathBuf| {
        read_file(path).map_err(|error| ArtifactError::Read {
            path: path.clone(),
            error,
        })
    };
    let authorities = match &settings.ca {
        Some(path) => Some(Authorities::of_file(path, &read(path)?)?),
        None => None,
    };
    let credentials = match &settings.credentials {
        RegistryCredentials::Environment => {
            oci::credentials_of_environment(&reference.registry, false).map_err(OciError::from)?
        }
        RegistryCredentials::Password { username, file } => Credentials::Basic {
            username: username.clone(),
            password: String::from_utf8_lossy(&read(file)?).trim_end().to_owned(),
        },
        RegistryCredentials::Azure(credential) => of_azure(credential),
    };
    Ok(Access {
        credentials,
        authorities,
        plain_http: settings.plain_http,
        name_servers: settings.name_servers.clone(),
    })
}

#[cfg(feature = "azure")]
fn of_azure(credential: &AzureCredential) -> Credentials {
    Credentials::Azure(std::sync::Arc::new(azure::Entra::new(credential.clone())))
}

#[cfg(not(feature = "azure"))]
fn of_azure(credential: &AzureCredential) -> Credentials {
    match *credential {}
}
