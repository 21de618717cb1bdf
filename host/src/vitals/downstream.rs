//! What is counted of the client side: connections by listener, and requests that were rejected.

use super::handshake::Handshakes;
use super::http2::Http2Vitals;
use super::log_limit::LogLimit;
use super::proxy_header::{ProxyHeader, ProxyHeaders};
use super::{Reason, Tally};
use crate::arrival::ListenerId;
use portolan_core::rate_limit::ClientNetwork;
use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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

/// The connections of one listener, of all workers. Written once per connection, never per request of HTTP/1.1.
#[derive(Debug)]
pub struct ListenerVitals {
    /// Which listener.
    pub id: ListenerId,
    open: AtomicU32,
    accepted: AtomicU64,
    rejected: [AtomicU64; ConnectionLimit::ALL.len()],
    /// Open connections by client, as far as their number is limited.
    clients: Mutex<HashMap<ClientNetwork, u32>>,
    proxy_headers: ProxyHeaders,
    /// Its TLS handshakes.
    pub handshakes: Handshakes,
    /// Its connections of HTTP/2.
    pub http2: Http2Vitals,
    tunnels: AtomicU32,
}

/// An open connection of a listener, counted until dropped.
#[derive(Debug)]
pub struct OpenConnection {
    listener: Arc<ListenerVitals>,
    /// Its client, if the number of that client's connections is limited.
    client: Option<ClientNetwork>,
}

/// What limits the connections of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionLimit {
    /// `max_connections`.
    Listener,
    /// `max_connections_per_client`.
    Client,
}

impl ConnectionLimit {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 2] = [Self::Listener, Self::Client];

    /// Its key in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "max_connections",
            Self::Client => "max_connections_per_client",
        }
    }
}

impl ListenerVitals {
    fn new(id: ListenerId) -> Self {
        Self {
            id,
            open: AtomicU32::new(0),
            accepted: AtomicU64::new(0),
            rejected: Default::default(),
            clients: Mutex::default(),
            proxy_headers: ProxyHeaders::new(Instant::now()),
            handshakes: Handshakes::default(),
            http2: Http2Vitals::default(),
            tunnels: AtomicU32::new(0),
        }
    }

    /// Counts a new connection; `None` when as many as the limit are open, which is counted as a rejection.
    pub fn try_open(self: &Arc<Self>, limit: u32) -> Option<OpenConnection> {
        let below = |open: u32| (open < limit).then_some(open + 1);
        if self.open.fetch_update(Relaxed, Relaxed, below).is_err() {
            self.reject(ConnectionLimit::Listener);
            return None;
        }
        self.accepted.fetch_add(1, Relaxed);
        Some(OpenConnection {
            listener: Arc::clone(self),
            client: None,
        })
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<ClientNetwork, u32>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reject(&self, limit: ConnectionLimit) {
        self.rejected[limit as usize].fetch_add(1, Relaxed);
    }

    /// Counts a tunnel until what is given is dropped.
    pub fn open_tunnel(self: &Arc<Self>) -> OpenTunnel {
        self.tunnels.fetch_add(1, Relaxed);
        OpenTunnel(Arc::clone(self))
    }

    /// Tunnels that are open now.
    pub fn tunnels(&self) -> u32 {
        self.tunnels.load(Relaxed)
    }

    /// Connections that are open now.
    pub fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Connections that were accepted within the limit.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Connections beyond a limit.
    pub fn rejected(&self, limit: ConnectionLimit) -> u64 {
        self.rejected[limit as usize].load(Relaxed)
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

impl OpenConnection {
    /// Counts it as one of its client. `false` when that has as many open as the limit, which is counted as a rejection.
    pub fn try_open_for(&mut self, client: IpAddr, limit: u32) -> bool {
        let client = ClientNetwork::of(client);
        let mut clients = self.listener.clients();
        let open = clients.entry(client).or_default();
        if *open >= limit {
            drop(clients);
            self.listener.reject(ConnectionLimit::Client);
            return false;
        }
        *open += 1;
        drop(clients);
        self.client = Some(client);
        true
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.listener.open.fetch_sub(1, Relaxed);
        let Some(client) = self.client else { return };
        if let Entry::Occupied(mut open) = self.listener.clients().entry(client) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }
}

/// A tunnel that is open: counted as such until this is dropped.
#[derive(Debug)]
pub struct OpenTunnel(Arc<ListenerVitals>);

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Relaxed);
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
        let rejected = vitals.rejected(ConnectionLimit::Listener);
        assert_eq!((vitals.open(), vitals.accepted(), rejected), (2, 2, 1));
        drop(first);
        assert_eq!(vitals.open(), 1);
        assert!(vitals.try_open(2).is_some());
    }

    #[test]
    fn each_client_has_so_many_connections() {
        let vitals = OpenListeners::default().open(&ListenerId::new("public"));
        let of = |address: &str| {
            let mut open = vitals.try_open(100)?;
            open.try_open_for(address.parse().expect("an address"), 2)
                .then_some(open)
        };
        let (first, second) = (of("192.0.2.1"), of("192.0.2.1"));
        assert!(first.is_some() && second.is_some() && of("192.0.2.1").is_none());
        let other = of("192.0.2.2");
        assert!(other.is_some());
        assert_eq!(vitals.rejected(ConnectionLimit::Client), 1);
        drop(first);
        assert!(of("192.0.2.1").is_some());
        drop((second, other));
        assert!(vitals.clients().is_empty(), "nothing is kept of those that left");
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
