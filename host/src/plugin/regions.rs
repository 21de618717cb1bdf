//! The regions of a service as plugins see them.

use super::contract::{Region, Snapshot};
use portolan_core::config::Gateway;
use portolan_core::geo::{Country, Point};
use portolan_core::health::{GatewayHealth, State};
use portolan_core::id::{Generation, ServiceName};

/// The regions of a service in one routing table, ready to be handed to a plugin. The position of an entry is its
/// region's [`Slot`](portolan_core::id::Slot).
#[derive(Clone, Debug, PartialEq)]
pub struct RegionTable {
    generation: Generation,
    service: ServiceName,
    regions: Vec<Region>,
}

/// One region of a [`RegionTable`].
#[derive(Clone, Debug, PartialEq)]
pub struct RegionEntry(Region);

impl RegionTable {
    /// The regions of a service in slot order.
    pub fn new(generation: Generation, service: ServiceName, regions: Vec<RegionEntry>) -> Self {
        Self {
            generation,
            service,
            regions: regions.into_iter().map(|RegionEntry(region)| region).collect(),
        }
    }

    /// Three regions on three continents, for plugins that no service uses yet.
    pub fn sample() -> Self {
        let region = |name: &str, country: &str, latitude, longitude| {
            RegionEntry(Region {
                name: name.to_owned(),
                country: Country::parse(country).unwrap_or_default().code(),
                state: state_bits(State::Healthy),
                latitude,
                longitude,
                rtt_us: 20_000,
                share_permille: GatewayHealth::FULL_SHARE.into(),
                max_requests: 0,
                priority: 0,
                weight: 100,
            })
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

    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            generation: self.generation.0,
            service: self.service.as_str(),
            regions: &self.regions,
        }
    }

    /// Where the region of a slot is.
    pub(super) fn point(&self, slot: usize) -> Option<Point> {
        let region = self.regions.get(slot)?;
        Point::new(region.latitude, region.longitude).ok()
    }
}

impl RegionEntry {
    /// A gateway's region with what is known of its health. `country` is the region's own.
    pub fn new(gateway: &Gateway, country: Country, health: GatewayHealth) -> Self {
        let rtt = health.round_trip.map_or(0, |rtt| rtt.as_micros());
        Self(Region {
            name: gateway.region.as_str().to_owned(),
            country: country.code(),
            state: state_bits(health.state),
            latitude: gateway.point.latitude(),
            longitude: gateway.point.longitude(),
            rtt_us: u32::try_from(rtt).unwrap_or(u32::MAX),
            share_permille: health.share.into(),
            max_requests: gateway.max_requests.unwrap_or(0),
            priority: gateway.priority.into(),
            weight: gateway.weight,
        })
    }
}

/// The contract's numbers for the states.
fn state_bits(state: State) -> u32 {
    match state {
        State::Unknown => 0,
        State::Healthy => 1,
        State::Warming => 2,
        State::Unhealthy => 3,
        State::Draining => 4,
    }
}
