//! The health of the regions as this instance sees it, for its vote and for its answers to probes.

use crate::config::Publication;
use crate::table::RoutingTable;
use crate::vitals::Vitals;
use portolan_azure::health::{LocalView, RegionHealth};
use portolan_core::health::State;
use portolan_core::health::transition::{Cause, Transition};
use portolan_core::id::{GatewayId, RegionName, ServiceId, ServiceName, Slot};
use std::collections::{BTreeMap, HashMap};
use tokio::time::Instant;

/// The state of a gateway for votes and answers: unknown when this instance reaches no gateway at all, except for a drain,
/// which an operator asked for.
pub(super) fn own(table: &RoutingTable, service: ServiceId, slot: Slot) -> State {
    let state = table.health.gateway(GatewayId { service, slot }).state;
    if table.health.is_isolated() && state != State::Draining {
        State::Unknown
    } else {
        state
    }
}

/// Why a gateway changed.
#[derive(Debug)]
pub(super) struct Observation {
    service: ServiceName,
    region: RegionName,
    to: State,
    text: String,
}

impl Observation {
    pub(super) fn of(vitals: &Vitals, transition: &Transition) -> Self {
        let cause = transition.cause.as_str().replace('_', " ");
        Self {
            service: vitals.key.service.clone(),
            region: vitals.key.region.clone(),
            to: transition.to,
            text: match transition.cause {
                Cause::ProbesFailed(failure) => format!("{cause}: it {failure}"),
                _ => cause,
            },
        }
    }
}

/// The regions of the published service, since when they look as they do, and why.
#[derive(Debug, Default)]
pub(super) struct LocalHealth {
    service: Option<ServiceName>,
    seen: BTreeMap<RegionName, RegionHealth>,
    /// The last of each gateway, of all services.
    observations: HashMap<(ServiceName, RegionName), (State, String)>,
}

impl LocalHealth {
    /// Keeps it for the table that comes of it.
    pub(super) fn note(&mut self, observation: Observation) {
        let Observation {
            service,
            region,
            to,
            text,
        } = observation;
        self.observations.insert((service, region), (to, text));
    }

    /// The regions that have an origin, as they look now.
    pub(super) fn look(&mut self, table: &RoutingTable, publication: &Publication, now: Instant) -> LocalView {
        if self.service.as_ref() != Some(&publication.service) {
            self.seen.clear();
            self.service = Some(publication.service.clone());
        }
        let services = table.config().services();
        let service = (0..)
            .map(ServiceId)
            .zip(services)
            .find(|it| it.1.name == publication.service);
        let mut seen = BTreeMap::new();
        for origin in &publication.settings.origins {
            let region = &origin.region;
            let slot = service.and_then(|(id, service)| Some((id, service.slot_of(region)?)));
            let state = slot.map_or(State::Unknown, |(id, slot)| own(table, id, slot));
            let before = self.seen.remove(region).filter(|before| before.state == state);
            let health = RegionHealth {
                region: region.clone(),
                state,
                since: before.map_or(now, |before| before.since),
                evidence: self.evidence(table, &publication.service, region, state),
            };
            seen.insert(region.clone(), health);
        }
        self.seen = seen;
        LocalView {
            regions: self.seen.values().cloned().collect(),
            isolated: table.health.is_isolated(),
        }
    }

    fn evidence(&self, table: &RoutingTable, service: &ServiceName, region: &RegionName, state: State) -> String {
        if table.health.is_isolated() && state == State::Unknown {
            return "this instance reaches no gateway at all".into();
        }
        let found = self.observations.get(&(service.clone(), region.clone()));
        let found = found.filter(|(to, _)| *to == state);
        found.map_or_else(|| "no observation yet".into(), |(_, text)| text.clone())
    }
}
