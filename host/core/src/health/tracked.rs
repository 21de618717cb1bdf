//! The gateways of one service, and what they share: their configuration, and the ejection limit.

use super::criteria::{Criteria, Peers};
use super::gateway::Gateway;
use crate::config::{Policy, Service};
use crate::id::{RegionName, ServiceName, Slot};
use crate::slots::Slots;
use std::collections::BTreeSet;
use std::time::Instant;

/// A service as the tracker knows it.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub(super) name: ServiceName,
    pub(super) criteria: Criteria,
    /// In slot order.
    pub(super) gateways: Vec<Gateway>,
    /// See [`ServiceHealth::unresponsive`](super::ServiceHealth::unresponsive).
    pub(super) unresponsive: Slots,
    /// See [`ServiceHealth::last_resort`](super::ServiceHealth::last_resort).
    pub(super) last_resort: Slots,
}

impl Tracked {
    /// A service with its current configuration, and the known health of its gateways.
    pub(super) fn new(service: &Service, known: Option<Self>, drained: &BTreeSet<RegionName>, now: Instant) -> Self {
        let criteria = Criteria {
            check: service.health_check.clone(),
            limits: service.outlier_detection.clone(),
            slow_start: service.slow_start,
            failback: service.failback.clone(),
            shows_round_trips: matches!(service.policy, Policy::Plugin(_)),
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
            unresponsive: Slots::EMPTY,
            last_resort: Slots::EMPTY,
        };
        tracked.keep_ceiling(now);
        tracked
    }

    /// The other gateways than the one in this slot.
    pub(super) fn peers(&self, slot: Slot, now: Instant) -> Peers {
        let others = || {
            let all = self.gateways.iter().enumerate();
            all.filter(|(index, _)| *index != slot.index())
                .map(|(_, gateway)| gateway)
        };
        Peers {
            room: self.ejected() < self.ceiling(),
            others: others().any(Gateway::is_in),
            exchange: others().any(|gateway| gateway.may_return(&self.criteria)),
            credible_disputes: others().any(|gateway| gateway.has_credible_disputes(&self.criteria, now)),
            probed: self.criteria.check.is_some(),
        }
    }

    /// After an ejection: when more gateways are ejected than is allowed, or none gets traffic, ends the ejection of one whose
    /// probes pass, the one that would have ended first. Returns its slot.
    pub(super) fn exchange(&mut self, now: Instant) -> Option<Slot> {
        if self.ejected() <= self.ceiling() && !self.is_lost() {
            return None;
        }
        let gateways = self.gateways.iter_mut().enumerate();
        let well = gateways.filter(|(_, gateway)| gateway.may_return(&self.criteria));
        let (index, gateway) = well.min_by_key(|(_, gateway)| gateway.ejected_until())?;
        gateway.end_early(&self.criteria, now);
        Some(Slot(index as u8))
    }

    /// Whether no gateway gets traffic. They are probed more often then.
    pub(super) fn is_lost(&self) -> bool {
        !self.gateways.iter().any(Gateway::is_in)
    }

    /// The next moment at which something is due.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let probes = self.gateways.iter().filter_map(|gateway| gateway.probing.due());
        let probes = probes.min().filter(|_| self.criteria.check.is_some());
        let times = self
            .gateways
            .iter()
            .filter_map(|gateway| gateway.poll_timeout(&self.criteria, now));
        probes.into_iter().chain(times).min()
    }

    /// The gateways that are a last resort: see [`ServiceHealth::last_resort`](super::ServiceHealth::last_resort).
    pub(super) fn find_last_resort(&self) -> Slots {
        let is_lost = self.is_lost();
        let gateways = self.gateways.iter().zip((0..).map(Slot));
        let those = gateways.filter(|(gateway, _)| gateway.is_last_resort(&self.criteria, is_lost));
        those.map(|(_, slot)| slot).collect()
    }

    fn ejected(&self) -> usize {
        self.gateways.iter().filter(|gateway| gateway.is_ejected()).count()
    }

    /// How many may be ejected at a time. One always may; gateways that answer no request are not limited.
    fn ceiling(&self) -> usize {
        let share = self.gateways.len() * usize::from(self.criteria.limits.max_ejection_percent) / 100;
        share.max(1)
    }

    /// Ends the ejections that would end first, when more gateways are ejected than a new configuration allows.
    fn keep_ceiling(&mut self, now: Instant) {
        while self
            .gateways
            .iter()
            .filter(|gateway| gateway.counts_for_ceiling())
            .count()
            > self.ceiling()
        {
            let ejected = self.gateways.iter_mut().filter(|gateway| gateway.counts_for_ceiling());
            if let Some(gateway) = ejected.min_by_key(|gateway| gateway.ejected_until()) {
                gateway.end_early(&self.criteria, now);
            }
        }
    }
}
