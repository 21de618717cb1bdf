//! Estimated round trips from clients to regions, and their distribution.

use portolan_core::config::{Config, Service};
use portolan_core::geo::{Location, Place, PlaceId, Point};
use portolan_core::id::{RegionName, Slot};
use std::collections::HashMap;
use std::time::Duration;

/// Estimates of round trips, each computed once. They are the ones of policy `latency`, whatever the policy is.
#[derive(Debug)]
pub(super) struct Estimates {
    regions: HashMap<RegionName, Point>,
    fallback: Option<Point>,
    known: HashMap<(PlaceId, RegionName), Option<Duration>>,
}

impl Estimates {
    /// For clients of a configuration.
    pub(super) fn new(config: &Config) -> Self {
        let gateways = config.services().iter().flat_map(|service| service.gateways());
        Self {
            regions: gateways
                .map(|gateway| (gateway.region.clone(), gateway.point))
                .collect(),
            fallback: config.fallback(),
            known: HashMap::new(),
        }
    }

    /// From a client to a region. `None` where the place of either is not known.
    pub(super) fn round_trip(&mut self, client: Location, region: &RegionName) -> Option<Duration> {
        let key = (client.id, region.clone());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let estimate = self.estimate(client, region);
        self.known.insert(key, estimate);
        estimate
    }

    fn estimate(&self, client: Location, region: &RegionName) -> Option<Duration> {
        let from = client.place.point.or(self.fallback)?;
        // A region that the configuration does not have any more may be one of Azure.
        let azure = || portolan_geo::azure::find(region.as_str()).map(|region| region.point);
        let to = self.regions.get(region).copied().or_else(azure)?;
        let millis = portolan_geo::azure::round_trips().from_place(from).to(region, to);
        Duration::try_from_secs_f64(millis / 1e3).ok()
    }
}

/// The estimates of a service for all places of a location table.
#[derive(Debug)]
pub(super) struct Grid {
    width: usize,
    /// Microseconds by place and slot; 0 is unknown.
    micros: Vec<u32>,
}

impl Grid {
    /// Of one service.
    pub(super) fn new(service: &Service, places: &[Place], fallback: Option<Point>) -> Self {
        let gateways = service.gateways();
        let mut micros = Vec::with_capacity(gateways.len() * places.len());
        for place in places {
            let from = place.point.or(fallback);
            let vantage = from.map(|from| portolan_geo::azure::round_trips().from_place(from));
            micros.extend(gateways.iter().map(|gateway| {
                let millis = vantage
                    .as_ref()
                    .map(|vantage| vantage.to(&gateway.region, gateway.point));
                millis.map_or(0, |millis| (millis * 1e3).max(1.0) as u32)
            }));
        }
        Self {
            width: gateways.len(),
            micros,
        }
    }

    /// From a place to a region. `None` where the place is not known.
    pub(super) fn round_trip(&self, place: PlaceId, slot: Slot) -> Option<Duration> {
        let micros = *self.micros.get(place.index() * self.width + slot.index())?;
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }
}

/// The longest round trip that is told apart from longer ones, in milliseconds.
const LONGEST: usize = 1_023;

/// A distribution of round trips, to the millisecond.
#[derive(Clone, Debug)]
pub(super) struct Distribution {
    count: u64,
    /// Microseconds.
    sum: u64,
    /// By whole milliseconds; the last one is for all longer ones.
    counts: Box<[u64; LONGEST + 1]>,
}

impl Default for Distribution {
    fn default() -> Self {
        Self {
            count: 0,
            sum: 0,
            counts: Box::new([0; LONGEST + 1]),
        }
    }
}

impl Distribution {
    /// Counts a round trip so many times.
    pub(super) fn add(&mut self, round_trip: Duration, times: u64) {
        let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        self.count += times;
        self.sum = self.sum.saturating_add(micros.saturating_mul(times));
        self.counts[usize::try_from(micros / 1_000).map_or(LONGEST, |millis| millis.min(LONGEST))] += times;
    }

    /// Counts what another one has counted.
    pub(super) fn merge(&mut self, other: &Self) {
        self.merge_times(other, 1);
    }

    /// The same, so many times.
    pub(super) fn merge_times(&mut self, other: &Self, times: u64) {
        self.count += other.count * times;
        self.sum = self.sum.saturating_add(other.sum.saturating_mul(times));
        let counts = self.counts.iter_mut().zip(&*other.counts);
        counts.for_each(|(own, other)| *own += other * times);
    }

    /// The mean in milliseconds. `None` when nothing was counted.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64 / 1e3)
    }

    /// What so many thousandths of the round trips do not exceed, in milliseconds, rounded up. `None` when nothing was counted.
    pub(super) fn quantile(&self, permille: u64) -> Option<f64> {
        let wanted = (self.count * permille).div_ceil(1_000).max(1);
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen >= wanted
        };
        let at = self.counts.iter().position(reaches);
        at.filter(|_| self.count > 0).map(|millis| (millis + 1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_has_a_mean_and_quantiles() {
        let mut one = Distribution::default();
        assert_eq!((one.mean(), one.quantile(990)), (None, None));
        one.add(Duration::from_micros(10_500), 98);
        let mut other = Distribution::default();
        other.add(Duration::from_millis(200), 1);
        other.add(Duration::from_secs(9), 1);
        one.merge(&other);
        assert_eq!(one.quantile(500), Some(11.0));
        assert_eq!(one.quantile(980), Some(11.0));
        assert_eq!(one.quantile(990), Some(201.0));
        assert_eq!(one.quantile(1_000), Some(1_024.0), "and longer");
        let mean = (98.0 * 10.5 + 200.0 + 9_000.0) / 100.0;
        assert!((one.mean().expect("a mean") - mean).abs() < 1e-9);
    }
}
