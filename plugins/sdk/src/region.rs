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
        }
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
    /// Serving, with errors.
    Degraded,
    /// Not serving.
    Unhealthy,
    /// Asked to take no new requests.
    Draining,
}

impl State {
    /// From the low byte of the contract's `state`. A number of a later contract reads as unknown.
    pub(crate) fn from_bits(bits: u32) -> Self {
        match bits & 0xff {
            1 => Self::Healthy,
            2 => Self::Degraded,
            3 => Self::Unhealthy,
            4 => Self::Draining,
            _ => Self::Unknown,
        }
    }
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
    fn states_of_a_later_contract_read_as_unknown() {
        assert_eq!(State::from_bits(0x0301), State::Healthy);
        assert_eq!(State::from_bits(9), State::Unknown);
    }

    #[test]
    fn regions_are_found_by_position_and_name() {
        let regions = Regions::of([Region::named("a"), Region::named("b")]);
        assert_eq!(regions.named("b"), Some(Slot(1)));
        assert_eq!(regions.named("c"), None);
        assert_eq!(regions.get(Slot(1)).unwrap().name, "b");
        assert_eq!(regions.get(Slot(2)), None);
    }
}
