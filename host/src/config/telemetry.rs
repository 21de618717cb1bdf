//! What this instance tells of itself to others: traces, and metrics by OTLP.

use super::compound::{At, OrOff};
use super::document::Node;
use super::error::Mistakes;
use super::quantities::{H, S, Time};
use super::rollout::SharePercent;
use super::section::section;
use super::settings::TelemetrySettings;
use super::shape::{Shape, wanted};
use super::values::FilePath;
use crate::telemetry::otlp::target::{self, Collector};
use http::Uri;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a request to the collector may take by default (`OTEL_EXPORTER_OTLP_TIMEOUT`).
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often it gets metrics by default (`OTEL_METRIC_EXPORT_INTERVAL`).
const INTERVAL: Duration = Duration::from_secs(60);

section! {
    /// Traces of requests, and what is sent to a collector of OpenTelemetry.
    TelemetrySection {
        /// The collector. Default: none.
        optional otlp: OtlpSection,
        /// Spans of requests: one for each, and one for each of its attempts. Default: none.
        optional traces: TracesSection,
        /// service.name, by which collectors know what sends. Default: OTEL_SERVICE_NAME, or portolan.
        optional service_name: String,
    }
}

section! {
    /// A collector, which is spoken to by OTLP over HTTP, in protobuf. It never holds a request up: what it does not take in time is
    /// dropped and counted.
    OtlpSection {
        /// Its URL; /v1/traces and /v1/metrics are appended. Default: OTEL_EXPORTER_OTLP_ENDPOINT, or http://localhost:4318.
        optional endpoint: Endpoint,
        /// A file with header fields of every request, such as Authorization: Bearer …, a line for each. Read for each request, so that
        /// it can be replaced. Default: OTEL_EXPORTER_OTLP_HEADERS.
        optional headers_file: FilePath,
        /// A file of the certificate authorities that are trusted, in PEM, instead of the system's.
        optional ca: FilePath,
        /// How long a request may take. Default: 10s.
        optional timeout: Time<{ S }, { 60 * S }>,
        /// How often all metrics are sent, or off: they are not. Default: 60s.
        optional metrics: OrOff<Time<{ S }, { H }>>,
    }
}

section! {
    /// Of which requests spans are recorded. Those of trusted peers: as traceparent says, where they have it.
    TracesSection {
        /// The share of all others, such as 1%. Their traceparent is continued, and its flag is not obeyed.
        required sample: SharePercent,
    }
}

/// A URL.
#[derive(Clone, Debug)]
pub(super) struct Endpoint(Uri);

impl Shape for Endpoint {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let text = At::<String>::read(node, mistakes)?;
        match target::endpoint(&text.value) {
            Ok(url) => Some(Self(url)),
            Err(reason) => wanted(
                node,
                &format!("a URL such as http://127.0.0.1:4318 ({reason})"),
                mistakes,
            ),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^https?://" })
    }
}

impl TelemetrySection {
    pub(super) fn settings(&self, folder: &Path, mistakes: &mut Mistakes<'_>) -> TelemetrySettings {
        if let (Some(name), None) = (&self.service_name, &self.otlp) {
            let message = format!("service_name {name} has no effect without otlp");
            mistakes.warn(self.at, message);
        }
        TelemetrySettings {
            collector: self.otlp.as_ref().map(|otlp| Arc::new(otlp.collector(folder))),
            sample: self
                .traces
                .as_ref()
                .and_then(|traces| traces.sample)
                .map(SharePercent::share),
            service_name: self.service_name.as_deref().map(Into::into),
        }
    }
}

impl OtlpSection {
    fn collector(&self, folder: &Path) -> Collector {
        Collector {
            endpoint: self.endpoint.as_ref().map(|endpoint| endpoint.0.clone()),
            headers_file: self.headers_file.as_ref().map(|file| file.within(folder)),
            ca: self.ca.as_ref().map(|file| file.within(folder)),
            timeout: self.timeout.map_or(TIMEOUT, |time| time.0),
            metrics: match &self.metrics {
                None => Some(INTERVAL),
                Some(OrOff::Off) => None,
                Some(OrOff::On(time)) => Some(time.0),
            },
        }
    }
}
