//! Sends spans and metrics to the collector of the active configuration, on the control thread. Nothing waits for it: while the
//! collector is away or slow, spans are dropped and counted, and metrics are sent again whole with the next interval.

use super::instance::RunningInstance;
use crate::admin::metric_values;
use crate::chance::Chance;
use crate::dns::Resolver;
use crate::hex;
use crate::table::Tables;
use crate::telemetry::exemplars::Exemplar;
use crate::telemetry::otlp::client::{Client, Delivered, Export, ExportError};
use crate::telemetry::otlp::target::{Collector, Environment};
use crate::telemetry::otlp::{metrics, traces};
use crate::telemetry::spans::{RequestSpan, Signal, SpanCounts};
use opentelemetry_proto::tonic::resource::v1::Resource;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// Requests whose spans are sent together (`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`).
const BATCH: usize = 512;

/// How long the first of them waits for others.
const GATHER: Duration = Duration::from_secs(1);

/// How often a message is sent before it is given up.
const TRIES: u32 = 5;

/// The pause before a message is sent again, which doubles, and the longest one.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often it is looked whether metrics are wanted, when they are not.
const LOOK: Duration = Duration::from_secs(1);

/// What both tasks share.
pub(super) struct Exporter {
    tables: Arc<Tables>,
    instance: Arc<RunningInstance>,
    client: Client,
    environment: Environment,
    counts: Arc<SpanCounts>,
    /// `service.instance.id`.
    id: String,
    chance: Chance,
    /// Whether the last request failed, by signal: the first failure is logged, and the first success after it.
    failing: [Cell<bool>; Signal::ALL.len()],
}

impl Exporter {
    pub(super) fn new(instance: Arc<RunningInstance>, tables: Arc<Tables>, resolver: Arc<Resolver>) -> Self {
        let chance = Chance::new();
        Self {
            tables,
            client: Client::new(resolver),
            environment: Environment::read(),
            counts: Arc::clone(&instance.spans),
            instance,
            id: hex::digits(&chance.roll().to_be_bytes()),
            chance,
            failing: Default::default(),
        }
    }

    /// Exports spans until the last worker has ended, and what is left then.
    pub(super) async fn traces(&self, finished: &mut mpsc::Receiver<Box<RequestSpan>>) {
        let mut batch = Vec::new();
        while finished.recv_many(&mut batch, BATCH).await > 0 {
            let end = Instant::now() + GATHER;
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                match timeout_at(end, finished.recv_many(&mut batch, room)).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => break,
                }
            }
            self.keep_exemplars(&batch);
            self.export_spans(&batch).await;
            batch.clear();
        }
    }

    /// Exports metrics for ever.
    pub(super) async fn metrics(&self) {
        let mut last = Instant::now();
        loop {
            let Some((collector, resource, interval)) = self.collector().and_then(|(collector, resource)| {
                let interval = collector.metrics?;
                Some((collector, resource, interval))
            }) else {
                sleep(LOOK).await;
                continue;
            };
            let due = last + interval;
            // The interval may be another one meanwhile.
            sleep_until(due.min(Instant::now() + LOOK)).await;
            if Instant::now() < due {
                continue;
            }
            last = Instant::now();
            let values = metric_values(&*self.instance);
            let body = metrics::message(&resource, values, (self.instance.started, SystemTime::now()));
            // A message of a later interval has all that this one has.
            let sent = self.send(&collector, Signal::Metrics, body).await;
            self.note(Signal::Metrics, &sent);
        }
    }

    /// The collector of the active configuration, and what it is told of this program.
    fn collector(&self) -> Option<(Arc<Collector>, Arc<Resource>)> {
        let table = self.tables.current();
        let telemetry = &table.settings.telemetry;
        let resource = || self.environment.resource(telemetry.service_name.as_deref(), &self.id);
        telemetry.collector.clone().map(|collector| (collector, resource()))
    }

    /// The requests are examples of what histograms have counted.
    fn keep_exemplars(&self, batch: &[Box<RequestSpan>]) {
        let table = self.tables.current();
        for request in batch {
            let mut services = table.services.iter().map(|entry| &entry.vitals);
            let Some(vitals) = services.find(|vitals| Some(&vitals.name) == request.service.as_ref()) else {
                continue;
            };
            for (stage, value) in &request.stages {
                let exemplar = Exemplar {
                    trace: request.trace,
                    span: request.span,
                    request_id: request.request_id.clone(),
                    value: *value,
                    time: request.begun + request.total,
                };
                vitals.exemplars.keep(*stage as usize, exemplar);
            }
        }
    }

    async fn export_spans(&self, batch: &[Box<RequestSpan>]) {
        let count = batch.len() as u64;
        let mut pause = PAUSE;
        for left in (0..TRIES).rev() {
            // Looked up each time: it may be another one meanwhile, or none.
            let Some((collector, resource)) = self.collector() else {
                return;
            };
            let sent = self
                .send(&collector, Signal::Traces, traces::message(&resource, batch))
                .await;
            self.note(Signal::Traces, &sent);
            match sent {
                Ok(Delivered { rejected, .. }) => return self.counts.delivered(count, rejected),
                Err(ExportError::Retryable { after, .. }) if left > 0 => {
                    // Between half of it and all of it, so that instances do not come together.
                    let jitter = pause.mul_f64(0.5 + (self.chance.roll() >> 33) as f64 / (1_u64 << 32) as f64);
                    sleep(after.map_or(jitter, |after| after.min(LONGEST_PAUSE))).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(_) => break,
            }
        }
        self.counts.failed(count);
    }

    async fn send(&self, collector: &Collector, signal: Signal, body: Vec<u8>) -> Result<Delivered, ExportError> {
        let file = match &collector.headers_file {
            None => None,
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Some(text),
                Err(error) => {
                    let reason = format!("{}: {error}", path.display());
                    return Err(ExportError::Retryable { reason, after: None });
                }
            },
        };
        let export = Export {
            signal,
            url: &self.environment.url(collector, signal),
            headers: self.environment.headers(file.as_deref()),
            body: body.into(),
            ca: collector.ca.as_deref(),
            within: collector.timeout,
        };
        export.send(&self.client).await
    }

    /// Counts the end of a request, and logs when they begin to fail and when they do not any more.
    fn note(&self, signal: Signal, sent: &Result<Delivered, ExportError>) {
        self.counts.sent(signal, sent.is_ok());
        let was_failing = self
            .failing
            .get(signal as usize)
            .map(|failing| failing.replace(sent.is_err()));
        let signal = signal.as_str();
        match (sent, was_failing) {
            (Err(error), Some(false)) => {
                tracing::warn!(signal, %error, "failed to export to the collector; further failures are counted only");
            }
            (Ok(_), Some(true)) => tracing::info!(signal, "the collector takes what is exported again"),
            _ => {}
        }
        if let Ok(Delivered { rejected, message }) = sent
            && *rejected > 0
        {
            tracing::warn!(
                signal,
                rejected,
                message,
                "the collector rejected a part of what was exported"
            );
        }
    }
}
