//! The errors of the resource manager, each with the status, code and text that it has in Azure.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::super::entra::{TENANT, TokenRejection};

/// An error answer.
#[derive(Debug, Clone)]
pub(super) struct ArmError {
    status: StatusCode,
    code: String,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ArmError {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> ArmError {
        ArmError {
            status,
            code: code.to_owned(),
            message: message.into(),
            headers: Vec::new(),
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> ArmError {
        ArmError::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(super) fn unauthorized(rejection: &TokenRejection) -> ArmError {
        let (code, message) = match rejection {
            TokenRejection::Missing => (
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.".to_owned(),
            ),
            TokenRejection::NotIssued => ("InvalidAuthenticationToken", "The access token is invalid.".to_owned()),
            TokenRejection::Expired(at) => {
                let at = httpdate::fmt_http_date(*at);
                (
                    "ExpiredAuthenticationToken",
                    format!("The access token expired at {at}."),
                )
            }
            TokenRejection::Audience(audience) => {
                let message =
                    format!("The access token has been obtained for wrong audience or resource '{audience}'.");
                ("InvalidAuthenticationTokenAudience", message)
            }
        };
        let challenge = format!("Bearer authorization_uri=\"https://login.microsoftonline.com/{TENANT}\"");
        ArmError::new(StatusCode::UNAUTHORIZED, code, message).with(header::WWW_AUTHENTICATE, &challenge)
    }

    pub(super) fn forbidden(client: &str, action: &str, scope: &str) -> ArmError {
        let message = format!(
            "The client '{client}' with object id '{client}' does not have authorization to perform action '{action}' \
             over scope '{scope}'."
        );
        ArmError::new(StatusCode::FORBIDDEN, "AuthorizationFailed", message)
    }

    pub(super) fn no_api_version() -> ArmError {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        ArmError::new(StatusCode::BAD_REQUEST, "MissingApiVersionParameter", message)
    }

    pub(super) fn not_found(resource: &str, resource_group: &str) -> ArmError {
        let message = format!("The Resource '{resource}' under resource group '{resource_group}' was not found.");
        ArmError::new(StatusCode::NOT_FOUND, "ResourceNotFound", message)
    }

    pub(super) fn conflict() -> ArmError {
        let message = "The requested operation cannot be executed on the entity as another operation is in progress.";
        ArmError::new(StatusCode::CONFLICT, "Conflict", message)
    }

    pub(super) fn too_many_requests(seconds: u64, remaining: HeaderName) -> ArmError {
        ArmError::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "")
            .with(header::RETRY_AFTER, &seconds.to_string())
            .with(remaining, "0")
    }

    pub(super) fn with(mut self, name: HeaderName, value: &str) -> ArmError {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    pub(super) fn response(self) -> Response<Bytes> {
        let body = json!({"error": {"code": self.code, "message": self.message, "details": []}});
        let mut response = json_response(self.status, &body);
        response.headers_mut().extend(self.headers);
        response
    }
}

pub(super) fn json_response(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

pub(super) fn empty_response(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}
