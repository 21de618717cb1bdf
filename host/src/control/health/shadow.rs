//! Health as the clients of a drill see it: the same judgement, by the same settings, of gateways of which one region is lost.

use crate::drill::Drill;
use crate::vitals::GatewayKey;
use portolan_core::config::Config;
use portolan_core::health::probing::{ProbeFailure, ProbeResult};
use portolan_core::health::tracker::{DueProbe, Tracker};
use portolan_core::health::traffic::Traffic;
use portolan_core::health::{Evidence, HealthView, State};
use portolan_core::id::{GatewayId, RegionName, ServiceName};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// The health of the gateways in a drill.
pub(super) struct Shadow {
    tracker: Tracker,
    drill: Arc<Drill>,
    /// How many attempts in the lost region were read, by service.
    read: BTreeMap<ServiceName, u64>,
}

impl Shadow {
    /// As it is now. The region is lost from now on.
    pub(super) fn new(tracker: &Tracker, drill: Arc<Drill>, now: Instant) -> Self {
        Self {
            tracker: tracker.fork(now),
            drill,
            read: BTreeMap::new(),
        }
    }

    /// A gateway's traffic since the last reading. Of the lost region only what the clients of the drill have tried counts.
    pub(super) fn observe(&mut self, id: GatewayId, gateway: &GatewayKey, traffic: &Traffic, now: Instant) {
        if gateway.region != *self.drill.region() {
            return self.tracker.observe(id, traffic, now);
        }
        let lost = self.drill.lost_attempts(&gateway.service);
        let read = self.read.entry(gateway.service.clone()).or_default();
        let fresh = lost.saturating_sub(std::mem::replace(read, lost));
        let traffic: Traffic = [(Evidence::ConnectFailed, fresh)].into_iter().collect();
        self.tracker.observe(id, &traffic, now);
    }

    pub(super) fn drain(&mut self, region: &RegionName, drained: bool, now: Instant) {
        match drained {
            true => self.tracker.drain(region, now),
            false => self.tracker.undrain(region, now),
        };
    }

    pub(super) fn reconfigure(&mut self, config: &Config, now: Instant) {
        self.tracker.reconfigure(config, now);
    }

    pub(super) fn probe_finished(&mut self, ticket: u64, result: ProbeResult, now: Instant) {
        self.tracker.probe_finished(ticket, result, now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.tracker.poll_timeout()
    }

    /// The probes to send. Those of the lost region have failed already: nothing listens there.
    pub(super) fn due_probes(&mut self, config: &Config, now: Instant) -> Vec<DueProbe> {
        self.tracker.handle_timeout(now);
        let is_lost = |due: &DueProbe| {
            let service = config.service(due.gateway.service);
            let gateway = service.and_then(|service| service.gateway(due.gateway.slot));
            gateway.is_some_and(|gateway| gateway.region == *self.drill.region())
        };
        let (lost, others): (Vec<_>, Vec<_>) = self.tracker.due_probes().into_iter().partition(is_lost);
        for due in lost {
            self.tracker.probe_finished(due.ticket, Err(ProbeFailure::Refused), now);
        }
        // A gateway that waits for its failback outside of the drill goes on waiting in it.
        drop(self.tracker.due_checks());
        others
    }

    /// The view, if it changed. Notes when the loss was detected in all services.
    pub(super) fn changed_view(&mut self, config: &Config, now: Instant) -> Option<HealthView> {
        drop(self.tracker.transitions());
        let view = self.tracker.changed_view()?;
        let mut services = config.services().iter().zip(view.services());
        let is_detected = services.all(|(service, health)| {
            let slot = service.slot_of(self.drill.region());
            slot.is_none_or(|slot| health.gateway(slot).state == State::Unhealthy)
        });
        if is_detected {
            self.drill.detected(now);
        }
        Some(view)
    }
}
