//! The gateways of a simulation: the health tracker of the proxy, on a clock of its own, before regions that are there or lost.

use portolan_core::config::Config;
use portolan_core::health::probing::ProbeFailure;
use portolan_core::health::tracker::Tracker;
use portolan_core::health::traffic::Traffic;
use portolan_core::health::transition::Transition;
use portolan_core::health::{Evidence, HealthView};
use portolan_core::id::{GatewayId, RegionName, ServiceId, Slot};
use portolan_core::slots::Slots;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a probe of a region takes that is there.
const PROBE: Duration = Duration::from_millis(20);

/// A probe that will end.
#[derive(Debug)]
struct Probe {
    ticket: u64,
    gateway: GatewayId,
    begun: Instant,
    timeout: Duration,
}

/// Attempts in each second that end like this, by service and slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) answered: Vec<Vec<f64>>,
    pub(super) failed: Vec<Vec<f64>>,
}

/// The gateways of all services.
#[derive(Debug)]
pub(super) struct Gateways {
    config: Arc<Config>,
    tracker: Tracker,
    probes: Vec<Probe>,
    lost: BTreeSet<RegionName>,
    /// Parts of attempts that were not observed yet.
    rest: Rates,
}

impl Gateways {
    /// Unknown, and all there.
    pub(super) fn new(config: &Arc<Config>, seed: u64, now: Instant) -> Self {
        let zeros: Vec<_> = config
            .services()
            .iter()
            .map(|it| vec![0.0; it.gateways().len()])
            .collect();
        Self {
            tracker: Tracker::new(config, seed, now),
            config: Arc::clone(config),
            probes: Vec::new(),
            lost: BTreeSet::new(),
            rest: Rates {
                answered: zeros.clone(),
                failed: zeros,
            },
        }
    }

    /// A region cannot be reached from now on, or can again.
    pub(super) fn lose(&mut self, region: &RegionName, is_lost: bool) {
        if is_lost {
            self.lost.insert(region.clone());
        } else {
            self.lost.remove(region);
        }
    }

    /// An operator drains a region, or ends that.
    pub(super) fn drain(&mut self, region: &RegionName, is_drained: bool, now: Instant) {
        if is_drained {
            self.tracker.drain(region, now);
        } else {
            self.tracker.undrain(region, now);
        }
    }

    /// The lost regions of a service.
    pub(super) fn lost(&self, service: ServiceId) -> Slots {
        let gateways = self
            .config
            .service(service)
            .map_or(&[][..], |service| service.gateways());
        let slots = (0..).map(Slot).zip(gateways);
        slots
            .filter(|(_, it)| self.lost.contains(&it.region))
            .map(|(slot, _)| slot)
            .collect()
    }

    /// When something changes by itself at the latest.
    pub(super) fn next(&self) -> Option<Instant> {
        let probes = self.probes.iter().map(|probe| self.end(probe));
        probes.chain(self.tracker.poll_timeout()).min()
    }

    /// It is `now`, and the attempts of the time before ended at these rates. Gives the health, if that changed.
    pub(super) fn advance(&mut self, rates: &Rates, elapsed: Duration, now: Instant) -> Option<HealthView> {
        self.observe(rates, elapsed, now);
        let (ended, running) = std::mem::take(&mut self.probes)
            .into_iter()
            .partition(|it| self.end(it) <= now);
        self.probes = running;
        for probe in Vec::<Probe>::into_iter(ended) {
            let result = match self.is_lost(probe.gateway) {
                true => Err(ProbeFailure::Unreachable),
                false => Ok(PROBE),
            };
            self.tracker.probe_finished(probe.ticket, result, now);
        }
        self.tracker.handle_timeout(now);
        let due = self.tracker.due_probes().into_iter().map(|due| Probe {
            ticket: due.ticket,
            gateway: due.gateway,
            begun: now,
            timeout: due.timeout,
        });
        self.probes.extend(due);
        self.tracker.changed_view()
    }

    /// What changed since the last call.
    pub(super) fn transitions(&mut self) -> Vec<Transition> {
        self.tracker.transitions()
    }

    /// A probe of a lost region ends with its timeout: nothing is refused.
    fn end(&self, probe: &Probe) -> Instant {
        let takes = if self.is_lost(probe.gateway) {
            probe.timeout
        } else {
            PROBE
        };
        probe.begun + takes
    }

    fn is_lost(&self, id: GatewayId) -> bool {
        let service = self.config.service(id.service);
        let gateway = service.and_then(|service| service.gateway(id.slot));
        gateway.is_some_and(|gateway| self.lost.contains(&gateway.region))
    }

    fn observe(&mut self, rates: &Rates, elapsed: Duration, now: Instant) {
        for (service, rest) in self.rest.answered.iter_mut().enumerate() {
            for (slot, answered) in rest.iter_mut().enumerate() {
                let whole = |rest: &mut f64, rates: &[Vec<f64>]| {
                    let rate = rates
                        .get(service)
                        .and_then(|rates| rates.get(slot))
                        .copied()
                        .unwrap_or_default();
                    *rest += rate * elapsed.as_secs_f64();
                    let whole = rest.floor();
                    *rest -= whole;
                    whole as u64
                };
                let answered = whole(answered, &rates.answered);
                let failed = whole(&mut self.rest.failed[service][slot], &rates.failed);
                let traffic: Traffic = [(Evidence::Success, answered), (Evidence::ConnectFailed, failed)]
                    .into_iter()
                    .collect();
                let id = GatewayId {
                    service: ServiceId(service as u16),
                    slot: Slot(slot as u8),
                };
                self.tracker.observe(id, &traffic, now);
            }
        }
    }
}
