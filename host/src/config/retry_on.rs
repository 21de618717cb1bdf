//! Which failures are retried, in Envoy's words.

use super::document::Node;
use super::error::Mistakes;
use super::shape::{Shape, wanted};
use super::values::{scalar, word};
use portolan_core::config::RetryOn;
use portolan_core::grpc::GrpcStatus;
use serde_json::{Value, json};

/// One kind of failure, or a status of HTTP or gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Connect,
    Reset,
    GatewayError,
    Any5xx,
    Retriable4xx,
    Status(u16),
    Grpc(GrpcStatus),
}

const WORDS: [(&str, Failure); 10] = [
    ("connect-failure", Failure::Connect),
    ("reset", Failure::Reset),
    ("gateway-error", Failure::GatewayError),
    ("5xx", Failure::Any5xx),
    ("retriable-4xx", Failure::Retriable4xx),
    ("cancelled", Failure::Grpc(GrpcStatus::Cancelled)),
    ("deadline-exceeded", Failure::Grpc(GrpcStatus::DeadlineExceeded)),
    ("internal", Failure::Grpc(GrpcStatus::Internal)),
    ("resource-exhausted", Failure::Grpc(GrpcStatus::ResourceExhausted)),
    ("unavailable", Failure::Grpc(GrpcStatus::Unavailable)),
];

impl Shape for Failure {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let (lowest, highest) = (RetryOn::LOWEST, RetryOn::HIGHEST);
        let otherwise = format!(
            "connect-failure, reset, gateway-error, 5xx, retriable-4xx, a status of gRPC such as unavailable, or a status from {lowest} to {highest}"
        );
        let text = scalar(node).unwrap_or_default();
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let status = text.parse().ok().filter(|status| (lowest..=highest).contains(status));
            return match status {
                Some(status) => Some(Self::Status(status)),
                None => wanted(node, &otherwise, mistakes),
            };
        }
        word(node, &WORDS, &otherwise, mistakes)
    }

    fn schema() -> Value {
        let words: Vec<_> = WORDS.iter().map(|(word, _)| *word).collect();
        json!({ "anyOf": [{ "enum": words },
                          { "type": "integer", "minimum": RetryOn::LOWEST, "maximum": RetryOn::HIGHEST },
                          { "type": "string", "pattern": "^[45][0-9][0-9]$" }] })
    }
}

/// What a list of failures means. As in Envoy, 5xx and gateway-error stand for requests without a response too.
pub(super) fn retry_on(failures: &[Failure]) -> RetryOn {
    let mut retry_on = RetryOn::NONE;
    for failure in failures {
        let no_response = matches!(failure, Failure::GatewayError | Failure::Any5xx);
        retry_on.connect_failure |= no_response || *failure == Failure::Connect;
        retry_on.reset |= no_response || *failure == Failure::Reset;
        let statuses = match failure {
            Failure::Connect | Failure::Reset => continue,
            Failure::Grpc(status) => {
                retry_on.insert_grpc(*status);
                continue;
            }
            Failure::GatewayError => 502..=504,
            Failure::Any5xx => 500..=599,
            Failure::Retriable4xx => 409..=409,
            Failure::Status(status) => *status..=*status,
        };
        statuses.for_each(|status| retry_on.insert(status));
    }
    retry_on
}
