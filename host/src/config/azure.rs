//! Where Azure and the shared store are, and how this instance authenticates there.

use super::compound::At;
use super::document::{Content, Node};
use super::error::Mistakes;
use super::section::section;
use super::shape::{Shape, shown, wanted};
use super::values::{FilePath, scalar, words};
use portolan_azure::settings::{Access, Cloud, Credential, SecretSource, StoreSettings};
use serde_json::{Value, json};
use std::path::Path;
use url::Url;

section! {
    /// The shared store of all instances.
    StoreSection {
        /// The container, such as https://account.blob.core.windows.net/portolan, without a signature.
        required container: HttpUrl,
        /// Put before the names of blobs, so that several Front Doors can share a container. Default: nothing.
        optional prefix: String,
        /// A file with a shared access signature for reading and writing objects. Without any, access is by the credential.
        optional signature_file: FilePath,
        /// The environment variable with a shared access signature.
        optional signature_env: At<String>,
    }
}

impl StoreSection {
    pub(super) fn settings(&self, folder: &Path, mistakes: &mut Mistakes<'_>) -> Option<StoreSettings> {
        let file = self.signature_file.as_ref();
        let signature = secret(file, self.signature_env.as_ref(), "signature_file", folder, mistakes);
        Some(StoreSettings {
            container: self.container.as_ref()?.0.clone(),
            prefix: self.prefix.clone().unwrap_or_default(),
            access: signature.map_or(Access::Identity, Access::Signature),
        })
    }
}

/// Who this instance is: a kind of credential, or a kind with its keys.
#[derive(Debug)]
pub(in crate::config) enum CredentialShape {
    Word(CredentialWord),
    Section(Box<CredentialSection>),
}

words! {
    /// A kind of credential, all of it from where the instance runs.
    CredentialWord {
        /// The federated token of a Kubernetes pod.
        WorkloadIdentity = "workload-identity",
        /// The machine's.
        ManagedIdentity = "managed-identity",
        /// Who is logged in with the command line.
        AzureCli = "azure-cli",
    }
}

section! {
    /// Who this instance is for Azure: one kind of credential with its keys.
    CredentialSection {
        /// The federated token of a Kubernetes pod; what is left out comes from the variables of the pod.
        optional workload_identity: WorkloadIdentitySection,
        /// The identity of the machine; a user-assigned one by its client.
        optional managed_identity: ManagedIdentitySection,
        /// An application and its secret.
        optional client_secret: ClientSecretSection,
    }
}

section! {
    /// The federated token of a Kubernetes pod.
    WorkloadIdentitySection {
        /// The tenant's id.
        optional tenant: String,
        /// The application's id.
        optional client: String,
        /// The file of the federated token.
        optional token_file: FilePath,
    }
}

section! {
    /// The identity of the machine.
    ManagedIdentitySection {
        /// The client id of a user-assigned identity.
        optional client: String,
    }
}

section! {
    /// An application and its secret, which is never in this file.
    ClientSecretSection {
        /// The tenant's id.
        required tenant: String,
        /// The application's id.
        required client: String,
        /// The file with the secret.
        optional secret_file: FilePath,
        /// The environment variable with the secret.
        optional secret_env: At<String>,
    }
}

impl Shape for CredentialShape {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match node.content() {
            Content::Map(_) => CredentialSection::read(node, mistakes).map(Box::new).map(Self::Section),
            _ => CredentialWord::read(node, mistakes).map(Self::Word),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [CredentialWord::schema(), CredentialSection::schema()] })
    }
}

impl CredentialShape {
    pub(in crate::config) fn settings(&self, folder: &Path, mistakes: &mut Mistakes<'_>) -> Option<Credential> {
        match self {
            Self::Word(CredentialWord::WorkloadIdentity) => Some(Credential::workload_identity()),
            Self::Word(CredentialWord::ManagedIdentity) => Some(Credential::ManagedIdentity { client: None }),
            Self::Word(CredentialWord::AzureCli) => Some(Credential::AzureCli),
            Self::Section(section) => section.settings(folder, mistakes),
        }
    }
}

impl CredentialSection {
    fn settings(&self, folder: &Path, mistakes: &mut Mistakes<'_>) -> Option<Credential> {
        match (&self.workload_identity, &self.managed_identity, &self.client_secret) {
            (Some(pod), None, None) => Some(Credential::WorkloadIdentity {
                tenant: pod.tenant.clone(),
                client: pod.client.clone(),
                token_file: pod.token_file.as_ref().map(|path| path.within(folder)),
            }),
            (None, Some(machine), None) => Some(Credential::ManagedIdentity {
                client: machine.client.clone(),
            }),
            (None, None, Some(application)) => application.settings(folder, mistakes),
            _ => {
                let message = "wanted one of workload_identity, managed_identity, client_secret, or a word";
                if !mistakes.has_below(self.at) {
                    mistakes.at(self.at, message);
                }
                None
            }
        }
    }
}

impl ClientSecretSection {
    fn settings(&self, folder: &Path, mistakes: &mut Mistakes<'_>) -> Option<Credential> {
        let (file, variable) = (self.secret_file.as_ref(), self.secret_env.as_ref());
        let secret = secret(file, variable, "secret_file", folder, mistakes);
        if secret.is_none() && !mistakes.has_below(self.at) {
            mistakes.at(self.at, "secret_file or secret_env is missing");
        }
        Some(Credential::ClientSecret {
            tenant: self.tenant.clone()?,
            client: self.client.clone()?,
            secret: secret?,
        })
    }
}

/// Where a secret is: in one place.
fn secret(
    file: Option<&FilePath>,
    variable: Option<&At<String>>,
    other: &str,
    folder: &Path,
    mistakes: &mut Mistakes<'_>,
) -> Option<SecretSource> {
    match (file, variable) {
        (Some(file), None) => Some(SecretSource::File(file.within(folder))),
        (None, Some(variable)) => Some(SecretSource::Env(variable.value.clone())),
        (Some(_), Some(variable)) => {
            mistakes.at_key(
                variable.id,
                format!("there is a {other} too: keep the one that is meant"),
            );
            None
        }
        (None, None) => None,
    }
}

/// Which Azure.
#[derive(Debug)]
pub(in crate::config) enum CloudShape {
    Word(CloudWord),
    Section(Box<CloudSection>),
}

words! {
    /// A public or national cloud.
    CloudWord {
        /// Azure.
        Public = "public",
        /// Azure operated by 21Vianet.
        China = "china",
        /// Azure Government.
        UsGovernment = "us-government",
    }
}

section! {
    /// An Azure of your own.
    CloudSection {
        /// The management API: the root of its host.
        required arm: HttpUrl,
        /// What a token for it is asked for. Default: its URL with .default.
        optional scope: String,
        /// Who gives tokens. Default: AZURE_AUTHORITY_HOST, or the public cloud's.
        optional authority: HttpUrl,
        /// Certificates to trust besides the system's, PEM.
        optional ca_file: FilePath,
    }
}

impl Shape for CloudShape {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match node.content() {
            Content::Map(_) => CloudSection::read(node, mistakes).map(Box::new).map(Self::Section),
            _ => CloudWord::read(node, mistakes).map(Self::Word),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [CloudWord::schema(), CloudSection::schema()] })
    }
}

impl CloudShape {
    pub(super) fn settings(&self, folder: &Path) -> Option<Cloud> {
        let section = match self {
            Self::Word(CloudWord::Public) => return Some(Cloud::public()),
            Self::Word(CloudWord::China) => return Some(Cloud::china()),
            Self::Word(CloudWord::UsGovernment) => return Some(Cloud::us_government()),
            Self::Section(section) => section,
        };
        let arm = section.arm.as_ref()?.0.clone();
        Some(Cloud {
            scope: section.scope.clone().unwrap_or_else(|| format!("{arm}.default")),
            arm,
            authority: section.authority.as_ref().map(|url| url.0.clone()),
            ca_file: section.ca_file.as_ref().map(|path| path.within(folder)),
        })
    }
}

/// A URL of http or https.
#[derive(Clone, Debug)]
pub(in crate::config) struct HttpUrl(Url);

impl Shape for HttpUrl {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let Some(text) = scalar(node) else {
            return wanted(
                node,
                "a URL such as https://account.blob.core.windows.net/portolan",
                mistakes,
            );
        };
        let is_http = text.starts_with("https://") || text.starts_with("http://");
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        match Url::parse(text).ok().filter(|_| is_http && is_plain) {
            Some(url) => Some(Self(url)),
            None => {
                // What follows a question mark may be a signature.
                let start = text.split('?').next().unwrap_or_default();
                mistakes.at(
                    node.id(),
                    format!("wanted a URL that begins with https://, got {}", shown(start)),
                );
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^https?://[!-~]+$" })
    }
}
