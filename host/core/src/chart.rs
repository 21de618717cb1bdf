//! The chart of a service: for every place, its regions by preference.
//!
//! It is drawn once per configuration and location table, a few thousand rows of one byte per region, so that a request
//! reads an order instead of computing distances.

use crate::config::{Config, LatencyFrom, Policy, Service};
use crate::geo::{Place, PlaceId, Point};
use crate::id::{RegionName, Slot};
use crate::nearest::{Cost, reorder};
use crate::proximity::RoundTrips;
use std::cmp::Ordering;
use std::time::Duration;

/// For every place, the slots of a service by preference: by priority, then by policy, then in configured order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    width: usize,
    rows: Vec<Slot>,
    /// The estimated round trips to the slots in ascending order, in microseconds, of each row; 0 is unknown. Only for services
    /// with a plugin, which may ask for them.
    round_trips: Vec<u32>,
}

impl Chart {
    /// Draws the chart of a service over the places of a location table. A place without a point is assumed to be at
    /// `fallback`; without that, all regions are equally near and the configured order decides. With
    /// [`LatencyFrom::Here`] there is one order for all places, that of `fallback`, until it is
    /// [reordered](Chart::reordered).
    pub fn draw(service: &Service, places: &[Place], fallback: Option<Point>, round_trips: &RoundTrips) -> Self {
        let width = service.gateways().len();
        let mut rows = Vec::with_capacity(width * places.len().max(1));
        let mut estimates = Vec::new();
        let has_plugin = matches!(service.policy, Policy::Plugin(_));
        let unknown = [Place::default()];
        let places = if is_for_all(service) { &[] } else { places };
        for place in if places.is_empty() { &unknown } else { places } {
            let from = place.point.or(fallback);
            let costs = costs(service, from, round_trips);
            rows.extend(order(service, &costs));
            if has_plugin {
                let micros = |millis: &f64| {
                    if from.is_some() {
                        (millis * 1e3).max(1.0) as u32
                    } else {
                        0
                    }
                };
                estimates.extend(costs.iter().map(micros));
            }
        }
        Self {
            width,
            rows,
            round_trips: estimates,
        }
    }

    /// Moves a region of the service to the front of those of its priority, for clients of a place that prefer it. Under
    /// a policy that does not look at places, and for a region that the service does not have, nothing changes.
    pub fn prefer(&mut self, service: &Service, place: PlaceId, region: &RegionName) {
        let mut gateways = service.gateways().iter();
        let (Some(index), false) = (
            gateways.position(|gateway| gateway.region == *region),
            service.policy == Policy::Priority,
        ) else {
            return;
        };
        let start = place.index() * self.width;
        let Some(row) = self.rows.get_mut(start..start + self.width) else {
            return;
        };
        let priority = |slot: Slot| service.gateway(slot).map(|gateway| gateway.priority);
        let Some(at) = row.iter().position(|slot| slot.index() == index) else {
            return;
        };
        let first = row.iter().position(|slot| priority(*slot) == priority(row[at]));
        row[first.unwrap_or(at)..=at].rotate_right(1);
    }

    /// The chart with its one order changed by what regions cost from here now. `None` when nothing changes.
    pub fn reordered(&self, service: &Service, cost: impl Fn(Slot) -> Cost) -> Option<Self> {
        let priority = |slot: &Slot| service.gateway(*slot).map(|gateway| gateway.priority);
        let mut chart = self.clone();
        for equals in chart.rows.chunk_by_mut(|a, b| priority(a) == priority(b)) {
            reorder(equals, &cost);
        }
        (is_for_all(service) && chart != *self).then_some(chart)
    }

    /// The estimated round trip between a place and the region of a slot. `None` where the place is not known, and for services
    /// without a plugin.
    pub fn round_trip(&self, place: PlaceId, slot: Slot) -> Option<Duration> {
        let row = place.index() * self.width;
        let row = if row < self.round_trips.len() { row } else { 0 };
        let micros = self.round_trips.get(row..row + self.width)?.get(slot.index())?;
        (*micros > 0).then(|| Duration::from_micros((*micros).into()))
    }

    /// The order for a place. A place that is not in the chart gets the order of [`PlaceId::UNKNOWN`].
    pub fn row(&self, place: PlaceId) -> &[Slot] {
        let start = place.index() * self.width;
        self.rows
            .get(start..start + self.width)
            .or_else(|| self.rows.get(..self.width))
            .unwrap_or(&[])
    }
}

/// Whether the client's place does not matter, so that one order is for all.
pub fn is_for_all(service: &Service) -> bool {
    let by_latency = matches!(service.policy, Policy::Latency | Policy::Weighted | Policy::Plugin(_));
    by_latency && service.latency_from == LatencyFrom::Here
}

/// Draws the chart of every service, in configured order.
pub fn draw_all(config: &Config, places: &[Place], round_trips: &RoundTrips) -> Vec<Chart> {
    let services = config.services().iter();
    services
        .map(|service| Chart::draw(service, places, config.fallback(), round_trips))
        .collect()
}

/// What a region costs a client under a service's policy: milliseconds for [`Policy::Latency`] and plugins, kilometres
/// for [`Policy::Distance`], nothing for the others or where the client's place is unknown.
pub fn costs(service: &Service, from: Option<Point>, round_trips: &RoundTrips) -> Vec<f64> {
    let gateways = service.gateways().iter();
    match (&service.policy, from) {
        (Policy::Priority, _) | (_, None) => gateways.map(|_| 0.0).collect(),
        (Policy::Distance, Some(from)) => gateways.map(|gateway| from.distance_km(gateway.point)).collect(),
        (Policy::Latency | Policy::Weighted | Policy::Plugin(_), Some(from)) => {
            let vantage = round_trips.from_place(from);
            gateways
                .map(|gateway| vantage.to(&gateway.region, gateway.point))
                .collect()
        }
    }
}

fn order(service: &Service, costs: &[f64]) -> Vec<Slot> {
    let mut slots: Vec<Slot> = service.slots().iter().collect();
    // A stable sort: equals keep the configured order, on every machine.
    slots.sort_by(|a, b| {
        let priority = |slot: &Slot| service.gateway(*slot).map(|gateway| gateway.priority);
        let cost = |slot: &Slot| costs.get(slot.index()).copied().unwrap_or(f64::INFINITY);
        priority(a)
            .cmp(&priority(b))
            .then(cost(a).partial_cmp(&cost(b)).unwrap_or(Ordering::Equal))
    });
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Gateway, GatewayAddress, ServiceParts};

    fn point(latitude: f32, longitude: f32) -> Point {
        Point::new(latitude, longitude).expect("a point")
    }

    fn service(policy: Policy) -> Service {
        let gateway = |region: &str, point| Gateway::new(region.into(), point, GatewayAddress::http("gw", 80));
        let gateways = vec![gateway("far", point(1.3, 103.8)), gateway("near", point(52.4, 4.9))];
        let mut parts = ServiceParts::new("shop", gateways);
        parts.policy = policy;
        Service::new(parts).expect("a service")
    }

    #[test]
    fn round_trips_are_kept_for_plugins() {
        let place = |point| Place {
            point,
            ..Place::default()
        };
        let london = point(51.5, -0.1);
        let places = [place(None), place(Some(london))];
        let service_of_plugin = service(Policy::Plugin("p".into()));
        let round_trips = RoundTrips::default();
        let chart = Chart::draw(&service_of_plugin, &places, None, &round_trips);
        assert_eq!(
            chart.round_trip(PlaceId::UNKNOWN, Slot(0)),
            None,
            "nobody knows where that is"
        );
        let expected = costs(&service_of_plugin, Some(london), &round_trips);
        for (slot, millis) in (0..).map(Slot).zip(&expected) {
            let round_trip = chart.round_trip(PlaceId(1), slot).expect("an estimate");
            assert!(
                (round_trip.as_secs_f64() * 1e3 - millis).abs() < 0.01,
                "{round_trip:?} {millis}"
            );
        }
        assert_eq!(chart.round_trip(PlaceId(1), Slot(2)), None);
        let assumed = Chart::draw(&service_of_plugin, &places, Some(london), &round_trips);
        assert_eq!(
            assumed.round_trip(PlaceId::UNKNOWN, Slot(1)),
            chart.round_trip(PlaceId(1), Slot(1))
        );
        assert_eq!(
            assumed.round_trip(PlaceId(9), Slot(1)),
            chart.round_trip(PlaceId(1), Slot(1)),
            "as for rows"
        );
        let without = Chart::draw(&service(Policy::Latency), &places, None, &round_trips);
        assert_eq!(without.round_trip(PlaceId(1), Slot(1)), None);
    }
}
