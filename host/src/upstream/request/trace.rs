//! The trace that a request belongs to, towards its gateway (W3C Trace Context), and whether spans of it are recorded.

use super::Forwarding;
use crate::chance::Chance;
use crate::hex;
use crate::request_id::RequestId;
use http::{HeaderMap, HeaderName, HeaderValue};
use portolan_core::rollout::Share;
use portolan_core::trace::{self, Parent, SpanContext, TRACEPARENT as TRACEPARENT_BYTES};

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Whether spans of a request are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracing {
    /// None are of any request: what the client says of its trace is passed on.
    #[default]
    Off,
    /// Not of this one.
    Unrecorded,
    /// This one, and one of each attempt.
    Recorded(SpanContext),
}

impl Tracing {
    /// Whether spans of a request are recorded, when a share of all is: `record` is given the request's own, and the one that it comes from.
    pub fn decide(
        headers: &HeaderMap,
        (is_trusted, request_id, sample): (bool, &RequestId, Share),
        chance: &Chance,
        record: impl FnOnce((SpanContext, Option<u64>)),
    ) -> Self {
        let parent = headers.get(TRACEPARENT);
        let parent = parent.and_then(|value| Parent::parse(value.as_bytes()));
        if !trace::is_recorded(parent, is_trusted, sample.bound(), chance.roll()) {
            return Self::Unrecorded;
        }
        let trace = match parent {
            Some(parent) => parent.trace,
            None => trace_of(request_id, [chance.roll(), chance.roll()]),
        };
        let context = SpanContext::of(trace, chance.roll());
        record((context, parent.map(|parent| parent.span)));
        Self::Recorded(context)
    }
}

/// `traceparent` (W3C Trace Context, section 3.2).
#[derive(Debug)]
pub(super) enum Trace<'a> {
    Kept(&'a HeaderValue),
    Written {
        text: [u8; TRACEPARENT_BYTES],
        /// Whether it goes on with the client's trace.
        continues: bool,
        /// The span of the request, where one is recorded: each attempt has one below it.
        recorded: Option<SpanContext>,
    },
}

impl<'a> Trace<'a> {
    /// What the gateway is sent of the request's trace, by what the client sent.
    pub(super) fn of(client: Option<&'a HeaderValue>, forwarding: &Forwarding<'_>) -> Self {
        let client = client.filter(|value| is_traceparent(value.as_bytes()));
        let parent = || Parent::parse(client?.as_bytes());
        let written = |(trace, span), is_sampled, recorded| Self::Written {
            text: traceparent(trace, span, is_sampled),
            continues: client.is_some(),
            recorded,
        };
        match (forwarding.tracing, client) {
            (Tracing::Recorded(context), _) => written((context.trace, context.span), true, Some(context)),
            // What a client that is not trusted wants recorded is not recorded by those behind either. Another flag makes another
            // parent (W3C Trace Context, section 4.2).
            (Tracing::Unrecorded, Some(value)) if !forwarding.is_trusted => match parent() {
                Some(parent) if parent.is_sampled => written((parent.trace, forwarding.chance[2].max(1)), false, None),
                _ => Self::Kept(value),
            },
            (_, Some(value)) => Self::Kept(value),
            (_, None) => Self::Written {
                text: new_trace(forwarding.request_id, forwarding.chance),
                continues: false,
                recorded: None,
            },
        }
    }
}

/// `version-trace-parent-flags` in lower-case hex, neither id all zeros (W3C Trace Context, section 3.2.2).
fn is_traceparent(value: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |part: &[u8]| is_hex(part) && part.iter().any(|byte| *byte != b'0');
    let Some((head, rest)) = value.split_at_checked(55) else {
        return false;
    };
    let well_formed = is_hex(&head[..2])
        && head[2] == b'-'
        && is_id(&head[3..35])
        && head[35] == b'-'
        && is_id(&head[36..52])
        && head[52] == b'-'
        && is_hex(&head[53..]);
    // Later versions may append; version ff is forbidden.
    well_formed && &head[..2] != b"ff" && (rest.is_empty() || &head[..2] != b"00" && rest[0] == b'-')
}

/// The trace of a request that comes without one: the same number as a request id that was made here.
fn trace_of(request_id: &RequestId, chance: [u64; 2]) -> u128 {
    let made = match request_id {
        RequestId::Made(_) => u128::from_str_radix(request_id.as_str(), 16).ok(),
        RequestId::Given(_) => None,
    };
    let [high, low] = chance.map(u128::from);
    let trace = made.unwrap_or(high << 64 | low);
    // As `new_trace` has it.
    if trace & 15 == 0 { trace | 1 } else { trace }
}

pub(super) fn traceparent(trace: u128, span: u64, is_sampled: bool) -> [u8; TRACEPARENT_BYTES] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    text[3..19].copy_from_slice(&hex::number((trace >> 64) as u64));
    text[19..35].copy_from_slice(&hex::number(trace as u64));
    text[36..52].copy_from_slice(&hex::number(span));
    if is_sampled {
        text[54] = b'1';
    }
    text
}

/// A new trace, not sampled. Its number is the request's, so that who has one finds the other.
fn new_trace(request_id: &RequestId, chance: [u64; 3]) -> [u8; 55] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    match request_id {
        RequestId::Made(digits) => text[3..35].copy_from_slice(digits),
        RequestId::Given(_) => {
            text[3..19].copy_from_slice(&hex::number(chance[0]));
            text[19..35].copy_from_slice(&hex::number(chance[1]));
        }
    }
    text[36..52].copy_from_slice(&hex::number(chance[2]));
    // An id of zeros is invalid.
    for last in [34, 51] {
        if text[last] == b'0' {
            text[last] = b'1';
        }
    }
    text
}
