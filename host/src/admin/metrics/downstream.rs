//! Listeners: connections, what is rejected, TLS handshakes.

use crate::admin::backend::StatusSnapshot;
use crate::telemetry::exposition::{Exposition, Kind};
use crate::vitals::{
    ConnectionLimit, HandshakeFailure, Http2Error, Http2Vitals, ListenerVitals, ProxyHeader, RateBuckets, Reason,
    TlsVersion,
};
use portolan_core::admission::Priority;
use std::time::UNIX_EPOCH;

pub(super) fn downstream(text: &mut Exposition, snapshot: &StatusSnapshot) {
    let mut family = text.family(
        "portolan_rejected_requests_total",
        Kind::Counter,
        "Requests that Portolan answered with an error of its own, or could not read, by reason.",
    );
    for (reason, count) in Reason::ALL.into_iter().zip(snapshot.rejections.totals()) {
        family.sample(&[("reason", reason.as_str())], count);
    }
    in_flight(text, snapshot);
    let mut connections = |name, kind, help, of: fn(&ListenerVitals) -> u64| {
        let mut family = text.family(name, kind, help);
        for listener in &snapshot.listeners {
            family.sample(&[("listener", listener.id.as_str())], of(listener));
        }
    };
    connections(
        "portolan_downstream_connections",
        Kind::Gauge,
        "Connections of clients that are open.",
        |listener| u64::from(listener.open()),
    );
    connections(
        "portolan_downstream_accepted_connections_total",
        Kind::Counter,
        "Connections of clients that were accepted.",
        ListenerVitals::accepted,
    );
    connections(
        "portolan_downstream_tunnels",
        Kind::Gauge,
        "Tunnels that are open: connections and streams of clients that changed to another protocol, such as WebSocket.",
        |listener| u64::from(listener.tunnels()),
    );
    let mut family = text.family(
        "portolan_downstream_rejected_connections_total",
        Kind::Counter,
        "Connections of clients that were answered with 503, by the limit that they were beyond.",
    );
    for listener in &snapshot.listeners {
        for limit in ConnectionLimit::ALL {
            let labels = [("listener", listener.id.as_str()), ("limit", limit.as_str())];
            family.sample(&labels, listener.rejected(limit));
        }
    }
    let mut family = text.family(
        "portolan_proxy_protocol_headers_total",
        Kind::Counter,
        "Connections from proxies that must send a PROXY protocol header, by the header that came, or why they were closed.",
    );
    for listener in &snapshot.listeners {
        for (kind, count) in ProxyHeader::ALL.into_iter().zip(listener.proxy_headers()) {
            family.sample(&[("listener", listener.id.as_str()), ("result", kind.as_str())], count);
        }
    }
    http2(text, snapshot);
    handshakes(text, snapshot);
}

/// The requests that are worked on, and how many may be.
fn in_flight(text: &mut Exposition, snapshot: &StatusSnapshot) {
    let mut family = text.family(
        "portolan_downstream_in_flight",
        Kind::Gauge,
        "Requests of clients that are worked on, until the end of their responses.",
    );
    family.sample(&[], snapshot.in_flight.total());
    if let Some(overload) = &snapshot.overload {
        let mut family = text.family(
            "portolan_overload_limit",
            Kind::Gauge,
            "Requests of clients in flight at which those of a priority are shed.",
        );
        for priority in Priority::ALL {
            family.sample(&[("priority", priority.as_str())], overload.limit(priority));
        }
    }
    let routes = snapshot.config.route_policies().iter().zip(&*snapshot.route_counts);
    rates(text, snapshot);
    let routes = routes.filter_map(|(own, counts)| {
        let limit = own.limits.concurrent_requests?;
        Some((own.route.to_string(), limit, counts.in_flight.as_ref()?.total()))
    });
    let routes: Vec<_> = routes.collect();
    let mut family = text.family(
        "portolan_route_in_flight",
        Kind::Gauge,
        "Requests that are worked on, of the routes that limit them.",
    );
    for (route, _, in_flight) in &routes {
        family.sample(&[("route", route)], *in_flight);
    }
    let mut family = text.family(
        "portolan_route_concurrent_requests_limit",
        Kind::Gauge,
        "limits.concurrent_requests of a route.",
    );
    for (route, limit, _) in &routes {
        family.sample(&[("route", route)], *limit);
    }
}

/// Of the routes with a rate limit.
fn rates(text: &mut Exposition, snapshot: &StatusSnapshot) {
    let routes = snapshot.config.route_policies().iter().zip(&*snapshot.route_counts);
    let routes = routes.filter_map(|(own, counts)| Some((own.route.to_string(), counts.rate.as_ref()?)));
    let routes: Vec<_> = routes.collect();
    let mut counter = |name, help, of: fn(&RateBuckets) -> u64| {
        let mut family = text.family(name, Kind::Counter, help);
        for (route, buckets) in &routes {
            family.sample(&[("route", route)], of(buckets));
        }
    };
    counter(
        "portolan_route_rate_limited_requests_total",
        "Requests of clients that sent more than limits.rate of their route.",
        RateBuckets::limited,
    );
    counter(
        "portolan_route_rate_limit_evictions_total",
        "Clients that began with a full bucket again because more networks than limits.rate.networks were sending.",
        RateBuckets::evicted,
    );
}

/// HTTP/2, of all listeners.
fn http2(text: &mut Exposition, snapshot: &StatusSnapshot) {
    let mut counter = |name, help, of: fn(&Http2Vitals) -> u64| {
        let mut family = text.family(name, Kind::Counter, help);
        for listener in &snapshot.listeners {
            family.sample(&[("listener", listener.id.as_str())], of(&listener.http2));
        }
    };
    counter(
        "portolan_downstream_http2_connections_total",
        "Connections of clients over which HTTP/2 is spoken.",
        Http2Vitals::connections,
    );
    counter(
        "portolan_downstream_http2_requests_total",
        "Requests that came over HTTP/2.",
        Http2Vitals::streams,
    );
    let mut family = text.family(
        "portolan_downstream_http2_errors_total",
        Kind::Counter,
        "Connections over which HTTP/2 was spoken that were closed because of what their clients sent, by reason.",
    );
    for listener in &snapshot.listeners {
        for error in Http2Error::ALL {
            let labels = [("listener", listener.id.as_str()), ("reason", error.as_str())];
            family.sample(&labels, listener.http2.errors(error));
        }
    }
}

/// Of the listeners with TLS.
fn handshakes(text: &mut Exposition, snapshot: &StatusSnapshot) {
    let listeners = || snapshot.listeners.iter().filter(|it| snapshot.tls.contains_key(&it.id));
    let mut family = text.family(
        "portolan_downstream_tls_handshakes_total",
        Kind::Counter,
        "TLS handshakes with clients that were completed, by version, and whether a session was resumed.",
    );
    for listener in listeners() {
        for version in TlsVersion::ALL {
            for (resumed, session) in [(false, "full"), (true, "resumed")] {
                let labels = [
                    ("listener", listener.id.as_str()),
                    ("version", version.as_str()),
                    ("session", session),
                ];
                family.sample(&labels, listener.handshakes.count(version, resumed));
            }
        }
    }
    let mut family = text.family(
        "portolan_downstream_tls_handshake_failures_total",
        Kind::Counter,
        "TLS handshakes with clients that failed, by reason.",
    );
    for listener in listeners() {
        for failure in HandshakeFailure::ALL {
            let labels = [("listener", listener.id.as_str()), ("reason", failure.as_str())];
            family.sample(&labels, listener.handshakes.failures(failure));
        }
    }
    let mut family = text.family(
        "portolan_downstream_tls_certificate_expiry_timestamp_seconds",
        Kind::Gauge,
        "When the certificates of listeners expire, in seconds since 1970, by their first name.",
    );
    for (listener, tls) in &*snapshot.tls {
        for (index, pair) in tls.certificates.pairs().iter().enumerate() {
            let expiry = pair.not_after.duration_since(UNIX_EPOCH).unwrap_or_default();
            let name = pair.names.first().map_or("", |name| &**name);
            let index = index.to_string();
            let labels = [
                ("listener", listener.as_str()),
                ("certificate", &*index),
                ("name", name),
            ];
            family.sample(&labels, expiry.as_secs());
        }
    }
}
