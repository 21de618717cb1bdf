//! Registries of plugins: how each is asked, and who must have signed what comes from them.

use super::azure::CredentialShape;
use super::compound::{At, NonEmpty, OrOff};
use super::error::Mistakes;
use super::quantities::{H, S, Time};
use super::section::section;
use super::settings::{RegistryAccess, RegistryCredentials, RegistrySource, SignaturePolicy};
use super::shape::shown;
use super::values::FilePath;
use crate::oci::{Reference, Registry};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often a tag is looked at.
const POLL: Duration = Duration::from_secs(60);

section! {
    /// How a registry is asked for plugins. One that needs none of this need not be here.
    RegistrySection {
        /// Its host, with its port where it has one, as references have it: registry.example.net or 10.0.0.5:5000.
        required host: At<String>,
        /// A file of the certificate authorities that are trusted, in PEM, instead of the system's.
        optional ca: At<FilePath>,
        /// Whether it is asked without TLS. Default: only when it is on this machine, and ca is not set.
        optional plain_http: At<bool>,
        /// Who asks. Default: what Docker's configuration has for the registry, by REGISTRY_AUTH_FILE, DOCKER_CONFIG or HOME; or
        /// PORTOLAN_REGISTRY_USERNAME and PORTOLAN_REGISTRY_PASSWORD, if PORTOLAN_REGISTRY_HOST is this host.
        optional username: At<String>,
        /// The file with the password or token. It is read whenever the registry asks for it.
        optional password_file: At<FilePath>,
        /// An identity of Azure, for a registry of Azure: workload-identity, managed-identity, azure-cli, or one of them with its keys.
        optional azure: At<CredentialShape>,
    }
}

section! {
    /// Who must have signed plugins from registries.
    KeysSection {
        /// Files with public keys, ECDSA on P-256 or Ed25519, in PEM. One of them must have signed a plugin. Watched for changes.
        required keys: NonEmpty<FilePath>,
    }
}

section! {
    /// Who must have signed a plugin.
    SignatureSection {
        /// Files with public keys, ECDSA on P-256 or Ed25519, in PEM. One of them must have signed it. Watched for changes.
        required keys: NonEmpty<FilePath>,
        /// The registry and repository that the signature must be for, such as registry.example.net/team/canary, where source is a
        /// mirror. Default: those of source.
        optional identity: String,
        /// false: a plugin that is not signed is used as well, with a warning. Default: true.
        optional required: At<bool>,
    }
}

/// What plugins need to know of registries.
pub(super) struct Registries<'a> {
    known: Vec<(Registry, RegistryAccess)>,
    keys: Option<&'a KeysSection>,
    name_servers: Option<Arc<[SocketAddr]>>,
}

/// Checks the registries.
pub(super) fn settings<'a>(
    sections: Option<&NonEmpty<RegistrySection>>,
    keys: Option<&'a KeysSection>,
    name_servers: Option<Arc<[SocketAddr]>>,
    folder: &Path,
    mistakes: &mut Mistakes<'_>,
) -> Registries<'a> {
    let mut known: Vec<(Registry, RegistryAccess)> = Vec::new();
    for section in sections.iter().flat_map(|sections| sections.iter()) {
        let Some(host) = &section.host else { continue };
        match host.parse::<Registry>() {
            Ok(registry) if known.iter().any(|(other, _)| *other == registry) => {
                mistakes.at(host.id, "this registry is there already");
            }
            Ok(registry) => {
                let access = section.access(&registry, folder, mistakes);
                known.push((registry, access));
            }
            Err(reason) => mistakes.at(
                host.id,
                format!("wanted a host such as registry.example.net:5000: {reason}"),
            ),
        }
    }
    Registries {
        known,
        keys,
        name_servers,
    }
}

impl RegistrySection {
    fn access(&self, registry: &Registry, folder: &Path, mistakes: &mut Mistakes<'_>) -> RegistryAccess {
        let plain_http = self.plain_http.as_ref().is_some_and(|plain| plain.value);
        if let Some(ca) = self.ca.as_ref().filter(|_| plain_http) {
            mistakes.at(ca.id, "has no effect with plain_http: remove one of them");
        }
        let credentials = match (&self.username, &self.password_file, &self.azure) {
            (None, None, None) => RegistryCredentials::Environment,
            (Some(username), Some(file), None) => RegistryCredentials::Password {
                username: username.value.clone(),
                file: file.within(folder),
            },
            (None, None, Some(azure)) => match azure.settings(folder, mistakes) {
                Some(credential) => RegistryCredentials::Azure(credential),
                None => RegistryCredentials::Environment,
            },
            (Some(username), None, None) => {
                mistakes.at(
                    username.id,
                    "password_file is missing, the file with the password of this name",
                );
                RegistryCredentials::Environment
            }
            (None, Some(file), None) => {
                mistakes.at(file.id, "username is missing, the name that this password is for");
                RegistryCredentials::Environment
            }
            (_, _, Some(azure)) => {
                mistakes.at(
                    azure.id,
                    "there is a username or password_file too: keep the one that is meant",
                );
                RegistryCredentials::Environment
            }
        };
        let usual = registry.is_loopback() && self.ca.is_none();
        RegistryAccess {
            ca: self.ca.as_ref().map(|path| path.within(folder)),
            plain_http: self.plain_http.as_ref().map_or(usual, |plain| plain.value),
            credentials,
            name_servers: None,
        }
    }
}

impl Registries<'_> {
    /// Where a plugin is that is in a registry.
    pub(super) fn source(
        &self,
        text: &At<String>,
        poll: Option<&At<OrOff<Time<{ S }, { 24 * H }>>>>,
        signature: Option<&SignatureSection>,
        folder: &Path,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<RegistrySource> {
        let reference: Reference = match text.parse() {
            Ok(reference) => reference,
            Err(error) => {
                mistakes.at(text.id, format!("{error}, got {}", shown(text)));
                return None;
            }
        };
        let by_digest = reference.digest.is_some();
        if let Some(poll) = poll.filter(|_| by_digest) {
            mistakes.at_key(
                poll.id,
                "has no effect: source has a digest, which always names the same plugin",
            );
        }
        let known = self.known.iter().find(|(registry, _)| *registry == reference.registry);
        let access = known.map_or_else(
            || RegistryAccess::usual(&reference.registry),
            |(_, access)| access.clone(),
        );
        let poll = match poll.map(|poll| &poll.value) {
            _ if by_digest => None,
            None => Some(POLL),
            Some(OrOff::Off) => None,
            Some(OrOff::On(time)) => Some(time.0),
        };
        Some(RegistrySource {
            poll,
            policy: self.policy(&reference, signature, folder, mistakes),
            access: RegistryAccess {
                name_servers: self.name_servers.clone(),
                ..access
            },
            reference,
        })
    }

    fn policy(
        &self,
        reference: &Reference,
        own: Option<&SignatureSection>,
        folder: &Path,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<SignaturePolicy> {
        let keys = |keys: &NonEmpty<FilePath>| keys.iter().map(|path| path.within(folder)).collect();
        let required = own.and_then(|own| own.required.as_ref());
        if let (Some(required), Some(_)) = (required.filter(|required| !required.value), self.keys) {
            mistakes.at(
                required.id,
                "require_signature is set, which is for every plugin from a registry",
            );
        }
        let named = own
            .and_then(|own| own.keys.as_ref())
            .or(self.keys.and_then(|all| all.keys.as_ref()))?;
        Some(SignaturePolicy {
            keys: keys(named),
            identity: own
                .and_then(|own| own.identity.clone())
                .unwrap_or_else(|| reference.identity()),
            required: required.is_none_or(|required| required.value),
        })
    }
}
