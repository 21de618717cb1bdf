//! The decisions about all clients at one moment.

use super::population::{Client, Population};
use crate::decide::{self, Inquiry};
use crate::plugin::{PluginWorker, VisibleFields};
use crate::rehearse::estimate::{Distribution, Grid};
use crate::table::{Routed, RoutingTable};
use http::{HeaderMap, Version};
use portolan_core::chance::spread;
use portolan_core::id::{ServiceId, Slot};
use portolan_core::identity::ClientIdentity;
use portolan_core::route::Asked;
use portolan_core::slots::Slots;
use std::num::NonZeroUsize;
use std::thread;
use std::time::{Instant, SystemTime};

/// Nothing answers a client.
pub(super) const NONE: u8 = u8::MAX;

/// How many clients answer alike, by service and slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    /// Clients that a region answers.
    pub(super) served: Vec<Vec<u64>>,
    /// Attempts that fail first, because the region is lost.
    pub(super) failed: Vec<Vec<u64>>,
    /// Clients that a region answers which is not theirs.
    pub(super) displaced: Vec<Vec<u64>>,
    /// Clients that no region answers.
    pub(super) unserved: u64,
    /// Estimated round trips to the regions that answer.
    pub(super) latency: Distribution,
}

/// What the clients are decided by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'a> {
    pub(super) table: &'a RoutingTable,
    /// By service.
    pub(super) lost: &'a [Slots],
    pub(super) grids: &'a [Grid],
    pub(super) seed: u64,
    pub(super) now: Instant,
    pub(super) time: SystemTime,
    /// Requests in flight that a client stands for, for regions with limits.
    pub(super) in_flight: f64,
    pub(super) threads: NonZeroUsize,
}

/// What a client gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) service: Option<ServiceId>,
    /// Lost regions that are tried before.
    failed: Slots,
    pub(super) served: Option<Slot>,
}

impl Moment<'_> {
    /// Decides all clients. `homes` has the slot that usually answers each; where it is empty, it is filled.
    pub(super) fn all(
        &self,
        population: &Population,
        plugins: &(dyn Fn() -> PluginWorker + Sync),
        homes: &mut Vec<u8>,
    ) -> Snapshot {
        let is_first = homes.is_empty();
        homes.resize(population.len(), NONE);
        let is_limited = self.table.services.iter().any(|it| it.capacity().is_some());
        // Regions fill up by one request after another.
        let threads = if is_limited { 1 } else { self.threads.get() };
        let size = population.len().div_ceil(threads).max(1);
        let chunks = population.clients.chunks(size).zip(homes.chunks_mut(size)).enumerate();
        let parts: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = chunks
                .map(|(number, (clients, homes))| {
                    scope.spawn(move || {
                        let mut part = Part::new(self, population, plugins(), is_limited);
                        for (index, (client, home)) in (number * size..).zip(clients.iter().zip(homes)) {
                            part.count(index, client, home, is_first);
                        }
                        part.done()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|it| it.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let mut all = Snapshot::of(self.table);
        parts.iter().for_each(|part| all.merge(part));
        all
    }

    /// Decides each client and calls `each` with it.
    pub(super) fn each(&self, population: &Population, plugins: PluginWorker, mut each: impl FnMut(&Client, Choice)) {
        let mut part = Part::new(self, population, plugins, false);
        for (index, client) in population.clients.iter().enumerate() {
            let choice = part.decide(index, client).0;
            each(client, choice);
        }
    }
}

impl Snapshot {
    fn of(table: &RoutingTable) -> Self {
        let zeros: Vec<_> = table
            .config()
            .services()
            .iter()
            .map(|it| vec![0; it.gateways().len()])
            .collect();
        Self {
            served: zeros.clone(),
            failed: zeros.clone(),
            displaced: zeros,
            ..Self::default()
        }
    }

    fn merge(&mut self, other: &Self) {
        let add = |own: &mut Vec<Vec<u64>>, other: &Vec<Vec<u64>>| {
            let own = own.iter_mut().flatten();
            own.zip(other.iter().flatten()).for_each(|(own, other)| *own += other);
        };
        add(&mut self.served, &other.served);
        add(&mut self.failed, &other.failed);
        add(&mut self.displaced, &other.displaced);
        self.unserved += other.unserved;
        self.latency.merge(&other.latency);
    }
}

/// One thread's clients.
struct Part<'a> {
    moment: &'a Moment<'a>,
    /// Where each request leads.
    routed: Vec<Option<Routed<'a>>>,
    methods: &'a [super::population::Target],
    plugins: PluginWorker,
    fields: HeaderMap,
    snapshot: Snapshot,
    /// Requests in flight by service and slot, and how many of them are counted at the gateway. Empty without limits.
    in_flight: Vec<Vec<(f64, u32)>>,
}

impl<'a> Part<'a> {
    fn new(moment: &'a Moment<'a>, population: &'a Population, plugins: PluginWorker, is_limited: bool) -> Self {
        let fields = HeaderMap::new();
        let route = |target: &super::population::Target| {
            let asked = Asked {
                method: &target.method,
                headers: &fields,
                query: "",
                certificate: None,
                trust: None,
            };
            moment.table.route(&target.host, &target.path, &asked)
        };
        let snapshot = Snapshot::of(moment.table);
        let in_flight = |counts: &Vec<u64>| counts.iter().map(|_| (0.0, 0)).collect();
        Self {
            routed: population.targets.iter().map(route).collect(),
            methods: &population.targets,
            plugins,
            in_flight: match is_limited {
                true => snapshot.served.iter().map(in_flight).collect(),
                false => Vec::new(),
            },
            snapshot,
            fields,
            moment,
        }
    }

    fn count(&mut self, index: usize, client: &Client, home: &mut u8, is_first: bool) {
        let (choice, place) = self.decide(index, client);
        let Some((service, slot)) = choice.service.zip(choice.served) else {
            self.snapshot.unserved += 1;
            return;
        };
        let (id, at) = (service.index(), slot.index());
        self.snapshot.served[id][at] += 1;
        for failed in choice.failed.iter() {
            self.snapshot.failed[id][failed.index()] += 1;
        }
        if is_first {
            *home = slot.0;
        } else if *home != slot.0 {
            self.snapshot.displaced[id][at] += 1;
        }
        if let Some(estimate) = self.moment.grids.get(id).and_then(|grid| grid.round_trip(place, slot)) {
            self.snapshot.latency.add(estimate, 1);
        }
        if let Some((sum, counted)) = self.in_flight.get_mut(id).and_then(|it| it.get_mut(at)) {
            *sum += self.moment.in_flight;
            let gateway = self.moment.table.services.get(id).and_then(|entry| entry.gateway(slot));
            while let Some(gateway) = gateway.filter(|_| f64::from(*counted) + 1.0 <= *sum) {
                gateway.vitals.enter(0);
                *counted += 1;
            }
        }
    }

    fn decide(&mut self, index: usize, client: &Client) -> (Choice, portolan_core::geo::PlaceId) {
        let moment = self.moment;
        let nothing = Choice {
            service: None,
            failed: Slots::EMPTY,
            served: None,
        };
        let target = client.target as usize;
        let Some((routed, target)) = self.routed.get(target).copied().flatten().zip(self.methods.get(target)) else {
            return (nothing, Default::default());
        };
        if decide::denied(moment.table, routed, client.addr).is_some() {
            return (nothing, Default::default());
        }
        let roll = spread(moment.seed, index as u64);
        let affinity = routed.entry.affinity.as_ref();
        let inquiry = Inquiry {
            client: ClientIdentity::peer(client.addr),
            location: moment.table.geo.locate(client.addr),
            method: &target.method,
            version: Version::HTTP_11,
            authority: &target.host,
            path: &target.path,
            query: "",
            fields: VisibleFields::all(&self.fields),
            arrival: None,
            session: affinity.and_then(|affinity| affinity.session(&self.fields, roll)),
            roll,
            now: moment.now,
            time: Some(moment.time),
        };
        let decision = decide::decide(moment.table, routed, &inquiry, &mut self.plugins).decision;
        let lost = moment.lost.get(routed.id.index()).copied().unwrap_or_default();
        let order = decision.ranking.order();
        let first = order.iter().position(|slot| !lost.contains(*slot));
        let is_rejected = decision.by.effects().rejects.is_some();
        let choice = Choice {
            service: Some(routed.id),
            failed: order[..first.unwrap_or(order.len())].iter().copied().collect(),
            served: first.filter(|_| !is_rejected).and_then(|at| order.get(at).copied()),
        };
        (choice, decision.location.id)
    }

    fn done(self) -> Snapshot {
        for (entry, counts) in self.moment.table.services.iter().zip(&self.in_flight) {
            for (gateway, (_, counted)) in entry.gateways.iter().zip(counts) {
                (0..*counted).for_each(|_| gateway.vitals.leave(0));
            }
        }
        self.snapshot
    }
}
