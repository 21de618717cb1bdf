//! Errors become responses here, and nowhere else.

use crate::message::{NotForwarded, Unreadable};
use crate::request_id::RequestId;
use crate::upstream::ForwardError;
use crate::upstream::replay::ClientBodyError;
use crate::vitals::{Reason, RequestOutcome};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Response, StatusCode};
use portolan_core::access::Denied;
use portolan_core::admission::Shed;
use portolan_core::candidates::Exclusion;
use portolan_core::plan::{GaveUp, Outcome};
use std::fmt::Display;
use std::time::Duration;
use thiserror::Error;

pub use body::Body;

mod body;
mod grpc;
pub mod redirect;
#[cfg(test)]
mod tests;
pub mod unread;

/// Seconds after which a client may try again, from 1 to this: spread by chance, so that not all come back at once.
const RETRY_AFTER: u64 = 3;

/// The same for requests that are shed: there are many of them, and each that comes back at once is shed again.
const RETRY_SHED_AFTER: u64 = 10;

/// The methods that clients may use.
const ALLOW: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// Why a request is answered by the proxy itself.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// Its head could not be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It must not be sent on.
    #[error(transparent)]
    NotForwarded(#[from] NotForwarded),
    /// It has passed this instance before.
    #[error("the request has passed this proxy before: a gateway leads back to it")]
    Loop,
    /// No route is for it.
    #[error("no route is for this host and path")]
    NoRoute,
    /// Its route denies the client.
    #[error("this client has no access")]
    Denied(Denied),
    /// The plugin of its service rejects it with this status, which its route allows.
    #[error("this request is not allowed")]
    Plugin(StatusCode),
    /// Its body is longer than its route allows.
    #[error("the client's body is too large")]
    LargeBody,
    /// The client sends more requests than its route allows.
    #[error("too many requests from this client")]
    RateLimited(Duration),
    /// There are too many concurrent requests.
    #[error(transparent)]
    Shed(#[from] Shed),
    /// Its host has another certificate than the one of its connection.
    #[error("this connection is for another host: send the request on one of its own")]
    Misdirected,
    /// No region may answer.
    #[error("no region may answer ({})", .0.as_str())]
    NoRegion(Exclusion),
    /// No region did answer.
    #[error(transparent)]
    Forward(#[from] ForwardError),
}

/// Whose side an error is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client's.
    Downstream,
    /// The gateways'.
    Upstream,
    /// Ours, or our operators'.
    Internal,
}

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afterwards {
    Keep,
    /// What follows on it cannot be trusted, or will never come.
    Close,
}

impl RequestError {
    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.row().0
    }

    /// The reason for metrics and logs; `None` for what is no error.
    pub fn reason(&self) -> Option<Reason> {
        self.row().2
    }

    /// How it ends the request, for its record.
    pub fn outcome(&self) -> RequestOutcome {
        match self {
            Self::Unreadable(_) | Self::NotForwarded(_) | Self::Loop | Self::Misdirected | Self::LargeBody => {
                RequestOutcome::Rejected
            }
            Self::NoRoute => RequestOutcome::NoRoute,
            Self::Denied(_) | Self::Plugin(_) => RequestOutcome::Denied,
            Self::RateLimited(_) => RequestOutcome::RateLimited,
            Self::Shed(_) => RequestOutcome::Shed,
            Self::NoRegion(why) => (*why).into(),
            Self::Forward(ForwardError::GaveUp {
                last: Some(Outcome::Full),
                ..
            }) => RequestOutcome::Full,
            Self::Forward(ForwardError::ClientBody(ClientBodyError::TooLarge)) => RequestOutcome::Rejected,
            Self::Forward(ForwardError::ClientBody(_)) => RequestOutcome::ClientGone,
            Self::Forward(ForwardError::GaveUp { reason, .. }) => (*reason).into(),
        }
    }

    /// Whose side it is on.
    pub fn side(&self) -> Side {
        match self {
            Self::Unreadable(_)
            | Self::NotForwarded(_)
            | Self::NoRoute
            | Self::Denied(_)
            | Self::Plugin(_)
            | Self::Misdirected
            | Self::LargeBody
            | Self::RateLimited(_)
            | Self::Forward(ForwardError::ClientBody(_)) => Side::Downstream,
            Self::Forward(ForwardError::GaveUp {
                last: Some(Outcome::Full),
                ..
            }) => Side::Internal,
            Self::NoRegion(Exclusion::Unhealthy) | Self::Forward(ForwardError::GaveUp { .. }) => Side::Upstream,
            Self::NoRegion(_) | Self::Loop | Self::Shed(_) => Side::Internal,
        }
    }

    /// The response to a request of gRPC with this id.
    pub fn grpc_response(&self, request_id: &RequestId) -> Response<Body> {
        grpc::trailers_only(self, request_id)
    }

    /// The response to the request with this id. `roll` is a random number.
    pub fn response(&self, request_id: &RequestId, roll: u64) -> Response<Body> {
        let (status, afterwards, _) = self.row();
        if *self == Self::NotForwarded(NotForwarded::OptionsOfOurs) {
            let mut response = Response::new(Body::Empty);
            response.headers_mut().insert(header::ALLOW, ALLOW);
            return response;
        }
        let mut response = self.problem(status, request_id);
        if let Some(seconds) = self.retry_after(roll) {
            let after = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, ALLOW);
        }
        if afterwards == Afterwards::Close {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// What went wrong, as RFC 9457 has it. Nothing of what is behind the proxy is in it.
    fn problem(&self, status: StatusCode, request_id: &RequestId) -> Response<Body> {
        let problem = serde_json::json!({
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": self.to_string(),
            "reason": self.reason().map(Reason::as_str),
            "request_id": request_id.as_str(),
        });
        own(status, "application/problem+json", problem.to_string())
    }

    /// After how many seconds the client may try again, if that may help.
    fn retry_after(&self, roll: u64) -> Option<u64> {
        match self {
            // Known exactly, and no other client waits for it.
            Self::RateLimited(wait) => Some(wait.as_millis().div_ceil(1000).max(1) as u64),
            Self::Shed(_) => Some(1 + roll % RETRY_SHED_AFTER),
            _ => self.may_pass().then_some(1 + roll % RETRY_AFTER),
        }
    }

    /// Whether it may be over within seconds: a gateway restarts, or has room again. Some clients send a request three times
    /// more because of Retry-After alone (urllib3), which does not help while an operator drains the regions.
    fn may_pass(&self) -> bool {
        let (status, _, reason) = self.row();
        status == StatusCode::SERVICE_UNAVAILABLE && reason != Some(Reason::Draining)
    }

    /// The table: status, what becomes of the connection, and the reason.
    fn row(&self) -> (StatusCode, Afterwards, Option<Reason>) {
        use Afterwards::{Close, Keep};
        use NotForwarded as No;
        let (status, afterwards, reason) = match self {
            Self::Unreadable(why) => {
                let (status, reason) = unreadable(*why);
                (status, Close, reason)
            }
            Self::NotForwarded(No::OptionsOfOurs) => return (StatusCode::OK, Keep, None),
            Self::NotForwarded(No::Connect) => (StatusCode::METHOD_NOT_ALLOWED, Close, Reason::Connect),
            // RFC 9220, section 3.
            Self::NotForwarded(No::ConnectProtocol) => (StatusCode::NOT_IMPLEMENTED, Keep, Reason::ConnectProtocol),
            Self::NotForwarded(No::Trace) => (StatusCode::METHOD_NOT_ALLOWED, Close, Reason::Trace),
            Self::NotForwarded(No::LongMethod) => (StatusCode::NOT_IMPLEMENTED, Close, Reason::LongMethod),
            Self::NotForwarded(No::LongTarget) => (StatusCode::URI_TOO_LONG, Close, Reason::LongTarget),
            Self::NotForwarded(No::TransferEncoding) => (StatusCode::NOT_IMPLEMENTED, Close, Reason::TransferEncoding),
            Self::NotForwarded(No::Expect) => (StatusCode::EXPECTATION_FAILED, Close, Reason::Expect),
            Self::NotForwarded(No::Version) => (StatusCode::HTTP_VERSION_NOT_SUPPORTED, Close, Reason::Version),
            Self::NotForwarded(No::Target) => (StatusCode::BAD_REQUEST, Close, Reason::Target),
            Self::NotForwarded(No::NoHost | No::Hosts | No::Host | No::Authority) => {
                (StatusCode::BAD_REQUEST, Close, Reason::Host)
            }
            Self::NotForwarded(No::ContentLength) => (StatusCode::BAD_REQUEST, Close, Reason::ContentLength),
            Self::NotForwarded(No::MaxForwards) => (StatusCode::BAD_REQUEST, Close, Reason::MaxForwards),
            Self::Loop => (StatusCode::LOOP_DETECTED, Keep, Reason::Loop),
            Self::NoRoute => (StatusCode::NOT_FOUND, Keep, Reason::NoRoute),
            Self::Denied(why) => (StatusCode::FORBIDDEN, Keep, (*why).into()),
            Self::Plugin(status) => (*status, Keep, Reason::Plugin),
            Self::Misdirected => (StatusCode::MISDIRECTED_REQUEST, Keep, Reason::Misdirected),
            Self::LargeBody | Self::Forward(ForwardError::ClientBody(ClientBodyError::TooLarge)) => {
                (StatusCode::PAYLOAD_TOO_LARGE, Close, Reason::LargeBody)
            }
            Self::RateLimited(_) => (StatusCode::TOO_MANY_REQUESTS, Keep, Reason::RateLimited),
            Self::Shed(why) => (StatusCode::SERVICE_UNAVAILABLE, Keep, (*why).into()),
            Self::NoRegion(Exclusion::Residency) => {
                (StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS, Keep, Reason::Residency)
            }
            Self::NoRegion(Exclusion::Draining) => (StatusCode::SERVICE_UNAVAILABLE, Keep, Reason::Draining),
            Self::NoRegion(Exclusion::Full) => (StatusCode::SERVICE_UNAVAILABLE, Keep, Reason::Full),
            Self::NoRegion(Exclusion::Unhealthy) => (StatusCode::SERVICE_UNAVAILABLE, Keep, Reason::Unhealthy),
            Self::Forward(ForwardError::ClientBody(ClientBodyError::Broken)) => {
                (StatusCode::BAD_REQUEST, Close, Reason::ClientBody)
            }
            Self::Forward(ForwardError::ClientBody(ClientBodyError::TooSlow)) => {
                (StatusCode::REQUEST_TIMEOUT, Close, Reason::ClientBodyTimeout)
            }
            Self::Forward(ForwardError::GaveUp { reason, last }) => match (reason, last) {
                (GaveUp::Unresponsive, _) => (StatusCode::SERVICE_UNAVAILABLE, Keep, Reason::UpstreamUnresponsive),
                (GaveUp::Deadline, _) | (_, Some(Outcome::TimedOut)) => {
                    (StatusCode::GATEWAY_TIMEOUT, Keep, Reason::UpstreamTimeout)
                }
                (_, Some(Outcome::Full)) => (StatusCode::SERVICE_UNAVAILABLE, Keep, Reason::Full),
                (_, None | Some(Outcome::NotSent)) => {
                    (StatusCode::SERVICE_UNAVAILABLE, Keep, Reason::UpstreamUnreachable)
                }
                (_, Some(Outcome::Broken | Outcome::Answered(_) | Outcome::Grpc(_))) => {
                    (StatusCode::BAD_GATEWAY, Keep, Reason::UpstreamReset)
                }
            },
        };
        (status, afterwards, Some(reason))
    }
}

/// The rows of the table for requests that could not be read.
fn unreadable(why: Unreadable) -> (StatusCode, Reason) {
    match why {
        Unreadable::Method => (StatusCode::BAD_REQUEST, Reason::Method),
        Unreadable::Target => (StatusCode::BAD_REQUEST, Reason::Target),
        Unreadable::LongTarget => (StatusCode::URI_TOO_LONG, Reason::LongTarget),
        Unreadable::Version => (StatusCode::BAD_REQUEST, Reason::Version),
        Unreadable::Http2 => (StatusCode::HTTP_VERSION_NOT_SUPPORTED, Reason::Http2),
        Unreadable::Tls => (StatusCode::BAD_REQUEST, Reason::Tls),
        Unreadable::ProxyProtocol => (StatusCode::BAD_REQUEST, Reason::ProxyProtocol),
        Unreadable::Field => (StatusCode::BAD_REQUEST, Reason::Field),
        Unreadable::LargeHead => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Reason::LargeHead),
        Unreadable::ContentLength => (StatusCode::BAD_REQUEST, Reason::ContentLength),
        Unreadable::TransferEncoding => (StatusCode::BAD_REQUEST, Reason::TransferEncoding),
    }
}

/// Shows which region answered and why in `X-Portolan-Region` and `X-Portolan-Reason`, where a listener allows it.
pub fn explain(headers: &mut HeaderMap, region: Option<&str>, reason: &impl Display) {
    let value = |text: &str| HeaderValue::from_str(text).ok();
    if let Some(region) = region.and_then(value) {
        headers.insert(HeaderName::from_static("x-portolan-region"), region);
    }
    if let Some(reason) = value(&reason.to_string()) {
        headers.insert(HeaderName::from_static("x-portolan-reason"), reason);
    }
}

/// The redirection of a request to HTTPS. A request without a host has nowhere to go.
pub fn to_https(authority: &str, target: Option<&PathAndQuery>, port: u16) -> Response<Body> {
    let host = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    };
    let target = target.map_or("/", PathAndQuery::as_str);
    let location = match port {
        443 => format!("https://{host}{target}"),
        _ => format!("https://{host}:{port}{target}"),
    };
    let (status, location) = match HeaderValue::try_from(location) {
        // The method and the body are kept (RFC 9110, section 15.4.9).
        Ok(location) if !host.is_empty() => (StatusCode::PERMANENT_REDIRECT, Some(location)),
        _ => (StatusCode::BAD_REQUEST, None),
    };
    let mut response = plain(status, "This host is served over HTTPS.\n");
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A response of a line of text.
pub fn plain(status: StatusCode, text: &str) -> Response<Body> {
    own(status, "text/plain; charset=utf-8", text.to_owned())
}

fn own(status: StatusCode, content_type: &'static str, content: String) -> Response<Body> {
    let mut response = Response::new(Body::Full(content.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Some of these statuses may be cached otherwise (RFC 9110, section 15.1).
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
