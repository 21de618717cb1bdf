//! The form of a token request.

use http::{StatusCode, header};
use url::form_urlencoded;

use super::super::http::Received;
use super::OAuthError;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The resources for which tokens are issued.
const RESOURCES: [&str; 3] = [
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://storage.azure.com",
];

#[derive(Debug)]
pub(super) struct TokenForm(Vec<(String, String)>);

/// What a client shows to prove who it is.
#[derive(Debug)]
pub(super) enum Proof<'f> {
    Secret(&'f str),
    Assertion(&'f str),
}

/// Reads the form and checks what is the same for every client.
pub(super) fn read(received: &Received) -> Result<TokenForm, OAuthError> {
    let kind = received
        .head
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Err(OAuthError::invalid(
            StatusCode::BAD_REQUEST,
            900_144,
            "The request body must be a form.",
        ));
    }
    let form = TokenForm(form_urlencoded::parse(&received.body).into_owned().collect());
    if form.field("grant_type")? != "client_credentials" {
        let text = "The grant_type is not supported.".to_owned();
        return Err(OAuthError(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            70_003,
            text,
        ));
    }
    Ok(form)
}

/// The form as text, for the log, without what a client proves itself by.
pub(super) fn without_secrets(body: &[u8]) -> String {
    let shown = form_urlencoded::parse(body).filter(|(name, _)| name != "client_secret" && name != "client_assertion");
    shown
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("&")
}

impl TokenForm {
    pub(super) fn field(&self, name: &str) -> Result<&str, OAuthError> {
        self.find(name).ok_or_else(|| {
            let text = format!("The request body must contain the following parameter: '{name}'.");
            OAuthError::invalid(StatusCode::BAD_REQUEST, 900_144, &text)
        })
    }

    pub(super) fn proof(&self) -> Result<Proof<'_>, OAuthError> {
        match (self.find("client_secret"), self.find("client_assertion")) {
            (Some(secret), None) => Ok(Proof::Secret(secret)),
            (None, Some(assertion)) if self.field("client_assertion_type")? == ASSERTION_TYPE => {
                Ok(Proof::Assertion(assertion))
            }
            (None, Some(_)) => {
                let text = "The client_assertion_type is not supported.";
                Err(OAuthError::invalid(StatusCode::BAD_REQUEST, 50_027, text))
            }
            (Some(_), Some(_)) | (None, None) => {
                let text = "The request body must contain one of 'client_assertion' and 'client_secret'.".to_owned();
                Err(OAuthError(StatusCode::UNAUTHORIZED, "invalid_client", 7_000_218, text))
            }
        }
    }

    /// The resource that the scope names.
    pub(super) fn audience(&self) -> Result<&str, OAuthError> {
        let scope = self.field("scope")?;
        let resource = scope
            .strip_suffix("/.default")
            .map(|resource| resource.trim_end_matches('/'));
        resource.filter(|resource| RESOURCES.contains(resource)).ok_or_else(|| {
            let text = format!("The provided value for scope {scope} is not valid.");
            OAuthError(StatusCode::BAD_REQUEST, "invalid_scope", 70_011, text)
        })
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}
