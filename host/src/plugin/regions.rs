//! The regions of a service as plugins see them.

use super::contract::{v01, v02};
use portolan_core::config::Gateway;
use portolan_core::geo::{Country, Point};
use portolan_core::health::{GatewayHealth, State};
use portolan_core::id::{Generation, ServiceName};
use std::time::Duration;

/// The regions of a service in one routing table, ready to be handed to a plugin. The position of an entry is its
/// region's [`Slot`](portolan_core::id::Slot).
#[derive(Clone, Debug, PartialEq)]
pub struct RegionTable {
    generation: Generation,
    service: ServiceName,
    regions: Vec<RegionEntry>,
}

/// One region of a [`RegionTable`].
#[derive(Clone, Debug, PartialEq)]
pub struct RegionEntry {
    name: String,
    country: Country,
    point: Option<Point>,
    state: State,
    share_permille: u32,
    round_trip: Option<Duration>,
    priority: u32,
    weight: u32,
    max_requests: Option<u32>,
    cost: Option<f32>,
    tags: Box<[Box<str>]>,
}

impl RegionTable {
    /// The regions of a service in slot order.
    pub fn new(generation: Generation, service: ServiceName, regions: Vec<RegionEntry>) -> Self {
        Self {
            generation,
            service,
            regions,
        }
    }

    /// Three regions on three continents, for plugins that no service uses yet.
    pub fn sample() -> Self {
        let region = |name: &str, country: &str, latitude, longitude| RegionEntry {
            name: name.to_owned(),
            country: Country::parse(country).unwrap_or_default(),
            point: Point::new(latitude, longitude).ok(),
            state: State::Healthy,
            share_permille: GatewayHealth::FULL_SHARE.into(),
            round_trip: Some(Duration::from_millis(20)),
            priority: 0,
            weight: 100,
            max_requests: None,
            cost: None,
            tags: Box::default(),
        };
        Self::new(
            Generation::default(),
            ServiceName::from("sample"),
            vec![
                region("westeurope", "NL", 52.37, 4.9),
                region("eastus2", "US", 36.67, -78.39),
                region("southeastasia", "SG", 1.28, 103.83),
            ],
        )
    }

    /// The routing table it belongs to.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// How many regions there are.
    pub fn len(&self) -> usize {
        self.regions.len()
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// The same regions in another routing table.
    #[cfg(test)]
    pub(super) fn of_generation(&self, generation: Generation) -> Self {
        Self {
            generation,
            ..self.clone()
        }
    }

    /// The regions again and again until there are `count`.
    #[cfg(test)]
    pub(super) fn repeated(&self, count: usize) -> Self {
        let regions = self.regions.iter().cycle().take(count).cloned().collect();
        Self {
            regions,
            ..self.clone()
        }
    }

    /// The regions for 0.1; [`snapshot`](Self::v01_snapshot) is made of them.
    pub(super) fn v01(&self) -> Vec<v01::Region<'_>> {
        self.regions.iter().map(RegionEntry::v01).collect()
    }

    pub(super) fn v01_snapshot<'a>(&'a self, regions: &'a [v01::Region<'a>]) -> v01::Snapshot<'a> {
        v01::Snapshot {
            generation: self.generation.0,
            service: self.service.as_str(),
            regions,
        }
    }

    /// The regions for 0.2; [`snapshot`](Self::v02_snapshot) is made of them.
    pub(super) fn v02(&self) -> Vec<v02::Region<'_>> {
        self.regions.iter().map(RegionEntry::v02).collect()
    }

    pub(super) fn v02_snapshot<'a>(&'a self, regions: &'a [v02::Region<'a>]) -> v02::Snapshot<'a> {
        v02::Snapshot {
            generation: self.generation.0,
            service: self.service.as_str(),
            regions,
        }
    }

    /// Where the region of a slot is.
    pub(super) fn point(&self, slot: usize) -> Option<Point> {
        self.regions.get(slot)?.point
    }
}

impl RegionEntry {
    /// A gateway's region with what is known of its health. `country` is the region's own.
    pub fn new(gateway: &Gateway, country: Country, health: GatewayHealth) -> Self {
        Self {
            name: gateway.region.as_str().to_owned(),
            country,
            point: Some(gateway.point),
            state: health.state,
            share_permille: health.share.into(),
            round_trip: health.round_trip,
            priority: gateway.priority.into(),
            weight: gateway.weight,
            max_requests: gateway.max_requests,
            cost: gateway.labels.cost,
            tags: gateway.labels.tags.clone(),
        }
    }

    /// The round trip from here in microseconds.
    fn round_trip_us(&self) -> Option<u32> {
        let round_trip = self.round_trip?;
        Some(u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX))
    }

    fn v01(&self) -> v01::Region<'_> {
        v01::Region {
            name: &self.name,
            country: self.country.code(),
            state: match self.state {
                State::Unknown => 0,
                State::Healthy => 1,
                State::Warming => 2,
                State::Unhealthy => 3,
                State::Draining => 4,
            },
            latitude: self.point.map_or(f32::NAN, Point::latitude),
            longitude: self.point.map_or(f32::NAN, Point::longitude),
            rtt_us: self.round_trip_us().unwrap_or(0),
            share_permille: self.share_permille,
            max_requests: self.max_requests.unwrap_or(0),
            priority: self.priority,
            weight: self.weight,
        }
    }

    fn v02(&self) -> v02::Region<'_> {
        v02::Region {
            name: &self.name,
            country: self.country.code(),
            health: match self.state {
                State::Unknown => v02::Health::Unknown,
                State::Healthy => v02::Health::Healthy,
                State::Warming => v02::Health::Warming,
                State::Unhealthy => v02::Health::Unhealthy,
                State::Draining => v02::Health::Draining,
            },
            location: self.point.map(|point| v02::Point {
                latitude: point.latitude(),
                longitude: point.longitude(),
            }),
            round_trip_us: self.round_trip_us(),
            share_permille: self.share_permille,
            max_requests: self.max_requests,
            priority: self.priority,
            weight: self.weight,
            cost: self.cost,
            tags: &self.tags,
        }
    }
}
