//! The endpoints of a gateway: the addresses it has now, which of them are used, and the connections to them.
//!
//! Workers read one word of an endpoint before each use; everything else happens when connections are opened or fail, and
//! takes a lock.

use super::GatewayKey;
use portolan_core::endpoint::{EndpointFailure, EndpointHealth, EndpointLimits, EndpointState};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
pub struct EndpointId(u32);

/// Whether connections to an endpoint carry new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Standing {
    /// They do.
    In,
    /// It is ejected or unhealthy, and there are others.
    Out,
    /// The gateway does not have this address any more.
    Removed,
}

/// The endpoints of one gateway.
#[derive(Debug)]
pub struct Endpoints {
    key: GatewayKey,
    workers: usize,
    members: Mutex<Members>,
    /// Connections that were opened.
    opened: AtomicU64,
    ejections: AtomicU64,
}

#[derive(Debug)]
struct Members {
    limits: Option<EndpointLimits>,
    all: Vec<Member>,
    ids: u32,
}

#[derive(Debug)]
struct Member {
    endpoint: Arc<Endpoint>,
    health: EndpointHealth,
}

/// How an endpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Its address.
    pub address: SocketAddr,
    /// Whether it is available.
    pub state: EndpointState,
    /// How long its ejection still lasts, unless probes end it earlier.
    pub ejected_for: Option<Duration>,
    /// Open connections of all workers.
    pub connections: u32,
}

impl Endpoint {
    fn new(id: EndpointId, address: SocketAddr, workers: usize) -> Self {
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

    fn connections(&self) -> u32 {
        self.open.iter().map(|open| open.load(Relaxed)).sum()
    }

    fn stands(&self, standing: Standing) {
        self.standing.store(standing as u8, Relaxed);
    }
}

impl Endpoints {
    pub(super) fn new(key: GatewayKey, workers: usize) -> Self {
        Self {
            key,
            workers,
            members: Mutex::new(Members {
                limits: None,
                all: Vec::new(),
                ids: 0,
            }),
            opened: AtomicU64::new(0),
            ejections: AtomicU64::new(0),
        }
    }

    /// By what they are judged from now on.
    pub fn judge_by(&self, limits: EndpointLimits) {
        self.members().limits = Some(limits);
    }

    /// The gateway has these addresses from now on. Those that remain keep their health.
    pub fn set(&self, addresses: &[SocketAddr]) {
        let mut members = self.members();
        let mut before = std::mem::take(&mut members.all);
        for &address in addresses {
            let member = match before.iter().position(|member| member.endpoint.address == address) {
                Some(index) => before.swap_remove(index),
                None => {
                    members.ids = members.ids.wrapping_add(1);
                    Member {
                        endpoint: Arc::new(Endpoint::new(EndpointId(members.ids), address, self.workers)),
                        health: EndpointHealth::default(),
                    }
                }
            };
            members.all.push(member);
        }
        for removed in before {
            removed.endpoint.stands(Standing::Removed);
        }
        members.settle();
    }

    /// The addresses in the order in which a new connection tries them: those that are available first, among them those
    /// with the fewest connections. `turn` decides among equals.
    pub fn candidates(&self, turn: usize, now: Instant) -> Vec<Arc<Endpoint>> {
        let mut members = self.members();
        members.handle_timeout(now);
        let mut sorted: Vec<_> = members.all.iter().collect();
        let count = sorted.len().max(1);
        sorted.rotate_left(turn % count);
        sorted.sort_by_key(|member| {
            let is_out = member.health.state() != EndpointState::Available;
            (is_out, member.health.ejected_until(), member.endpoint.connections())
        });
        sorted.into_iter().map(|member| Arc::clone(&member.endpoint)).collect()
    }

    /// A connection to one of them was opened.
    pub fn opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    /// A connection or an exchange failed. Shows nothing of an address that the gateway does not have any more.
    pub fn failed(&self, endpoint: EndpointId, failure: EndpointFailure, now: Instant) {
        let mut members = self.members();
        let Some(limits) = members.limits else { return };
        let is_alone = members.all.len() < 2;
        let Some(member) = members.of(endpoint).filter(|_| !is_alone) else {
            return;
        };
        let is_ejected = member.health.failed(failure, &limits, now);
        member.endpoint.is_failing.store(member.health.is_failing(), Relaxed);
        let address = member.endpoint.address;
        if is_ejected {
            self.ejections.fetch_add(1, Relaxed);
            let GatewayKey { service, region, .. } = &self.key;
            let cause = match failure {
                EndpointFailure::Connect => "failed to connect",
                EndpointFailure::Exchange => "consecutive failures",
            };
            tracing::info!(%service, %region, endpoint = %address, cause, "an endpoint is ejected");
            members.settle();
        }
    }

    /// An exchange succeeded on one that was failing.
    pub fn succeeded(&self, endpoint: &Endpoint) {
        if let Some(member) = self.members().of(endpoint.id) {
            member.health.succeeded();
            member.endpoint.is_failing.store(false, Relaxed);
        }
    }

    /// A probe of an address ended.
    pub fn probed(&self, address: IpAddr, passed: bool, now: Instant) {
        let mut members = self.members();
        let Some(limits) = members.limits else { return };
        let mut all = members.all.iter_mut();
        if let Some(member) = all.find(|member| member.endpoint.address.ip() == address) {
            let before = member.health.state();
            member.health.probed(passed, &limits, now);
            let after = member.health.state();
            if after != before && members.all.len() > 1 {
                let GatewayKey { service, region, .. } = &self.key;
                let state = after.as_str();
                tracing::info!(%service, %region, endpoint = %address, state, "an endpoint changed its state");
            }
            members.settle();
        }
    }

    /// Whether the gateway still has this endpoint.
    pub fn has(&self, id: EndpointId) -> bool {
        self.members().of(id).is_some()
    }

    /// Ends the ejections whose time is over.
    pub fn handle_timeout(&self, now: Instant) {
        self.members().handle_timeout(now);
    }

    /// How they stand.
    pub fn status(&self, now: Instant) -> Vec<EndpointStatus> {
        let members = self.members();
        let status = members.all.iter().map(|member| EndpointStatus {
            address: member.endpoint.address,
            state: member.health.state(),
            ejected_for: member
                .health
                .ejected_until()
                .map(|until| until.saturating_duration_since(now)),
            connections: member.endpoint.connections(),
        });
        status.collect()
    }

    /// How many connections were opened.
    pub fn opened_connections(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    /// How often an endpoint was ejected.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Relaxed)
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    fn of(&mut self, id: EndpointId) -> Option<&mut Member> {
        self.all.iter_mut().find(|member| member.endpoint.id == id)
    }

    fn handle_timeout(&mut self, now: Instant) {
        for member in &mut self.all {
            member.health.handle_timeout(now);
            member.endpoint.is_failing.store(member.health.is_failing(), Relaxed);
        }
        self.settle();
    }

    /// Tells the endpoints how they stand. When none is available, all are used.
    fn settle(&self) {
        let is_available = |member: &Member| member.health.state() == EndpointState::Available;
        let panic = !self.all.iter().any(is_available);
        for member in &self.all {
            let is_in = panic || is_available(member);
            member.endpoint.stands(if is_in { Standing::In } else { Standing::Out });
        }
    }
}

#[cfg(test)]
mod tests;
