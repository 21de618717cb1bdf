//! The program itself: what it has loaded, its logs, its tasks, its process.

use super::since_epoch;
use crate::admin::AdminTls;
use crate::admin::backend::{Readiness, StatusSnapshot};
use crate::telemetry::exposition::{Exposition, Kind};
use crate::telemetry::process::Process;
use crate::telemetry::spans::Signal;
use crate::vitals::HandshakeFailure;
use std::time::SystemTime;

pub(super) fn loads(text: &mut Exposition, snapshot: &StatusSnapshot) {
    text.family(
        "portolan_table_generation",
        Kind::Gauge,
        "Number of the active routing table.",
    )
    .sample(&[], snapshot.generation.0);
    text.family(
        "portolan_table_build_seconds_total",
        Kind::Counter,
        "Time that was spent on building routing tables.",
    )
    .sample(&[], snapshot.building.as_secs_f64());
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
    let mut family = text.family(
        "portolan_plugin_polls_total",
        Kind::Counter,
        "Looks at the tags of plugins in registries, by result.",
    );
    for (result, count) in snapshot.polls {
        family.sample(&[("result", result.as_str())], count);
    }
    let geo = &snapshot.geo;
    let mut family = text.family(
        "portolan_geo_networks",
        Kind::Gauge,
        "Networks with a place that the location databases give, by family.",
    );
    family.sample(&[("family", "ipv4")], geo.ipv4_networks);
    family.sample(&[("family", "ipv6")], geo.ipv6_networks);
    text.family(
        "portolan_geo_places",
        Kind::Gauge,
        "Places of the location table, those of geo.networks among them.",
    )
    .sample(&[], geo.places as u64);
    let mut family = text.family(
        "portolan_geo_family_filled",
        Kind::Gauge,
        "1 while the location databases have no place for a family, so that the embedded table is used for it.",
    );
    family.sample(&[("family", "ipv4")], u8::from(geo.filled == Some("IPv4")));
    family.sample(&[("family", "ipv6")], u8::from(geo.filled == Some("IPv6")));
    text.family(
        "portolan_geo_database_stale",
        Kind::Gauge,
        "1 while a location database is older than 30 days. The embedded table never counts.",
    )
    .sample(&[], u8::from(geo.stale));
    if let Some(built) = geo.built {
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

pub(super) fn logs(text: &mut Exposition, snapshot: &StatusSnapshot) {
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

/// Spans of requests, and what is sent to a collector.
pub(super) fn exports(text: &mut Exposition, snapshot: &StatusSnapshot) {
    let mut family = text.family(
        "portolan_spans_total",
        Kind::Counter,
        "Requests of which spans were recorded: recorded, or dropped because the queue was full; exported, rejected by the collector, or \
         failed to be sent.",
    );
    for (result, count) in snapshot.spans.results() {
        family.sample(&[("result", result)], count);
    }
    let mut family = text.family(
        "portolan_otlp_exports_total",
        Kind::Counter,
        "Requests to the collector, by signal and result.",
    );
    for signal in Signal::ALL {
        for (result, count) in snapshot.spans.exports(signal) {
            family.sample(&[("signal", signal.as_str()), ("result", result)], count);
        }
    }
}

pub(super) fn tasks(text: &mut Exposition, snapshot: &StatusSnapshot, readiness: Readiness) {
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
pub(super) fn process(text: &mut Exposition, started: SystemTime, process: &Process) {
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

pub(super) fn admin_tls(text: &mut Exposition, tls: &AdminTls) {
    let mut family = text.family(
        "portolan_admin_tls_handshake_failures_total",
        Kind::Counter,
        "TLS handshakes with the administration that failed, by reason.",
    );
    for failure in HandshakeFailure::ALL {
        family.sample(&[("reason", failure.as_str())], tls.handshakes.failures(failure));
    }
    let mut family = text.family(
        "portolan_admin_tls_certificate_expiry_timestamp_seconds",
        Kind::Gauge,
        "When the certificate of the administration expires, in seconds since 1970, by its first name.",
    );
    for pair in tls.context().certificates.pairs() {
        let name = pair.names.first().map_or("", |name| &**name);
        family.sample(&[("name", name)], since_epoch(pair.not_after));
    }
}
