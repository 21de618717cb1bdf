//! What becomes of the record of a request of which spans are recorded.

use super::line::Served;
use super::{Asked, RequestData};
use crate::telemetry::metrics::Stage;
use crate::telemetry::spans::{AttemptRecord, RequestSpan};
use crate::upstream::AttemptSpan;
use crate::vitals::RequestOutcome;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Uri, Version};
use portolan_core::config::{GatewayHost, Scheme};
use portolan_core::trace::SpanContext;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest `tracestate` that is kept (W3C Trace Context, section 3.3.1.5).
const MAX_STATE: usize = 512;

/// What is known of a span when it begins, and what is added to it.
#[derive(Debug)]
pub(super) struct SpanData {
    context: SpanContext,
    parent: Option<u64>,
    scheme: &'static str,
    peer: SocketAddr,
    trace_state: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    route: Option<Box<str>>,
    attempts: Vec<AttemptSpan>,
}

impl SpanData {
    pub(super) fn begin(
        (context, parent): (SpanContext, Option<u64>),
        (scheme, peer): (&'static str, SocketAddr),
        headers: &HeaderMap,
    ) -> Self {
        let state = || headers.get(TRACESTATE).filter(|state| state.len() <= MAX_STATE);
        Self {
            context,
            parent,
            scheme,
            peer,
            trace_state: parent.and_then(|_| state().cloned()),
            user_agent: headers.get(header::USER_AGENT).cloned(),
            route: None,
            attempts: Vec::new(),
        }
    }

    pub(super) fn routed(&mut self, prefix: &str) {
        self.route = Some(prefix.into());
    }

    pub(super) fn attempted(&mut self, attempts: &[AttemptSpan]) {
        self.attempts.extend_from_slice(attempts);
    }
}

/// The finished request.
#[cold]
pub(super) fn finished(
    data: &mut RequestData,
    span: SpanData,
    (outcome, total): (RequestOutcome, Duration),
    served: Option<Served<'_>>,
) -> Box<RequestSpan> {
    let mut stages = vec![(Stage::Total, total), (Stage::Overhead, data.waits.overhead(total))];
    if let Some(decided) = &data.decided {
        stages.extend([(Stage::Identify, decided.identify), (Stage::Decide, decided.took)]);
        stages.extend(decided.plugin.map(|took| (Stage::Plugin, took)));
    }
    stages.extend(data.first_byte.map(|took| (Stage::FirstByte, took)));
    let gateway = |slot| served.and_then(|served| served.service.gateway(slot));
    let attempts = span.attempts.iter().filter_map(|attempt| {
        let gateway = gateway(attempt.slot)?;
        let since = |time: std::time::Instant| time.saturating_duration_since(data.begun);
        // The response that is delivered ends with the request.
        let is_delivered = attempt.error.is_none() && data.answered_by == Some(attempt.slot);
        let error = match (attempt.error, attempt.ended) {
            (None, None) => Some("cancelled"),
            (None, Some(_)) if is_delivered && outcome == RequestOutcome::CutShort => Some(outcome.as_str()),
            (error, _) => error,
        };
        Some(AttemptRecord {
            span: span.context.attempt(attempt.slot),
            region: gateway.region.clone(),
            is_https: gateway.address.scheme == Scheme::Https,
            gateway: match &gateway.address.host {
                GatewayHost::Name(name) => ((**name).into(), gateway.address.port),
                GatewayHost::Ip(address) => (address.to_string().into(), gateway.address.port),
            },
            peer: attempt.peer,
            began: since(attempt.began),
            ended: match attempt.ended.filter(|_| !is_delivered) {
                Some(ended) => since(ended),
                None => total,
            },
            status: attempt.status.map(|status| status.as_u16()),
            error,
        })
    });
    let is_failure = outcome.is_failure() || outcome == RequestOutcome::Internal;
    let status = data.status.map(|status| status.as_u16());
    let text = |value: &Option<HeaderValue>| {
        value
            .as_ref()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into())
    };
    let asked = data.asked.as_deref();
    Box::new(RequestSpan {
        trace: span.context.trace,
        span: span.context.span,
        parent: span.parent,
        trace_state: text(&span.trace_state).unwrap_or_default(),
        begun: SystemTime::now().checked_sub(total).unwrap_or(SystemTime::UNIX_EPOCH),
        total,
        method: asked.map(|asked| asked.method.clone()).unwrap_or_default(),
        version: match asked.map_or(Version::HTTP_11, |asked| asked.version) {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        },
        scheme: span.scheme,
        host: asked
            .and_then(Asked::authority)
            .map(|host| String::from_utf8_lossy(host).into_owned())
            .unwrap_or_default(),
        uri: asked.map_or_else(Uri::default, |asked| asked.uri.clone()),
        user_agent: text(&span.user_agent).unwrap_or_default(),
        client: data.client.addr,
        peer: span.peer,
        request_id: data.request_id.as_ref().map_or("", |id| id.as_str()).into(),
        status,
        outcome: outcome.as_str(),
        error: match data.reason {
            Some(reason) => Some(reason.as_str()),
            // A status is its own word.
            None => (is_failure && status.is_none_or(|status| status < 500)).then(|| outcome.as_str()),
        },
        service: served.map(|served| served.service.name.clone()),
        region: data.answered_by.and_then(gateway).map(|gateway| gateway.region.clone()),
        country: data
            .country
            .as_str()
            .and_then(|letters| letters.as_bytes().try_into().ok()),
        by: data.decided.map(|decided| decided.cause.by.as_str()),
        bytes: (data.received, data.sent),
        attempts: attempts.collect(),
        route: span.route,
        stages,
    })
}
