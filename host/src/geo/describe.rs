//! Where an address is, in words: how closely that is known, and from what.

use super::Geo;
use crate::config::GeoNetwork;
use portolan_core::geo::{Location, Point, Precision};
use portolan_geo::{azure, countries, special};
use std::net::IpAddr;

/// Where an address is, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// How closely that is known: `cell`, `country`, `azure`, `configured` or `unknown`.
    pub precision: &'static str,
    /// Where it is, or why that is not known: `near 51.5, -0.1`, `no location: private (RFC 1918)`.
    pub place: String,
}

/// The word for a precision.
pub fn precision_word(precision: Precision) -> &'static str {
    match precision {
        Precision::Unknown => "unknown",
        Precision::Cell => "cell",
        Precision::Country => "country",
        Precision::Azure => "azure",
        Precision::Configured => "configured",
    }
}

impl Geo {
    /// Where an address is, and how that is known. `networks`: those of the configuration that was loaded.
    pub fn describe(&self, address: IpAddr, networks: &[GeoNetwork]) -> Described {
        let Location { place, .. } = self.locate(address);
        let at = |point: Option<Point>| {
            point.map_or_else(String::new, |point| {
                format!("{:.1}, {:.1}", point.latitude(), point.longitude())
            })
        };
        let text = match place.precision {
            Precision::Cell => format!("near {}", at(place.point)),
            Precision::Country => {
                let name = countries::find(place.country).map_or("its country", |country| country.name);
                format!("somewhere in {name}, whose middle by population is {}", at(place.point))
            }
            Precision::Azure => match place.point.and_then(region_at) {
                Some(region) => format!("in an address range of the Azure region {region}"),
                None => "in an address range of Azure".into(),
            },
            Precision::Configured => configured(address, networks, &at(place.point)),
            Precision::Unknown => format!("no location: {}", special::absence(address)),
        };
        Described {
            precision: precision_word(place.precision),
            place: text,
        }
    }
}

/// What the configuration says of an address in one of its networks.
fn configured(address: IpAddr, networks: &[GeoNetwork], at: &str) -> String {
    let address = match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => special::unwrap(v6),
    };
    let around = networks.iter().filter(|it| it.network.contains(&address));
    let Some(network) = around.max_by_key(|it| it.network.prefix_len()) else {
        return "in a configured network".into();
    };
    let mut text = format!("in the configured network {}", network.network);
    if !at.is_empty() {
        text += &format!(", at {at}");
    }
    if let Some(region) = &network.region {
        text += &format!(", which prefers {region}");
    }
    text
}

/// The region of Azure at a point.
fn region_at(point: Point) -> Option<&'static str> {
    let mut regions = azure::regions().iter();
    regions
        .find(|region| region.point == point)
        .map(|region| region.name.as_str())
}
