//! Metrics of the connections to gateways, and of their endpoints. Labels are names of the configuration and words of fixed
//! sets: addresses come and go.

use crate::telemetry::exposition::{Exposition, Kind};
use crate::vitals::{EndpointStatus, Stale, Vitals};
use portolan_core::endpoint::EndpointState;
use std::time::Instant;

/// A gateway: its service, its region, its counters.
pub(super) type Gateway<'a> = (&'a str, &'a str, &'a Vitals);

/// Writes the metrics of all gateways.
pub(super) fn metrics(text: &mut Exposition, gateways: &[Gateway<'_>]) {
    let now = Instant::now();
    let all: Vec<(Gateway<'_>, Vec<EndpointStatus>)> = gateways
        .iter()
        .map(|gateway| (*gateway, gateway.2.endpoints.status(now)))
        .collect();
    let mut family = text.family(
        "portolan_upstream_connections",
        Kind::Gauge,
        "Open connections to a gateway, busy and idle.",
    );
    for ((service, region, _), endpoints) in &all {
        let open: u32 = endpoints.iter().map(|endpoint| endpoint.connections).sum();
        family.sample(&[("service", service), ("region", region)], open);
    }
    let mut family = text.family(
        "portolan_upstream_connections_opened_total",
        Kind::Counter,
        "Connections to a gateway that were opened for requests.",
    );
    for (service, region, vitals) in gateways {
        let opened = vitals.endpoints.opened_connections();
        family.sample(&[("service", service), ("region", region)], opened);
    }
    let mut family = text.family(
        "portolan_upstream_stale_connections_total",
        Kind::Counter,
        "Requests whose connection, which was used before, was found closed or spoilt, by what became of them.",
    );
    for (service, region, vitals) in gateways {
        for (stale, count) in Stale::ALL.into_iter().zip(vitals.stale_connections()) {
            let labels = [("service", *service), ("region", *region), ("result", stale.as_str())];
            family.sample(&labels, count);
        }
    }
    let mut family = text.family(
        "portolan_upstream_endpoints",
        Kind::Gauge,
        "Addresses of a gateway by state.",
    );
    for ((service, region, _), endpoints) in &all {
        for state in [
            EndpointState::Available,
            EndpointState::Ejected,
            EndpointState::Unhealthy,
        ] {
            let count = endpoints.iter().filter(|endpoint| endpoint.state == state).count();
            let labels = [("service", *service), ("region", *region), ("state", state.as_str())];
            family.sample(&labels, count);
        }
    }
    let mut family = text.family(
        "portolan_upstream_endpoint_ejections_total",
        Kind::Counter,
        "Ejections of one address among several of a gateway.",
    );
    for (service, region, vitals) in gateways {
        family.sample(
            &[("service", service), ("region", region)],
            vitals.endpoints.ejections(),
        );
    }
}
