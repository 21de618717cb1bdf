//! One of the addresses of a gateway.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};

/// One address of a gateway.
#[derive(Debug)]
pub struct Endpoint {
    id: EndpointId,
    address: SocketAddr,
    standing: AtomicU8,
    is_failing: AtomicBool,
    /// Open connections by worker.
    open: Box<[AtomicU32]>,
}

/// Never the same for two endpoints of a gateway, also when an address comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointId(pub(super) u32);

/// Whether connections to an endpoint carry new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Standing {
    /// They do.
    In,
    /// It is ejected or unhealthy, and there are others.
    Out,
    /// The gateway does not have this address any more.
    Removed,
}

impl Endpoint {
    pub(super) fn new(id: EndpointId, address: SocketAddr, workers: usize) -> Self {
        Self {
            id,
            address,
            standing: AtomicU8::new(Standing::In as u8),
            is_failing: AtomicBool::new(false),
            open: (0..workers.max(1)).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Its number.
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether connections to it carry new requests.
    pub fn is_in(&self) -> bool {
        self.standing.load(Relaxed) == Standing::In as u8
    }

    /// Whether the gateway does not have this address any more.
    pub fn is_removed(&self) -> bool {
        self.standing.load(Relaxed) == Standing::Removed as u8
    }

    /// Whether an exchange failed since the last one that succeeded.
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Relaxed)
    }

    /// A connection of this worker is open from now on, until [`closed`](Self::closed).
    pub fn opened(&self, worker: usize) {
        if let Some(open) = self.open.get(worker) {
            open.fetch_add(1, Relaxed);
        }
    }

    /// A connection of this worker is closed.
    pub fn closed(&self, worker: usize) {
        if let Some(open) = self.open.get(worker) {
            open.fetch_sub(1, Relaxed);
        }
    }

    /// Whether an exchange failed since the last one that succeeded, from now on.
    pub(super) fn fail(&self, is_failing: bool) {
        self.is_failing.store(is_failing, Relaxed);
    }

    /// Open connections of all workers.
    pub(super) fn connections(&self) -> u32 {
        self.open.iter().map(|open| open.load(Relaxed)).sum()
    }

    /// Whether connections to it carry new requests, from now on.
    pub(super) fn stand(&self, standing: Standing) {
        self.standing.store(standing as u8, Relaxed);
    }
}
