//! Reports of round trips.

use super::answer::{Answer, Failure, json};
use super::backend::AdminBackend;
use crate::learned::report::{Report, ReportError};
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use std::time::Duration;
use tokio::time::timeout;

/// The longest report, in bytes: as many round trips as are read at once, each with long names.
const MAX_REPORT: usize = 1 << 20;

/// How long a report may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// An example, for those whose report cannot be read.
const EXAMPLE: &str = r#"send {"round_trips": [{"client": "203.0.113.7", "region": "westeurope", "ms": 23.5}]}"#;

/// Reads a report and adds it.
pub(super) async fn report(instance: &dyn AdminBackend, body: Incoming) -> Answer {
    let body = match timeout(PATIENCE, Limited::new(body, MAX_REPORT).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let failure = Failure::new(format!("a report has at most {MAX_REPORT} bytes"));
            return failure.answer(StatusCode::PAYLOAD_TOO_LARGE);
        }
        Ok(Err(error)) => return Failure::new(error).answer(StatusCode::BAD_REQUEST),
        Err(_) => return Failure::new("the report did not come in time").answer(StatusCode::REQUEST_TIMEOUT),
    };
    let report: Report = match serde_json::from_slice(&body) {
        Ok(report) => report,
        Err(error) => return Failure::new(error).hint(EXAMPLE).answer(StatusCode::BAD_REQUEST),
    };
    match instance.report(&report) {
        Ok(reported) => json(&reported),
        Err(error @ ReportError::Off) => Failure::new(error).answer(StatusCode::CONFLICT),
        Err(error @ (ReportError::Many(_) | ReportError::Wrong { .. })) => Failure::new(error)
            .hint("nothing of it was added")
            .answer(StatusCode::BAD_REQUEST),
    }
}
