//! The v6 half of a location table: sorted runs over the upper 64 bits of an address.

use crate::runs::{Run, Runs};
use portolan_core::geo::PlaceId;
use std::net::Ipv6Addr;

/// Databases are read at the grain of a /40. Providers get a /32 and more; finer rows add size but no regions.
pub(crate) const GRAIN: u32 = 24;

/// Addresses that share their upper 24 bits share a bucket of the index.
const BUCKET: u32 = 40;

#[derive(Clone, Debug)]
pub(crate) struct V6Table(Runs<PlaceId>);

impl V6Table {
    /// The table of ascending runs.
    pub(crate) fn new(runs: impl IntoIterator<Item = Run<PlaceId>>) -> Self {
        Self(Runs::new(runs, BUCKET))
    }

    /// The place of an address.
    pub(crate) fn at(&self, ip: Ipv6Addr) -> PlaceId {
        self.0.at((ip.to_bits() >> 64) as u64)
    }

    /// The runs in ascending order.
    pub(crate) fn runs(&self) -> Vec<Run<PlaceId>> {
        self.0.iter().collect()
    }
}
