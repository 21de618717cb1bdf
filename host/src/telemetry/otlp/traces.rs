//! Finished requests as spans, with the semantic conventions of HTTP:
//! <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>.

use super::attributes::{number, scope, text};
use crate::telemetry::spans::{AttemptRecord, RequestSpan};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Flags of a span: the trace is sampled (the lower eight bits are those of `traceparent`).
const SAMPLED: u32 = 1;

/// ... it is known whether the parent is another program's, and it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// A message with the spans of these requests.
pub fn message(resource: &Resource, requests: &[Box<RequestSpan>]) -> Vec<u8> {
    let mut spans = Vec::with_capacity(requests.len() * 2);
    for request in requests {
        spans.push(server(request));
        spans.extend(
            request
                .attempts
                .iter()
                .enumerate()
                .map(|(index, attempt)| client(request, index, attempt)),
        );
    }
    let export = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![ScopeSpans {
                scope: scope(),
                spans,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    };
    export.encode_to_vec()
}

fn server(request: &RequestSpan) -> Span {
    let method = request.method.as_str();
    let (host, port) = host_and_port(&request.host);
    let mut attributes = vec![
        text("http.request.method", method),
        text("url.scheme", request.scheme),
        text("url.path", request.uri.path()),
        text("network.protocol.version", request.version),
        text("client.address", request.client.to_string()),
        text("network.peer.address", request.peer.ip().to_string()),
        number("network.peer.port", request.peer.port()),
        text("portolan.request_id", &*request.request_id),
        text("portolan.outcome", request.outcome),
        number("http.request.body.size", whole(request.bytes.0)),
        number("http.response.body.size", whole(request.bytes.1)),
    ];
    if !host.is_empty() {
        attributes.push(text("server.address", host));
    }
    attributes.extend(port.map(|port| number("server.port", port)));
    attributes.extend(request.route.as_deref().map(|route| text("http.route", route)));
    if !request.user_agent.is_empty() {
        attributes.push(text("user_agent.original", request.user_agent.as_str()));
    }
    attributes.extend(
        request
            .service
            .as_ref()
            .map(|service| text("portolan.service", service.as_str())),
    );
    attributes.extend(
        request
            .region
            .as_ref()
            .map(|region| text("portolan.region", region.as_str())),
    );
    attributes.extend(request.by.map(|by| text("portolan.ordered_by", by)));
    let country = request
        .country
        .as_ref()
        .and_then(|letters| std::str::from_utf8(letters).ok());
    attributes.extend(country.map(|country| text("geo.country.iso_code", country)));
    let is_error = request.error.is_some() || request.status.is_some_and(|status| status >= 500);
    attributes.extend(outcome(request.status, request.error.filter(|_| is_error), 500));
    Span {
        span_id: request.span.to_be_bytes().to_vec(),
        parent_span_id: request
            .parent
            .map(|span| span.to_be_bytes().to_vec())
            .unwrap_or_default(),
        flags: match request.parent {
            Some(_) => SAMPLED | HAS_IS_REMOTE | IS_REMOTE,
            None => SAMPLED | HAS_IS_REMOTE,
        },
        name: match request.route.as_deref() {
            Some(route) => format!("{method} {route}"),
            None => method.to_owned(),
        },
        kind: SpanKind::Server.into(),
        status: status(is_error),
        ..span(request, (Duration::ZERO, request.total), attributes)
    }
}

fn client(request: &RequestSpan, index: usize, attempt: &AttemptRecord) -> Span {
    let method = request.method.as_str();
    let (host, port) = &attempt.gateway;
    let scheme = if attempt.is_https { "https" } else { "http" };
    let authority = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_string()
    };
    let mut attributes = vec![
        text("http.request.method", method),
        text("server.address", &**host),
        number("server.port", *port),
        // Without the query: that is where secrets are.
        text(
            "url.full",
            format!("{scheme}://{authority}:{port}{}", request.uri.path()),
        ),
        text("portolan.region", attempt.region.as_str()),
    ];
    attributes.extend(
        request
            .service
            .as_ref()
            .map(|service| text("portolan.service", service.as_str())),
    );
    if index > 0 {
        attributes.push(number(
            "http.request.resend_count",
            i64::try_from(index).unwrap_or(i64::MAX),
        ));
    }
    if let Some(peer) = attempt.peer {
        attributes.push(text("network.peer.address", peer.ip().to_string()));
        attributes.push(number("network.peer.port", peer.port()));
    }
    let is_error = attempt.error.is_some() || attempt.status.is_some_and(|status| status >= 400);
    attributes.extend(outcome(attempt.status, attempt.error, 400));
    Span {
        span_id: attempt.span.to_be_bytes().to_vec(),
        parent_span_id: request.span.to_be_bytes().to_vec(),
        flags: SAMPLED | HAS_IS_REMOTE,
        name: method.to_owned(),
        kind: SpanKind::Client.into(),
        status: status(is_error),
        ..span(request, (attempt.began, attempt.ended), attributes)
    }
}

/// What all have.
fn span(request: &RequestSpan, (from, to): (Duration, Duration), attributes: Vec<KeyValue>) -> Span {
    Span {
        trace_id: request.trace.to_be_bytes().to_vec(),
        trace_state: request.trace_state.clone(),
        start_time_unix_nano: nanos(request.begun + from),
        end_time_unix_nano: nanos(request.begun + to.max(from)),
        attributes,
        ..Span::default()
    }
}

/// The status of a response, and the type of an error: a word, or else the status where that is an error.
fn outcome(status: Option<u16>, error: Option<&'static str>, least: u16) -> impl Iterator<Item = KeyValue> {
    let error = match (error, status) {
        (Some(word), _) => Some(word.to_owned()),
        (None, Some(status)) if status >= least => Some(status.to_string()),
        _ => None,
    };
    let status = status.map(|status| number("http.response.status_code", status));
    status.into_iter().chain(error.map(|error| text("error.type", error)))
}

fn status(is_error: bool) -> Option<Status> {
    is_error.then(|| Status {
        message: String::new(),
        code: StatusCode::Error.into(),
    })
}

fn host_and_port(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => match digits.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (host, None),
        },
        _ => (host, None),
    }
}

fn whole(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(super) fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
