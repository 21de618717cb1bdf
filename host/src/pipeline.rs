//! The life of a request, in order.

use crate::arrival::{Arrival, ClientBody, Interim, ListenerId, RequestLimits};
use crate::config::{Http2, Listener};
use crate::decide::{self, Decided, Inquiry};
use crate::drill::{Handled, ServiceDrill};
use crate::lines::Lines;
use crate::message::{self, RequestHead, Unreadable};
use crate::plugin::VisibleFields;
use crate::record::{Loop, Recorded, RequestRecord};
use crate::request_id::RequestId;
use crate::respond::{self, Body, RequestError};
use crate::server::{Handler, Http2Settings, ListenerTerms, TunnelRecord};
use crate::table::{Pin, Routed};
use crate::upstream::{
    ForwardError, Forwarded, Forwarder, Forwarding, InterimSink, Outbound, ReplayBody, Tracing, Tunnel, TunnelLimits,
    UpstreamBody, Via, upgrade,
};
use crate::vitals::{Reason, RequestOutcome, TunnelEnd};
use crate::worker::Worker;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use http_body::Body as _;
use portolan_core::decision::Decision;
use portolan_core::grpc;
use portolan_core::id::Slot;
use portolan_core::identity::{Provenance, identify};
use portolan_core::plan::AttemptPlan;
use portolan_core::proxy_protocol;
use portolan_core::route::{self, Asked, HeaderChanges};
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Handler for Worker {
    type Body = Recorded<Body, Pin>;
    type Record = RequestRecord<Pin>;

    fn answer(
        self: Rc<Self>,
        arrival: Rc<Arrival>,
        request: Request<ClientBody>,
    ) -> impl Future<Output = Response<Self::Body>> + 'static {
        let (parts, body) = request.into_parts();
        let mut record = RequestRecord::begin(&self.recorder, &parts, arrival.client(), Instant::now());
        record.passed_on(arrival.proxy_header.as_ref());
        async move {
            let (mut body, mut changes) = (Some(body), None);
            let answered = answer(&self, &arrival, (&parts, &mut body), &mut record, &mut changes).await;
            let mut response = match answered {
                Ok(response) => response,
                Err(error) => {
                    record.rejected(error.outcome(), error.reason());
                    self.refuse(&error, &mut record)
                }
            };
            if let Some(body) = body {
                respond::unread::settle(body, &parts.headers, response.headers_mut()).await;
            }
            if let Some(changes) = changes {
                changes.apply(response.headers_mut());
            }
            if response.headers().is_empty() {
                // Its memory is used for the next request.
                let mut headers = parts.headers;
                headers.clear();
                *response.headers_mut() = headers;
            }
            record.deliver(self.secured(&arrival, response))
        }
    }

    fn lines(&self, body: &mut Self::Body) -> Option<Lines> {
        body.body_mut().take_lines()
    }

    fn tunnel(&self, body: &mut Self::Body) -> Option<(Tunnel, Self::Record)> {
        if !matches!(body.body(), Body::Tunnel(_)) {
            return None;
        }
        match body.take() {
            (Body::Tunnel(tunnel), Some(record)) => Some((*tunnel, record)),
            _ => None,
        }
    }

    fn unreadable(&self, arrival: &Arrival, why: Unreadable, is_call: bool) -> Response<Self::Body> {
        let mut record = RequestRecord::unread(&self.recorder, arrival.client(), is_call);
        let error = RequestError::from(why);
        record.rejected(error.outcome(), error.reason());
        let response = self.refuse(&error, &mut record);
        record.deliver(self.secured(arrival, response))
    }

    fn head_timed_out(&self, arrival: &Arrival) {
        let mut record = RequestRecord::<Pin>::unread(&self.recorder, arrival.client(), false);
        record.rejected(RequestOutcome::Rejected, Some(Reason::HeadTimeout));
    }

    fn keep_alive_timeout(&self, listener: &ListenerId) -> Option<Duration> {
        self.pins.pin().listener(listener).map(|it| it.keep_alive_timeout)
    }

    fn terms(&self, id: &ListenerId, peer: IpAddr) -> ListenerTerms {
        let table = self.pins.pin();
        // The table knows every listener that has a socket, and the TLS of each that has it.
        let listener = table.listener(id);
        ListenerTerms {
            max_connections: listener.map_or(u32::MAX, |it| it.max_connections),
            max_connections_of_peer: listener
                .filter(|it| !it.client_address.trusted.contains(peer))
                .and_then(|it| it.max_connections_per_client),
            begins_with_proxy_header: listener.is_some_and(|it| it.proxies.contains(peer)),
            tls: listener
                .filter(|it| it.tls.is_some())
                .and_then(|_| table.tls.get(id).cloned()),
            limits: listener.map_or_else(RequestLimits::default, |it| it.requests.of_one(|| self.chance.roll())),
            http2: listener.and_then(http2),
        }
    }
}

impl TunnelRecord for RequestRecord<Pin> {
    fn ended(mut self, protocol: Box<str>, carried: (u64, u64), end: TunnelEnd) {
        self.tunnelled(protocol, carried, end);
    }
}

impl Worker {
    /// A response; over TLS with what its listener has browsers do from now on.
    fn secured(&self, arrival: &Arrival, mut response: Response<Body>) -> Response<Body> {
        if arrival.tls.is_none() {
            return response;
        }
        let table = self.pins.pin();
        let tls = table
            .listener(&arrival.listener)
            .and_then(|listener| listener.tls.as_ref());
        if let Some(hsts) = tls.and_then(|tls| tls.hsts.as_ref()) {
            let headers = response.headers_mut();
            headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        response
    }

    /// The response to a request that is answered with an error.
    fn refuse(&self, error: &RequestError, record: &mut RequestRecord<Pin>) -> Response<Body> {
        let is_call = record.is_call();
        let id = record.id_or(|| RequestId::made([self.chance.roll(), self.chance.roll()]));
        if is_call {
            return error.grpc_response(id);
        }
        error.response(id, self.chance.roll())
    }
}

/// HTTP/2 where a listener may serve it: with TLS, which offers it then, or without.
fn http2(listener: &Listener) -> Option<Http2Settings> {
    let serves = match listener.http2 {
        Http2::Auto => listener.tls.is_some(),
        Http2::PriorKnowledge => true,
        Http2::Off => false,
    };
    serves.then_some(Http2Settings {
        max_streams: listener.http2_max_streams,
        stream_window: listener.http2_stream_window,
    })
}

/// A request as its listener lets it be seen.
struct Inbound<'a> {
    parts: &'a Parts,
    head: RequestHead<'a>,
    arrival: &'a Arrival,
    listener: &'a Listener,
    via: &'a Via,
    provenance: Provenance,
    request_id: &'a RequestId,
    tracing: Tracing,
}

async fn answer(
    worker: &Worker,
    arrival: &Arrival,
    (parts, body): (&Parts, &mut Option<ClientBody>),
    record: &mut RequestRecord<Pin>,
    changes: &mut Option<Arc<HeaderChanges>>,
) -> Result<Response<Body>, RequestError> {
    let head = message::check(parts, arrival.limits.target_bytes as usize)?;

    // Pin: from here on, everything seen belongs together.
    let table = worker.pins.pin();
    if let Some(answer) = worker.front_door.answer(&table.settings, parts, head.path) {
        record.ended(RequestOutcome::Probe);
        return Ok(answer);
    }
    let asked = Asked {
        method: &parts.method,
        headers: &parts.headers,
        query: parts.uri.query().unwrap_or_default(),
        certificate: arrival.verified_client().map(|client| &client.certificate),
        trust: None,
    };
    if head.has_via && table.via.is_in(&parts.headers) {
        record.looped(&Loop {
            host: head.authority,
            path: head.path,
            peer: arrival.peer,
            service: table
                .route(head.authority, head.path, &asked)
                .map(|routed| routed.service.name.as_str()),
            via: table.via.pseudonym(),
        });
        return Err(RequestError::Loop);
    }
    let listener = table.listener(&arrival.listener).ok_or(RequestError::NoRoute)?;
    if let Some(tls) = &arrival.tls
        && !tls.is_for(route::bare_host(head.authority))
    {
        return Err(RequestError::Misdirected);
    }
    if let Some(port) = listener.redirect {
        record.ended(RequestOutcome::ToHttps);
        return Ok(respond::to_https(head.authority, parts.uri.path_and_query(), port));
    }

    // Identify, route, check access. Where the client is, is part of the decision.
    let provenance = identify(arrival.client(), &parts.headers, &listener.client_address);
    record.identified(provenance.client);
    let chance = [worker.chance.roll(), worker.chance.roll()];
    let request_id = RequestId::of(&parts.headers, provenance.is_trusted, chance);
    record.has_id(request_id.clone());
    let tracing = match table.settings.telemetry.sample {
        None => Tracing::Off,
        Some(sample) => {
            let of = (provenance.is_trusted, &request_id, sample);
            Tracing::decide(&parts.headers, of, &worker.chance, |span| {
                record.spanned(parts, arrival, span)
            })
        }
    };
    let asked = Asked {
        trust: Some((&listener.client_address, provenance.is_trusted)),
        ..asked
    };
    let Some(routed) = table.route(head.authority, head.path, &asked) else {
        let route = table.redirect(head.authority, head.path, &asked);
        let route = route.ok_or(RequestError::NoRoute)?;
        record.ended(RequestOutcome::RouteRedirect);
        let (scheme, is_trusted) = (arrival.scheme(), provenance.is_trusted);
        return Ok(respond::redirect::by_route(
            route,
            parts,
            head.authority,
            scheme,
            is_trusted,
        ));
    };
    let routed = routed.seen_by(provenance.client.addr);
    record.routed(Rc::clone(&table), routed.id);
    record.has_route(routed.route.prefix());
    *changes = routed.route.response_headers().cloned();
    if let Some((why, country)) = decide::denied(&table, routed, provenance.client.addr) {
        record.located(country);
        return Err(RequestError::Denied(why));
    }

    // Admit: nothing is done for a request that is shed.
    let within_rate = table.within_rate(routed, provenance.client.addr, record.begun());
    within_rate.map_err(RequestError::RateLimited)?;
    if let Some(own) = routed.own
        && !own
            .limits
            .admits_body(body.as_ref().and_then(|body| body.size_hint().exact()))
    {
        return Err(RequestError::LargeBody);
    }
    table.admit(routed)?;
    record.admitted(routed.route.policies());

    // Locate.
    let location = table.geo.locate(provenance.client.addr);
    let located = Instant::now();

    // Candidates, rank: natively, or as a plugin says.
    let inquiry = Inquiry {
        client: provenance.client,
        location,
        method: &parts.method,
        version: parts.version,
        authority: head.authority,
        path: head.path,
        query: asked.query,
        fields: VisibleFields {
            headers: &parts.headers,
            trust: asked.trust,
            client: arrival.verified_client(),
        },
        arrival: Some(arrival),
        session: routed
            .entry
            .affinity
            .as_ref()
            .and_then(|affinity| affinity.session(&parts.headers, worker.chance.roll())),
        roll: worker.chance.roll(),
        now: record.begun(),
        time: None,
    };
    let Decided { decision, plugin } = decide::decide(&table, routed, &inquiry, &mut worker.plugins.borrow_mut());
    let now = Instant::now();
    record.decided(&decision, (located, now), plugin.as_ref().map(|plugin| plugin.took));
    if plugin.is_some()
        && let Some(status) = decision.by.effects().rejects
    {
        let error = RequestError::Plugin(StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN));
        if !listener.debug_headers {
            return Err(error);
        }
        record.rejected(error.outcome(), error.reason());
        let mut response = worker.refuse(&error, record);
        let reason = decision.reason(routed.service, decide::plugin_reason(&decision, routed));
        respond::explain(response.headers_mut(), None, &reason);
        return Ok(response);
    }

    // Steer.
    if let Some(steering) = &routed.entry.steering
        && body.as_ref().is_none_or(|body| body.is_end_stream())
        && !upgrade::is_asked(parts, false)
        && let Some((mut response, slot)) = steering.redirect(&decision, parts, head.authority)
    {
        record.redirected(slot, now);
        if listener.debug_headers {
            let reason = decision.reason(routed.service, decide::plugin_reason(&decision, routed));
            respond::explain(response.headers_mut(), region_of(routed, Some(slot)), &reason);
        }
        return Ok(response);
    }

    // Plan, forward.
    let inbound = Inbound {
        parts,
        head,
        arrival,
        listener,
        via: &table.via,
        provenance,
        request_id: &request_id,
        tracing,
    };
    let by_plugin = plugin.as_ref().and_then(|plugin| plugin.headers.as_deref());
    let mut forwarded = forward(worker, &inbound, body, (routed, &decision, by_plugin), record, now).await;

    // Respond, record.
    if let Ok((response, Some(slot))) = &mut forwarded
        && let Some(cookie) = decide::affinity_cookie(&decision, routed, *slot, arrival.scheme() == "https")
    {
        // What the route changes are the gateway's fields: removing its cookies does not remove this one.
        if let Some(changes) = changes.take() {
            changes.apply(response.headers_mut());
        }
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    if !listener.debug_headers && routed.entry.steering.is_none() {
        return forwarded.map(|(response, _)| response_of(response, parts, routed));
    }
    let (mut response, slot, error) = match forwarded {
        Ok((response, slot)) => (response_of(response, parts, routed), slot, None),
        Err(error) => {
            record.rejected(error.outcome(), error.reason());
            (worker.refuse(&error, record), None, Some(error))
        }
    };
    if let Some(steering) = &routed.entry.steering
        && arrival.tls.is_some()
        && let Some(said) = steering.advertise(response.headers_mut(), slot)
        && let Some(target) = slot.and_then(|slot| routed.entry.gateway(slot))
    {
        target.vitals.advertised(worker.connections.worker(), said);
    }
    if listener.debug_headers {
        let reason = decision.reason(routed.service, decide::plugin_reason(&decision, routed));
        match error {
            None => respond::explain(response.headers_mut(), region_of(routed, slot), &reason),
            Some(error) => {
                let word = error.reason().map_or("", |reason| reason.as_str());
                respond::explain(response.headers_mut(), None, &format_args!("{word}; {reason}"));
            }
        }
    }
    Ok(response)
}

/// A gateway's response for the client.
fn response_of(response: Box<Response<UpstreamBody>>, request: &Parts, routed: Routed<'_>) -> Response<Body> {
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => switched(*response, request, routed),
        _ => Body::upstream(response),
    }
}

/// A change of protocol, which is a success to a client of HTTP/2 (RFC 8441, section 5.1).
#[cold]
fn switched(response: Response<UpstreamBody>, request: &Parts, routed: Routed<'_>) -> Response<Body> {
    let limits = TunnelLimits {
        idle: routed.timeouts.tunnel,
        half_closed: routed.timeouts.idle,
    };
    let (mut head, body) = response.into_parts();
    let tunnel = body.into_tunnel(&head.headers, limits);
    if request.version == Version::HTTP_2 {
        head.status = StatusCode::OK;
    }
    let body = tunnel.map_or(Body::Empty, |tunnel| Body::Tunnel(Box::new(tunnel)));
    Response::from_parts(head, body)
}

/// The name of the region of a slot.
fn region_of(routed: Routed<'_>, slot: Option<Slot>) -> Option<&str> {
    let gateway = routed.service.gateway(slot?)?;
    Some(gateway.region.as_str())
}

/// Counts a request of a client that takes part in a drill. `None`: no region might answer it.
#[cold]
fn handled(worker: &Worker, drill: &ServiceDrill, began: Instant, forwarded: Option<&Forwarded>) {
    let (failed, at) = match forwarded {
        None => (true, began),
        Some(Forwarded { result, at, .. }) => {
            let failed = match result {
                Ok(response) => response.status().is_server_error(),
                Err(error) => matches!(error, ForwardError::GaveUp { .. }),
            };
            (failed, *at)
        }
    };
    let attempts = forwarded.iter().flat_map(|forwarded| &forwarded.attempts);
    let attempts: Vec<Slot> = attempts.map(|attempt| attempt.slot).collect();
    let handled = Handled {
        began,
        failed,
        attempts: &attempts,
        took: at.saturating_duration_since(began),
    };
    drill.handled(worker.connections.worker(), &handled);
}

/// Whether nobody looks at the fields of the response to a request, nor changes any that gateways usually send.
fn as_lines(inbound: &Inbound<'_>, routed: Routed<'_>, record: &RequestRecord<Pin>) -> bool {
    let Inbound { parts, listener, .. } = inbound;
    let has_hsts = listener.tls.as_ref().is_some_and(|tls| tls.hsts.is_some());
    parts.version != Version::HTTP_2
        && routed.route.response_headers().is_none()
        && !routed.service.upstream.load_report
        && !has_hsts
        && !record.reads_response_fields()
}

/// Sends a request on as it was decided, with what the plugin changes of its fields. Gives the response and the region that it came from.
async fn forward(
    worker: &Worker,
    inbound: &Inbound<'_>,
    body: &mut Option<ClientBody>,
    (routed, decision, by_plugin): (Routed<'_>, &Decision, Option<&HeaderChanges>),
    record: &mut RequestRecord<Pin>,
    now: Instant,
) -> Result<(Box<Response<UpstreamBody>>, Option<Slot>), RequestError> {
    if let Some(why) = decision.candidates.unavailable() {
        if let Some(drill) = routed.drill {
            handled(worker, drill, record.begun(), None);
        }
        return Err(RequestError::NoRegion(why));
    }
    let Inbound {
        parts,
        head,
        arrival,
        listener,
        via,
        provenance,
        request_id,
        tracing,
    } = inbound;

    // Plan: every choice is made before the first byte leaves.
    let Routed { retry, timeouts, .. } = routed;
    let mut plan = AttemptPlan::new(decision.ranking.clone(), retry, timeouts, &parts.method, record.begun());
    if (decision.candidates.eligible - routed.health.unresponsive()).is_empty() {
        plan = plan.unresponsive(record.begun());
    }
    let is_call = record.is_call();
    if is_call {
        // Nobody waits for longer. What is no time is left to the server.
        let given = parts.headers.get("grpc-timeout");
        let given = given.and_then(|given| grpc::timeout(given.as_bytes()));
        plan = plan.until(given.map(|given| record.begun() + given));
    }

    // Forward.
    // Clients of HTTP/1.0 know none (RFC 9110, section 15.2).
    let passes_interim = routed.service.pass_interim_responses && parts.version == Version::HTTP_11;
    let interim = passes_interim.then(|| Interim::new(&arrival.interim) as Rc<dyn InterimSink>);
    let target = parts
        .uri
        .path_and_query()
        .and_then(|target| routed.route.rewritten(target.as_str()));
    let proxy_header = routed.service.upstream.proxy_protocol.then(|| {
        // Only of the peer the port is known.
        let client = provenance.client;
        let port = if client == arrival.client() {
            arrival.peer.port()
        } else {
            0
        };
        Box::new(proxy_protocol::encode(
            SocketAddr::new(client.addr, port),
            arrival.local,
        ))
    });
    let forwarding = Forwarding {
        proxy_header: proxy_header.as_ref().map(|header| header.as_slice()),
        target: target.as_deref(),
        peer: &arrival.peer_text,
        scheme: arrival.scheme(),
        client_certificate: arrival
            .tls
            .as_ref()
            .filter(|tls| tls.forwards_client_certificate)
            .and_then(|tls| Some(&tls.client.as_ref()?.forwarded)),
        is_trusted: provenance.is_trusted,
        policy: &listener.client_address,
        request_id,
        chance: [worker.chance.roll(), worker.chance.roll(), worker.chance.roll()],
        tracing: *tracing,
        via,
        rewrites_responses: routed.service.rewrite_responses,
        rewritten_by: target.as_ref().map(|_| routed.route),
        interim: interim.as_ref(),
        response_as_lines: as_lines(inbound, routed, record),
        is_call,
    };
    // An answer before this line leaves the body where it is.
    let min_progress = arrival.limits.body_progress as usize;
    let replay = |body| ReplayBody::new(body, retry.max_replay_bytes, timeouts.idle_of(is_call), min_progress);
    let mut body = body.take().map_or(ReplayBody::Empty, replay);
    if is_call {
        body = body.of_call();
    }
    if let Some(limit) = routed.own.and_then(|own| own.limits.request_body) {
        body = body.at_most(limit);
    }
    let outbound = Outbound::new(parts, head.authority, forwarding, body.framing(&parts.headers));
    let by_route = routed.route.request_headers();
    let by_both = by_plugin.map(|by_plugin| by_plugin.after(by_route));
    let outbound = outbound.changed(by_both.as_ref().or(by_route));
    record.traced(outbound.traceparent());
    let forwarder = Forwarder {
        connections: &worker.connections,
        budget: &routed.entry.budget,
        retry,
        timeouts,
        target: |slot| routed.gateway(slot),
    };
    let mut forwarding = pin!(forwarder.forward(plan, &outbound, &body, now));
    let forwarded = poll_fn(|context| record.poll_waiting(forwarding.as_mut(), context)).await;
    record.forwarded(&forwarded, body.bytes_read());
    if let Some(drill) = routed.drill {
        handled(worker, drill, record.begun(), Some(&forwarded));
    }
    let slot = forwarded.attempts.last().map(|attempt| attempt.slot);
    let mut response = forwarded.result?;
    if body.is_unread() {
        // An early answer. The connection ends with it, unless the rest comes meanwhile, and the client has to know
        // (RFC 9112, section 9.6).
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok((response, slot))
}
