//! The gateways of one service, and what they share: criteria, and a ceiling on ejections.

use super::gateway::Gateway;
use super::outlier::Fault;
use crate::config::{HealthCheck, OutlierDetection, Service};
use crate::id::{RegionName, ServiceName, Slot};
use crate::slots::Slots;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// By what a service's gateways are judged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Criteria {
    pub(super) check: Option<HealthCheck>,
    pub(super) limits: OutlierDetection,
    pub(super) slow_start: Duration,
}

/// How a gateway's fellows are doing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peers {
    /// One more gateway of the service may be ejected.
    pub(super) room: bool,
    /// Somebody else is there to answer.
    pub(super) others: bool,
    /// Probes watch them all.
    pub(super) probed: bool,
}

impl Peers {
    /// Whether a gateway with this fault may be ejected. One that answers most requests is better than nobody; one that
    /// answers nobody is worth nothing while another is there. The last one is left to the probes; without any it goes
    /// too, so that panic mode tries them all and finds the one that is back.
    pub(super) fn can_spare_it(self, fault: Fault) -> bool {
        match fault {
            Fault::FailureShare => self.room && self.others,
            _ => self.room || fault.is_total() && (self.others || !self.probed),
        }
    }
}

/// A service as the tracker knows it.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub(super) name: ServiceName,
    pub(super) criteria: Criteria,
    /// In slot order.
    pub(super) gateways: Vec<Gateway>,
    /// See [`ServiceHealth::silent`](super::ServiceHealth::silent).
    pub(super) silent: Slots,
}

impl Tracked {
    /// A service as it is configured now, with what is known of its gateways.
    pub(super) fn new(service: &Service, known: Option<Self>, drained: &BTreeSet<RegionName>, now: Instant) -> Self {
        let criteria = Criteria {
            check: service.health_check.clone(),
            limits: service.outlier_detection.clone(),
            slow_start: service.slow_start,
        };
        let (old, mut pool) = match known {
            Some(known) => (known.criteria, known.gateways),
            None => (criteria.clone(), Vec::new()),
        };
        let gateways = service.gateways().iter().map(|gateway| {
            let same = |known: &Gateway| known.region == gateway.region && known.address == gateway.address;
            match pool.iter().position(same) {
                Some(index) => {
                    let mut known = pool.swap_remove(index);
                    known.reconfigure(&old, &criteria, now);
                    known
                }
                None => Gateway::new(
                    gateway.region.clone(),
                    gateway.address.clone(),
                    drained.contains(&gateway.region),
                    now,
                ),
            }
        });
        let gateways = gateways.collect();
        let mut tracked = Self {
            name: service.name.clone(),
            criteria,
            gateways,
            silent: Slots::EMPTY,
        };
        tracked.keep_ceiling(now);
        tracked
    }

    /// How the fellows of the gateway in this slot are doing.
    pub(super) fn peers(&self, slot: Slot) -> Peers {
        let mut others = self
            .gateways
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != slot.index());
        Peers {
            room: self.ejected() < self.ceiling(),
            others: others.any(|(_, gateway)| gateway.is_in()),
            probed: self.criteria.check.is_some(),
        }
    }

    /// Whether nobody is left to answer: the first one to come back is eagerly awaited.
    pub(super) fn is_lost(&self) -> bool {
        !self.gateways.iter().any(Gateway::is_in)
    }

    /// The next moment at which something is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let probes = self.gateways.iter().filter_map(|gateway| gateway.probing.due());
        let probes = probes.min().filter(|_| self.criteria.check.is_some());
        let times = self
            .gateways
            .iter()
            .filter_map(|gateway| gateway.poll_timeout(&self.criteria));
        probes.into_iter().chain(times).min()
    }

    fn ejected(&self) -> usize {
        self.gateways.iter().filter(|gateway| gateway.is_ejected()).count()
    }

    /// How many may be ejected at a time. One always may, and so may those that answer nobody.
    fn ceiling(&self) -> usize {
        let share = self.gateways.len() * usize::from(self.criteria.limits.max_ejection_percent) / 100;
        share.max(1)
    }

    /// After a change of configuration more may be ejected than may be: those that would be back first are.
    fn keep_ceiling(&mut self, now: Instant) {
        while self.gateways.iter().filter(|gateway| gateway.is_pardonable()).count() > self.ceiling() {
            let ejected = self.gateways.iter_mut().filter(|gateway| gateway.is_pardonable());
            if let Some(gateway) = ejected.min_by_key(|gateway| gateway.ejected_until()) {
                gateway.pardon(&self.criteria, now);
            }
        }
    }
}
