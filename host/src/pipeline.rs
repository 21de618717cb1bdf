//! The life of a request, in order.

use crate::decide::{self, Decided, Inquiry};
use crate::message;
use crate::record::{Recorded, RequestRecord};
use crate::respond::{self, Body, RequestError};
use crate::server::Downstream;
use crate::table::Pin;
use crate::upstream::{Forwarder, Forwarding, Outbound, ReplayBody};
use crate::vitals::Ending;
use crate::worker::Worker;
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use portolan_core::identity;
use portolan_core::plan::AttemptPlan;
use std::rc::Rc;
use std::time::Instant;

/// Answers a request that came to the listener of this number.
pub fn handle(
    worker: Rc<Worker>,
    listener: usize,
    downstream: Rc<Downstream>,
    request: Request<Incoming>,
) -> impl Future<Output = Response<Recorded<Body, Pin>>> {
    let (parts, body) = request.into_parts();
    let mut record = RequestRecord::begin(&worker.recorder, &parts, Instant::now());
    async move {
        let response = match answer(&worker, listener, &downstream, (&parts, body), &mut record).await {
            Ok(response) => response,
            Err(error) => {
                record.ended(error.ending());
                error.response()
            }
        };
        record.deliver(response)
    }
}

async fn answer(
    worker: &Worker,
    listener: usize,
    downstream: &Downstream,
    (parts, body): (&Parts, Incoming),
    record: &mut RequestRecord<Pin>,
) -> Result<Response<Body>, RequestError> {
    let head = message::check(parts)?;

    // Pin: from here on, everything seen belongs together.
    let table = worker.pins.pin();
    if let Some(answer) = worker.front_door.answer(&table.settings, parts, head.path) {
        record.ended(Ending::Probe);
        return Ok(answer);
    }
    let listener = table.listener(listener).ok_or(RequestError::NoRoute)?;

    // Identify, route. Where the client is, is part of the decision.
    let peer = downstream.peer.ip();
    let client = identity::identify(peer, &parts.headers, &listener.client_address);
    record.identified(client);
    let routed = table.route(head.authority, head.path).ok_or(RequestError::NoRoute)?;

    // Candidates, rank: natively, or as a plugin says.
    let inquiry = Inquiry {
        client,
        method: &parts.method,
        version: parts.version,
        authority: head.authority,
        path: head.path,
        headers: &parts.headers,
        roll: worker.chance.roll(),
        now: record.begun(),
    };
    let Decided { decision, plugin_took } = decide::decide(&table, routed, &inquiry, &mut worker.plugins.borrow_mut());
    let now = Instant::now();
    record.decided(Rc::clone(&table), &decision, now, plugin_took);
    if let Some(why) = decision.candidates.nobody() {
        return Err(RequestError::Nobody(why));
    }

    // Plan: every choice is made before the first byte leaves.
    let (retry, timeouts) = (&routed.service.retry, &routed.service.timeouts);
    let mut plan = AttemptPlan::new(decision.ranking.clone(), retry, timeouts, &parts.method, record.begun());
    if (decision.candidates.eligible - routed.health.silent()).is_empty() {
        plan = plan.in_silence(record.begun());
    }

    // Forward.
    let forwarding = Forwarding {
        peer: &downstream.peer_text,
        scheme: "http",
        is_trusted: listener.client_address.trusted.contains(peer),
        chance: [worker.chance.roll(), worker.chance.roll(), worker.chance.roll()],
    };
    let body = ReplayBody::new(body, retry.max_replay_bytes, timeouts.idle);
    let outbound = Outbound::new(parts, head.authority, forwarding, body.framing(&parts.headers));
    record.traced(outbound.traceparent());
    let forwarder = Forwarder {
        connections: &worker.connections,
        budget: &routed.entry.budget,
        retry,
        timeouts,
        target: |slot| routed.entry.gateway(slot),
    };
    let forwarded = forwarder.forward(plan, &outbound, &body, now).await;

    // Respond, record.
    record.forwarded(&forwarded, body.bytes_read());
    let mut response = forwarded.result?.map(Body::Upstream);
    if listener.debug_headers {
        let region = forwarded
            .attempts
            .last()
            .and_then(|attempt| routed.service.gateway(attempt.slot));
        let reason = decision.reason(routed.service, decide::said(&decision, routed));
        respond::explain(
            response.headers_mut(),
            region.map(|gateway| gateway.region.as_str()),
            &reason,
        );
    }
    Ok(response)
}
