//! Gateways: attempts, states, health checks, ejections.

use super::{Counted, each, since_epoch};
use crate::telemetry::exposition::{Exposition, Kind};
use crate::telemetry::metrics::RESPONSE_BOUNDS;
use crate::vitals::{Http2Event, TunnelEnd, TunnelTotals, UpstreamError};
use portolan_core::config::Steer;
use portolan_core::health::{Awaited, GatewayHealth, State};
use std::time::{Instant, SystemTime};

/// Connections that changed to another protocol.
fn tunnels(text: &mut Exposition, services: &[Counted<'_>]) {
    let mut family = text.family(
        "portolan_upstream_tunnels",
        Kind::Gauge,
        "Tunnels to a gateway that are open: connections that changed to another protocol, such as WebSocket.",
    );
    for (service, region, vitals, _) in each(services) {
        family.sample(&[("service", service), ("region", region)], vitals.tunnels().open);
    }
    let mut family = text.family(
        "portolan_upstream_tunnels_ended_total",
        Kind::Counter,
        "Tunnels by how they ended.",
    );
    for (service, region, vitals, _) in each(services) {
        for (end, count) in TunnelEnd::ALL.into_iter().zip(vitals.tunnels().ended) {
            let labels = [("service", service), ("region", region), ("end", end.as_str())];
            family.sample(&labels, count);
        }
    }
    let mut bytes = |name, help, of: fn(&TunnelTotals) -> u64| {
        let mut family = text.family(name, Kind::Counter, help);
        for (service, region, vitals, _) in each(services) {
            family.sample(&[("service", service), ("region", region)], of(&vitals.tunnels()));
        }
    };
    bytes(
        "portolan_upstream_tunnel_received_bytes_total",
        "Bytes of tunnels that clients sent, as they come.",
        |totals| totals.received,
    );
    bytes(
        "portolan_upstream_tunnel_sent_bytes_total",
        "Bytes of tunnels that gateways sent, as they come.",
        |totals| totals.sent,
    );
}

pub(super) fn gateways(text: &mut Exposition, services: &[Counted<'_>]) {
    let mut family = text.family(
        "portolan_upstream_attempts_total",
        Kind::Counter,
        "Attempts by how they ended; overtaken and cancelled: another region answered first.",
    );
    for (service, region, vitals, _) in each(services) {
        for (evidence, count) in vitals.totals().iter() {
            family.sample(
                &[("service", service), ("region", region), ("outcome", evidence.as_str())],
                count,
            );
        }
    }
    let mut family = text.family(
        "portolan_upstream_errors_total",
        Kind::Counter,
        "Errors of attempts by kind. The causes are in the log.",
    );
    for (service, region, vitals, _) in each(services) {
        for (kind, count) in UpstreamError::ALL.into_iter().zip(vitals.errors()) {
            let labels = [("service", service), ("region", region), ("kind", kind.as_str())];
            family.sample(&labels, count);
        }
    }
    let mut family = text.family(
        "portolan_upstream_unanswered_total",
        Kind::Counter,
        "Overtaken attempts that the gateway did not answer for long after that.",
    );
    for (service, region, vitals, _) in each(services) {
        family.sample(
            &[("service", service), ("region", region)],
            vitals.totals().unanswered(),
        );
    }
    let mut family = text.family(
        "portolan_upstream_disputed_failures_total",
        Kind::Counter,
        "Failed attempts that may be the requests' own fault: they failed in the same way in other regions.",
    );
    for (service, region, vitals, _) in each(services) {
        family.sample(&[("service", service), ("region", region)], vitals.totals().disputed());
    }
    let mut family = text.family("portolan_upstream_in_flight", Kind::Gauge, "Attempts in flight.");
    for (service, region, vitals, _) in each(services) {
        family.sample(&[("service", service), ("region", region)], vitals.in_flight());
    }
    tunnels(text, services);
    let mut family = text.family(
        "portolan_gateway_state",
        Kind::Gauge,
        "1 for the state a gateway is in.",
    );
    for (service, region, _, health) in each(services) {
        for state in State::ALL {
            let labels = [("service", service), ("region", region), ("state", state.as_str())];
            family.sample(&labels, u8::from(state == health.state));
        }
    }
    let mut family = text.family(
        "portolan_gateway_failback_waiting",
        Kind::Gauge,
        "1 for what a gateway that has recovered waits for before it gets traffic again.",
    );
    for (service, region, _, health) in each(services) {
        for awaited in Awaited::WORDS {
            let labels = [("service", service), ("region", region), ("awaits", awaited)];
            let is_awaited = health.why.awaits.is_some_and(|(it, _)| it.as_str() == awaited);
            family.sample(&labels, u8::from(is_awaited));
        }
    }
    let mut family = text.family(
        "portolan_gateway_reported_utilization",
        Kind::Gauge,
        "How busy a gateway says it is, 1 for all of its capacity. Of gateways that report it.",
    );
    for (service, region, vitals, _) in each(services) {
        if let Some(thousandths) = vitals.load.utilization(Instant::now()) {
            family.sample(
                &[("service", service), ("region", region)],
                f64::from(thousandths) / 1000.0,
            );
        }
    }
    let mut family = text.family(
        "portolan_gateway_share",
        Kind::Gauge,
        "A gateway's share of its usual traffic, 0 to 1: less than 1 during slow start.",
    );
    for (service, region, _, health) in each(services) {
        let share = f64::from(health.share) / f64::from(GatewayHealth::FULL_SHARE);
        family.sample(&[("service", service), ("region", region)], share);
    }
    let mut family = text.family(
        "portolan_gateway_probe_seconds",
        Kind::Gauge,
        "Round trip of the last probe that succeeded.",
    );
    for (service, region, vitals, _) in each(services) {
        if let Some(round_trip) = vitals.checks.last_passed() {
            family.sample(&[("service", service), ("region", region)], round_trip.as_secs_f64());
        }
    }
    let now = Instant::now();
    let mut family = text.family(
        "portolan_gateway_round_trip_seconds",
        Kind::Gauge,
        "Round trip from this instance to a gateway, as the handshakes of its connections show it.",
    );
    for (service, region, vitals, _) in each(services) {
        if let Some(measured) = vitals.round_trip.measured(now) {
            family.sample(
                &[("service", service), ("region", region)],
                measured.round_trip.as_secs_f64(),
            );
        }
    }
    let mut family = text.family(
        "portolan_gateway_round_trip_deviation_seconds",
        Kind::Gauge,
        "Standard deviation of that.",
    );
    for (service, region, vitals, _) in each(services) {
        if let Some(measured) = vitals.round_trip.measured(now) {
            family.sample(
                &[("service", service), ("region", region)],
                measured.deviation.as_secs_f64(),
            );
        }
    }
    let mut family = text.family(
        "portolan_alt_svc_total",
        Kind::Counter,
        "Responses that advertised the public endpoint of a region, and those that told clients not to use any.",
    );
    for counted in services
        .iter()
        .filter(|it| matches!(it.service.steer, Steer::AltSvc(_)))
    {
        for (region, vitals, _) in counted.gateways() {
            for (value, count) in vitals.alt_svc() {
                family.sample(
                    &[("service", counted.name()), ("region", region), ("value", value)],
                    count,
                );
            }
        }
    }
    http2(text, services);
    checks(text, services);
}

/// Connections of HTTP/2 and their streams.
fn http2(text: &mut Exposition, services: &[Counted<'_>]) {
    let mut family = text.family(
        "portolan_upstream_http2_connections",
        Kind::Gauge,
        "Open connections of HTTP/2 to a gateway.",
    );
    for (service, region, vitals, _) in each(services) {
        let counts = vitals.http2.counts();
        family.sample(&[("service", service), ("region", region)], counts.connections.0);
    }
    let mut family = text.family(
        "portolan_upstream_http2_connections_opened_total",
        Kind::Counter,
        "Connections of HTTP/2 that were opened to a gateway.",
    );
    for (service, region, vitals, _) in each(services) {
        let counts = vitals.http2.counts();
        family.sample(&[("service", service), ("region", region)], counts.connections.1);
    }
    let mut family = text.family("portolan_upstream_http2_streams", Kind::Gauge, "Open streams on them.");
    for (service, region, vitals, _) in each(services) {
        let counts = vitals.http2.counts();
        family.sample(&[("service", service), ("region", region)], counts.streams.0);
    }
    let mut family = text.family(
        "portolan_upstream_http2_streams_opened_total",
        Kind::Counter,
        "Streams that were opened on them.",
    );
    for (service, region, vitals, _) in each(services) {
        let counts = vitals.http2.counts();
        family.sample(&[("service", service), ("region", region)], counts.streams.1);
    }
    let mut family = text.family(
        "portolan_upstream_http2_events_total",
        Kind::Counter,
        "What a gateway did on them: go_away, stream_refused, ping_timeout (it was given up), protocol_error (it was closed).",
    );
    for (service, region, vitals, _) in each(services) {
        for (event, count) in Http2Event::ALL.into_iter().zip(vitals.http2.counts().events) {
            let labels = [("service", service), ("region", region), ("event", event.as_str())];
            family.sample(&labels, count);
        }
    }
}

/// Active health checks and outlier detection.
fn checks(text: &mut Exposition, services: &[Counted<'_>]) {
    let mut family = text.family("portolan_probes_total", Kind::Counter, "Probes by result.");
    for (service, region, vitals, _) in each(services) {
        for (result, count) in vitals.checks.probes() {
            family.sample(&[("service", service), ("region", region), ("result", result)], count);
        }
    }
    let mut family = text.family(
        "portolan_probe_duration_seconds",
        Kind::Histogram,
        "Round trips of the probes that passed.",
    );
    for (service, region, vitals, _) in each(services) {
        let labels = [("service", service), ("region", region)];
        family.histogram(&labels, &vitals.checks.probe_duration(), RESPONSE_BOUNDS);
    }
    let mut family = text.family(
        "portolan_ejections_total",
        Kind::Counter,
        "Ejections of a gateway by outlier detection, by cause.",
    );
    for (service, region, vitals, _) in each(services) {
        for (cause, count) in vitals.checks.ejections() {
            family.sample(&[("service", service), ("region", region), ("cause", cause)], count);
        }
    }
    let mut family = text.family(
        "portolan_gateway_unhealthy",
        Kind::Gauge,
        "1 with the cause while a gateway is unhealthy.",
    );
    for (service, region, _, health) in each(services) {
        if let (State::Unhealthy, Some(cause)) = (health.state, health.why.cause) {
            let labels = [("service", service), ("region", region), ("cause", cause.as_str())];
            family.sample(&labels, 1);
        }
    }
    let (now, time) = (Instant::now(), since_epoch(SystemTime::now()));
    let mut family = text.family(
        "portolan_gateway_state_since_timestamp_seconds",
        Kind::Gauge,
        "When a gateway got into its state.",
    );
    for (service, region, _, health) in each(services) {
        if let Some(since) = health.why.since {
            let since = time - now.saturating_duration_since(since).as_secs_f64();
            family.sample(&[("service", service), ("region", region)], since);
        }
    }
    let mut family = text.family(
        "portolan_gateway_ejected_until_timestamp_seconds",
        Kind::Gauge,
        "When a gateway's ejection ends, unless probes end it earlier; only while it is ejected.",
    );
    for (service, region, _, health) in each(services) {
        if let Some(until) = health.why.ejected_until {
            let until = time + until.saturating_duration_since(now).as_secs_f64();
            family.sample(&[("service", service), ("region", region)], until);
        }
    }
}
