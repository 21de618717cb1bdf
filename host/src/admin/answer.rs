//! The administration's answers.

use super::backend::OrderError;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// An answer, whole.
pub(super) type Answer = Response<Full<Bytes>>;

/// Why an order was refused, beside its answer.
#[derive(Clone, Debug)]
pub(super) struct Refused(pub(super) String);

/// What went wrong, and what to do.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    known: Vec<String>,
}

impl Failure {
    pub(super) fn new(error: impl ToString) -> Self {
        Self {
            error: error.to_string(),
            hint: None,
            known: Vec::new(),
        }
    }

    /// Adds a hint.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the known values as a hint.
    pub(super) fn known<T: ToString>(mut self, known: impl IntoIterator<Item = T>) -> Self {
        self.known = known.into_iter().map(|name| name.to_string()).collect();
        self
    }

    /// The answer to an order that was not carried out.
    pub(super) fn of_order(error: &OrderError) -> Answer {
        Self::new(error).answer(match error {
            OrderError::Unknown(_) => StatusCode::NOT_FOUND,
            OrderError::Impossible(_) => StatusCode::CONFLICT,
            OrderError::Rejected(_) => StatusCode::UNPROCESSABLE_ENTITY,
            OrderError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        })
    }

    pub(super) fn answer(&self, status: StatusCode) -> Answer {
        let mut answer = with_status(status, json(self));
        answer.extensions_mut().insert(Refused(self.error.clone()));
        answer
    }
}

/// A value as indented JSON: people read it as often as programs do.
pub(super) fn json(value: &impl Serialize) -> Answer {
    of_json(serde_json::to_vec_pretty(value))
}

/// A value as JSON without spaces: long lists of numbers.
pub(super) fn compact_json(value: &impl Serialize) -> Answer {
    of_json(serde_json::to_vec(value))
}

fn of_json(text: Result<Vec<u8>, serde_json::Error>) -> Answer {
    match text {
        Ok(mut text) => {
            text.push(b'\n');
            typed("application/json", text)
        }
        Err(error) => {
            tracing::error!(%error, "an answer of the administration cannot be written as JSON");
            with_status(
                StatusCode::INTERNAL_SERVER_ERROR,
                typed("text/plain", "internal error\n"),
            )
        }
    }
}

pub(super) fn typed(media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    for (name, value) in &HARDENING {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

pub(super) fn with_status(status: StatusCode, mut answer: Answer) -> Answer {
    *answer.status_mut() = status;
    answer
}

/// The dashboard is one page that only connects to this server and may not be framed (clickjacking).
const HARDENING: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
