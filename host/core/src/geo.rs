//! Points, countries and places on the globe.

use std::fmt;
use thiserror::Error;

/// Mean radius of the Earth in kilometres (IUGG).
const EARTH_RADIUS_KM: f64 = 6_371.008_8;

/// A point on the globe, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    latitude: f32,
    longitude: f32,
}

/// Coordinates out of range.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[error("latitude must be within -90..=90 and longitude within -180..=180, got {latitude}, {longitude}")]
pub struct NotOnGlobe {
    /// What was given as latitude.
    pub latitude: f32,
    /// What was given as longitude.
    pub longitude: f32,
}

impl Point {
    /// A point from degrees north and degrees east.
    ///
    /// # Errors
    /// When either is out of range or not a number.
    pub fn new(latitude: f32, longitude: f32) -> Result<Self, NotOnGlobe> {
        if (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude) {
            Ok(Self { latitude, longitude })
        } else {
            Err(NotOnGlobe { latitude, longitude })
        }
    }

    /// Degrees north, -90 to 90.
    pub fn latitude(self) -> f32 {
        self.latitude
    }

    /// Degrees east, -180 to 180.
    pub fn longitude(self) -> f32 {
        self.longitude
    }

    /// Great-circle distance in kilometres by the haversine formula (R. W. Sinnott, "Virtues of the Haversine",
    /// Sky and Telescope 68, 1984), on a sphere of mean radius.
    pub fn distance_km(self, other: Self) -> f64 {
        let (lat1, lon1) = (
            f64::from(self.latitude).to_radians(),
            f64::from(self.longitude).to_radians(),
        );
        let (lat2, lon2) = (
            f64::from(other.latitude).to_radians(),
            f64::from(other.longitude).to_radians(),
        );
        let half_chord =
            ((lat2 - lat1) / 2.0).sin().powi(2) + lat1.cos() * lat2.cos() * ((lon2 - lon1) / 2.0).sin().powi(2);
        2.0 * EARTH_RADIUS_KM * half_chord.sqrt().min(1.0).asin()
    }
}

/// A country as its two ISO 3166-1 letters, or unknown.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The unknown country.
    pub const UNKNOWN: Self = Self([0, 0]);

    /// A country from its two letters in either case; `None` for anything else.
    pub fn parse(code: &str) -> Option<Self> {
        match code.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }

    /// The two letters as one number, first letter in the high byte; 0 when unknown. What plugins see.
    pub fn code(self) -> u16 {
        u16::from_be_bytes(self.0)
    }

    /// The inverse of [`Country::code`]; unknown for anything that is not two letters.
    pub fn from_code(code: u16) -> Self {
        std::str::from_utf8(&code.to_be_bytes())
            .ok()
            .and_then(Self::parse)
            .unwrap_or_default()
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

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str().unwrap_or("unknown"))
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number of a [`Place`] in a location table. [`PlaceId::UNKNOWN`] is used for every address without a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(pub u16);

impl PlaceId {
    /// An address that has no place: private, reserved, or not in the table.
    pub const UNKNOWN: Self = Self(0);

    /// The number as `usize`.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Where the addresses of one cell of the location table are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    /// The address-weighted middle of the cell; `None` only for [`PlaceId::UNKNOWN`].
    pub point: Option<Point>,
    /// The country its addresses are in.
    pub country: Country,
    /// How closely the point is known.
    pub precision: Precision,
}

/// How closely a place is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// There is no place.
    #[default]
    Unknown,
    /// A town or so; the point is the middle of all addresses within 2.5 degrees and in the same country.
    Cell,
    /// The country and no more; the point is the middle of its population.
    Country,
    /// A range of an Azure region.
    Azure,
    /// What the configuration says.
    Configured,
}

impl Precision {
    /// All of them, by their numbers.
    const ALL: [Self; 5] = [Self::Unknown, Self::Cell, Self::Country, Self::Azure, Self::Configured];

    /// Its number in files.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The inverse of [`Precision::code`]; unknown for any other number.
    pub fn from_code(code: u8) -> Self {
        Self::ALL.get(usize::from(code)).copied().unwrap_or_default()
    }
}

/// What is known of where a client is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Location {
    /// Its place in the table: the row of the chart to read.
    pub id: PlaceId,
    /// That place.
    pub place: Place,
}
