//! What kept regions from answering when an entry was decided, as the reason in the access log says.

use crate::rehearse::entry::Entry;
use portolan_core::config::{Config, Service};
use portolan_core::health::{GatewayHealth, HealthView, ServiceHealth, State};
use portolan_core::id::{RegionName, ServiceId};
use portolan_core::slots::Slots;

/// The regions of a service that did not get a request at once. Residency is not among it: the configuration decides that again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Conditions {
    drained: Slots,
    /// Unhealthy, or with as many requests as they may have.
    out: Slots,
    last_resort: Slots,
    /// In slow start, and held back for this request.
    warming: Slots,
}

impl Conditions {
    /// Those of an entry, among the regions of a service.
    pub(super) fn of(entry: &Entry<'_>, service: &Service) -> Self {
        let mut conditions = Self::default();
        for part in entry.parts() {
            let (kind, rest) = part.split_once(' ').unwrap_or_default();
            let Some((region, word)) = rest.split_once('=') else {
                continue;
            };
            let slots = match (kind, word) {
                ("not", "draining") => &mut conditions.drained,
                ("not", "unhealthy" | "full") => &mut conditions.out,
                ("later", "unhealthy") => &mut conditions.last_resort,
                ("later", "warming") => &mut conditions.warming,
                _ => continue,
            };
            if let Some(slot) = service.slot_of(&RegionName::new(region)) {
                slots.insert(slot);
            }
        }
        conditions
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The health that leads to them: the other regions, and other services, are as at a start.
    pub(super) fn view(self, config: &Config, id: ServiceId) -> HealthView {
        let services = config.services().iter().enumerate().map(|(index, service)| {
            if index == id.index() {
                self.health(service)
            } else {
                ServiceHealth::unknown(service.gateways().len())
            }
        });
        HealthView::new(services.collect())
    }

    fn health(self, service: &Service) -> ServiceHealth {
        let gateway = |slot| {
            let (state, share) = match () {
                () if self.drained.contains(slot) => (State::Draining, GatewayHealth::FULL_SHARE),
                () if (self.out | self.last_resort).contains(slot) => (State::Unhealthy, GatewayHealth::FULL_SHARE),
                // It was held back, so that its share does not matter.
                () if self.warming.contains(slot) => (State::Warming, 0),
                () => (State::Unknown, GatewayHealth::FULL_SHARE),
            };
            GatewayHealth {
                state,
                share,
                ..GatewayHealth::default()
            }
        };
        ServiceHealth::new(service.slots().iter().map(gateway).collect()).with_last_resort(self.last_resort)
    }
}
