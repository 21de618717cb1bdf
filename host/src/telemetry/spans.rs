//! Finished requests of which spans are recorded, on their way from the workers to the control thread: through a queue of fixed length
//! that no worker waits for. When it is full, they are dropped and counted.

use super::metrics::Stage;
use crate::vitals::Counter;
use http::{Method, Uri};
use portolan_core::id::{RegionName, ServiceName};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// How many finished requests may wait: what OpenTelemetry's batching span processors hold by default (`OTEL_BSP_MAX_QUEUE_SIZE`).
const QUEUE: usize = 2_048;

/// A finished request, as plain values.
#[derive(Clone, Debug)]
pub struct RequestSpan {
    /// Its trace.
    pub trace: u128,
    /// Its span.
    pub span: u64,
    /// The span that it comes from.
    pub parent: Option<u64>,
    /// `tracestate`, as it came.
    pub trace_state: String,
    /// When it came.
    pub begun: SystemTime,
    /// How long it took.
    pub total: Duration,
    /// How it was asked.
    pub method: Method,
    /// In which version of HTTP: `1.1`.
    pub version: &'static str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// For which host, with its port where it has one.
    pub host: String,
    /// For what. Its query is not for others.
    pub uri: Uri,
    /// What the client says it is.
    pub user_agent: String,
    /// What the path of its route is.
    pub route: Option<Box<str>>,
    /// The client.
    pub client: IpAddr,
    /// The other end of its connection.
    pub peer: SocketAddr,
    /// What tells it from others.
    pub request_id: Box<str>,
    /// The status of its response.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: &'static str,
    /// The error that Portolan answered with, or that kept its response incomplete.
    pub error: Option<&'static str>,
    /// Its service.
    pub service: Option<ServiceName>,
    /// The region that answered.
    pub region: Option<RegionName>,
    /// Where its client is.
    pub country: Option<[u8; 2]>,
    /// Who ordered the regions.
    pub by: Option<&'static str>,
    /// Bytes of its body, and of its response's.
    pub bytes: (u64, u64),
    /// What was measured of it.
    pub stages: Vec<(Stage, Duration)>,
    /// The attempts, in the order in which they began.
    pub attempts: Vec<AttemptRecord>,
}

/// An attempt of one, as plain values.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// Its span.
    pub span: u64,
    /// The region.
    pub region: RegionName,
    /// Whether over TLS.
    pub is_https: bool,
    /// The host of the gateway as it is configured, and its port.
    pub gateway: (Box<str>, u16),
    /// The address that the request was sent to.
    pub peer: Option<SocketAddr>,
    /// When it began, from when the request came.
    pub began: Duration,
    /// When it ended, likewise.
    pub ended: Duration,
    /// The status of its response.
    pub status: Option<u16>,
    /// Why it has none, or why that was not used.
    pub error: Option<&'static str>,
}

/// The workers' ends of the queue.
#[derive(Debug)]
pub struct Spans {
    sender: mpsc::Sender<Box<RequestSpan>>,
    counts: Arc<SpanCounts>,
}

/// One worker's end of the queue.
#[derive(Debug)]
pub struct SpanSink {
    sender: mpsc::Sender<Box<RequestSpan>>,
    counts: Arc<SpanCounts>,
    worker: usize,
}

/// What became of finished requests of which spans were recorded.
#[derive(Debug, Default)]
pub struct SpanCounts {
    shards: Box<[Shard]>,
    exported: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    /// Requests to the collector: of traces that succeeded and failed, then of metrics.
    exports: [AtomicU64; 4],
}

/// One worker's counters.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    recorded: Counter,
    dropped: Counter,
}

/// What is sent to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
}

impl Signal {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Traces, Self::Metrics];

    /// Its name in metrics, and in the paths of OTLP.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

impl Spans {
    /// The queue for this many workers, and its other end.
    pub fn new(workers: usize) -> (Self, mpsc::Receiver<Box<RequestSpan>>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let counts = Arc::new(SpanCounts {
            shards: (0..workers.max(1)).map(|_| Shard::default()).collect(),
            ..SpanCounts::default()
        });
        (Self { sender, counts }, receiver)
    }

    /// A worker's end.
    pub fn sink(&self, worker: usize) -> SpanSink {
        SpanSink {
            sender: self.sender.clone(),
            counts: Arc::clone(&self.counts),
            worker,
        }
    }

    /// What became of them.
    pub fn counts(&self) -> &Arc<SpanCounts> {
        &self.counts
    }
}

impl SpanSink {
    /// Puts a finished request into the queue, or drops it when that is full.
    pub fn send(&self, span: Box<RequestSpan>) {
        let sent = self.sender.try_send(span);
        if let Some(shard) = self.counts.shards.get(self.worker) {
            match sent {
                Ok(()) => shard.recorded.add(1),
                Err(_) => shard.dropped.add(1),
            }
        }
    }
}

impl SpanCounts {
    /// So many were delivered, of which the collector rejected some.
    pub fn delivered(&self, count: u64, rejected: u64) {
        self.exported.fetch_add(count.saturating_sub(rejected), Relaxed);
        self.rejected.fetch_add(rejected, Relaxed);
    }

    /// So many were given up.
    pub fn failed(&self, count: u64) {
        self.failed.fetch_add(count, Relaxed);
    }

    /// A request to the collector ended.
    pub fn sent(&self, signal: Signal, is_success: bool) {
        if let Some(count) = self.exports.get(2 * signal as usize + usize::from(!is_success)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// What became of them, by the words for it.
    pub fn results(&self) -> [(&'static str, u64); 5] {
        let sum = |of: fn(&Shard) -> &Counter| self.shards.iter().map(|shard| of(shard).get()).sum();
        [
            ("recorded", sum(|shard| &shard.recorded)),
            ("dropped", sum(|shard| &shard.dropped)),
            ("exported", self.exported.load(Relaxed)),
            ("rejected", self.rejected.load(Relaxed)),
            ("failed", self.failed.load(Relaxed)),
        ]
    }

    /// Requests to the collector that succeeded, and that failed.
    pub fn exports(&self, signal: Signal) -> [(&'static str, u64); 2] {
        let of = |index: usize| self.exports.get(index).map_or(0, |count| count.load(Relaxed));
        let first = 2 * signal as usize;
        [("success", of(first)), ("failure", of(first + 1))]
    }
}

#[cfg(test)]
mod tests;
