//! Names of vantages, and regions as keys of stored JSON.

use portolan_core::id::RegionName;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The name of a vantage point: an instance that votes. It is also the name of its blob.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VantageName(Arc<str>);

/// An invalid vantage name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a vantage name: use 1 to 63 lower-case letters, digits and hyphens")]
pub struct BadVantageName(String);

impl VantageName {
    /// Checks the name: it becomes part of a URL.
    ///
    /// # Errors
    /// When it is not 1 to 63 lower-case letters, digits and hyphens.
    pub fn new(name: &str) -> Result<Self, BadVantageName> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=63).contains(&name.len()) && name.bytes().all(good) {
            Ok(Self(name.into()))
        } else {
            Err(BadVantageName(name.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for VantageName {
    type Error = BadVantageName;
    fn try_from(name: String) -> Result<Self, BadVantageName> {
        Self::new(&name)
    }
}

impl From<VantageName> for String {
    fn from(name: VantageName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for VantageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for VantageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// `#[serde(with)]` for a region's name.
pub(crate) mod region {
    use super::{Deserialize, Deserializer, RegionName, Serializer};

    pub(crate) fn serialize<S: Serializer>(region: &RegionName, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(region.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RegionName, D::Error> {
        String::deserialize(from).map(RegionName::new)
    }
}

/// `#[serde(with)]` for maps by region.
pub(crate) mod by_region {
    use super::{BTreeMap, Deserialize, Deserializer, RegionName, Serialize, Serializer};

    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        map: &BTreeMap<RegionName, T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_map(map.iter().map(|(region, value)| (region.as_str(), value)))
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<RegionName, T>, D::Error> {
        let map = BTreeMap::<String, T>::deserialize(from)?;
        Ok(map
            .into_iter()
            .map(|(region, value)| (RegionName::new(region), value))
            .collect())
    }
}
