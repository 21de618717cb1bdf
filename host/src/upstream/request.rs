//! The head of a request as gateways get it, whatever protocol carries it.
//!
//! A protocol's encoder goes through its fields once for each attempt, straight from what the client sent: nothing is
//! cloned, removed or inserted in between. Hop-by-hop fields are removed, forwarding fields are added.

use super::interim::{InterimSink, Switch};
use super::replay::Framing;
use super::requested;
use super::rewrite::Requested;
use super::upgrade::{self, Upgrade};
use super::via::Via;
use crate::arrival::Interim;
use crate::fields;
use crate::message::{self, NoPath};
use crate::request_id::{RequestId, X_REQUEST_ID};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use portolan_core::id::Slot;
use portolan_core::identity::ClientAddress;
use portolan_core::route::{HeaderChanges, RouteEntry, without_final_dot};
use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

#[cfg(test)]
pub(in crate::upstream) mod tests;
mod trace;

pub use trace::Tracing;

use trace::{TRACEPARENT, TRACESTATE, Trace, traceparent};

const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What the forwarding fields contain.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// The PROXY protocol header of a connection for this request, where gateways want one.
    pub proxy_header: Option<&'a [u8]>,
    /// Path and query, where they are not those that the client sent.
    pub target: Option<&'a str>,
    /// The peer's address as `X-Forwarded-For` has it.
    pub peer: &'a HeaderValue,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// `X-Forwarded-Client-Cert`, in the place of what the client sent.
    pub client_certificate: Option<&'a HeaderValue>,
    /// Whether the peer is a trusted proxy, whose own forwarding fields are kept.
    pub is_trusted: bool,
    /// Which forwarding fields are passed on.
    pub policy: &'a ClientAddress,
    /// What this instance is called in `Via`.
    pub via: &'a Via,
    /// What tells the request from all others. A new trace is numbered by it where it was made here.
    pub request_id: &'a RequestId,
    /// Random numbers for a new trace.
    pub chance: [u64; 3],
    /// Whether spans of it are recorded.
    pub tracing: Tracing,
    /// Whether a gateway's own name is replaced in its responses, and the path prefix that it sees.
    pub rewrites_responses: bool,
    /// The route, where it rewrites the path prefix.
    pub rewritten_by: Option<&'a RouteEntry>,
    /// Where interim responses go. `None`: they are dropped.
    pub interim: Option<&'a Rc<dyn InterimSink>>,
    /// Whether nobody looks at the fields of its response: they are passed on as they come.
    pub response_as_lines: bool,
    /// Whether it is a call of gRPC.
    pub is_call: bool,
}

/// A validated request with its forwarding fields. Only the gateway's own Host is added later.
#[derive(Debug)]
pub struct Outbound<'a> {
    request: &'a Parts,
    /// The authority the client requested, without a final dot. Empty when it sent none.
    authority: Cow<'a, str>,
    forwarding: Forwarding<'a>,
    framing: Framing,
    client: ClientFields<'a>,
    trace: Trace<'a>,
    /// The region of the attempt whose head is encoded next.
    attempt: Cell<Slot>,
    upgrade: Option<Rc<Upgrade>>,
    /// What its route changes.
    changes: Option<&'a HeaderChanges>,
}

/// The client's fields that need more than copying.
#[derive(Debug, Default)]
struct ClientFields<'a> {
    /// The fields that `Connection` names: hop-by-hop fields (RFC 9110, section 7.6.1). Usually empty.
    named: Vec<&'a [u8]>,
    /// Whether `Connection` names `Upgrade`.
    names_upgrade: bool,
    /// Whether the client accepts trailers.
    accepts_trailers: bool,
    trace: Option<&'a HeaderValue>,
    /// The first line of `X-Forwarded-For`, and whether there are more.
    forwarded_for: Option<&'a HeaderValue>,
    has_more_forwarded_for: bool,
    /// Whether there are `X-Forwarded-Host` and `X-Forwarded-Proto`.
    has_host: bool,
    has_scheme: bool,
}

/// The encoder of a protocol, which receives the fields of a head.
pub(super) trait FieldSink {
    /// A field.
    fn field(&mut self, name: &[u8], value: &[u8]);

    /// A field as the client sent it.
    #[inline]
    fn copy(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.field(name.as_str().as_bytes(), value.as_bytes());
    }

    /// A field whose value is a list.
    fn list<'v>(&mut self, name: &[u8], elements: impl Iterator<Item = &'v [u8]>);
}

impl<'a> Outbound<'a> {
    /// A request that passed [`message::check`], with the authority found there and the framing of its body.
    pub fn new(request: &'a Parts, authority: &'a str, forwarding: Forwarding<'a>, framing: Framing) -> Self {
        let client = ClientFields::of(&request.headers);
        let trace = Trace::of(client.trace, &forwarding);
        Self {
            request,
            authority: match without_final_dot(authority) {
                (host, "") => Cow::Borrowed(host),
                (host, port) => Cow::Owned(format!("{host}{port}")),
            },
            forwarding,
            framing,
            upgrade: Upgrade::of(request, client.names_upgrade, framing),
            client,
            trace,
            attempt: Cell::new(Slot(0)),
            changes: None,
        }
    }

    /// The same with what its route changes.
    #[must_use]
    pub fn changed(self, changes: Option<&'a HeaderChanges>) -> Self {
        Self { changes, ..self }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.request.method
    }

    /// Whether it is a call of gRPC.
    pub(super) fn is_call(&self) -> bool {
        self.forwarding.is_call
    }

    /// Whether the client sent a host: HTTP/1.0 does not require one.
    pub(super) fn has_host(&self) -> bool {
        !self.authority.is_empty()
    }

    /// The protocol that it asks to change to. Only a connection of HTTP/1.1 can carry it then.
    pub(super) fn upgrade(&self) -> Option<&Rc<Upgrade>> {
        self.upgrade.as_ref()
    }

    /// The same for the one who checks the answer.
    pub(super) fn switch(&self) -> Option<Rc<dyn Switch>> {
        Some(Rc::clone(self.upgrade.as_ref()?) as Rc<dyn Switch>)
    }

    /// Where interim responses go.
    pub(super) fn interim(&self) -> Option<&Rc<dyn InterimSink>> {
        self.forwarding.interim
    }

    /// Whether a gateway's own name is replaced in its responses, and the path prefix that it sees.
    pub(super) fn rewrites_responses(&self) -> bool {
        self.forwarding.rewrites_responses
    }

    /// Whether nobody looks at the fields of its response.
    pub(super) fn response_as_lines(&self) -> bool {
        self.forwarding.response_as_lines
    }

    /// What the client requested: as a trusted proxy says, else as the request itself does.
    pub(super) fn requested(&self) -> Requested<'_> {
        let Forwarding { scheme, is_trusted, .. } = self.forwarding;
        let (scheme, authority) = requested::requested(&self.request.headers, (scheme, &self.authority), is_trusted);
        Requested {
            scheme,
            authority,
            prefix: self.forwarding.rewritten_by.and_then(RouteEntry::prefix_rewrite),
        }
    }

    /// What a connection for it begins with.
    pub(super) fn proxy_header(&self) -> &[u8] {
        self.forwarding.proxy_header.unwrap_or_default()
    }

    /// How its body is delimited.
    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// The `traceparent` sent to the gateway.
    pub fn traceparent(&self) -> &[u8] {
        match &self.trace {
            Trace::Kept(value) => value.as_bytes(),
            Trace::Written { text, .. } => text,
        }
    }

    /// Whether spans of it are recorded.
    pub(super) fn is_recorded(&self) -> bool {
        matches!(self.forwarding.tracing, Tracing::Recorded(_))
    }

    /// Its head is encoded next for an attempt in this region.
    pub(super) fn attempted_in(&self, slot: Slot) {
        self.attempt.set(slot);
    }

    /// The authority the client requested. Empty when it sent none.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query. `*` for OPTIONS of a URL without either: the last proxy asks so (RFC 9112, section 3.2.4).
    pub(super) fn target(&self) -> &str {
        if let Some(target) = self.forwarding.target {
            return target;
        }
        if self.request.method == Method::OPTIONS && self.request.extensions.get::<NoPath>().is_some() {
            return "*";
        }
        self.request.uri.path_and_query().map_or("", |target| target.as_str())
    }

    /// Whether trailers are accepted.
    pub(super) fn accepts_trailers(&self) -> bool {
        self.client.accepts_trailers
    }

    /// Writes every field to a protocol's encoder, except the host and those that delimit the body.
    pub(super) fn fields(&self, to: &mut impl FieldSink) {
        for (name, value) in &self.request.headers {
            if !self.is_dropped(name) && self.changes.is_none_or(|changes| !changes.drops(name)) {
                to.copy(name, value);
            }
        }
        for (name, value) in self.changes.iter().flat_map(|changes| changes.added()) {
            to.copy(name, value);
        }
        self.forwarding_fields(to);
    }

    #[inline(always)]
    fn is_dropped(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        if ends_here(text) {
            return true;
        }
        let Forwarding { is_trusted, policy, .. } = self.forwarding;
        if !policy.passes(text, is_trusted) {
            return true;
        }
        let is_rewritten = match text.as_bytes()[0] {
            b'x' => {
                *name == X_FORWARDED_FOR
                    || *name == X_REQUEST_ID
                    || self.forwarding.client_certificate.is_some() && *name == X_FORWARDED_CLIENT_CERT
            }
            b't' => match self.trace {
                Trace::Kept(_) => false,
                // A state without its parent means nothing (W3C Trace Context, section 4.3).
                Trace::Written { continues, .. } => *name == TRACEPARENT || !continues && *name == TRACESTATE,
            },
            b's' => self.upgrade.as_ref().is_some_and(|upgrade| upgrade.replaces(name)),
            b'm' => *name == header::MAX_FORWARDS && self.request.method == Method::OPTIONS,
            _ => false,
        };
        let mut named = self.client.named.iter();
        is_rewritten || named.any(|named| named.eq_ignore_ascii_case(text.as_bytes()))
    }

    fn forwarding_fields(&self, to: &mut impl FieldSink) {
        let Self {
            request,
            forwarding,
            client,
            ..
        } = self;
        if self.has_host() && !(forwarding.is_trusted && client.has_host) {
            to.field(b"x-forwarded-host", self.authority.as_bytes());
        }
        if !(forwarding.is_trusted && client.has_scheme) {
            to.field(b"x-forwarded-proto", forwarding.scheme.as_bytes());
        }
        let more = client
            .has_more_forwarded_for
            .then(|| request.headers.get_all(X_FORWARDED_FOR));
        let more = more.into_iter().flat_map(|lines| lines.iter().skip(1));
        let before = client.forwarded_for.into_iter().chain(more).filter(|it| !it.is_empty());
        let elements = before.chain([forwarding.peer]).map(HeaderValue::as_bytes);
        to.list(b"x-forwarded-for", elements);
        to.field(X_REQUEST_ID.as_str().as_bytes(), forwarding.request_id.as_bytes());
        if let Some(certificate) = forwarding.client_certificate {
            to.field(b"x-forwarded-client-cert", certificate.as_bytes());
        }
        to.field(b"via", forwarding.via.entry(request.version).as_bytes());
        match &self.trace {
            Trace::Kept(_) => {}
            Trace::Written {
                recorded: Some(context),
                ..
            } => {
                let span = context.attempt(self.attempt.get());
                to.field(b"traceparent", &traceparent(context.trace, span, true));
            }
            Trace::Written { text, .. } => to.field(b"traceparent", text),
        }
        if client.accepts_trailers {
            to.field(b"te", b"trailers");
        }
        if request.method == Method::OPTIONS
            && let Ok(Some(left @ 1..)) = message::max_forwards(&request.headers)
        {
            to.field(b"max-forwards", itoa::Buffer::new().format(left - 1).as_bytes());
        }
    }
}

/// Whether a field of a request is not copied: it is hop-by-hop, or written by the proxy.
fn ends_here(name: &str) -> bool {
    // The proxy answers `Expect` itself. `Proxy` becomes an environment variable behind some gateways (httpoxy).
    fields::is_hop(name)
        || matches!(
            name,
            "host" | "te" | "expect" | "proxy" | "http2-settings" | "content-length" | "transfer-encoding"
        )
}

impl<'a> ClientFields<'a> {
    /// One pass over all fields costs less than looking up each.
    fn of(headers: &'a HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            if *name == header::CONNECTION {
                found.names(value.as_bytes());
            } else if *name == header::TE {
                let mut tokens = fields::tokens(value.as_bytes());
                found.accepts_trailers |= tokens.any(|token| token.eq_ignore_ascii_case(b"trailers"));
            } else {
                match name.as_str() {
                    "traceparent" => found.trace = found.trace.or(Some(value)),
                    "x-forwarded-for" if found.forwarded_for.is_none() => found.forwarded_for = Some(value),
                    "x-forwarded-for" => found.has_more_forwarded_for = true,
                    "x-forwarded-host" => found.has_host = true,
                    "x-forwarded-proto" => found.has_scheme = true,
                    _ => {}
                }
            }
        }
        found
    }

    fn names(&mut self, connection: &'a [u8]) {
        if !fields::is_usual_connection(connection) {
            self.names_upgrade |= upgrade::names_upgrade(connection);
            // Clients must not remove forwarding or trace fields.
            let named = fields::tokens(connection).filter(|token| !is_forwarding_field(token));
            self.named.extend(named);
        }
    }
}

fn is_forwarding_field(token: &[u8]) -> bool {
    let ours = [
        header::VIA,
        header::FORWARDED,
        X_FORWARDED_FOR,
        X_FORWARDED_HOST,
        X_FORWARDED_PROTO,
        X_REQUEST_ID,
        TRACEPARENT,
        TRACESTATE,
    ];
    ours.iter()
        .any(|name| token.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

impl InterimSink for Interim {
    fn pass(&self, status: StatusCode, headers: &HeaderMap) {
        Self::pass(self, status, headers);
    }
}
