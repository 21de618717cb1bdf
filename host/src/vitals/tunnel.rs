//! What is counted of tunnels: connections that changed to another protocol, such as WebSocket.

use super::counter::{Counter, Tally};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How a tunnel ended. A fixed set: a label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TunnelEnd {
    /// The client ended it first: by a Close frame of WebSocket, or by closing its side of the connection.
    ClientClosed,
    /// The gateway ended it first, in one of these ways.
    UpstreamClosed,
    /// The client reset its connection, or is gone.
    ClientReset,
    /// The gateway reset its connection.
    UpstreamReset,
    /// No byte came in either direction within `timeouts.tunnel`.
    IdleTimeout,
    /// The listener or the program ended.
    Draining,
}

impl TunnelEnd {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 6] = [
        Self::ClientClosed,
        Self::UpstreamClosed,
        Self::ClientReset,
        Self::UpstreamReset,
        Self::IdleTimeout,
        Self::Draining,
    ];

    /// Its name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::UpstreamClosed => "upstream_closed",
            Self::ClientReset => "client_reset",
            Self::UpstreamReset => "upstream_reset",
            Self::IdleTimeout => "idle_timeout",
            Self::Draining => "draining",
        }
    }
}

/// One worker's counters of the tunnels to one gateway. Only that worker writes.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    open: AtomicU32,
    ended: Tally<{ TunnelEnd::ALL.len() }>,
    received: Counter,
    sent: Counter,
}

/// The counters of all workers, read once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelTotals {
    /// Tunnels that are open now.
    pub open: u32,
    /// Tunnels that ended, in the order of [`TunnelEnd::ALL`].
    pub ended: [u64; TunnelEnd::ALL.len()],
    /// Bytes from clients.
    pub received: u64,
    /// Bytes from the gateway.
    pub sent: u64,
}

impl Tunnels {
    pub(super) fn opened(&self) {
        self.open.store(self.open.load(Relaxed).wrapping_add(1), Relaxed);
    }

    pub(super) fn ended(&self, end: TunnelEnd) {
        self.open.store(self.open.load(Relaxed).wrapping_sub(1), Relaxed);
        self.ended.count(end as usize);
    }

    pub(super) fn carried(&self, received: u64, sent: u64) {
        self.received.add(received);
        self.sent.add(sent);
    }

    pub(super) fn add_to(&self, totals: &mut TunnelTotals) {
        totals.open = totals.open.wrapping_add(self.open.load(Relaxed));
        self.ended.add_to(&mut totals.ended);
        totals.received = totals.received.wrapping_add(self.received.get());
        totals.sent = totals.sent.wrapping_add(self.sent.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_end_has_its_place_and_its_word() {
        let mut words = HashSet::new();
        for (index, end) in TunnelEnd::ALL.into_iter().enumerate() {
            assert_eq!(end as usize, index);
            assert!(words.insert(end.as_str()), "{end:?}");
        }
    }

    #[test]
    fn the_counts_of_all_workers_are_one() {
        let workers = [Tunnels::default(), Tunnels::default()];
        workers[0].opened();
        workers[1].opened();
        workers[1].carried(3, 4);
        workers[1].ended(TunnelEnd::Draining);
        let mut totals = TunnelTotals::default();
        workers.iter().for_each(|worker| worker.add_to(&mut totals));
        let ended = [0, 0, 0, 0, 0, 1];
        let expected = TunnelTotals {
            open: 1,
            ended,
            received: 3,
            sent: 4,
        };
        assert_eq!(totals, expected);
    }
}
