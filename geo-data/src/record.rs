//! Records of MaxMind DB files as values, with the keys that some schema of a location database has (see
//! [`schema`](crate::schema)).

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The parts of a record that Portolan reads, with everything else left out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Text(String),
    Number(f64),
    Map(Vec<(&'static str, Record)>),
    Other,
}

/// The keys that are kept. The rest is mostly names in many languages.
const KEYS: [&str; 33] = [
    "accuracy_radius",
    "as",
    "as_domain",
    "as_name",
    "as_number",
    "as_org",
    "as_organization",
    "asn",
    "autonomous_system_number",
    "autonomous_system_organization",
    "city",
    "city_name",
    "country",
    "country_code",
    "country_iso",
    "country_iso_code",
    "country_short",
    "iso_code",
    "lat",
    "latitude",
    "lng",
    "loc",
    "location",
    "lon",
    "longitude",
    "name",
    "organization",
    "region",
    "region_name",
    "registered_country",
    "state",
    "state1",
    "subdivisions",
];

impl Record {
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
            Self::Text(text) if !self.is_blank() => Some(text),
            _ => None,
        }
    }

    /// A number, also one that is written as text.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Whether it is a text that stands for a missing value: nothing, or the dash that IP2Location writes.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self, Self::Text(text) if matches!(text.trim(), "" | "-"))
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
            match KEYS.binary_search(&key) {
                Ok(known) => entries.push((KEYS[known], map.next_value()?)),
                Err(_) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Record::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_can_be_searched() {
        assert!(KEYS.is_sorted());
    }
}
