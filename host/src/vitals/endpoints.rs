//! The endpoints of a gateway: the addresses it has now, which of them are used, and the connections to them.
//!
//! Workers read one word of an endpoint before each use; everything else happens when connections are opened or fail, and
//! takes a lock.

use super::GatewayKey;
use super::endpoint::{Endpoint, EndpointId, Standing};
use portolan_core::endpoint::{EndpointFailure, EndpointHealth, EndpointLimits, EndpointState};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many addresses that are gone are remembered.
const MAX_GONE: usize = 64;

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
    /// The health of addresses that are gone, where it was not good: name servers may give a part of the addresses at a time.
    gone: VecDeque<(SocketAddr, EndpointHealth)>,
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

impl Endpoints {
    pub(super) fn new(key: GatewayKey, workers: usize) -> Self {
        Self {
            key,
            workers,
            members: Mutex::new(Members {
                limits: None,
                all: Vec::new(),
                gone: VecDeque::new(),
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
            let member = match before.iter().position(|member| member.endpoint.address() == address) {
                Some(index) => before.swap_remove(index),
                None => {
                    members.ids = members.ids.wrapping_add(1);
                    Member {
                        endpoint: Arc::new(Endpoint::new(EndpointId(members.ids), address, self.workers)),
                        health: members.recall(address),
                    }
                }
            };
            members.all.push(member);
        }
        for removed in before {
            removed.endpoint.stand(Standing::Removed);
            members.remember(removed);
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
        member.endpoint.fail(member.health.is_failing());
        let address = member.endpoint.address();
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
        if let Some(member) = self.members().of(endpoint.id()) {
            member.health.succeeded();
            member.endpoint.fail(false);
        }
    }

    /// A probe of an address ended.
    pub fn probed(&self, address: IpAddr, passed: bool, now: Instant) {
        let mut members = self.members();
        let Some(limits) = members.limits else { return };
        let mut all = members.all.iter_mut();
        if let Some(member) = all.find(|member| member.endpoint.address().ip() == address) {
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

    /// How many of them carry new requests.
    pub fn in_use(&self) -> usize {
        let members = self.members();
        members.all.iter().filter(|member| member.endpoint.is_in()).count()
    }

    /// Whether the gateway still has this endpoint.
    pub fn has(&self, id: EndpointId) -> bool {
        self.members().of(id).is_some()
    }

    /// The address of an endpoint, as long as the gateway has it.
    pub fn address(&self, id: EndpointId) -> Option<SocketAddr> {
        let members = self.members();
        let mut endpoints = members.all.iter().map(|member| &member.endpoint);
        endpoints
            .find(|endpoint| endpoint.id() == id)
            .map(|endpoint| endpoint.address())
    }

    /// Ends the ejections whose time is over.
    pub fn handle_timeout(&self, now: Instant) {
        self.members().handle_timeout(now);
    }

    /// How they stand.
    pub fn status(&self, now: Instant) -> Vec<EndpointStatus> {
        let members = self.members();
        let status = members.all.iter().map(|member| EndpointStatus {
            address: member.endpoint.address(),
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
        self.all.iter_mut().find(|member| member.endpoint.id() == id)
    }

    fn remember(&mut self, removed: Member) {
        if removed.health.state() != EndpointState::Available {
            self.gone.truncate(MAX_GONE - 1);
            self.gone.push_front((removed.endpoint.address(), removed.health));
        }
    }

    /// The health that an address had when it was removed.
    fn recall(&mut self, address: SocketAddr) -> EndpointHealth {
        let place = self.gone.iter().position(|gone| gone.0 == address);
        let gone = place.and_then(|place| self.gone.remove(place));
        gone.map(|(_, health)| health).unwrap_or_default()
    }

    fn handle_timeout(&mut self, now: Instant) {
        for member in &mut self.all {
            member.health.handle_timeout(now);
            member.endpoint.fail(member.health.is_failing());
        }
        self.settle();
    }

    /// Tells the endpoints how they stand. When none is available, all are used.
    fn settle(&self) {
        let is_available = |member: &Member| member.health.state() == EndpointState::Available;
        let panic = !self.all.iter().any(is_available);
        for member in &self.all {
            let is_in = panic || is_available(member);
            member.endpoint.stand(if is_in { Standing::In } else { Standing::Out });
        }
    }
}

#[cfg(test)]
mod tests;
