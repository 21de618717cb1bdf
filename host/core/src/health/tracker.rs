//! Combines probes, traffic and operators into a [`HealthView`]: a state machine without a clock.
//!
//! After every input, in this order: [`handle_timeout`](Tracker::handle_timeout), [`due_probes`](Tracker::due_probes),
//! [`transitions`](Tracker::transitions), [`changed_view`](Tracker::changed_view); and again when
//! [`poll_timeout`](Tracker::poll_timeout) comes. Traffic is read before time passes, so that answers which came in the
//! meantime count.

use super::gateway::Gateway;
use super::kept::KeptGateway;
use super::probing::ProbeResult;
use super::tracked::Tracked;
use super::traffic::Traffic;
use super::transition::{Cause, Transition};
use super::{HealthView, ServiceHealth};
use crate::config::{Config, GatewayAddress, HttpProbe, Probe, Protocol};
use crate::id::{GatewayId, RegionName, ServiceId, Slot};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The health of all gateways of a configuration.
#[derive(Clone, Debug)]
pub struct Tracker {
    services: Vec<Tracked>,
    drained: BTreeSet<RegionName>,
    seed: u64,
    tickets: u64,
    due: Vec<DueProbe>,
    due_checks: Vec<DueProbe>,
    transitions: Vec<Transition>,
    isolated: bool,
    changed: bool,
    /// The time of the latest input.
    now: Instant,
}

/// A probe to send now. Report every result to [`Tracker::probe_finished`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueProbe {
    /// Its number. Never the same for two probes.
    pub ticket: u64,
    /// Its gateway, in the current configuration.
    pub gateway: GatewayId,
    /// Where to connect: the gateway's host, and the port of its probes.
    pub address: GatewayAddress,
    /// The kind of probe.
    pub probe: Probe,
    /// Whether the connection begins with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// The version of HTTP.
    pub protocol: Protocol,
    /// The probe fails after this time.
    pub timeout: Duration,
}

impl Tracker {
    /// All gateways are unknown. `seed` decides the jitter of probes.
    pub fn new(config: &Config, seed: u64, now: Instant) -> Self {
        let mut tracker = Self {
            services: Vec::new(),
            drained: BTreeSet::new(),
            seed,
            tickets: 0,
            due: Vec::new(),
            due_checks: Vec::new(),
            transitions: Vec::new(),
            isolated: false,
            changed: true,
            now,
        };
        tracker.reconfigure(config, now);
        tracker
    }

    /// A tracker that knows the same and goes on by itself, with probes of its own.
    #[must_use]
    pub fn fork(&self, now: Instant) -> Self {
        let mut fork = self.clone();
        for gateway in fork.services.iter_mut().flat_map(|service| &mut service.gateways) {
            gateway.probing.lapse(now);
            if let Some(hold) = gateway.hold_mut() {
                hold.lapse();
            }
        }
        fork.due.clear();
        fork.due_checks.clear();
        fork.transitions.clear();
        fork.changed = true;
        fork
    }

    /// Applies another configuration. The health of a gateway is kept when service, region and address are the same;
    /// drained regions stay drained. Read probes and transitions before: they refer to the old configuration.
    pub fn reconfigure(&mut self, config: &Config, now: Instant) {
        let mut old = std::mem::take(&mut self.services);
        for service in config.services() {
            let known = old.iter().position(|known| known.name == service.name);
            let known = known.map(|index| old.swap_remove(index));
            self.services.push(Tracked::new(service, known, &self.drained, now));
        }
        self.changed = true;
        self.settle_all(Cause::Configuration, now);
        self.find_isolation();
    }

    /// A gateway's traffic since the last reading.
    pub fn observe(&mut self, id: GatewayId, traffic: &Traffic, now: Instant) {
        let Some(service) = self.services.get_mut(id.service.index()) else {
            return;
        };
        let peers = service.peers(id.slot, now);
        let cause = service
            .gateways
            .get_mut(id.slot.index())
            .and_then(|gateway| gateway.observe(traffic, &service.criteria, peers, now));
        if let Some(cause) = cause {
            self.settle(id, cause, now);
            self.exchange(id.service, cause, now);
        }
        if traffic.ended() > 0 {
            self.find_sets(id);
            self.find_isolation();
        }
    }

    /// The result of a [`DueProbe`]. Probes of gateways that are no longer configured are ignored.
    pub fn probe_finished(&mut self, ticket: u64, result: ProbeResult, now: Instant) {
        let Some(id) = self.ids().find(|id| self.gateway(*id).probing.holds(ticket)) else {
            return;
        };
        let service = &mut self.services[id.service.index()];
        let cause = service.gateways[id.slot.index()].probe_finished(result, &service.criteria, now);
        // The round trip may have changed even without a cause.
        self.settle(id, cause.unwrap_or(Cause::Evidence), now);
        self.find_isolation();
    }

    /// Drains a region in all services. Returns how many gateways it has; a region without gateways is not remembered.
    pub fn drain(&mut self, region: &RegionName, now: Instant) -> usize {
        let count = self.set_drained(region, true, now);
        if count > 0 {
            self.drained.insert(region.clone());
        }
        count
    }

    /// Regions that were drained before a restart, whether or not they have gateways now.
    pub fn restore_drained(&mut self, regions: BTreeSet<RegionName>, now: Instant) {
        for region in &regions {
            self.set_drained(region, true, now);
        }
        self.drained.extend(regions);
    }

    /// The gateways on their way back, for the next process.
    pub fn kept(&self, now: Instant) -> Vec<KeptGateway> {
        let mut kept = Vec::new();
        for service in &self.services {
            for gateway in &service.gateways {
                if let Some(progress) = gateway.progress(&service.criteria, now) {
                    kept.push(KeptGateway {
                        service: service.name.clone(),
                        region: gateway.region.clone(),
                        gateway: gateway.address.url(),
                        progress,
                    });
                }
            }
        }
        kept
    }

    /// Gateways that were on their way back before a restart. Those that are drained, are elsewhere now, or whose service lets them
    /// return at once by now are ignored.
    pub fn resume(&mut self, kept: &[KeptGateway], now: Instant) {
        if kept.is_empty() {
            return;
        }
        for service in &mut self.services {
            for gateway in &mut service.gateways {
                let is_it = |kept: &&KeptGateway| {
                    (&kept.service, &kept.region) == (&service.name, &gateway.region)
                        && kept.gateway == gateway.address.url()
                };
                if let Some(kept) = kept.iter().find(is_it) {
                    gateway.resume(kept.progress, &service.criteria, now);
                }
            }
        }
        self.settle_all(Cause::Resumed, now);
    }

    /// Ends the drain; the region returns in slow start. Returns how many gateways it has.
    pub fn undrain(&mut self, region: &RegionName, now: Instant) -> usize {
        self.drained.remove(region);
        self.set_drained(region, false, now)
    }

    /// The drained regions.
    pub fn drained(&self) -> &BTreeSet<RegionName> {
        &self.drained
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest. May change with every input; after
    /// `handle_timeout(now)` it is later than `now`.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let times = self
            .services
            .iter()
            .filter_map(|service| service.poll_timeout(self.now));
        times.min()
    }

    /// Handles the passing of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        for id in self.ids().collect::<Vec<_>>() {
            let service = &mut self.services[id.service.index()];
            let peers = service.peers(id.slot, now);
            let cause = service.gateways[id.slot.index()].handle_timeout(&service.criteria, peers, now);
            // The share may have changed even without a cause.
            let cause = cause.unwrap_or(Cause::WarmedUp);
            self.settle(id, cause, now);
            self.exchange(id.service, cause, now);
        }
        self.begin_probes(now);
        self.begin_checks(now);
    }

    /// The probes that became due. Each is returned once.
    pub fn due_probes(&mut self) -> Vec<DueProbe> {
        std::mem::take(&mut self.due)
    }

    /// The checks of gates that became due: requests to somewhere else than their gateway. Each is returned once; report every result
    /// to [`Tracker::gate_checked`].
    pub fn due_checks(&mut self) -> Vec<DueProbe> {
        std::mem::take(&mut self.due_checks)
    }

    /// The result of the check of a gate, which is open when that passed.
    pub fn gate_checked(&mut self, ticket: u64, result: ProbeResult, now: Instant) {
        let Some(id) = self.ids().find(|id| self.gateway(*id).holds_check(ticket)) else {
            return;
        };
        let service = &mut self.services[id.service.index()];
        let gateway = &mut service.gateways[id.slot.index()];
        if let Some(hold) = gateway.hold_mut() {
            hold.checked(result);
        }
        let opened = match result {
            Ok(_) => gateway.fail_back(&service.criteria, now),
            Err(_) => None,
        };
        // One that stays closed has a reason.
        let waits = || gateway.health().why.cause;
        if let Some(cause) = opened.or_else(waits) {
            self.settle(id, cause, now);
        }
    }

    /// An operator orders a region back that has recovered and waits, in all services. Returns how many of its gateways waited.
    pub fn fail_back(&mut self, region: &RegionName, now: Instant) -> usize {
        let mut count = 0;
        for id in self.ids().collect::<Vec<_>>() {
            let service = &mut self.services[id.service.index()];
            let gateway = &mut service.gateways[id.slot.index()];
            if gateway.region == *region
                && gateway.is_held()
                && let Some(cause) = gateway.fail_back(&service.criteria, now)
            {
                count += 1;
                self.settle(id, cause, now);
            }
        }
        count
    }

    /// State changes in order. Each is returned once.
    pub fn transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }

    /// The health of all gateways.
    pub fn view(&self) -> HealthView {
        let gateways = |service: &Tracked| service.gateways.iter().map(Gateway::health).collect();
        let services = self.services.iter().map(|service| {
            ServiceHealth::new(gateways(service))
                .with_unresponsive(service.unresponsive)
                .with_last_resort(service.last_resort)
        });
        HealthView::new(services.collect()).isolated_when(self.isolated)
    }

    /// When the next probe of a gateway begins. `None` while one is in flight, and without health checks.
    pub fn next_probe(&self, id: GatewayId) -> Option<Instant> {
        let service = self.services.get(id.service.index())?;
        service.criteria.check.as_ref()?;
        service.gateways.get(id.slot.index())?.probing.due()
    }

    /// The view, if it changed since the last call.
    pub fn changed_view(&mut self) -> Option<HealthView> {
        std::mem::take(&mut self.changed).then(|| self.view())
    }

    fn begin_probes(&mut self, now: Instant) {
        for id in self.ids().collect::<Vec<_>>() {
            let service = &mut self.services[id.service.index()];
            let pressed = service.is_lost();
            let gateway = &mut service.gateways[id.slot.index()];
            let due = gateway.probing.due().is_some_and(|due| due <= now);
            let Some(check) = service.criteria.check.as_ref().filter(|_| due) else {
                continue;
            };
            self.tickets += 1;
            gateway.probing.begin(self.tickets, check, pressed, self.seed, now);
            self.due.push(DueProbe {
                ticket: self.tickets,
                gateway: id,
                address: GatewayAddress {
                    port: check.port.unwrap_or(gateway.address.port),
                    ..gateway.address.clone()
                },
                probe: check.probe.clone(),
                proxy_protocol: check.proxy_protocol,
                protocol: check.protocol,
                timeout: check.timeout,
            });
        }
    }

    fn begin_checks(&mut self, now: Instant) {
        for id in self.ids().collect::<Vec<_>>() {
            let service = &mut self.services[id.service.index()];
            let gateway = &mut service.gateways[id.slot.index()];
            let ticket = self.tickets + 1;
            let check = gateway.hold_mut();
            let Some(check) = check.and_then(|hold| hold.begin_check(&service.criteria.failback, ticket, now)) else {
                continue;
            };
            self.tickets = ticket;
            let path = check.path.replace("{region}", gateway.region.as_str());
            self.due_checks.push(DueProbe {
                ticket,
                gateway: id,
                address: check.address.clone(),
                probe: Probe::Http(Box::new(HttpProbe {
                    path: path.replace("{service}", service.name.as_str()),
                    ..HttpProbe::default()
                })),
                proxy_protocol: false,
                protocol: Protocol::Http1,
                timeout: check.interval,
            });
        }
    }

    fn set_drained(&mut self, region: &RegionName, drained: bool, now: Instant) -> usize {
        let mut count = 0;
        for service in &mut self.services {
            for gateway in service.gateways.iter_mut().filter(|it| it.region == *region) {
                gateway.set_drained(drained, &service.criteria, now);
                count += 1;
            }
        }
        self.settle_all(Cause::Operator, now);
        count
    }

    fn settle_all(&mut self, cause: Cause, now: Instant) {
        for id in self.ids().collect::<Vec<_>>() {
            self.settle(id, cause, now);
        }
    }

    /// After an ejection, another gateway may return.
    fn exchange(&mut self, service: ServiceId, cause: Cause, now: Instant) {
        if !matches!(cause, Cause::Ejected(_)) {
            return;
        }
        if let Some(slot) = self.services[service.index()].exchange(now) {
            self.settle(GatewayId { service, slot }, Cause::ProbesPassed, now);
        }
    }

    fn settle(&mut self, id: GatewayId, cause: Cause, now: Instant) {
        self.find_sets(id);
        let service = &mut self.services[id.service.index()];
        let gateway = &mut service.gateways[id.slot.index()];
        let before = gateway.health().why.cause;
        let Some(from) = gateway.settle(&service.criteria, cause, now) else {
            return;
        };
        self.changed = true;
        let health = gateway.health();
        let to = health.state;
        let held = health
            .why
            .cause
            .filter(|now| matches!(now, Cause::Held(_)) && Some(*now) != before);
        if from != to || held.is_some() {
            self.transitions.push(Transition {
                gateway: id,
                from,
                to,
                cause: held.unwrap_or(cause),
            });
        }
    }

    /// Updates whether this gateway is unresponsive, and whether it is a last resort.
    fn find_sets(&mut self, id: GatewayId) {
        let service = &mut self.services[id.service.index()];
        let gateway = &service.gateways[id.slot.index()];
        let unresponsive = service.unresponsive.with(id.slot, gateway.is_unresponsive());
        let last_resort = service.find_last_resort();
        self.changed |= (unresponsive, last_resort) != (service.unresponsive, service.last_resort);
        (service.unresponsive, service.last_resort) = (unresponsive, last_resort);
    }

    /// Updates whether this replica is isolated. With a single address, either end's network may be the cause.
    fn find_isolation(&mut self) {
        let mut gateways = self.services.iter().flat_map(|service| &service.gateways);
        let none = gateways.clone().all(|gateway| gateway.reached() == Some(false));
        let first = gateways.next();
        let several = gateways.any(|gateway| first.is_some_and(|first| gateway.address != first.address));
        let isolated = none && several;
        self.changed |= isolated != self.isolated;
        self.isolated = isolated;
    }

    fn gateway(&self, id: GatewayId) -> &Gateway {
        &self.services[id.service.index()].gateways[id.slot.index()]
    }

    /// The indexes of all gateways.
    fn ids(&self) -> impl Iterator<Item = GatewayId> {
        let counts = self.services.iter().map(|service| service.gateways.len());
        counts.enumerate().flat_map(|(service, count)| {
            (0..count).map(move |slot| GatewayId {
                service: ServiceId(service as u16),
                slot: Slot(slot as u8),
            })
        })
    }
}

#[cfg(test)]
mod tests;
