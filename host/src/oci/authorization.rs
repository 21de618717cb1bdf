//! The answer to a 401: Basic, or a token of the realm that a Bearer challenge names.

use super::challenge::{Challenge, challenges};
use super::credentials::Credentials;
use super::error::OciError;
use super::transport::{Answer, Origin, Transport};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::Instant;

/// How long a token lasts that does not say.
const USUAL_LIFE: u64 = 60;

/// The longest answer with a token, in bytes.
const MAX_TOKEN: u64 = 256 << 10;

/// The audience of Microsoft Entra's tokens for registries of Azure.
pub const AZURE_SCOPE: &str = "https://containerregistry.azure.net/.default";

/// What requests are sent with.
#[derive(Clone, Debug)]
pub(super) struct Authorization {
    pub(super) value: HeaderValue,
    until: Option<Instant>,
}

impl Authorization {
    /// Whether it is good now.
    pub(super) fn is_good(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

/// Whoever asks for a token.
pub(super) struct Applicant<'a> {
    pub(super) credentials: &'a Credentials,
    /// The registry.
    pub(super) origin: &'a Origin,
    /// What is needed, where the challenge does not say.
    pub(super) scope: String,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
}

/// What a 401 of a registry asks for. Bearer is preferred to Basic.
///
/// # Errors
/// When no challenge can be met, or there is no token.
pub(super) async fn authorize(
    transport: &mut Transport,
    applicant: &Applicant<'_>,
    answer: Answer,
    what: &str,
) -> Result<Authorization, OciError> {
    let all = challenges(&answer.headers);
    let of = |scheme: &str| all.iter().find(|it| it.scheme == scheme);
    if let Some(bearer) = of("bearer") {
        return token(transport, applicant, bearer, what).await;
    }
    match (of("basic"), applicant.credentials) {
        (Some(_), Credentials::Basic { username, password }) => Ok(Authorization {
            value: basic(username, password, applicant.origin)?,
            until: None,
        }),
        (Some(_), Credentials::Anonymous) => Err(denied(answer, what, NO_CREDENTIALS).await),
        (Some(_), _) => Err(denied(
            answer,
            what,
            "it wants a name and a password, and there is only a token",
        )
        .await),
        (None, _) => {
            let schemes: Vec<_> = all.iter().map(|it| it.scheme.as_str()).collect();
            let reason = match schemes.is_empty() {
                true => "401 without WWW-Authenticate".to_owned(),
                false => format!("{} instead of Basic or Bearer", schemes.join(", ")),
            };
            Err(challenge(applicant, reason))
        }
    }
}

/// What to do without credentials.
pub(super) const NO_CREDENTIALS: &str = "there are no credentials for it: `docker login`, a file named by REGISTRY_AUTH_FILE, or \
     PORTOLAN_REGISTRY_USERNAME and PORTOLAN_REGISTRY_PASSWORD give some";

/// The registry's own words, and what to do.
pub(super) async fn denied(mut answer: Answer, what: &str, hint: &'static str) -> OciError {
    OciError::Denied {
        message: answer.message().await,
        host: answer.origin.to_string(),
        what: what.to_owned(),
        hint,
    }
}

fn challenge(applicant: &Applicant<'_>, reason: String) -> OciError {
    OciError::Challenge {
        host: applicant.origin.to_string(),
        reason,
    }
}

fn basic(username: &str, password: &str, origin: &Origin) -> Result<HeaderValue, OciError> {
    let encoded = STANDARD.encode(format!("{username}:{password}"));
    sensitive(&format!("Basic {encoded}"), origin)
}

fn sensitive(text: &str, origin: &Origin) -> Result<HeaderValue, OciError> {
    let mut value = HeaderValue::try_from(text).map_err(|_| OciError::Challenge {
        host: origin.to_string(),
        reason: "the token has characters that no header can have".into(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A token of the realm of a Bearer challenge.
async fn token(
    transport: &mut Transport,
    applicant: &Applicant<'_>,
    bearer: &Challenge,
    what: &str,
) -> Result<Authorization, OciError> {
    let realm = bearer
        .get("realm")
        .ok_or_else(|| challenge(applicant, "Bearer without a realm".into()))?;
    let (realm, origin) = realm_of(realm, applicant)?;
    let service = bearer.get("service");
    let scope = bearer.get("scope").unwrap_or(&applicant.scope);
    let refresh = match applicant.credentials {
        Credentials::IdentityToken(token) => Some(token.clone()),
        Credentials::Azure(tokens) => {
            let entra = tokens.token().await.map_err(|reason| challenge(applicant, reason))?;
            Some(exchange(transport, applicant, service, &entra, what).await?)
        }
        Credentials::Anonymous | Credentials::Basic { .. } => None,
    };
    let request = match refresh {
        Some(refresh) => {
            let service = service.unwrap_or_default();
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", "portolan"),
                ("service", service),
                ("scope", scope),
                ("refresh_token", &refresh),
            ];
            post(&realm, &form)
        }
        None => {
            let mut query = form_urlencoded::Serializer::new(String::new());
            service.map(|service| query.append_pair("service", service));
            query.append_pair("scope", scope);
            let separator = if realm.query().is_some() { '&' } else { '?' };
            let url = format!("{realm}{separator}{}", query.finish());
            let request = Request::get(url);
            match applicant.credentials {
                Credentials::Basic { username, password } => {
                    request.header(header::AUTHORIZATION, basic(username, password, &origin)?)
                }
                _ => request,
            }
            .body(Full::default())
        }
    };
    let request = request.map_err(|error| challenge(applicant, error.to_string()))?;
    let answered = ask(transport, applicant, &origin, request, what).await?;
    let life = Duration::from_secs(answered.expires_in.unwrap_or(USUAL_LIFE).min(24 * 3600));
    let token = answered
        .token
        .or(answered.access_token)
        .filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| challenge(applicant, format!("{origin} gives neither token nor access_token")))?;
    Ok(Authorization {
        value: sensitive(&format!("Bearer {token}"), applicant.origin)?,
        until: Some(Instant::now() + life),
    })
}

/// A refresh token of a registry of Azure for one of Microsoft Entra.
async fn exchange(
    transport: &mut Transport,
    applicant: &Applicant<'_>,
    service: Option<&str>,
    entra: &str,
    what: &str,
) -> Result<String, OciError> {
    let scheme = if applicant.origin.is_https { "https" } else { "http" };
    let url = format!("{scheme}://{}/oauth2/exchange", applicant.origin);
    let url = Uri::try_from(url).map_err(|error| challenge(applicant, error.to_string()))?;
    let form = [
        ("grant_type", "access_token"),
        ("service", service.unwrap_or_default()),
        ("access_token", entra),
    ];
    let request = post(&url, &form).map_err(|error| challenge(applicant, error.to_string()))?;
    let answered = ask(transport, applicant, applicant.origin, request, what).await?;
    let refresh = answered.refresh_token.filter(|token| !token.is_empty());
    refresh.ok_or_else(|| {
        challenge(
            applicant,
            "the exchange for a token of Azure gives no refresh_token".into(),
        )
    })
}

fn post(url: &Uri, form: &[(&str, &str)]) -> http::Result<Request<Full<Bytes>>> {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    Request::builder()
        .method(Method::POST)
        .uri(url)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::from(body))
}

async fn ask(
    transport: &mut Transport,
    applicant: &Applicant<'_>,
    origin: &Origin,
    request: Request<Full<Bytes>>,
    what: &str,
) -> Result<Token, OciError> {
    let mut answer = transport.send(origin, request).await?;
    if !answer.status.is_success() {
        let hint = match applicant.credentials {
            Credentials::Anonymous => NO_CREDENTIALS,
            _ => "no token for these credentials",
        };
        return match answer.status.is_client_error() {
            true => Err(denied(answer, what, hint).await),
            false => Err(answer.error("the request for a token").await),
        };
    }
    let body = answer.bytes("the token", MAX_TOKEN).await?;
    // Not with the error's own text: it may quote the token.
    serde_json::from_slice(&body).map_err(|_| challenge(applicant, format!("the answer of {origin} is not a token")))
}

/// Where tokens are: over TLS, on this machine, or where the registry itself is.
fn realm_of(text: &str, applicant: &Applicant<'_>) -> Result<(Uri, Origin), OciError> {
    let uri: Option<Uri> = text.parse().ok();
    let parsed = uri.and_then(|uri| Origin::of_url(&uri).map(|origin| (uri, origin)));
    match parsed {
        Some((uri, origin)) if origin.is_https || origin.is_loopback() || origin == *applicant.origin => {
            Ok((uri, origin))
        }
        Some((_, origin)) => Err(challenge(
            applicant,
            format!("its realm is at {origin} without TLS: credentials are not sent there"),
        )),
        None => Err(challenge(applicant, "its realm is not an https address".into())),
    }
}
