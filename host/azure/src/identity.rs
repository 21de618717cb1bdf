//! One credential, its tokens kept until shortly before they expire.
//!
//! The credentials of the Azure crates keep tokens of their own; that of the command line does not, and none forgets a token
//! that the service rejects. So tokens are kept here, and a rejected one discards its credential as well.

use crate::net::{Net, causes};
use crate::settings::{Cloud, Credential, SecretSource};
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::{AsyncRawResponse, ClientOptions, HttpClient, Request, RetryOptions, Transport};
use azure_identity::{
    AzureCliCredential, ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// A token is renewed this long before it ends, or in the second half of a shorter life.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);
/// While the old token is valid, a request to the authority may take this long; after that there is none for [`REST`].
const PATIENCE: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_secs(30);
/// The limit for the first token, retries of the credential included: without a metadata service the Azure crates retry for
/// over a minute, whatever retry options they are given.
const FIRST_PATIENCE: Duration = Duration::from_secs(8);
/// The Azure CLI starts slowly.
const FIRST_PATIENCE_CLI: Duration = Duration::from_secs(30);

/// Why there is no token.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The secret cannot be read.
    #[error("failed to read the secret from {0}: {1}")]
    Secret(String, String),
    /// The authority issued none, or was not reached.
    #[error("failed to get a token by {kind}: {reason}")]
    Token {
        /// The kind of credential.
        kind: &'static str,
        /// The cause.
        reason: String,
    },
}

/// One credential and its tokens.
#[derive(Debug)]
pub struct Identity {
    kind: Credential,
    cloud: Option<Arc<CloudConfiguration>>,
    net: TokenNet,
    state: Mutex<Kept>,
}

/// The transport of a credential. It reports a failure so that the credential does not retry, and keeps the cause: the caller
/// decides when to retry, and reports the cause.
#[derive(Clone, Debug)]
struct TokenNet {
    net: Net,
    failure: Arc<std::sync::Mutex<Option<String>>>,
}

#[async_trait::async_trait]
impl HttpClient for TokenNet {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let result = self.net.execute_request(request).await;
        let host = request.url().host_str().unwrap_or("nowhere");
        match result {
            Ok(answer) => {
                let status = answer.status();
                self.remember((!status.is_success()).then(|| format!("{host} answered {}", u16::from(status))));
                Ok(answer)
            }
            Err(error) => {
                let text = causes(&error);
                self.remember(Some(text.clone()));
                Err(azure_core::Error::with_message(ErrorKind::Other, text))
            }
        }
    }
}

impl TokenNet {
    fn remember(&self, failure: Option<String>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug, Default)]
struct Kept {
    credential: Option<Arc<dyn TokenCredential>>,
    tokens: HashMap<String, Token>,
}

/// Times are monotonic: a step of the wall clock neither expires a token nor prolongs it.
#[derive(Clone, Debug)]
struct Token {
    secret: Secret,
    /// By the wall clock, for the Azure crates.
    expires_on: OffsetDateTime,
    renew_at: Instant,
    ends_at: Instant,
}

impl Identity {
    /// An identity. No token is requested yet.
    pub fn new(kind: Credential, cloud: &Cloud, net: Net) -> Self {
        let cloud = cloud.authority.as_ref().map(|authority| {
            let mut custom = CustomConfiguration::default();
            custom.authority_host = authority.to_string();
            Arc::new(CloudConfiguration::Custom(custom))
        });
        Self {
            kind,
            cloud,
            net: TokenNet {
                net,
                failure: Arc::default(),
            },
            state: Mutex::default(),
        }
    }

    /// A token for a scope: a kept one while it is good.
    ///
    /// # Errors
    /// When there is none that is good and the authority gives none.
    pub async fn token(&self, scope: &str) -> Result<Secret, IdentityError> {
        self.access(scope).await.map(|token| token.secret)
    }

    /// Discards all tokens, since the service rejected one, and the credential, which would return the same token again.
    pub async fn forget(&self) {
        *self.state.lock().await = Kept::default();
    }

    async fn access(&self, scope: &str) -> Result<Token, IdentityError> {
        // Held while asking: others who need a token wait for this answer instead of asking too.
        let mut kept = self.state.lock().await;
        let now = Instant::now();
        let old = kept.tokens.get(scope).filter(|token| now < token.ends_at).cloned();
        if let Some(token) = old.as_ref().filter(|token| now < token.renew_at) {
            return Ok(token.clone());
        }
        let patience = match (&old, &self.kind) {
            (Some(_), _) => PATIENCE,
            (None, Credential::AzureCli) => FIRST_PATIENCE_CLI,
            (None, _) => FIRST_PATIENCE,
        };
        let asked = timeout(patience, self.ask(&mut kept.credential, scope)).await;
        match (asked, old) {
            (Ok(Ok(token)), _) => {
                kept.tokens.insert(scope.to_owned(), token.clone());
                Ok(token)
            }
            (Ok(Err(error)), None) => Err(error),
            (Err(_), None) => {
                let cause = self.net.failure().map(|failure| format!(": {failure}"));
                Err(self.rejected(&format!("none within {patience:?}{}", cause.unwrap_or_default())))
            }
            (failed, Some(mut old)) => {
                let reason = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => format!("none within {PATIENCE:?}"),
                };
                tracing::warn!(%reason, "failed to renew the token: using the old one while it lasts");
                old.renew_at = now + REST;
                kept.tokens.insert(scope.to_owned(), old.clone());
                Ok(old)
            }
        }
    }

    async fn ask(&self, kept: &mut Option<Arc<dyn TokenCredential>>, scope: &str) -> Result<Token, IdentityError> {
        let credential = match kept {
            Some(credential) => credential.clone(),
            None => kept.insert(self.credential()?).clone(),
        };
        let token = credential
            .get_token(&[scope], None)
            .await
            .map_err(|error| self.rejected(&causes(&error)))?;
        let left = Duration::try_from(token.expires_on - OffsetDateTime::now_utc()).unwrap_or_default();
        let now = Instant::now();
        Ok(Token {
            secret: token.token,
            expires_on: token.expires_on,
            renew_at: now + left.saturating_sub(RENEW_BEFORE).max(left / 2),
            ends_at: now + left,
        })
    }

    fn credential(&self) -> Result<Arc<dyn TokenCredential>, IdentityError> {
        let client_options = ClientOptions {
            transport: Some(Transport::new(Arc::new(self.net.clone()))),
            // Whoever needs the token decides when to try again.
            retry: RetryOptions::none(),
            cloud: self.cloud.clone(),
            ..ClientOptions::default()
        };
        let made: azure_core::Result<Arc<dyn TokenCredential>> = match &self.kind {
            Credential::WorkloadIdentity {
                tenant,
                client,
                token_file,
            } => WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                tenant_id: tenant.clone(),
                client_id: client.clone(),
                token_file_path: token_file.clone(),
            }))
            .map(|credential| credential as _),
            Credential::ManagedIdentity { client } => {
                ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                    user_assigned_id: client.clone().map(UserAssignedId::ClientId),
                    client_options,
                }))
                .map(|credential| credential as _)
            }
            Credential::ClientSecret { tenant, client, secret } => ClientSecretCredential::new(
                tenant,
                client.clone(),
                Secret::new(read_secret(secret)?),
                Some(ClientSecretCredentialOptions { client_options }),
            )
            .map(|credential| credential as _),
            Credential::AzureCli => AzureCliCredential::new(None).map(|credential| credential as _),
        };
        made.map_err(|error| self.rejected(&causes(&error)))
    }

    fn rejected(&self, reason: &str) -> IdentityError {
        IdentityError::Token {
            kind: self.kind.as_str(),
            reason: reason.to_owned(),
        }
    }
}

/// Reads a secret where it is kept.
///
/// # Errors
/// When it is not there.
pub(crate) fn read_secret(source: &SecretSource) -> Result<String, IdentityError> {
    match source {
        SecretSource::File(path) => std::fs::read_to_string(path)
            .map(|text| text.trim_end().to_owned())
            .map_err(|error| IdentityError::Secret(path.display().to_string(), error.to_string())),
        SecretSource::Env(name) => {
            std::env::var(name).map_err(|error| IdentityError::Secret(format!("${name}"), error.to_string()))
        }
    }
}

/// For the blob client.
#[async_trait::async_trait]
impl TokenCredential for Identity {
    async fn get_token(&self, scopes: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        use azure_core::error::{Error, ErrorKind};
        let scope = scopes.first().copied().unwrap_or_default();
        let token = self
            .access(scope)
            .await
            .map_err(|error| Error::new(ErrorKind::Credential, error))?;
        Ok(AccessToken::new(token.secret, token.expires_on))
    }
}
