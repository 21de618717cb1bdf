//! Where clients are: the location table and, when there is one, the table of autonomous systems.

use portolan_core::geo::Location;
use portolan_geo::{AsnTable, GeoTable};
use std::net::IpAddr;
use std::sync::Arc;

/// The loaded tables. Replaced together.
#[derive(Clone, Debug)]
pub struct Geo {
    /// Address to place.
    pub places: Arc<GeoTable>,
    /// Address to autonomous system, when a database of them is configured.
    pub systems: Option<Arc<AsnTable>>,
}

impl Geo {
    /// Where an address is.
    pub fn locate(&self, address: IpAddr) -> Location {
        self.places.locate(address)
    }

    /// The number of the autonomous system that announces an address; 0 when nobody knows.
    pub fn system(&self, address: IpAddr) -> u32 {
        self.systems.as_ref().and_then(|systems| systems.lookup(address)).unwrap_or(0)
    }
}
