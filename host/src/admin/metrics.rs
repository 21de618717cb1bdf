//! `GET /metrics`. Labels come from the configuration and from fixed lists of words only, so that their number is bounded.

mod downstream;
mod learned;
mod program;
mod rollouts;
mod upstream;

use super::backend::{Readiness, ServiceStatus, StatusSnapshot};
use super::connections;
use super::names;
use crate::telemetry::exposition::{Exposition, Format, Kind};
use crate::telemetry::metrics::{
    PLUGIN_ANSWERS, PLUGIN_EFFECTS, RANKED_BY, RESPONSE_BOUNDS, Retry, ServiceTotals, Stage,
};
use crate::telemetry::process::Process;
use crate::vitals::{RequestOutcome, Vitals};
use portolan_core::affinity::Affine;
use portolan_core::config::{Policy, Scheme, Service};
use portolan_core::health::{GatewayHealth, ServiceHealth};
use std::time::{SystemTime, UNIX_EPOCH};

/// All of them, in a format.
pub(super) fn exposition(snapshot: &StatusSnapshot, readiness: Readiness, format: Format) -> Exposition {
    let mut text = Exposition::new(format);
    let services = Counted::all(snapshot);
    requests(&mut text, snapshot, &services);
    downstream::downstream(&mut text, snapshot);
    decisions(&mut text, &services);
    durations(&mut text, &services);
    upstream::gateways(&mut text, &services);
    let all: Vec<_> = each(&services)
        .map(|(service, region, vitals, _)| (service, region, vitals))
        .collect();
    connections::metrics(&mut text, &all);
    names::metrics(&mut text, snapshot);
    plugins(&mut text, snapshot, &services);
    rollouts::metrics(&mut text, snapshot);
    program::loads(&mut text, snapshot);
    program::logs(&mut text, snapshot);
    program::exports(&mut text, snapshot);
    program::tasks(&mut text, snapshot, readiness);
    if let Some(tls) = &snapshot.admin_tls {
        program::admin_tls(&mut text, tls);
    }
    if let Some(notice) = &snapshot.front_door {
        notice.write_metrics(&mut text);
    }
    if let Some(status) = &snapshot.learned {
        learned::learned(&mut text, status, &services);
    }
    program::process(&mut text, snapshot.started, &Process::read());
    text
}

/// A service with its counts, read once.
struct Counted<'a> {
    service: &'a Service,
    shown: &'a ServiceStatus,
    health: Option<&'a ServiceHealth>,
    totals: ServiceTotals,
}

impl<'a> Counted<'a> {
    fn all(snapshot: &'a StatusSnapshot) -> Vec<Self> {
        let services = snapshot.config.services().iter().zip(&snapshot.services);
        let services = services.enumerate().map(|(index, (service, shown))| Self {
            service,
            shown,
            health: snapshot.health.services().get(index),
            totals: shown.vitals.totals(),
        });
        services.collect()
    }

    fn name(&self) -> &'a str {
        self.service.name.as_str()
    }

    fn gateways(&self) -> impl Iterator<Item = (&'a str, &'a Vitals, GatewayHealth)> {
        let gateways = self.service.gateways().iter().zip(&self.shown.gateways);
        gateways
            .zip(self.service.slots().iter())
            .map(|((gateway, vitals), slot)| {
                let health = self.health.map(|health| health.gateway(slot)).unwrap_or_default();
                (gateway.region.as_str(), &**vitals, health)
            })
    }
}

/// Every gateway of every service: service, region, counters, health.
fn each<'a>(services: &'a [Counted<'a>]) -> impl Iterator<Item = (&'a str, &'a str, &'a Vitals, GatewayHealth)> {
    services.iter().flat_map(|counted| {
        let gateways = counted.gateways();
        gateways.map(|(region, vitals, health)| (counted.name(), region, vitals, health))
    })
}

fn requests(text: &mut Exposition, snapshot: &StatusSnapshot, services: &[Counted<'_>]) {
    let mut family = text.family(
        "portolan_requests_total",
        Kind::Counter,
        "Requests by how they ended; without a region when no region answered, without a service when there was no route.",
    );
    for (service, region, vitals, _) in each(services) {
        for (outcome, count) in RequestOutcome::ALL.into_iter().zip(vitals.outcomes()) {
            if outcome.is_of_gateway() {
                family.sample(
                    &[("service", service), ("region", region), ("outcome", outcome.as_str())],
                    count,
                );
            }
        }
    }
    let unrouted = snapshot.unrouted.totals();
    let totals = services.iter().map(|counted| (counted.name(), &counted.totals));
    for (service, totals) in totals.clone().chain([("", &unrouted)]) {
        for (outcome, count) in RequestOutcome::ALL.into_iter().zip(totals.outcomes) {
            if outcome.is_of_proxy() {
                family.sample(
                    &[("service", service), ("region", ""), ("outcome", outcome.as_str())],
                    count,
                );
            }
        }
    }
    let mut family = text.family(
        "portolan_grpc_calls_total",
        Kind::Counter,
        "Calls of gRPC by their status, missing for those that a gateway ended without one; without a region when no region answered. Of \
         services and regions that had calls.",
    );
    for (service, region, vitals, _) in each(services) {
        for (status, count) in vitals.grpc().iter() {
            let labels = [("service", service), ("region", region), ("grpc_status", status)];
            family.sample(&labels, count);
        }
    }
    for (service, totals) in totals.chain([("", &unrouted)]) {
        for (status, count) in totals.grpc.iter() {
            family.sample(&[("service", service), ("region", ""), ("grpc_status", status)], count);
        }
    }
    let mut family = text.family(
        "portolan_received_bytes_total",
        Kind::Counter,
        "Bytes of request bodies.",
    );
    for counted in services {
        family.sample(&[("service", counted.name())], counted.totals.received);
    }
    let mut family = text.family("portolan_sent_bytes_total", Kind::Counter, "Bytes of response bodies.");
    for counted in services {
        family.sample(&[("service", counted.name())], counted.totals.sent);
    }
}

fn decisions(text: &mut Exposition, services: &[Counted<'_>]) {
    let mut family = text.family(
        "portolan_decisions_total",
        Kind::Counter,
        "Decisions by who ordered the regions.",
    );
    for counted in services {
        for (by, count) in RANKED_BY.into_iter().zip(counted.totals.ranked) {
            family.sample(&[("service", counted.name()), ("by", by)], count);
        }
    }
    let mut family = text.family(
        "portolan_affinity_requests_total",
        Kind::Counter,
        "Requests that belong to a session: with its region first (kept), with another one first because that may not answer (moved), and \
         the first ones of sessions (begun).",
    );
    for counted in services {
        for (session, count) in Affine::ALL.into_iter().zip(counted.totals.sessions) {
            family.sample(&[("service", counted.name()), ("session", session.as_str())], count);
        }
    }
    let retries = |counted: &Counted<'_>| Retry::ALL.into_iter().zip(counted.totals.retries);
    let mut family = text.family(
        "portolan_retries_total",
        Kind::Counter,
        "Further attempts after a failed or slow one: retries and hedges.",
    );
    for counted in services {
        let made = retries(counted).filter(|(retry, _)| *retry == Retry::Attempted);
        family.sample(
            &[("service", counted.name())],
            made.map(|(_, count)| count).sum::<u64>(),
        );
    }
    let mut family = text.family(
        "portolan_retries_skipped_total",
        Kind::Counter,
        "Failed attempts that were not followed by another one, by reason.",
    );
    for counted in services {
        for (retry, count) in retries(counted).filter(|(retry, _)| *retry != Retry::Attempted) {
            family.sample(&[("service", counted.name()), ("reason", retry.as_str())], count);
        }
    }
}

fn durations(text: &mut Exposition, services: &[Counted<'_>]) {
    for stage in Stage::ALL {
        let (name, help) = match stage {
            Stage::Identify => (
                "portolan_request_identify_seconds",
                "Time from a request until it is known where its client is: its route and what admits it included.",
            ),
            Stage::Decide => (
                "portolan_request_decide_seconds",
                "Time to choose the regions of a request from then on, its plugin included.",
            ),
            Stage::Plugin => ("portolan_plugin_call_seconds", "Time of a plugin's call."),
            Stage::FirstByte => (
                "portolan_request_first_byte_seconds",
                "Time from a request to the head of its response, all attempts together.",
            ),
            Stage::Total => (
                "portolan_request_duration_seconds",
                "Time from a request to the end of its response.",
            ),
            Stage::Overhead => (
                "portolan_request_overhead_seconds",
                "What of that was not spent on waiting for gateways or for the client: what Portolan itself adds.",
            ),
        };
        let mut family = text.family(name, Kind::Histogram, help);
        for counted in services {
            let durations = &counted.totals.stages[stage as usize];
            let exemplars = counted.shown.vitals.exemplars.of(stage as usize);
            family.histogram_with(&[("service", counted.name())], durations, stage.bounds(), &exemplars);
        }
    }
    let mut family = text.family(
        "portolan_upstream_first_byte_seconds",
        Kind::Histogram,
        "Time from the beginning of an attempt to the head of its response.",
    );
    for (service, region, vitals, _) in each(services) {
        let labels = [("service", service), ("region", region)];
        family.histogram(&labels, &vitals.first_byte(), RESPONSE_BOUNDS);
    }
    let mut family = text.family(
        "portolan_upstream_connect_seconds",
        Kind::Histogram,
        "Time to open a TCP connection to a gateway, without resolving its name.",
    );
    for (service, region, vitals, _) in each(services) {
        let labels = [("service", service), ("region", region)];
        family.histogram(&labels, &vitals.connect(), RESPONSE_BOUNDS);
    }
    let mut family = text.family(
        "portolan_upstream_tls_handshake_seconds",
        Kind::Histogram,
        "Time of a TLS handshake with a gateway after that. Of gateways with TLS.",
    );
    for (service, region, vitals, _) in each(services) {
        if vitals.key.address.scheme == Scheme::Https {
            let labels = [("service", service), ("region", region)];
            family.histogram(&labels, &vitals.tls_handshake(), RESPONSE_BOUNDS);
        }
    }
}

fn plugins(text: &mut Exposition, snapshot: &StatusSnapshot, services: &[Counted<'_>]) {
    let mut family = text.family(
        "portolan_plugin_info",
        Kind::Gauge,
        "1 for the active version of a plugin, and for the one that is being rolled out, by digest.",
    );
    for plugin in &snapshot.plugins {
        let name = ("plugin", plugin.name.as_str());
        family.sample(&[name, ("version", "active"), ("digest", &plugin.digest)], 1);
        if let Some(rollout) = &plugin.rollout {
            let (stage, digest) = (rollout.trial.stage.as_str(), rollout.trial.version.digest.as_str());
            family.sample(&[name, ("version", stage), ("digest", digest)], 1);
        }
    }
    let of_plugins = |counted: &Counted<'_>| match &counted.service.policy {
        Policy::Plugin(name) => Some(name.clone()),
        _ => None,
    };
    let mut family = text.family(
        "portolan_plugin_faults_total",
        Kind::Counter,
        "Calls that a plugin failed, by fault: the built-in policy answered instead.",
    );
    for counted in services {
        let plugin = of_plugins(counted);
        let plugin = plugin.as_ref().map_or("", |name| name.as_str());
        for (fault, count) in &counted.totals.faults {
            family.sample(
                &[("service", counted.name()), ("plugin", plugin), ("fault", fault)],
                *count,
            );
        }
    }
    let mut family = text.family(
        "portolan_plugin_repairs_total",
        Kind::Counter,
        "Answers of a plugin of which something had to be dropped.",
    );
    for counted in services {
        if let Some(plugin) = of_plugins(counted) {
            let labels = [("service", counted.name()), ("plugin", plugin.as_str())];
            family.sample(&labels, counted.totals.repaired);
        }
    }
    let mut family = text.family(
        "portolan_plugin_instances_started_total",
        Kind::Counter,
        "Instances of a plugin that were started, by reason: growth and fault are the plugin's own doing.",
    );
    for started in &snapshot.plugin_starts {
        family.sample(
            &[("plugin", started.plugin.as_str()), ("reason", started.reason.as_str())],
            started.count,
        );
    }
    let mut family = text.family(
        "portolan_plugin_answers_total",
        Kind::Counter,
        "Answers of a plugin: order, no_opinion where it named no region that may answer, reject.",
    );
    for counted in services {
        if let Some(plugin) = of_plugins(counted) {
            for (answer, count) in PLUGIN_ANSWERS.iter().zip(counted.totals.answers) {
                let labels = [
                    ("service", counted.name()),
                    ("plugin", plugin.as_str()),
                    ("answer", answer),
                ];
                family.sample(&labels, count);
            }
        }
    }
    let mut family = text.family(
        "portolan_plugin_effects_total",
        Kind::Counter,
        "What answers of a plugin do besides: request headers for the gateway, affinity turned off or on.",
    );
    for counted in services {
        if let Some(plugin) = of_plugins(counted) {
            for (effect, count) in PLUGIN_EFFECTS.iter().zip(counted.totals.effects) {
                let labels = [
                    ("service", counted.name()),
                    ("plugin", plugin.as_str()),
                    ("effect", effect),
                ];
                family.sample(&labels, count);
            }
        }
    }
    let mut family = text.family(
        "portolan_plugin_counter_total",
        Kind::Counter,
        "What plugins count, by the names they give their counters.",
    );
    for reading in &snapshot.plugin_counters {
        let labels = [
            ("plugin", reading.plugin.as_str()),
            ("counter", reading.counter.as_str()),
        ];
        family.sample(&labels, reading.value);
    }
}

fn since_epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
