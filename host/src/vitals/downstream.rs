//! What is counted of the client side: connections by listener, and requests that were rejected.

use super::handshake::Handshakes;
use super::log_limit::LogLimit;
use super::proxy_header::{ProxyHeader, ProxyHeaders};
use super::{Reason, Tally};
use crate::arrival::ListenerId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

/// Rejected requests by reason, of all listeners, since the program started.
#[derive(Debug)]
pub struct Rejections {
    shards: Box<[Shard]>,
    loops: LogLimit,
}

/// One worker's counters. Aligned so that two workers do not share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Tally<{ Reason::ALL.len() }>);

impl Rejections {
    /// Counters for this many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            shards: (0..workers.max(1)).map(|_| Shard::default()).collect(),
            loops: LogLimit::new(Instant::now()),
        }
    }

    /// Whether a request that came back is to be logged now, and how many were not since the last one that was.
    pub fn log_loop(&self, now: Instant) -> Option<u64> {
        let before = self.totals()[Reason::Loop as usize];
        self.loops.admit(before + 1, now)
    }

    /// Counts a rejected request.
    pub fn count(&self, worker: usize, reason: Reason) {
        if let Some(Shard(reasons)) = self.shards.get(worker) {
            reasons.count(reason as usize);
        }
    }

    /// The counts of all workers, in the order of [`Reason::ALL`].
    pub fn totals(&self) -> [u64; Reason::ALL.len()] {
        let mut totals = [0; Reason::ALL.len()];
        for Shard(reasons) in &self.shards {
            reasons.add_to(&mut totals);
        }
        totals
    }
}

/// The connections of one listener, of all workers. Written once per connection, never per request.
#[derive(Debug)]
pub struct ListenerVitals {
    /// Which listener.
    pub id: ListenerId,
    open: AtomicU32,
    accepted: AtomicU64,
    rejected: AtomicU64,
    proxy_headers: ProxyHeaders,
    /// Its TLS handshakes.
    pub handshakes: Handshakes,
}

/// An open connection of a listener, counted until dropped.
#[derive(Debug)]
pub struct OpenConnection(Arc<ListenerVitals>);

impl ListenerVitals {
    fn new(id: ListenerId) -> Self {
        Self {
            id,
            open: AtomicU32::new(0),
            accepted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            proxy_headers: ProxyHeaders::new(Instant::now()),
            handshakes: Handshakes::default(),
        }
    }

    /// Counts a new connection; `None` when as many as the limit are open, which is counted as a rejection.
    pub fn try_open(self: &Arc<Self>, limit: u32) -> Option<OpenConnection> {
        let below = |open: u32| (open < limit).then_some(open + 1);
        if self.open.fetch_update(Relaxed, Relaxed, below).is_err() {
            self.rejected.fetch_add(1, Relaxed);
            return None;
        }
        self.accepted.fetch_add(1, Relaxed);
        Some(OpenConnection(Arc::clone(self)))
    }

    /// Connections that are open now.
    pub fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Connections that were accepted within the limit.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Connections beyond the limit.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Relaxed)
    }

    /// Counts how a connection from a proxy began that must send a PROXY protocol header.
    pub fn count_proxy_header(&self, header: ProxyHeader) {
        self.proxy_headers.count(header);
    }

    /// How connections began from proxies that must send a PROXY protocol header, in the order of [`ProxyHeader::ALL`].
    pub fn proxy_headers(&self) -> [u64; ProxyHeader::ALL.len()] {
        self.proxy_headers.counts()
    }

    /// Whether an error of a PROXY protocol header, which has been counted, is to be logged now, and how many were not since the
    /// last one that was.
    pub fn log_proxy_header(&self, now: Instant) -> Option<u64> {
        self.proxy_headers.log(now)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// The listeners that have sockets or connections. One that a reload removes is among them until its last connection is
/// gone.
#[derive(Clone, Debug, Default)]
pub struct OpenListeners(Arc<Mutex<BTreeMap<ListenerId, Weak<ListenerVitals>>>>);

impl OpenListeners {
    /// The counters of a listener: the existing ones while it is open. It remains open until all handles are
    /// dropped.
    pub fn open(&self, id: &ListenerId) -> Arc<ListenerVitals> {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|_, vitals| vitals.strong_count() > 0);
        if let Some(vitals) = listeners.get(id).and_then(Weak::upgrade) {
            return vitals;
        }
        let vitals = Arc::new(ListenerVitals::new(id.clone()));
        listeners.insert(id.clone(), Arc::downgrade(&vitals));
        vitals
    }

    /// Whether a listener has sockets or connections.
    pub fn is_open(&self, id: &ListenerId) -> bool {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.get(id).is_some_and(|vitals| vitals.strong_count() > 0)
    }

    /// The counters of all of them.
    pub fn all(&self) -> Vec<Arc<ListenerVitals>> {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.values().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_connection_is_gone() {
        let vitals = OpenListeners::default().open(&ListenerId::new("public"));
        let (first, second) = (vitals.try_open(2), vitals.try_open(2));
        assert!(first.is_some() && second.is_some() && vitals.try_open(2).is_none());
        assert_eq!((vitals.open(), vitals.accepted(), vitals.rejected()), (2, 2, 1));
        drop(first);
        assert_eq!(vitals.open(), 1);
        assert!(vitals.try_open(2).is_some());
    }

    #[test]
    fn a_listener_is_open_as_long_as_something_of_it_is_left() {
        let listeners = OpenListeners::default();
        let id = ListenerId::new("public");
        let vitals = listeners.open(&id);
        let connection = vitals.try_open(1).expect("a place");
        drop(vitals);
        assert!(listeners.is_open(&id), "a connection is left");
        assert_eq!(listeners.open(&id).open(), 1, "bound again, it goes on counting");
        drop(connection);
        assert!(!listeners.is_open(&id) && listeners.all().is_empty());
    }
}
