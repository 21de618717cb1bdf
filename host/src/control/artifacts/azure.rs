//! Tokens of Microsoft Entra, by the credentials that Front Door is managed with.

use crate::oci::authorization::AZURE_SCOPE;
use crate::oci::credentials::{EntraTokens, TokenFuture};
use portolan_azure::identity::Identity;
use portolan_azure::net::Net;
use portolan_azure::settings::{Cloud, Credential};
use std::time::Duration;

/// How long Entra may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// An identity of Azure.
#[derive(Debug)]
pub(super) struct Entra(Credential);

impl Entra {
    pub(super) fn new(credential: Credential) -> Self {
        Self(credential)
    }
}

impl EntraTokens for Entra {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(async {
            let net = Net::new(None, PATIENCE).map_err(|error| error.to_string())?;
            let identity = Identity::new(self.0.clone(), &Cloud::public(), net);
            let token = identity.token(AZURE_SCOPE).await.map_err(|error| error.to_string())?;
            Ok(token.secret().to_owned())
        })
    }
}
