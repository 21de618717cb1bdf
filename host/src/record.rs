//! One record per request: what was decided, tried and delivered. When the response has ended, however it ended, the
//! record becomes metrics and a line of the access log.

mod body;
mod clock;
mod decision_log;
mod ended;
mod json;
mod line;
mod passed_on;
mod span;
mod text;
mod waits;

pub use body::Recorded;
pub use decision_log::{DecidedRecord, DecisionRecord, DecisionSink, KEPT_ORDER, SeenBy, decision_log};

use crate::arrival::Arrival;
use crate::hex;
use crate::message;
use crate::request_id::RequestId;
use crate::rollout::VersionVitals;
use crate::telemetry::access_log::Sink;
use crate::telemetry::metrics::ServiceVitals;
use crate::telemetry::spans::SpanSink;
use crate::upstream::forward::RECORDED_ATTEMPTS;
use crate::upstream::{ForwardError, Forwarded};
use crate::vitals::{Reason, Rejections, RequestOutcome, Sampler, TunnelEnd, Vitals};
use arrayvec::ArrayVec;
use clock::Clock;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode, Uri, Version};
use portolan_core::config::{Config, Service};
use portolan_core::decision::{Cause, Decision};
use portolan_core::geo::{Country, Point};
use portolan_core::grpc::GrpcStatus;
use portolan_core::health::{Evidence, HealthView};
use portolan_core::id::{Generation, ServiceId, Slot};
use portolan_core::identity::ClientIdentity;
use portolan_core::plan::GaveUp;
use portolan_core::proxy_protocol::Header;
use portolan_core::route::PoliciesId;
use portolan_core::trace::SpanContext;
use span::SpanData;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use waits::Waits;

/// Where a worker counts and logs its requests.
#[derive(Debug)]
pub struct Recorder {
    worker: usize,
    unrouted: Arc<ServiceVitals>,
    rejections: Arc<Rejections>,
    sampler: Sampler,
    decisions: DecisionSink,
    log: Option<Sink>,
    clock: Clock,
    spans: SpanSink,
}

/// The table that a request was decided by, as far as recording needs it.
pub trait TableView {
    /// A service and its counters.
    fn service(&self, id: ServiceId) -> Option<(&Service, &ServiceVitals)>;

    /// The counters of one of its gateways.
    fn gateway(&self, id: ServiceId, slot: Slot) -> Option<&Vitals>;

    /// The plugin's name for a reason that it gave for a client.
    fn plugin_reason(&self, id: ServiceId, client: IpAddr, reason: u16) -> Option<&str>;

    /// The counters of the plugin version that decides the requests of a client, while one is being rolled out.
    fn plugin_version(&self, id: ServiceId, client: IpAddr) -> Option<&VersionVitals>;

    /// The configuration and the health that it was decided by.
    fn decided_under(&self) -> (Arc<Config>, Arc<HealthView>);

    /// What is special about a client of a service.
    fn seen_by(&self, id: ServiceId, client: IpAddr) -> SeenBy;

    /// A worker begins to work on a request, of a route that counts its own where one is given. [`TableView::leave`] has to be called
    /// when it ends.
    fn enter(&self, worker: usize, route: Option<PoliciesId>);

    /// A worker ends to work on a request.
    fn leave(&self, worker: usize, route: Option<PoliciesId>);
}

/// The record of a request so far. Recorded when it is dropped.
#[derive(Debug)]
pub struct RequestRecord<L: TableView> {
    recorder: Rc<Recorder>,
    /// Boxed: the record moves with the response.
    data: Box<RequestData>,
    table: Option<L>,
}

/// The data of a request, as plain values.
#[derive(Debug)]
struct RequestData {
    begun: Instant,
    /// Kept only for the access log; cloning them copies references.
    asked: Option<Box<Asked>>,
    is_head: bool,
    /// `None` for what is no call of gRPC.
    call: Option<Call>,
    client: ClientIdentity,
    country: Country,
    point: Option<Point>,
    /// The digits of its trace.
    trace: Option<[u8; 32]>,
    request_id: Option<RequestId>,
    /// The service that its route leads to.
    routed: Option<ServiceId>,
    admitted: Option<Admitted>,
    decided: Option<Decided>,
    attempts: ArrayVec<Attempt, RECORDED_ATTEMPTS>,
    answered_by: Option<Slot>,
    withheld: Option<GaveUp>,
    status: Option<StatusCode>,
    first_byte: Option<Duration>,
    outcome: Option<RequestOutcome>,
    /// Why it was rejected, if it was.
    reason: Option<Reason>,
    received: u64,
    sent: u64,
    waits: Waits,
    /// Where spans are recorded of it.
    span: Option<Box<SpanData>>,
    tunnel: Option<Box<TunnelRecord>>,
}

/// The tunnel that followed a response.
#[derive(Debug)]
struct TunnelRecord {
    protocol: Box<str>,
    end: TunnelEnd,
}

/// The request line and Host.
#[derive(Debug)]
struct Asked {
    method: Method,
    version: Version,
    uri: Uri,
    host: Option<HeaderValue>,
    /// The PROXY protocol header of its connection.
    proxy_header: Option<Rc<Header>>,
    /// Fields that the log's template has, of the request and of the response, in its order.
    request_fields: Vec<Option<HeaderValue>>,
    response_fields: Vec<Option<HeaderValue>>,
}

/// A call of gRPC.
#[derive(Clone, Copy, Debug, Default)]
struct Call {
    /// How it ended, when that is known.
    status: Option<GrpcStatus>,
}

/// A request that is counted as one that is worked on.
#[derive(Clone, Copy, Debug)]
struct Admitted {
    /// Its route, where that counts its own.
    route: Option<PoliciesId>,
}

/// The recorded part of a decision.
#[derive(Clone, Copy, Debug)]
struct Decided {
    generation: Generation,
    cause: Cause,
    /// From the request until it was known where its client is.
    identify: Duration,
    /// From then on.
    took: Duration,
    plugin: Option<Duration>,
    /// What chance gave it.
    roll: u64,
    /// The first regions of the order, and how many those are.
    order: [Slot; KEPT_ORDER],
    ranked: u8,
}

/// One attempt and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attempt {
    slot: Slot,
    evidence: Evidence,
}

impl Recorder {
    /// For one worker. `unrouted` counts what comes to no service; without a `log`, no lines are written.
    pub fn new(
        worker: usize,
        unrouted: Arc<ServiceVitals>,
        rejections: Arc<Rejections>,
        (sampler, decisions): (Sampler, DecisionSink),
        log: Option<Sink>,
        spans: SpanSink,
    ) -> Self {
        Self {
            worker,
            unrouted,
            rejections,
            sampler,
            decisions,
            log,
            clock: Clock::default(),
            spans,
        }
    }
}

/// A request that has passed this instance before, for its log line.
#[derive(Debug)]
pub struct Loop<'a> {
    /// For which host, as it came back.
    pub host: &'a str,
    /// For which path, without query.
    pub path: &'a str,
    /// From where it came back.
    pub peer: SocketAddr,
    /// The service that it would go to once more.
    pub service: Option<&'a str>,
    /// What this instance is called in `Via`.
    pub via: &'a str,
}

impl<L: TableView> RequestRecord<L> {
    /// The record of a request received now, from this client as far as is known.
    pub fn begin(recorder: &Rc<Recorder>, request: &Parts, client: ClientIdentity, now: Instant) -> Self {
        let asked = recorder.log.as_ref().map(|log| {
            let wanted = log.template().map_or(&[][..], |template| &template.request_fields);
            Box::new(Asked::of(request, wanted))
        });
        let is_head = request.method == Method::HEAD;
        let call = message::is_grpc(request.version, &request.headers).then(Call::default);
        Self::new(recorder, asked, (is_head, call), client, now)
    }

    /// The record of a request whose head could not be read, as far as that it is a call of gRPC.
    pub fn unread(recorder: &Rc<Recorder>, client: ClientIdentity, is_call: bool) -> Self {
        let call = is_call.then(Call::default);
        Self::new(recorder, None, (false, call), client, Instant::now())
    }

    fn new(
        recorder: &Rc<Recorder>,
        asked: Option<Box<Asked>>,
        (is_head, call): (bool, Option<Call>),
        client: ClientIdentity,
        now: Instant,
    ) -> Self {
        Self {
            recorder: Rc::clone(recorder),
            data: Box::new(RequestData {
                begun: now,
                asked,
                is_head,
                call,
                client,
                country: Country::UNKNOWN,
                point: None,
                trace: None,
                request_id: None,
                routed: None,
                admitted: None,
                decided: None,
                attempts: ArrayVec::new(),
                answered_by: None,
                withheld: None,
                status: None,
                first_byte: None,
                outcome: None,
                reason: None,
                received: 0,
                sent: 0,
                waits: Waits::default(),
                span: None,
                tunnel: None,
            }),
            table: None,
        }
    }

    /// Logs that it has passed this instance before, one line in ten seconds.
    pub fn looped(&self, looped: &Loop<'_>) {
        let Some(suppressed) = self.recorder.rejections.log_loop(self.data.begun) else {
            return;
        };
        let Loop {
            host,
            path,
            peer,
            service,
            via,
        } = looped;
        tracing::error!(
            host, path, %peer, service, via, suppressed,
            "loop: a request came back to this instance and was answered with 508; a gateway leads to it"
        );
    }

    /// The PROXY protocol header that its connection began with.
    pub fn passed_on(&mut self, header: Option<&Rc<Header>>) {
        if let (Some(header), Some(asked)) = (header, &mut self.data.asked) {
            asked.proxy_header = Some(Rc::clone(header));
        }
    }

    /// When it came.
    pub fn begun(&self) -> Instant {
        self.data.begun
    }

    /// Whether it is a call of gRPC.
    pub fn is_call(&self) -> bool {
        self.data.call.is_some()
    }

    /// Whether it reads fields of the response.
    pub fn reads_response_fields(&self) -> bool {
        let template = self.recorder.log.as_ref().and_then(|log| log.template());
        self.is_call() || template.is_some_and(|template| !template.response_fields.is_empty())
    }

    /// Sets the client's identity.
    pub fn identified(&mut self, client: ClientIdentity) {
        self.data.client = client;
    }

    /// What tells it from all others: this, from now on.
    pub fn has_id(&mut self, id: RequestId) {
        self.data.request_id = Some(id);
    }

    /// What tells it from all others: this, unless that is known already.
    pub fn id_or(&mut self, id: impl FnOnce() -> RequestId) -> &RequestId {
        self.data.request_id.get_or_insert_with(id)
    }

    /// Spans are recorded of it, which came over this connection: this one, below its parent.
    #[cold]
    pub fn spanned(&mut self, request: &Parts, arrival: &Arrival, span: (SpanContext, Option<u64>)) {
        self.data.asked.get_or_insert_with(|| Box::new(Asked::of(request, &[])));
        self.data.trace = Some(hex::long_number(span.0.trace));
        let data = SpanData::begin(span, (arrival.scheme(), arrival.peer), &request.headers);
        self.data.span = Some(Box::new(data));
    }

    /// Its route has this path prefix.
    #[inline]
    pub fn has_route(&mut self, prefix: &str) {
        if let Some(span) = &mut self.data.span {
            span.routed(prefix);
        }
    }

    /// Which trace it belongs to: the `trace-id` of a valid `traceparent` (W3C Trace Context, section 3.2.2).
    pub fn traced(&mut self, traceparent: &[u8]) {
        if self.recorder.log.is_some() {
            self.data.trace = traceparent.get(3..).and_then(<[u8]>::first_chunk).copied();
        }
    }

    /// Its route leads to this service of a table.
    pub fn routed(&mut self, table: L, service: ServiceId) {
        self.data.routed = Some(service);
        self.table = Some(table);
    }

    /// It is worked on from now on, as a request of its route where that counts its own.
    pub fn admitted(&mut self, route: Option<PoliciesId>) {
        if let Some(table) = &self.table {
            table.enter(self.recorder.worker, route);
            self.data.admitted = Some(Admitted { route });
        }
    }

    /// What was decided: when it was known where the client is, when the decision was made, and how much of the time between them the
    /// plugin took.
    pub fn decided(&mut self, decision: &Decision, (located, now): (Instant, Instant), plugin: Option<Duration>) {
        self.data.client = decision.client;
        self.data.country = decision.location.place.country;
        self.data.point = decision.location.place.point;
        let (mut order, ranked) = ([Slot(0); KEPT_ORDER], decision.ranking.order());
        for (kept, slot) in order.iter_mut().zip(ranked) {
            *kept = *slot;
        }
        self.data.decided = Some(Decided {
            generation: decision.generation,
            cause: decision.cause(),
            identify: located.saturating_duration_since(self.data.begun),
            took: now.saturating_duration_since(located),
            plugin,
            roll: decision.roll,
            order,
            ranked: ranked.len().min(KEPT_ORDER) as u8,
        });
    }

    /// Polls a future that waits for a gateway or for the client whenever it is not ready.
    pub fn poll_waiting<F: Future>(&mut self, future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.data.waits.poll(future, context)
    }

    /// The result of forwarding it, with this many bytes of its body read.
    pub fn forwarded(&mut self, forwarded: &Forwarded, received: u64) {
        for attempt in &forwarded.attempts {
            self.attempted(attempt.slot, attempt.evidence);
        }
        if let Some(span) = &mut self.data.span {
            span.attempted(&forwarded.spans);
        }
        self.data.received = received;
        match &forwarded.result {
            Ok(_) => {
                if let Some(last) = forwarded.attempts.last() {
                    self.answered(last.slot, forwarded.at);
                }
            }
            Err(ForwardError::GaveUp { reason, .. }) => self.data.withheld = Some(*reason),
            Err(ForwardError::ClientBody(_)) => {}
        }
    }

    /// An attempt ended like this.
    fn attempted(&mut self, slot: Slot, evidence: Evidence) {
        // Forwarding reports no more attempts than there is room for; one too many would be missing in the log.
        let _ = self.data.attempts.try_push(Attempt { slot, evidence });
    }

    /// The head of the response to be delivered came from this region.
    fn answered(&mut self, slot: Slot, now: Instant) {
        self.data.answered_by = Some(slot);
        self.data.first_byte = Some(now.saturating_duration_since(self.data.begun));
    }

    /// The outcome, when it is known before the response has ended.
    pub fn ended(&mut self, outcome: RequestOutcome) {
        self.data.outcome = Some(outcome);
    }

    /// The client is redirected to this region.
    pub fn redirected(&mut self, slot: Slot, now: Instant) {
        self.answered(slot, now);
        self.ended(RequestOutcome::Redirected);
    }

    /// Its response was followed by a tunnel of this protocol, which carried this many bytes from the client and to it and ended like
    /// this.
    pub fn tunnelled(&mut self, protocol: Box<str>, (received, sent): (u64, u64), end: TunnelEnd) {
        self.data.received += received;
        self.data.sent += sent;
        self.data.tunnel = Some(Box::new(TunnelRecord { protocol, end }));
    }

    /// Its client is in this country.
    pub fn located(&mut self, country: Country) {
        self.data.country = country;
    }

    /// No region's response is delivered. The reason is `None` where that is no error.
    pub fn rejected(&mut self, outcome: RequestOutcome, reason: Option<Reason>) {
        self.ended(outcome);
        self.data.reason = reason;
    }
}

impl Asked {
    /// The host that was asked for, with its port where it has one.
    fn authority(&self) -> Option<&[u8]> {
        match self.uri.authority() {
            Some(authority) => Some(authority.as_str().as_bytes()),
            None => self.host.as_ref().map(HeaderValue::as_bytes),
        }
    }

    /// Of a request, with these of its fields.
    fn of(request: &Parts, wanted: &[HeaderName]) -> Self {
        let fields = wanted.iter().map(|name| request.headers.get(name).cloned());
        Self {
            method: request.method.clone(),
            version: request.version,
            uri: request.uri.clone(),
            host: request.headers.get(header::HOST).cloned(),
            proxy_header: None,
            request_fields: fields.collect(),
            response_fields: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
