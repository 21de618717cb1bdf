//! Connections of HTTP/2 to a gateway, and their streams.

use super::counter::{Counter, Tally};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Connections and streams of HTTP/2 to one gateway.
#[derive(Debug)]
pub struct UpstreamHttp2(Box<[Shard]>);

/// One worker's. Aligned so that two workers do not share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    connections: Gauge,
    streams: Gauge,
    events: Tally<{ Http2Event::ALL.len() }>,
}

/// How many there are now, and how many there were.
#[derive(Debug, Default)]
struct Gauge {
    now: AtomicU32,
    total: Counter,
}

/// What a gateway does on a connection of HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2Event {
    /// It announced that it closes the connection.
    GoAway,
    /// It refused a stream.
    StreamRefused,
    /// It did not answer a PING in time.
    PingTimeout,
    /// It violated the protocol: the connection was closed with all its streams.
    ProtocolError,
}

impl Http2Event {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [
        Self::GoAway,
        Self::StreamRefused,
        Self::PingTimeout,
        Self::ProtocolError,
    ];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GoAway => "go_away",
            Self::StreamRefused => "stream_refused",
            Self::PingTimeout => "ping_timeout",
            Self::ProtocolError => "protocol_error",
        }
    }
}

/// The counts of all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http2Counts {
    /// Open connections, and those that were opened.
    pub connections: (u32, u64),
    /// Open streams, and those that were opened.
    pub streams: (u32, u64),
    /// By [`Http2Event`].
    pub events: [u64; Http2Event::ALL.len()],
}

impl Gauge {
    /// Only the shard's own worker writes, so a load and a store are enough.
    fn up(&self) {
        self.now.store(self.now.load(Relaxed).wrapping_add(1), Relaxed);
        self.total.add(1);
    }

    fn down(&self) {
        self.now.store(self.now.load(Relaxed).wrapping_sub(1), Relaxed);
    }

    fn add_to(&self, (now, total): &mut (u32, u64)) {
        *now = now.wrapping_add(self.now.load(Relaxed));
        *total = total.wrapping_add(self.total.get());
    }
}

impl UpstreamHttp2 {
    pub(super) fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| Shard::default()).collect())
    }

    /// A connection of this worker is open from now on.
    pub fn opened_connection(&self, worker: usize) {
        self.of(worker, |shard| shard.connections.up());
    }

    /// A connection of this worker is closed.
    pub fn closed_connection(&self, worker: usize) {
        self.of(worker, |shard| shard.connections.down());
    }

    /// A stream of this worker is open from now on.
    pub fn opened_stream(&self, worker: usize) {
        self.of(worker, |shard| shard.streams.up());
    }

    /// A stream of this worker is over.
    pub fn closed_stream(&self, worker: usize) {
        self.of(worker, |shard| shard.streams.down());
    }

    /// The gateway did something to a connection of this worker.
    pub fn event(&self, worker: usize, event: Http2Event) {
        self.of(worker, |shard| shard.events.count(event as usize));
    }

    /// The counts of all workers.
    pub fn counts(&self) -> Http2Counts {
        let mut counts = Http2Counts::default();
        for shard in &self.0 {
            shard.connections.add_to(&mut counts.connections);
            shard.streams.add_to(&mut counts.streams);
            shard.events.add_to(&mut counts.events);
        }
        counts
    }

    fn of(&self, worker: usize, count: impl FnOnce(&Shard)) {
        if let Some(shard) = self.0.get(worker) {
            count(shard);
        }
    }
}
