//! Samples of networks and addresses, and how a table does on them.

use crate::record::Reader;
use ipnet::IpNet;
use maxminddb::{MaxMindDbError, WithinOptions};
use portolan_core::geo::Point;
use portolan_geo::{GeoTable, azure, special};
use serde::de::IgnoredAny;
use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The least share of networks with the country, and with the nearest of three regions, that their record names.
pub(crate) const BARS: [f64; 2] = [0.999, 0.995];

/// How many networks or addresses are in a sample.
const SAMPLE: usize = 2_000;
/// How many addresses of each family.
const ADDRESSES: usize = 4_000;

/// Ranges with many small networks: relays, content networks, hosters and tunnels.
const RANGES: [&str; 8] = [
    "2a02:26f7::/32",
    "104.28.0.0/16",
    "2001:470::/32",
    "2a04:4e41::/32",
    "172.224.0.0/12",
    "146.75.128.0/17",
    "2a09:bac0::/29",
    "2606:54c0::/32",
];

const THREE: &[&str] = &["eastus2", "westeurope", "southeastasia"];
const TEN: &[&str] = &[
    "eastus2",
    "westus2",
    "brazilsouth",
    "northeurope",
    "germanywestcentral",
    "southafricanorth",
    "centralindia",
    "southeastasia",
    "japaneast",
    "australiaeast",
];

/// xorshift64 (G. Marsaglia, "Xorshift RNGs", 2003).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// 0 to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An address of a network.
    pub(crate) fn address(&mut self, network: &IpNet) -> IpAddr {
        let noise = u128::from(self.next()) << 64 | u128::from(self.next());
        match network {
            IpNet::V4(v4) => {
                let host = u32::MAX.checked_shr(v4.prefix_len().into()).unwrap_or(0);
                Ipv4Addr::from_bits(v4.network().to_bits() | noise as u32 & host).into()
            }
            IpNet::V6(v6) => {
                let host = u128::MAX.checked_shr(v6.prefix_len().into()).unwrap_or(0);
                Ipv6Addr::from_bits(v6.network().to_bits() | noise & host).into()
            }
        }
    }
}

/// All networks of a database that can have a place.
pub(crate) struct Networks {
    pub(crate) v4: Vec<IpNet>,
    pub(crate) v6: Vec<IpNet>,
    pub(crate) records: usize,
}

impl Networks {
    /// Walks over a database as a program would that uses its reader: every network, each record decoded once.
    pub(crate) fn walk(reader: &Reader<'_>) -> Result<Self, MaxMindDbError> {
        let (mut v4, mut v6, mut known) = (Vec::new(), Vec::new(), HashSet::new());
        for found in reader.0.networks(WithinOptions::default())? {
            let found = found?;
            let Some(offset) = found.offset() else { continue };
            if known.insert(offset) {
                found.decode::<IgnoredAny>()?;
            }
            let network = found.network()?;
            let Ok(network) = IpNet::new(network.network(), network.prefix()) else {
                continue;
            };
            if special::normalise(network.network()) == Some(network.network()) {
                if let IpNet::V4(_) = network { &mut v4 } else { &mut v6 }.push(network);
            }
        }
        let records = known.len();
        Ok(Self { v4, v6, records })
    }

    pub(crate) fn count(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Samples of both families, and of the ranges that have networks.
    pub(crate) fn samples(&self, random: &mut Random) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (family, networks) in [("v4", &self.v4), ("v6", &self.v6)] {
            if networks.is_empty() {
                continue;
            }
            let all: Vec<_> = networks.iter().collect();
            samples.push(Sample::of_networks(format!("{family} networks"), &all, random));
            samples.push(Sample::of_addresses(format!("{family} addresses"), networks, random));
        }
        for name in RANGES {
            let Ok(range) = name.parse::<IpNet>() else { continue };
            let all = self.v4.iter().chain(&self.v6);
            let within: Vec<_> = all.filter(|network| range.contains(*network)).collect();
            if !within.is_empty() {
                samples.push(Sample::of_networks(
                    format!("{name} of {}", within.len()),
                    &within,
                    random,
                ));
            }
        }
        samples
    }
}

pub(crate) struct Sample {
    name: String,
    addresses: Vec<IpAddr>,
    pub(crate) has_bars: bool,
}

impl Sample {
    /// An address of each of some networks; every network has the same chance.
    fn of_networks(name: String, networks: &[&IpNet], random: &mut Random) -> Self {
        let chosen = (0..SAMPLE.min(networks.len())).map(|number| {
            let all = networks.len() <= SAMPLE;
            let number = if all { number } else { random.below(networks.len()) };
            random.address(networks[number])
        });
        Self {
            name,
            addresses: chosen.collect(),
            has_bars: true,
        }
    }

    /// Addresses; every v4 address, and every v6 /64, has the same chance.
    fn of_addresses(name: String, networks: &[IpNet], random: &mut Random) -> Self {
        let size = |network: &IpNet| match network {
            IpNet::V4(v4) => (32.0 - f64::from(v4.prefix_len())).exp2(),
            IpNet::V6(v6) => (64.0 - f64::from(v6.prefix_len())).max(0.0).exp2(),
        };
        let mut total = 0.0;
        let ends: Vec<f64> = networks
            .iter()
            .map(|network| {
                total += size(network);
                total
            })
            .collect();
        let addresses = (0..ADDRESSES).map(|_| {
            let at = random.share() * total;
            let number = ends.partition_point(|end| *end <= at).min(networks.len() - 1);
            random.address(&networks[number])
        });
        Self {
            name,
            addresses: addresses.collect(),
            has_bars: false,
        }
    }

    pub(crate) fn score(&self, table: &GeoTable, reader: &Reader<'_>) -> Result<Score, MaxMindDbError> {
        let mut score = Score {
            name: self.name.clone(),
            ..Score::default()
        };
        for address in &self.addresses {
            let Some(record) = reader.record(*address)? else {
                continue;
            };
            let place = table.locate(*address).place;
            score.count += 1;
            if let Some(country) = record.country {
                score.countries[1] += 1;
                score.countries[0] += usize::from(place.country == country);
            }
            for (number, regions) in [THREE, TEN].into_iter().enumerate() {
                let best = nearest(record.point, regions);
                // Without a place, the first region is what a service would fall back to.
                let from = place.point.unwrap_or(record.point);
                let regions = if place.point.is_some() { regions } else { &regions[..1] };
                let found = nearest(from, regions);
                score.right[number] += usize::from(found == best);
                score.extra_km[number] += record.point.distance_km(found) - record.point.distance_km(best);
            }
        }
        Ok(score)
    }
}

fn nearest(from: Point, regions: &[&str]) -> Point {
    let points = regions.iter().filter_map(|name| Some(azure::find(name)?.point));
    points
        .min_by(|a, b| from.distance_km(*a).total_cmp(&from.distance_km(*b)))
        .unwrap_or(from)
}

/// How a table did on a sample.
#[derive(Debug, Default)]
pub(crate) struct Score {
    name: String,
    count: usize,
    /// Countries that are the same, and all.
    countries: [usize; 2],
    /// The nearest of three regions and of ten.
    right: [usize; 2],
    extra_km: [f64; 2],
}

impl Score {
    pub(crate) fn meets_bars(&self) -> bool {
        let [country, three, _] = self.shares();
        country >= BARS[0] && three >= BARS[1]
    }

    fn shares(&self) -> [f64; 3] {
        let share = |part: usize, of: usize| if of == 0 { 1.0 } else { part as f64 / of as f64 };
        let [right, all] = self.countries;
        [
            share(right, all),
            share(self.right[0], self.count),
            share(self.right[1], self.count),
        ]
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [country, three, ten] = self.shares();
        let [km3, km10] = self.extra_km.map(|km| km / self.count.max(1) as f64);
        write!(
            f,
            "{:32} {:5}: country {country:.4}; of 3 regions {three:.4}, +{km3:.1} km; of 10 {ten:.4}, +{km10:.1} km",
            self.name, self.count
        )
    }
}
