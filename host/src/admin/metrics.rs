//! `GET /metrics`. Labels come from the configuration and from fixed lists of words only, so that their number is bounded.

use super::backend::{Readiness, ServiceStatus, StatusSnapshot};
use super::connections;
use super::names;
use crate::telemetry::exposition::{Exposition, Kind};
use crate::telemetry::metrics::{RANKED_BY, RESPONSE_BOUNDS, Retry, ServiceTotals, Stage};
use crate::telemetry::process::Process;
use crate::vitals::{
    HandshakeFailure, ListenerVitals, ProxyHeader, Reason, RequestOutcome, TlsVersion, UpstreamError, Vitals,
};
use portolan_core::config::{Policy, Service};
use portolan_core::health::{GatewayHealth, ServiceHealth, State};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The text of the whole page.
pub(super) fn text(snapshot: &StatusSnapshot, readiness: Readiness) -> String {
    let mut text = Exposition::default();
    let services = Counted::all(snapshot);
    requests(&mut text, snapshot, &services);
    downstream(&mut text, snapshot);
    decisions(&mut text, &services);
    durations(&mut text, &services);
    gateways(&mut text, &services);
    let all: Vec<_> = each(&services)
        .map(|(service, region, vitals, _)| (service, region, vitals))
        .collect();
    connections::metrics(&mut text, &all);
    names::metrics(&mut text, snapshot);
    plugins(&mut text, snapshot, &services);
    loads(&mut text, snapshot);
    logs(&mut text, snapshot);
    tasks(&mut text, snapshot, readiness);
    if let Some(notice) = &snapshot.front_door {
        notice.write_metrics(&mut text);
    }
    process(&mut text, snapshot.started, &Process::read());
    text.into_text()
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
    for (service, totals) in totals.chain([("", &unrouted)]) {
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

fn downstream(text: &mut Exposition, snapshot: &StatusSnapshot) {
    let mut family = text.family(
        "portolan_rejected_requests_total",
        Kind::Counter,
        "Requests that Portolan answered with an error of its own, or could not read, by reason.",
    );
    for (reason, count) in Reason::ALL.into_iter().zip(snapshot.rejections.totals()) {
        family.sample(&[("reason", reason.as_str())], count);
    }
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
        "portolan_downstream_rejected_connections_total",
        Kind::Counter,
        "Connections of clients beyond max_connections, which were answered with 503.",
        ListenerVitals::rejected,
    );
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
    handshakes(text, snapshot);
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
            Stage::Decide => (
                "portolan_request_decide_seconds",
                "Time to choose the regions of a request, its plugin included.",
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
        };
        let mut family = text.family(name, Kind::Histogram, help);
        for counted in services {
            let durations = &counted.totals.stages[stage as usize];
            family.histogram(&[("service", counted.name())], durations, stage.bounds());
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
}

fn gateways(text: &mut Exposition, services: &[Counted<'_>]) {
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
    for (service, region, _, health) in each(services) {
        if let Some(round_trip) = health.round_trip {
            family.sample(&[("service", service), ("region", region)], round_trip.as_secs_f64());
        }
    }
    checks(text, services);
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

fn plugins(text: &mut Exposition, snapshot: &StatusSnapshot, services: &[Counted<'_>]) {
    let mut family = text.family(
        "portolan_plugin_info",
        Kind::Gauge,
        "1 for the active version of a plugin.",
    );
    for plugin in &snapshot.plugins {
        family.sample(&[("plugin", plugin.name.as_str()), ("digest", &plugin.digest)], 1);
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
                count,
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

fn loads(text: &mut Exposition, snapshot: &StatusSnapshot) {
    text.family(
        "portolan_table_generation",
        Kind::Gauge,
        "Number of the active routing table.",
    )
    .sample(&[], snapshot.generation);
    for (what, name, help) in [
        (
            "config",
            "portolan_config_reloads_total",
            "Configurations that were read, by result.",
        ),
        (
            "geo",
            "portolan_geo_reloads_total",
            "Location databases that were read, by result.",
        ),
        (
            "plugin",
            "portolan_plugin_reloads_total",
            "Plugins that were read, by result.",
        ),
        (
            "tls",
            "portolan_tls_reloads_total",
            "Certificates and keys of listeners that were replaced and read, by result.",
        ),
    ] {
        let mut family = text.family(name, Kind::Counter, help);
        if let Some(load) = snapshot.loads.iter().find(|load| load.what == what) {
            family.sample(&[("result", "accepted")], load.accepted);
            family.sample(&[("result", "rejected")], load.rejected);
        }
    }
    let mut family = text.family(
        "portolan_load_failing",
        Kind::Gauge,
        "1 while the last one read was rejected and the one before is active.",
    );
    for load in &snapshot.loads {
        family.sample(&[("what", load.what)], u8::from(load.standing_error.is_some()));
    }
    let mut family = text.family(
        "portolan_load_restored",
        Kind::Gauge,
        "1 while the last good one of an earlier run is active, because what there was at the start was rejected.",
    );
    for load in &snapshot.loads {
        family.sample(&[("what", load.what)], u8::from(load.restored.is_some()));
    }
    if let Some(state_writes) = snapshot.state_writes {
        let mut family = text.family(
            "portolan_last_good_writes_total",
            Kind::Counter,
            "How often what is active was saved for the next start, by result.",
        );
        family.sample(&[("result", "kept")], state_writes.kept);
        family.sample(&[("result", "failed")], state_writes.failed);
    }
    if let Some(built) = snapshot.geo.built {
        text.family(
            "portolan_geo_database_build_timestamp_seconds",
            Kind::Gauge,
            "When the location database was built.",
        )
        .sample(&[], since_epoch(built));
        text.family(
            "portolan_geo_database_age_seconds",
            Kind::Gauge,
            "How old the location database is.",
        )
        .sample(
            &[],
            SystemTime::now().duration_since(built).unwrap_or_default().as_secs(),
        );
    }
}

fn logs(text: &mut Exposition, snapshot: &StatusSnapshot) {
    for (name, help, lines) in [
        (
            "portolan_access_log_lines_total",
            "Lines of the access log by outcome.",
            snapshot.access_log,
        ),
        (
            "portolan_event_log_lines_total",
            "Lines of the event log by outcome.",
            snapshot.event_log,
        ),
    ] {
        let mut family = text.family(name, Kind::Counter, help);
        if let Some(lines) = lines {
            family.sample(&[("result", "written")], lines.written);
            family.sample(&[("result", "dropped")], lines.dropped);
            family.sample(&[("result", "failed")], lines.failed);
        }
    }
}

fn tasks(text: &mut Exposition, snapshot: &StatusSnapshot, readiness: Readiness) {
    text.family(
        "portolan_ready",
        Kind::Gauge,
        "1 while this instance should get traffic, 0 from the beginning of the lame duck phase.",
    )
    .sample(&[], u8::from(readiness == Readiness::Ready));
    let mut family = text.family(
        "portolan_task_restarts_total",
        Kind::Counter,
        "Restarts of the program's tasks after a panic or an error.",
    );
    for task in &snapshot.tasks {
        family.sample(&[("task", &task.name)], task.restarts);
    }
    let mut family = text.family(
        "portolan_task_failed",
        Kind::Gauge,
        "1 while a task ends soon after every restart; then /livez answers 503.",
    );
    for task in &snapshot.tasks {
        family.sample(&[("task", &task.name)], u8::from(task.failed));
    }
}

/// The names are those of every Prometheus client library.
fn process(text: &mut Exposition, started: SystemTime, process: &Process) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.family("portolan_build_info", Kind::Gauge, "1 for the version of this program.")
        .sample(&version, 1);
    text.family(
        "process_cpu_seconds_total",
        Kind::Counter,
        "Processor time used, user and system.",
    )
    .sample(&[], process.cpu.as_secs_f64());
    text.family("process_start_time_seconds", Kind::Gauge, "When the process started.")
        .sample(&[], since_epoch(started));
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Memory that is resident.",
            process.resident_bytes,
        ),
        (
            "process_virtual_memory_bytes",
            "Memory that is mapped.",
            process.virtual_bytes,
        ),
        ("process_open_fds", "Open file descriptors.", process.open_files),
        (
            "process_max_fds",
            "File descriptors that may be open.",
            process.max_files,
        ),
        ("process_threads", "Threads.", process.threads),
    ] {
        if let Some(value) = value {
            text.family(name, Kind::Gauge, help).sample(&[], value);
        }
    }
}

fn since_epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
