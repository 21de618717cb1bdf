//! The regions of a service, as [`Plugin::update`](crate::Plugin::update) receives them.

use crate::geo::Point;
use std::fmt;
use std::str::FromStr;

/// The position of a region among the regions of its service, 0 to 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u8);

/// One region of the service.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// As configured, for example `westeurope`.
    pub name: String,
    /// The country it is in.
    pub country: Country,
    /// What is known of its health.
    pub state: State,
    /// Where it is.
    pub point: Option<Point>,
    /// Round trip from the proxy to its gateway in microseconds.
    pub rtt_us: Option<u32>,
    /// How much of its traffic it gets, in thousandths: 1000, and less while it is ramped up after a failure. Portolan sees
    /// to that, whatever order it is given.
    pub share_permille: u32,
    /// Concurrent requests of one proxy instance beyond which Portolan passes it over.
    pub max_requests: Option<u32>,
    /// Failover level: 0 is the first.
    pub priority: u32,
    /// Share among equals.
    pub weight: u32,
    /// As configured, in a unit of the operator's choice.
    pub cost: Option<f32>,
    /// As configured.
    pub tags: Vec<String>,
}

impl Region {
    /// A healthy region of weight 100 without a place, for tests to start from.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            country: Country::UNKNOWN,
            state: State::Healthy,
            point: None,
            rtt_us: None,
            share_permille: 1000,
            max_requests: None,
            priority: 0,
            weight: 100,
            cost: None,
            tags: Vec::new(),
        }
    }

    /// Whether it has this tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }

    /// The same region, at this cost.
    #[must_use]
    pub fn costing(mut self, cost: f32) -> Self {
        self.cost = Some(cost);
        self
    }

    /// The same region, with one more tag.
    #[must_use]
    pub fn tagged(mut self, tag: &str) -> Self {
        self.tags.push(tag.to_owned());
        self
    }

    /// The same region, at this place. Coordinates that are no place leave it without one.
    #[must_use]
    pub fn at(mut self, latitude: f32, longitude: f32) -> Self {
        self.point = Point::new(latitude, longitude);
        self
    }

    /// The same region, in this state.
    #[must_use]
    pub fn in_state(mut self, state: State) -> Self {
        self.state = state;
        self
    }
}

/// What is known of a region's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No evidence yet.
    Unknown,
    /// Well.
    Healthy,
    /// Back after a failure; its share of the traffic grows.
    Warming,
    /// Not serving.
    Unhealthy,
    /// Asked to take no new requests.
    Draining,
}

/// The regions of a service at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Regions {
    /// Number of the routing table they belong to.
    pub generation: u64,
    /// The service, as configured.
    pub service: String,
    list: Vec<Region>,
}

impl Regions {
    /// Regions for a test, of a service named `test`.
    pub fn of(list: impl IntoIterator<Item = Region>) -> Self {
        Self::new(1, "test".to_owned(), list.into_iter().collect())
    }

    pub(crate) fn new(generation: u64, service: String, list: Vec<Region>) -> Self {
        Self {
            generation,
            service,
            list,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The region at a position.
    pub fn get(&self, slot: Slot) -> Option<&Region> {
        self.list.get(usize::from(slot.0))
    }

    /// The position of the region of that name.
    pub fn named(&self, name: &str) -> Option<Slot> {
        self.iter()
            .find(|(_, region)| region.name == name)
            .map(|(slot, _)| slot)
    }

    /// All of them with their positions.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Region)> {
        (0..=u8::MAX).map(Slot).zip(&self.list)
    }
}

/// A country as its two ISO 3166-1 letters, or unknown.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// Nobody knows.
    pub const UNKNOWN: Self = Self([0, 0]);

    /// From the contract's number: the first letter in the high byte. Unknown for anything but two letters.
    pub fn from_code(code: u16) -> Self {
        let letters = code.to_be_bytes();
        if letters.iter().all(u8::is_ascii_uppercase) {
            Self(letters)
        } else {
            Self::UNKNOWN
        }
    }

    /// The contract's number.
    pub fn code(self) -> u16 {
        u16::from_be_bytes(self.0)
    }

    /// The two letters, or nothing when unknown.
    pub fn as_str(&self) -> Option<&str> {
        if *self == Self::UNKNOWN {
            None
        } else {
            std::str::from_utf8(&self.0).ok()
        }
    }
}

/// Text that is not two letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotACountry;

impl fmt::Display for NotACountry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a country is two letters, for example GB")
    }
}

impl std::error::Error for NotACountry {}

impl FromStr for Country {
    type Err = NotACountry;

    fn from_str(text: &str) -> Result<Self, NotACountry> {
        match text.as_bytes() {
            &[a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(NotACountry),
        }
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str().unwrap_or("unknown"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_travel_as_two_bytes() {
        assert_eq!("gb".parse::<Country>().unwrap().code(), 0x4742);
        assert_eq!(Country::from_code(0x4742).as_str(), Some("GB"));
        for code in [0, 0x0042, 0x6762, u16::MAX] {
            assert_eq!(Country::from_code(code), Country::UNKNOWN);
        }
        for text in ["", "G", "GBR", "G1", "é"] {
            assert_eq!(text.parse::<Country>(), Err(NotACountry), "{text}");
        }
    }

    #[test]
    fn regions_are_found_by_position_and_name() {
        let regions = Regions::of([Region::named("a"), Region::named("b")]);
        assert_eq!(regions.named("b"), Some(Slot(1)));
        assert_eq!(regions.named("c"), None);
        assert_eq!(regions.get(Slot(1)).unwrap().name, "b");
        assert_eq!(regions.get(Slot(2)), None);
    }

    #[test]
    fn regions_have_a_cost_and_tags() {
        let region = Region::named("a").costing(0.5).tagged("eu").tagged("gpu");
        assert_eq!(
            (region.cost, region.has_tag("gpu"), region.has_tag("g")),
            (Some(0.5), true, false)
        );
    }
}
