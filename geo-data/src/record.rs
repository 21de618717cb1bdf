//! Records of location databases, whatever their schema.
//!
//! MaxMind and DB-IP nest country and place in maps with doubles; the flat databases of ip-location-db have them at the
//! top, as floats or as text, and write an empty string where nothing is known. One lenient reader takes them all.

use crate::countries;
use portolan_core::geo::{Country, Point};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Where a record says its addresses are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sighting {
    pub(crate) country: Country,
    /// `None` when only the country is known.
    pub(crate) point: Option<Point>,
}

/// The parts of a record that Portolan reads, with everything else left out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Text(String),
    Number(f64),
    Map(Vec<(&'static str, Record)>),
    Other,
}

/// The keys that are kept. The rest is mostly names in many languages.
const KEYS: [&str; 13] = [
    "autonomous_system_number",
    "autonomous_system_organization",
    "country",
    "registered_country",
    "iso_code",
    "country_code",
    "location",
    "latitude",
    "longitude",
    "accuracy_radius",
    "city",
    "subdivisions",
    "state1",
];

/// From this radius in kilometres on, a place without a city or state stands for a whole country in MaxMind's databases.
const COUNTRY_RADIUS_KM: f64 = 500.0;

impl Record {
    /// Where it says its addresses are; `None` if it names neither a country nor a point.
    pub(crate) fn sighting(&self) -> Option<Sighting> {
        let country = self.country();
        let point = self.point().filter(|_| !(self.is_country_level() && country.is_some()));
        (country.is_some() || point.is_some()).then_some(Sighting {
            country: country.unwrap_or_default(),
            point,
        })
    }

    /// The value at a path of keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |record, key| match record {
            Self::Map(entries) => entries.iter().find(|(known, _)| known == key).map(|(_, value)| value),
            _ => None,
        })
    }

    /// A text that is not empty.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// A number, also one that is written as text.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Where the addresses are used, or else where they are registered. Letters that no country has do not count.
    fn country(&self) -> Option<Country> {
        let paths: [&[&str]; 4] = [
            &["country", "iso_code"],
            &["country_code"],
            &["country"],
            &["registered_country", "iso_code"],
        ];
        let codes = paths.iter().filter_map(|path| self.at(path)?.text());
        codes
            .filter_map(Country::parse)
            .find(|country| countries::find(*country).is_some())
    }

    fn point(&self) -> Option<Point> {
        let location = self.at(&["location"]).unwrap_or(self);
        let degrees = |key| location.at(&[key])?.number();
        let (latitude, longitude) = (degrees("latitude")?, degrees("longitude")?);
        // Nobody lives at 0, 0: it is what a missing place is turned into.
        let known = latitude != 0.0 || longitude != 0.0;
        known
            .then(|| Point::new(latitude as f32, longitude as f32).ok())
            .flatten()
    }

    /// Whether the point is a stand-in for a country. MaxMind puts two thirds of all American addresses on a lake in
    /// Kansas, and says so by a large radius; flat files leave city and state empty.
    fn is_country_level(&self) -> bool {
        let unnamed = |key| self.at(&[key]).is_none();
        let empty = |key| matches!(self.at(&[key]), Some(Self::Text(text)) if text.is_empty());
        match self.at(&["location", "accuracy_radius"]).and_then(Self::number) {
            Some(radius) => radius >= COUNTRY_RADIUS_KM && unnamed("city") && unnamed("subdivisions"),
            None => empty("city") && empty("state1"),
        }
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient)
    }
}

struct Lenient;

impl<'de> Visitor<'de> for Lenient {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Record, E> {
        Ok(Record::Text(text.to_owned()))
    }

    fn visit_f32<E>(self, number: f32) -> Result<Record, E> {
        Ok(Record::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Record, E> {
        Ok(Record::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Record, E> {
        Ok(Record::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Record, E> {
        Ok(Record::Number(number as f64))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Record, E> {
        Ok(Record::Other)
    }

    // A writer that stores equal values once (mmdb-writer) stores a latitude of 0.0 as the `false` of an earlier flag.
    fn visit_bool<E>(self, flag: bool) -> Result<Record, E> {
        Ok(Record::Number(u8::from(flag).into()))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Record, E> {
        Ok(Record::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Record, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Record::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<&str>()? {
            match KEYS.iter().find(|known| **known == key) {
                Some(key) => entries.push((*key, map.next_value()?)),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Record::Map(entries))
    }
}

#[cfg(test)]
mod tests;
