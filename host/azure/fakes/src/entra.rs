//! A fake of Microsoft Entra: gives tokens to clients that show a secret or a federated assertion.

mod form;
mod token;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use serde_json::json;
use url::Url;

use super::authority::CertificateAuthority;
use super::clock::Clock;
use super::faults::{Fault, Faults, Requests};
use super::http::{Answer, MAIN_LISTENER, Received, Server};
use super::journal::{Journal, Recorded, TooLate};
use super::{FakeError, locked};
pub(super) use token::TokenRejection;
pub use token::{Grant, Tokens};

/// The tenant that exists.
pub const TENANT: &str = "11111111-1111-4111-8111-111111111111";
/// A client that exists from the start, and may log in by [`CLIENT_SECRET`] and by [`FakeEntra::federated_token`].
pub const CLIENT_ID: &str = "22222222-2222-4222-8222-222222222222";
/// The secret of [`CLIENT_ID`].
pub const CLIENT_SECRET: &str = "not-a-secret";
/// Issuer of the federated credential of [`CLIENT_ID`].
pub const FEDERATED_ISSUER: &str = "https://oidc.example.net/cluster";
/// Subject of the federated credential of [`CLIENT_ID`].
pub const FEDERATED_SUBJECT: &str = "system:serviceaccount:portolan:portolan";

/// How a client proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// By this secret.
    Secret(String),
    /// By a token of another issuer with this subject. Its times are checked; its signature is not.
    Federated {
        /// The `iss` that it must carry.
        issuer: String,
        /// The `sub` that it must carry.
        subject: String,
    },
}

/// The token service, over TLS. Stops when dropped.
pub struct FakeEntra {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    tokens: Tokens,
    clients: Mutex<BTreeMap<String, Vec<Login>>>,
    lifetime: Mutex<Duration>,
    faults: Faults,
    journal: Journal,
}

impl FakeEntra {
    /// Starts it on a free port, with one tenant and one client, and tokens that last an hour.
    ///
    /// # Errors
    /// [`FakeError`] if there is no port or no certificate.
    pub async fn start(clock: &Clock, authority: &CertificateAuthority) -> Result<FakeEntra, FakeError> {
        let logins = vec![
            Login::Secret(CLIENT_SECRET.to_owned()),
            Login::Federated {
                issuer: FEDERATED_ISSUER.to_owned(),
                subject: FEDERATED_SUBJECT.to_owned(),
            },
        ];
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            tokens: Tokens::new(clock),
            clients: Mutex::new(BTreeMap::from([(CLIENT_ID.to_owned(), logins)])),
            lifetime: Mutex::new(Duration::from_secs(3600)),
            faults: Faults::default(),
            journal: Journal::new(),
        });
        let tls = Some(authority.server_config()?.into());
        let handler = { shared.clone() };
        let server = Server::start(tls, Arc::new(move |received| handler.answer(received))).await?;
        Ok(FakeEntra { server, shared })
    }

    /// The authority host, such as `https://127.0.0.1:40123/`.
    pub fn url(&self) -> Url {
        self.server.url(MAIN_LISTENER)
    }

    /// The authority host by another port, which is opened if need be.
    ///
    /// # Errors
    /// [`FakeError::Port`] if there is none.
    pub async fn open_listener(&self, label: &str) -> Result<Url, FakeError> {
        self.server.open_listener(label).await?;
        Ok(self.server.url(label))
    }

    /// The tokens issued; the other fakes check them here.
    pub fn tokens(&self) -> &Tokens {
        &self.shared.tokens
    }

    /// Lets a client log in in one more way.
    pub fn register(&self, client_id: &str, login: Login) {
        locked(&self.shared.clients)
            .entry(client_id.to_owned())
            .or_default()
            .push(login);
    }

    /// How long tokens last that are issued from now on, in whole seconds.
    pub fn expires_in(&self, lifetime: Duration) {
        *locked(&self.shared.lifetime) = lifetime;
    }

    /// A token as Kubernetes would put into `AZURE_FEDERATED_TOKEN_FILE`, good for an hour.
    pub fn federated_token(&self) -> String {
        self.shared
            .tokens
            .assertion(FEDERATED_ISSUER, FEDERATED_SUBJECT, Duration::from_secs(3600))
    }

    /// Injects a fault until it is cleared.
    pub fn fault(&self, requests: Requests, fault: Fault) {
        self.shared.faults.add(requests, fault, None);
    }

    /// Injects a fault for the next `times` such requests.
    pub fn fault_times(&self, times: u32, requests: Requests, fault: Fault) {
        self.shared.faults.add(requests, fault, Some(times));
    }

    /// Ends all faults, or those that are for one listener.
    pub fn clear_faults(&self, listener: Option<&str>) {
        self.shared.faults.clear(listener);
    }

    /// The requests so far.
    pub fn log(&self) -> Vec<Recorded> {
        self.shared.journal.entries()
    }

    /// Waits until `holds`, for at most `within` of real time.
    ///
    /// # Errors
    /// [`TooLate`] if it does not come to pass.
    pub async fn until(&self, within: Duration, mut holds: impl FnMut(&Self) -> bool) -> Result<(), TooLate> {
        self.shared
            .journal
            .until(&self.shared.clock, within, || None, || holds(self))
            .await
    }
}

/// An OAuth error: status, `error`, AADSTS number, text.
#[derive(Debug)]
struct OAuthError(StatusCode, &'static str, u32, String);

impl Shared {
    fn answer(&self, received: Received) -> Answer {
        let at = self.clock.now();
        let fault = self.faults.meet(&received);
        let issue = || self.issue(&received).unwrap_or_else(|error| error.response(at));
        let answer = match fault {
            None => Answer::Whole(issue()),
            Some(fault) => fault.apply(issue, |status, _| {
                OAuthError(
                    status,
                    "temporarily_unavailable",
                    90_033,
                    "A transient error has occurred.".to_owned(),
                )
                .response(at)
            }),
        };
        self.journal.record(Recorded {
            at,
            listener: received.listener.to_string(),
            method: received.head.method.clone(),
            path: received.head.uri.path().to_owned(),
            api_version: None,
            body: form::without_secrets(&received.body),
            status: answer.status(),
            violations: Vec::new(),
        });
        answer
    }

    fn issue(&self, received: &Received) -> Result<Response<Bytes>, OAuthError> {
        let segments: Vec<&str> = received.head.uri.path().trim_matches('/').split('/').collect();
        let ["oauth2", "v2.0", "token"] = segments[segments.len().min(1)..] else {
            return Err(OAuthError::invalid(
                StatusCode::NOT_FOUND,
                90_002,
                "there is nothing at this path",
            ));
        };
        if segments[0] != TENANT {
            return Err(OAuthError::invalid(
                StatusCode::BAD_REQUEST,
                90_002,
                "Tenant was not found.",
            ));
        }
        if received.head.method != Method::POST {
            return Err(OAuthError::invalid(
                StatusCode::METHOD_NOT_ALLOWED,
                900_561,
                "The endpoint only accepts POST.",
            ));
        }
        let form = form::read(received)?;
        let client = form.field("client_id")?;
        self.prove(client, &form)?;
        let audience = form.audience()?;
        let lifetime = *locked(&self.lifetime);
        let token = self.tokens.mint(client, audience, lifetime);
        let body = json!({
            "token_type": "Bearer",
            "expires_in": lifetime.as_secs(),
            "ext_expires_in": lifetime.as_secs(),
            "access_token": token,
        });
        Ok(answer(StatusCode::OK, &body))
    }

    /// Checks the client's proof against the ways in which it may log in.
    fn prove(&self, client: &str, form: &form::TokenForm) -> Result<(), OAuthError> {
        let clients = locked(&self.clients);
        let Some(logins) = clients.get(client) else {
            let text = format!("Application with identifier '{client}' was not found in the directory.");
            return Err(OAuthError(
                StatusCode::BAD_REQUEST,
                "unauthorized_client",
                700_016,
                text,
            ));
        };
        match form.proof()? {
            form::Proof::Secret(shown) => {
                if logins
                    .iter()
                    .any(|login| matches!(login, Login::Secret(secret) if secret == shown))
                {
                    return Ok(());
                }
                let text = "Invalid client secret provided.".to_owned();
                Err(OAuthError(StatusCode::UNAUTHORIZED, "invalid_client", 7_000_215, text))
            }
            form::Proof::Assertion(shown) => {
                let claims = token::claims(shown).ok_or_else(|| {
                    OAuthError::invalid(StatusCode::BAD_REQUEST, 50_027, "JWT token is invalid or malformed.")
                })?;
                let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(claims["exp"].as_u64().unwrap_or(0));
                if expires <= self.clock.now() {
                    let text = "Client assertion is not within its valid time range.".to_owned();
                    return Err(OAuthError(StatusCode::UNAUTHORIZED, "invalid_client", 700_024, text));
                }
                let fits = |login: &Login| {
                    matches!(login, Login::Federated { issuer, subject }
                    if claims["iss"] == issuer.as_str() && claims["sub"] == subject.as_str())
                };
                if claims["aud"] == token::EXCHANGE_AUDIENCE && logins.iter().any(fits) {
                    return Ok(());
                }
                let text = "No matching federated identity record found for presented assertion.".to_owned();
                Err(OAuthError(StatusCode::UNAUTHORIZED, "invalid_client", 700_213, text))
            }
        }
    }
}

impl OAuthError {
    fn invalid(status: StatusCode, code: u32, text: &str) -> OAuthError {
        OAuthError(status, "invalid_request", code, text.to_owned())
    }

    fn response(&self, at: SystemTime) -> Response<Bytes> {
        let OAuthError(status, error, code, text) = self;
        let body = json!({
            "error": error,
            "error_description": format!("AADSTS{code}: {text}"),
            "error_codes": [code],
            "timestamp": httpdate::fmt_http_date(at),
        });
        answer(*status, &body)
    }
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
