//! Errors of our own as gRPC has them: a head with a status and nothing else (Trailers-Only). What clients make of a page of HTTP
//! differs, and some of them take it for a message.

use super::{Body, RequestError};
use crate::request_id::RequestId;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode, Version};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What is escaped in a message.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Whether a request is one of gRPC, which is spoken over HTTP/2 only.
pub fn is_grpc(request: &Parts) -> bool {
    let content_type = request.headers.get(header::CONTENT_TYPE);
    request.version == Version::HTTP_2 && content_type.is_some_and(|it| it.as_bytes().starts_with(b"application/grpc"))
}

/// The response to a request of gRPC.
pub(super) fn trailers_only(error: &RequestError, request_id: &RequestId) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    let headers = response.headers_mut();
    let text = format!("{error} (request id {})", request_id.as_str());
    let message = utf8_percent_encode(&text, ESCAPED).to_string();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(status(error.status())));
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert(GRPC_MESSAGE, message);
    }
    response
}

/// The status of gRPC for one of HTTP, as clients derive it; where they only say UNKNOWN, a better one.
fn status(status: StatusCode) -> u16 {
    const UNKNOWN: u16 = 2;
    const PERMISSION_DENIED: u16 = 7;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match status {
        StatusCode::BAD_REQUEST | StatusCode::INTERNAL_SERVER_ERROR | StatusCode::LOOP_DETECTED => INTERNAL,
        StatusCode::UNAUTHORIZED => UNAUTHENTICATED,
        StatusCode::FORBIDDEN | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => PERMISSION_DENIED,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => UNIMPLEMENTED,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => RESOURCE_EXHAUSTED,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT
        | StatusCode::MISDIRECTED_REQUEST => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::NotForwarded;
    use portolan_core::admission::Shed;
    use portolan_core::candidates::Exclusion;

    #[test]
    fn an_error_of_grpc_is_a_head_alone() {
        let id = RequestId::made([1, 2]);
        for (error, expected) in [
            (RequestError::NoRoute, "12"),
            (RequestError::LargeBody, "8"),
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
