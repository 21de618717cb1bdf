//! What records mean, in the schemas of all vendors.
//!
//! | schema | country | point |
//! |---|---|---|
//! | GeoIP2: MaxMind, DB-IP, IP2Location in its MMDB files | `country.iso_code`, `registered_country.iso_code` | `location.latitude`, `location.longitude`: doubles |
//! | ip-location-db | `country_code` | `latitude`, `longitude`: floats or text, `""` when unknown |
//! | IPinfo | `country_code`, or `country` with two letters | `lat`, `lng` or `loc: "12.3,45.6"`: text |
//! | IP2Location's columns | `country_short` | `latitude`, `longitude`: text, `"-"` or 0 when unknown |
//!
//! Vendors rename their databases and mix these, so what counts is which keys are there. All are tried.

use crate::countries;
use crate::record::Record;
use portolan_core::geo::{Country, Point};

/// Where a record says its addresses are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sighting {
    pub(crate) country: Country,
    /// `None` when only the country is known.
    pub(crate) point: Option<Point>,
}

/// Keys from the outermost to the innermost.
type Path = &'static [&'static str];

/// Where country codes are, in the order in which they count: where the addresses are used, or else where they are
/// registered.
const COUNTRIES: [(&str, Path); 8] = [
    ("country.iso_code", &["country", "iso_code"]),
    ("country_code", &["country_code"]),
    ("country_short", &["country_short"]),
    ("country_iso_code", &["country_iso_code"]),
    ("country_iso", &["country_iso"]),
    ("country", &["country"]),
    ("location.country", &["location", "country"]),
    ("registered_country.iso_code", &["registered_country", "iso_code"]),
];

/// Where points are: two numbers, or one text with both.
const POINTS: [(&str, Path, Option<Path>); 6] = [
    (
        "location.latitude, location.longitude",
        &["location", "latitude"],
        Some(&["location", "longitude"]),
    ),
    ("latitude, longitude", &["latitude"], Some(&["longitude"])),
    ("lat, lng", &["lat"], Some(&["lng"])),
    ("lat, lon", &["lat"], Some(&["lon"])),
    ("loc", &["loc"], None),
    ("location", &["location"], None),
];

/// Where numbers of autonomous systems are.
const SYSTEMS: [&str; 3] = ["autonomous_system_number", "asn", "as_number"];

/// Where the names of their operators are, the best first.
const OPERATORS: [&str; 8] = [
    "autonomous_system_organization",
    "as_name",
    "as_organization",
    "as_org",
    "organization",
    "name",
    "as",
    "as_domain",
];

/// From this radius in kilometres on, a place without a city or state stands for a whole country in MaxMind's databases.
const COUNTRY_RADIUS_KM: f64 = 500.0;

/// What the keys of a point hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum PointValue {
    /// Nothing: blank, or the 0, 0 that a missing place is turned into.
    Missing,
    /// Something that is no point.
    Unreadable,
    At(Point),
}

/// The keys that tell countries and points, by their position in the lists above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    country: Option<usize>,
    point: Option<usize>,
}

impl Keys {
    /// The keys of records that have these or those, the more significant ones where they differ.
    pub(crate) fn or(self, other: Self) -> Self {
        let first = |a: Option<usize>, b: Option<usize>| a.into_iter().chain(b).min();
        Self {
            country: first(self.country, other.country),
            point: first(self.point, other.point),
        }
    }

    /// The schema in words, with the keys: `GeoIP2 (country.iso_code; location.latitude, location.longitude)`. Nothing
    /// when the records have none of the keys.
    pub(crate) fn schema(self) -> Option<String> {
        let country = self.country.map(|index| COUNTRIES[index].0);
        let point = self.point.map(|index| POINTS[index].0);
        let name = match (country, point) {
            (None, None) => return None,
            (Some("country.iso_code" | "registered_country.iso_code"), _) => "GeoIP2",
            (_, Some("location.latitude, location.longitude")) => "GeoIP2",
            (_, Some("lat, lng" | "lat, lon" | "loc")) | (Some("country"), None) => "IPinfo",
            (Some("country_short"), _) => "IP2Location",
            (Some("country_code"), _) => "flat",
            _ => "of its own",
        };
        let keys: Vec<_> = country.into_iter().chain(point).collect();
        Some(format!("{name} ({})", keys.join("; ")))
    }
}

/// What a record says of where its addresses are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reading {
    /// `None` if it names neither a country nor a point.
    pub(crate) sighting: Option<Sighting>,
    /// The keys that tell it.
    pub(crate) keys: Keys,
    /// Whether it has a point that cannot be read.
    pub(crate) has_unreadable_point: bool,
}

impl Record {
    /// Where it says its addresses are.
    pub(crate) fn reading(&self) -> Reading {
        let (country_key, country) = self.country().unzip();
        let (point_key, value) = self.point().unzip();
        let point = match value {
            Some(PointValue::At(point)) => Some(point),
            Some(PointValue::Missing | PointValue::Unreadable) | None => None,
        };
        let keys = Keys {
            country: country_key,
            point: point_key.filter(|_| point.is_some()),
        };
        let point = point.filter(|_| !(self.is_country_level() && country.is_some()));
        let known = country.is_some() || point.is_some();
        Reading {
            sighting: known.then_some(Sighting {
                country: country.unwrap_or_default(),
                point,
            }),
            keys,
            has_unreadable_point: value == Some(PointValue::Unreadable),
        }
    }

    /// The number of the autonomous system it names, with the name of its operator.
    pub(crate) fn system(&self) -> Option<(u32, Option<&str>)> {
        let number = SYSTEMS.iter().find_map(|key| system_number(self.at(&[key])?))?;
        Some((number, OPERATORS.iter().find_map(|key| self.at(&[key])?.text())))
    }

    /// The country, with the position of its key. Letters that no country has do not count.
    fn country(&self) -> Option<(usize, Country)> {
        COUNTRIES.iter().enumerate().find_map(|(key, (_, path))| {
            let country = Country::parse(self.at(path)?.text()?.trim())?;
            countries::find(country).map(|_| (key, country))
        })
    }

    /// The first point of those that its keys hold, with the position of its key; or else what is wrong with one.
    fn point(&self) -> Option<(usize, PointValue)> {
        let values = POINTS
            .iter()
            .enumerate()
            .filter_map(|(key, (_, first, second))| Some((key, self.point_at(first, *second)?)));
        let mut unreadable = None;
        for (key, value) in values {
            match value {
                PointValue::At(_) => return Some((key, value)),
                PointValue::Unreadable => unreadable = unreadable.or(Some((key, value))),
                PointValue::Missing => {}
            }
        }
        unreadable
    }

    fn point_at(&self, first: &[&str], second: Option<&[&str]>) -> Option<PointValue> {
        let (first, second) = (self.at(first), second.map(|path| self.at(path)));
        let degrees = match (first, second) {
            // Of a map there are keys of their own, and a name of a place is no point.
            (Some(Self::Text(text)), None) => match text.split_once(',') {
                Some((latitude, longitude)) => latitude.trim().parse().ok().zip(longitude.trim().parse().ok()),
                None => return None,
            },
            (_, None) | (None, Some(None)) => return None,
            (latitude, Some(longitude)) => {
                let values = [latitude, longitude].into_iter().flatten();
                if values.clone().all(Self::is_blank) {
                    return Some(PointValue::Missing);
                }
                latitude.and_then(Self::number).zip(longitude.and_then(Self::number))
            }
        };
        Some(match degrees {
            Some((0.0, 0.0)) => PointValue::Missing,
            Some((latitude, longitude)) => {
                let point: (f64, f64) = (latitude, longitude);
                Point::new(point.0 as f32, point.1 as f32).map_or(PointValue::Unreadable, PointValue::At)
            }
            None => PointValue::Unreadable,
        })
    }

    /// Whether the point is a stand-in for a country. MaxMind puts two thirds of all American addresses on a lake in
    /// Kansas, and says so by a large radius; flat files leave city and state empty.
    fn is_country_level(&self) -> bool {
        if let Some(radius) = self.at(&["location", "accuracy_radius"]).and_then(Self::number) {
            let unnamed = |key| self.at(&[key]).is_none();
            return radius >= COUNTRY_RADIUS_KM && unnamed("city") && unnamed("subdivisions");
        }
        let mut cities = ["city", "city_name"]
            .iter()
            .filter_map(|key| self.at(&[key]))
            .peekable();
        let mut states = ["state1", "state", "region", "region_name"]
            .iter()
            .filter_map(|key| self.at(&[key]));
        cities.peek().is_some() && cities.all(Self::is_blank) && states.all(Self::is_blank)
    }
}

/// `15169` or `AS15169`, as a number or as text. None has the number 0 (RFC 7607).
fn system_number(value: &Record) -> Option<u32> {
    let number = match value {
        Record::Text(text) => {
            let text = text.trim();
            let digits = text.get(..2).filter(|prefix| prefix.eq_ignore_ascii_case("AS"));
            text.get(digits.map_or(0, str::len)..)?.parse().ok()?
        }
        Record::Number(number) if *number <= f64::from(u32::MAX) => *number as u32,
        _ => return None,
    };
    Some(number).filter(|number| *number != 0)
}

#[cfg(test)]
mod tests;
