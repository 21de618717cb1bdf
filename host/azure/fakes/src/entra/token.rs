//! Tokens: made, remembered, checked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use serde_json::{Value, json};

use super::super::clock::{Clock, unix_seconds};
use super::super::locked;
use super::TENANT;

/// The audience of a token that is exchanged for one of ours.
pub(super) const EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// The tokens issued so far. Clones share them.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    clock: Clock,
    key: hmac::Key,
    issued: Mutex<BTreeMap<String, Grant>>,
}

/// What a token gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// To whom.
    pub client_id: String,
    /// For which resource, such as `https://management.azure.com`.
    pub audience: String,
    /// Until when.
    pub expires: SystemTime,
}

/// Why a request's token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenRejection {
    Missing,
    NotIssued,
    Expired(SystemTime),
    Audience(String),
}

impl Tokens {
    /// No tokens yet.
    pub fn new(clock: &Clock) -> Tokens {
        // The key signs nothing that anybody checks; it makes the tokens look as they should.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"portolan fake entra");
        Tokens(Arc::new(Inner {
            clock: clock.clone(),
            key,
            issued: Mutex::default(),
        }))
    }

    /// Issues a token without a request. `audience` is a resource such as `https://storage.azure.com`.
    pub fn mint(&self, client_id: &str, audience: &str, lifetime: Duration) -> String {
        let now = self.0.clock.now();
        let expires = now + lifetime;
        let mut issued = locked(&self.0.issued);
        let claims = json!({
            "aud": audience,
            "iss": format!("https://sts.windows.net/{TENANT}/"),
            "iat": unix_seconds(now),
            "nbf": unix_seconds(now),
            "exp": unix_seconds(expires),
            "appid": client_id,
            "oid": client_id,
            "tid": TENANT,
            "ver": "1.0",
            // Makes tokens of the same second differ.
            "uti": issued.len(),
        });
        let token = self.sign(&claims);
        issued.insert(
            token.clone(),
            Grant {
                client_id: client_id.to_owned(),
                audience: audience.to_owned(),
                expires,
            },
        );
        token
    }

    /// What a request's bearer token gives for one of `audiences`.
    pub(crate) fn check(&self, headers: &HeaderMap, audiences: &[&str]) -> Result<Grant, TokenRejection> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = bearer
            .and_then(|text| text.strip_prefix("Bearer "))
            .ok_or(TokenRejection::Missing)?;
        let grant = locked(&self.0.issued)
            .get(token)
            .cloned()
            .ok_or(TokenRejection::NotIssued)?;
        if grant.expires <= self.0.clock.now() {
            return Err(TokenRejection::Expired(grant.expires));
        }
        if !audiences.contains(&grant.audience.as_str()) {
            return Err(TokenRejection::Audience(grant.audience));
        }
        Ok(grant)
    }

    /// A token of another issuer, to be exchanged.
    pub(super) fn assertion(&self, issuer: &str, subject: &str, lifetime: Duration) -> String {
        let now = self.0.clock.now();
        self.sign(&json!({
            "iss": issuer,
            "sub": subject,
            "aud": EXCHANGE_AUDIENCE,
            "iat": unix_seconds(now),
            "nbf": unix_seconds(now),
            "exp": unix_seconds(now + lifetime),
        }))
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "HS256", "typ": "JWT"});
        let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0.key, signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} issued)", locked(&self.0.issued).len())
    }
}

/// The claims of a token; `None` if it does not have the form of one.
pub(super) fn claims(token: &str) -> Option<Value> {
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>().try_into().ok()?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    serde_json::from_slice::<Value>(&decode(header)?).ok()?;
    decode(signature)?;
    serde_json::from_slice(&decode(claims)?).ok()
}
