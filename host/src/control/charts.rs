//! The charts of the services, by places and by round trips from here.

use super::loaded::Loaded;
use portolan_core::chart::{self, Chart, is_for_all};
use portolan_core::config::{Policy, Service};
use portolan_core::geo::{PlaceId, Point};
use portolan_core::nearest::Cost;
use portolan_core::round_trip::Measured;
use portolan_geo::azure;
use std::sync::Arc;

/// The charts by places; those that are ordered from here by where that is.
pub(super) fn drawn(loaded: &Loaded) -> Vec<Arc<Chart>> {
    let places = loaded.geo.places.places();
    let mut charts = chart::draw_all(&loaded.settings.routing, places, azure::round_trips());
    for (chart, service) in charts.iter_mut().zip(loaded.settings.routing.services()) {
        // From here, there is one order for all places.
        for (place, region) in loaded.geo.preferred.iter().filter(|_| !is_for_all(service)) {
            chart.prefer(service, *place, region);
        }
    }
    charts.into_iter().map(Arc::new).collect()
}

/// The same, with the measured orders of services that were ordered from here before and have the same regions still: what is about
/// equal stays in its order.
pub(super) fn carried(
    drawn: Vec<Arc<Chart>>,
    next: &Loaded,
    before: &Loaded,
    charts: &[Arc<Chart>],
) -> Vec<Arc<Chart>> {
    let before: Vec<_> = before.settings.routing.services().iter().zip(charts).collect();
    let regions = |service: &Service| {
        let gateways = service.gateways().iter();
        gateways
            .map(|gateway| (gateway.region.clone(), gateway.priority))
            .collect::<Vec<_>>()
    };
    let services = next.settings.routing.services().iter();
    let charts = services.zip(drawn).map(|(service, drawn)| {
        let is_same = |other: &Service| {
            other.name == service.name && is_for_all(other) && is_for_all(service) && regions(other) == regions(service)
        };
        let same = before.iter().find(|(other, _)| is_same(other));
        same.map_or(drawn, |(_, chart)| Arc::clone(chart))
    });
    charts.collect()
}

/// Whether a service is ordered from here.
pub(super) fn are_measured(loaded: &Loaded) -> bool {
    loaded.settings.routing.services().iter().any(is_for_all)
}

/// A chart with its order changed by what was measured, by slot. `None` when nothing changes.
pub(super) fn reordered(
    chart: &Chart,
    service: &Service,
    here: Option<Point>,
    measured: &[Option<Measured>],
) -> Option<Chart> {
    if !is_for_all(service) {
        return None;
    }
    let gateways = service.gateways().iter().zip(measured);
    let costs: Vec<_> = gateways
        .map(|(gateway, measured)| Cost::of(gateway, *measured, here, azure::round_trips()))
        .collect();
    let next = chart.reordered(service, |slot| costs[slot.index()])?;
    let order = next.row(PlaceId::UNKNOWN).iter();
    let order: Vec<_> = order
        .filter_map(|slot| {
            let (gateway, cost) = (service.gateway(*slot)?, costs.get(slot.index())?);
            Some(format!("{} {cost}", gateway.region))
        })
        .collect();
    tracing::info!(service = %service.name, order = order.join(", "), "the order of regions changed by their round trips from here");
    Some(next)
}

/// Whether a plugin is given round trips from here that are too far from these now.
pub(super) fn differ(service: &Service, given: &[Option<Measured>], now: &[Option<Measured>]) -> bool {
    let is_given = is_for_all(service) && matches!(service.policy, Policy::Plugin(_));
    let given = |slot: usize| given.get(slot).copied().flatten();
    is_given && (0..now.len()).any(|slot| Measured::differs(given(slot), now[slot]))
}
