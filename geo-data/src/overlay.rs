//! Networks whose place the configuration knows, over what the data says.

use crate::countries;
use crate::layers::{Layer, nested, overlay};
use crate::places::{self, TooManyPlaces};
use crate::reader::{Family, Span};
use crate::runs::Run;
use crate::table::GeoTable;
use crate::v4::V4Table;
use crate::v6::V6Table;
use ipnet::IpNet;
use portolan_core::geo::{Country, Place, PlaceId, Point, Precision};

/// A network and where it is. Private networks may be placed, too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfiguredNetwork {
    /// Its addresses.
    pub network: IpNet,
    /// The country it is in; may be unknown.
    pub country: Country,
    /// Where it is; by default the middle of its country's population.
    pub point: Option<Point>,
}

impl GeoTable {
    /// This table with networks laid over it. Where they are nested, the innermost counts, and of two that are the same the
    /// first. Every network has a place of its own; these are returned in the same order.
    ///
    /// A look-up unwraps addresses first: a network of wrapped ones ([`is_unwrapped`](crate::special::is_unwrapped))
    /// changes nothing.
    ///
    /// # Errors
    /// When there are more places than a table can number.
    pub fn with_networks(&self, networks: &[ConfiguredNetwork]) -> Result<(Self, Vec<PlaceId>), TooManyPlaces> {
        let mut places = self.places().to_vec();
        let mut ids = Vec::with_capacity(networks.len());
        for network in networks {
            ids.push(places::next_id(&places)?);
            places.push(Place {
                point: network
                    .point
                    .or_else(|| countries::find(network.country).map(|country| country.point)),
                country: network.country,
                precision: Precision::Configured,
            });
        }
        let layer = |family: Family| {
            let networks = networks.iter().zip(&ids);
            nested(
                networks
                    .filter(|(network, _)| family.has(&network.network))
                    .map(|(network, id)| {
                        let Span { first, last } = Span::of(network.network);
                        (first, last, *id)
                    }),
            )
        };
        let whole = |Run { start, value }: Run<PlaceId>| Run {
            start: start.into(),
            value,
        };
        let v4: Layer<_> = self.v4().runs().into_iter().map(whole).collect();
        let v4 = overlay(v4, layer(Family::V4));
        let v6 = overlay(self.v6().parts().join(), layer(Family::V6));
        let table = Self::new(places, v4_table(v4), V6Table::new(&v6), self.info().clone());
        Ok((table, ids))
    }
}

/// The v4 half, of runs over v4 addresses.
pub(crate) fn v4_table(runs: Layer<PlaceId>) -> V4Table {
    // v4 addresses have 32 bits.
    V4Table::new(runs.into_iter().map(|Run { start, value }| Run {
        start: start as u64,
        value,
    }))
}
