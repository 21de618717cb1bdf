//! The location table: an address in, its place out.

use crate::info::GeoInfo;
use crate::special;
use crate::v4::V4Table;
use crate::v6::V6Table;
use portolan_core::geo::{Location, Place, PlaceId};
use std::fmt;
use std::net::IpAddr;

/// Where addresses are. A look-up reads a few places in memory; it neither allocates nor decodes.
#[derive(Clone)]
pub struct GeoTable {
    places: Vec<Place>,
    v4: V4Table,
    v6: V6Table<PlaceId>,
    info: GeoInfo,
}

impl GeoTable {
    /// Where an address is. Private, reserved and unlisted addresses have the unknown place; a v6 address that carries
    /// a v4 one is where that is (see [`special::unwrap`]).
    pub fn locate(&self, ip: IpAddr) -> Location {
        let ip = match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(v6) => special::unwrap(v6),
        };
        let id = match ip {
            IpAddr::V4(v4) => self.v4.at(v4),
            IpAddr::V6(v6) => self.v6.at(v6),
        };
        Location {
            id,
            place: self.places.get(id.index()).copied().unwrap_or_default(),
        }
    }

    /// All places by their [`PlaceId`]; the first is the unknown one.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// How many bytes of memory the table takes, about.
    pub fn memory(&self) -> usize {
        size_of_val(&self.places[..]) + self.v4.memory() + self.v6.memory()
    }

    /// What the table was made of.
    pub fn info(&self) -> &GeoInfo {
        &self.info
    }

    /// A table whose places are numbers of `places`.
    pub(crate) fn new(places: Vec<Place>, v4: V4Table, v6: V6Table<PlaceId>, info: GeoInfo) -> Self {
        Self { places, v4, v6, info }
    }

    pub(crate) fn v4(&self) -> &V4Table {
        &self.v4
    }

    pub(crate) fn v6(&self) -> &V6Table<PlaceId> {
        &self.v6
    }
}

impl fmt::Debug for GeoTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = f.debug_struct("GeoTable");
        parts
            .field("places", &self.places.len())
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}
