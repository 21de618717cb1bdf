//! Long-running operations: reads the answers to changes and polls. Pure.
//!
//! The generated clients follow such operations on their own, without a deadline, to whatever host the answer names, and
//! treat an answer that only names a poll URL as done. So they only send; the answers are read here.

use crate::settings::Timing;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// Where the service reports on a change in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its URL, on the host of the management API.
    pub url: Url,
    /// How to read the report.
    pub kind: Kind,
}

/// Which header named the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `azure-asyncoperation`: answers with a `status`.
    AsyncOperation,
    /// `location`: 202 while it runs, then the resource.
    Location,
}

/// An answer, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header `azure-asyncoperation`.
    pub async_operation: Option<String>,
    /// The header `location`.
    pub location: Option<String>,
    /// The header `retry-after` in seconds.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// `error.code` and `error.message` of the usual envelope.
    pub fn error(&self) -> (String, String) {
        let body = self.json();
        let text = |member: &str| body["error"][member].as_str().unwrap_or_default().to_owned();
        (text("code"), text("message"))
    }
}

/// What follows an accepted change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// It is done.
    Done,
    /// The service reports there.
    Poll(Operation),
    /// The service names no URL: the resource itself is polled.
    Watch,
    /// The URL is on another host, which must not get the token: the resource is polled instead.
    Foreign(String),
}

/// Reads the answer to a change that was accepted (2xx).
pub fn started(answer: &Answer, arm: &Url) -> Started {
    let named = [
        (Kind::AsyncOperation, &answer.async_operation),
        (Kind::Location, &answer.location),
    ];
    let settled = matches!(provisioning_state(&answer.json()), None | Some("Succeeded"));
    if matches!(answer.status, 200 | 201 | 204) && settled {
        return Started::Done;
    }
    for (kind, url) in named {
        let Some(url) = url else { continue };
        return match Url::parse(url) {
            Ok(parsed) if same_host(&parsed, arm) => Started::Poll(Operation { url: parsed, kind }),
            _ => Started::Foreign(url.clone()),
        };
    }
    Started::Watch
}

/// Whether a URL is on the very host, port and scheme of the management API: only there may our token go.
pub fn same_host(url: &Url, arm: &Url) -> bool {
    url.scheme() == arm.scheme()
        && url.host() == arm.host()
        && url.port_or_known_default() == arm.port_or_known_default()
}

/// The progress of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It runs: look again after that long.
    Running(Duration),
    /// It is done.
    Succeeded,
    /// It failed; this is final.
    Failed {
        /// The service's code.
        code: String,
        /// The service's message.
        message: String,
    },
    /// It cannot be read here: poll the resource.
    Unreadable,
}

/// Reads the answer to a poll of an operation.
pub fn polled(kind: Kind, answer: &Answer, timing: &Timing) -> Progress {
    let running = Progress::Running(next_poll(answer.retry_after, timing));
    match answer.status {
        // The role may not cover the place where operations report, and operations are forgotten after some time.
        401 | 403 | 404 | 410 => Progress::Unreadable,
        200 if kind == Kind::AsyncOperation => match answer.json()["status"].as_str() {
            Some("Succeeded") => Progress::Succeeded,
            Some("Failed" | "Canceled") => failed(answer),
            _ => running,
        },
        200 | 201 | 204 => watched(&answer.json(), answer.retry_after, timing),
        202 | 408 | 429 | 500..=599 => running,
        400..=499 => failed(answer),
        _ => running,
    }
}

/// Reads the resource itself for how far it is.
pub fn watched(resource: &Value, retry_after: Option<Duration>, timing: &Timing) -> Progress {
    match provisioning_state(resource) {
        None | Some("Succeeded") => Progress::Succeeded,
        Some("Failed" | "Canceled") => Progress::Failed {
            code: "ProvisioningFailed".to_owned(),
            message: "the resource shows a failed change".to_owned(),
        },
        Some(_) => Progress::Running(next_poll(retry_after, timing)),
    }
}

/// `provisioningState` (classic: `resourceState` is another thing) of a resource.
pub fn provisioning_state(resource: &Value) -> Option<&str> {
    resource["properties"]["provisioningState"].as_str()
}

/// The pause before the next poll: what the service asks for, within bounds.
pub fn next_poll(retry_after: Option<Duration>, timing: &Timing) -> Duration {
    retry_after
        .unwrap_or(timing.poll_default)
        .clamp(timing.poll_least, timing.poll_most)
}

fn failed(answer: &Answer) -> Progress {
    let (code, message) = answer.error();
    Progress::Failed {
        code: if code.is_empty() {
            format!("status {}", answer.status)
        } else {
            code
        },
        message,
    }
}

#[cfg(test)]
mod tests;
