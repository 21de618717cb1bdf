//! Where Azure is, how we authenticate there, and the shared store.

use std::path::PathBuf;
use url::Url;

/// How this instance authenticates to the management API and the store. The kind is named: credentials are not tried in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The federated token of a Kubernetes pod. What is left out comes from the `AZURE_*` variables of the pod.
    WorkloadIdentity {
        /// The tenant.
        tenant: Option<String>,
        /// The application.
        client: Option<String>,
        /// The file of the federated token.
        token_file: Option<PathBuf>,
    },
    /// The identity of the machine, or of the application service.
    ManagedIdentity {
        /// A user-assigned identity; left out means the system-assigned one.
        client: Option<String>,
    },
    /// An application and its secret.
    ClientSecret {
        /// The tenant.
        tenant: String,
        /// The application.
        client: String,
        /// Where the secret is.
        secret: SecretSource,
    },
    /// Who is logged in with the Azure CLI: for people at their desks.
    AzureCli,
}

impl Credential {
    /// The pod's workload identity, all from its variables.
    pub fn workload_identity() -> Self {
        Self::WorkloadIdentity {
            tenant: None,
            client: None,
            token_file: None,
        }
    }

    /// The word for it in configuration and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::WorkloadIdentity { .. } => "workload-identity",
            Self::ManagedIdentity { .. } => "managed-identity",
            Self::ClientSecret { .. } => "client-secret",
            Self::AzureCli => "azure-cli",
        }
    }
}

/// Where a secret is. It is read when it is needed, so that a new one needs no restart, and never kept in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file; white space at its end is no part of the secret.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

/// Where Azure is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cloud {
    /// The management API. It sits at the root of its host: a path would be lost.
    pub arm: Url,
    /// The scope of tokens for the management API.
    pub scope: String,
    /// Who gives tokens. `None` is `AZURE_AUTHORITY_HOST`, else the public cloud's.
    pub authority: Option<Url>,
    /// Certificates to trust besides the system's, PEM.
    pub ca_file: Option<PathBuf>,
}

impl Cloud {
    /// Azure.
    pub fn public() -> Self {
        Self::known("https://management.azure.com/", None)
    }

    /// Azure operated by 21Vianet.
    pub fn china() -> Self {
        Self::known(
            "https://management.chinacloudapi.cn/",
            Some("https://login.chinacloudapi.cn/"),
        )
    }

    /// Azure Government.
    pub fn us_government() -> Self {
        Self::known(
            "https://management.usgovcloudapi.net/",
            Some("https://login.microsoftonline.us/"),
        )
    }

    #[expect(
        clippy::expect_used,
        reason = "only called with the literals above, which a test parses"
    )]
    fn known(arm: &str, authority: Option<&str>) -> Self {
        let parse = |text: &str| Url::parse(text).expect("a literal URL");
        Self {
            arm: parse(arm),
            scope: format!("{arm}.default"),
            authority: authority.map(parse),
            ca_file: None,
        }
    }
}

/// The shared store: a container of a storage account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The container, such as `https://account.blob.core.windows.net/portolan`, without a signature.
    pub container: Url,
    /// Put before the names of blobs, so that several Front Doors can share a container. Empty or without slashes at its ends.
    pub prefix: String,
    /// How this instance authenticates to it.
    pub access: Access,
}

/// How this instance authenticates to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// By the same credential as the management API. Needs https.
    Identity,
    /// By a shared access signature: the query of a SAS URL, with or without its question mark.
    Signature(SecretSource),
}
