//! Errors of our own as gRPC has them: a head with a status and nothing else (Trailers-Only). What clients make of a page of HTTP
//! differs, and some of them take it for a message.

use super::{Body, RequestError};
use crate::request_id::RequestId;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use portolan_core::grpc::GrpcStatus;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What is escaped in a message.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// The response to a request of gRPC.
pub(super) fn trailers_only(error: &RequestError, request_id: &RequestId) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    let headers = response.headers_mut();
    let text = format!("{error} (request id {})", request_id.as_str());
    let message = utf8_percent_encode(&text, ESCAPED).to_string();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(status(error.status()).code())));
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert(GRPC_MESSAGE, message);
    }
    response
}

/// The status of gRPC for one of HTTP, as clients derive it; where they only say UNKNOWN, a better one. Time that is over is
/// DEADLINE_EXCEEDED: clients make of a 504 that they may try again.
fn status(status: StatusCode) -> GrpcStatus {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::INTERNAL_SERVER_ERROR | StatusCode::LOOP_DETECTED => GrpcStatus::Internal,
        StatusCode::UNAUTHORIZED => GrpcStatus::Unauthenticated,
        StatusCode::FORBIDDEN | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => GrpcStatus::PermissionDenied,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            GrpcStatus::Unimplemented
        }
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => GrpcStatus::ResourceExhausted,
        StatusCode::GATEWAY_TIMEOUT => GrpcStatus::DeadlineExceeded,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::MISDIRECTED_REQUEST => GrpcStatus::Unavailable,
        _ => GrpcStatus::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::NotForwarded;
    use crate::upstream::ForwardError;
    use crate::upstream::replay::ClientBodyError;
    use portolan_core::access::Denied;
    use portolan_core::admission::Shed;
    use portolan_core::candidates::Exclusion;
    use portolan_core::plan::{GaveUp, Outcome};
    use std::time::Duration;

    #[test]
    fn an_error_of_grpc_is_a_head_alone() {
        let id = RequestId::made([1, 2]);
        let gave_up = |reason, last| RequestError::from(ForwardError::GaveUp { reason, last });
        let idle = RequestError::from(ForwardError::ClientBody(ClientBodyError::TooSlow));
        for (error, expected) in [
            (RequestError::NoRoute, "12"),
            (RequestError::Denied(Denied::Network), "7"),
            (RequestError::RateLimited(Duration::from_secs(1)), "14"),
            (RequestError::LargeBody, "8"),
            (gave_up(GaveUp::Deadline, None), "4"),
            (gave_up(GaveUp::NotRepeatable, Some(Outcome::TimedOut)), "4"),
            (gave_up(GaveUp::NotRepeatable, Some(Outcome::Broken)), "14"),
            (gave_up(GaveUp::NoneLeft, Some(Outcome::NotSent)), "14"),
            (idle, "14"),
            (RequestError::Shed(Shed::RouteFull), "14"),
            (RequestError::NoRegion(Exclusion::Unhealthy), "14"),
            (RequestError::NoRegion(Exclusion::Residency), "7"),
            (RequestError::NotForwarded(NotForwarded::Host), "13"),
        ] {
            let response = trailers_only(&error, &id);
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-type"], "application/grpc");
            assert_eq!(response.headers()["grpc-status"], expected, "{error}");
            let message = response.headers()["grpc-message"].to_str().expect("text");
            assert!(
                message.starts_with(&error.to_string()) && message.contains(id.as_str()),
                "{message}"
            );
            assert!(matches!(response.body(), Body::Empty));
        }
    }
}
