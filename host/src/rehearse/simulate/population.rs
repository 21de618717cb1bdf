//! Who the clients are: drawn from the address space, or those of an access log.

use crate::geo::Geo;
use crate::rehearse::blocks::{Block, Blocks};
use crate::rehearse::entry::Entry;
use http::Method;
use portolan_core::chance::spread;
use portolan_core::geo::{Country, Precision};
use std::collections::HashMap;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};

/// How many addresses are drawn to find the countries' own.
const DRAWN: u64 = 2_000_000;
/// How many of them are kept for each country.
const KEPT: usize = 4_096;
/// How many different requests of a trace are told apart.
const TARGETS: usize = 10_000;

/// A client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) addr: IpAddr,
    /// The index of its request.
    pub(super) target: u32,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) method: Method,
    pub(super) host: String,
    pub(super) path: String,
}

/// Clients and what they ask for.
#[derive(Debug)]
pub struct Population {
    pub(super) clients: Vec<Client>,
    pub(super) targets: Vec<Target>,
    /// Where they are from, for people.
    pub(super) source: String,
}

impl Population {
    /// So many clients that ask for `/` of a host, by the countries' weights; without any, by their parts of the IPv4 address space.
    /// Addresses of clouds and those without a place are left out.
    pub fn synthetic(
        geo: &Geo,
        count: usize,
        (host, path): (&str, &str),
        countries: &[(Country, f64)],
        seed: u64,
    ) -> Self {
        let target = Target {
            method: Method::GET,
            host: host.to_owned(),
            path: path.to_owned(),
        };
        let draws = (0..).map(|number| spread(seed, number));
        let (addresses, source): (Vec<_>, _) = if countries.is_empty() {
            // A database that has hardly any place would never end.
            let draws = draws.take(count.saturating_mul(100).max(1_000_000));
            let addresses = draws.filter_map(|roll| Some(located(geo, roll as u32)?.0)).take(count);
            (addresses.collect(), "drawn from the IPv4 address space".to_owned())
        } else {
            let source = format!("drawn from {} countries by weight", countries.len());
            (of_countries(geo, count, countries, seed), source)
        };
        Self {
            clients: addresses.into_iter().map(|addr| Client { addr, target: 0 }).collect(),
            targets: vec![target],
            source,
        }
    }

    /// The clients of an access log with what they asked for, one for each entry; of more than `most`, so many, drawn at random.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn of_trace(log: impl Read, most: usize, seed: u64) -> io::Result<Self> {
        let mut blocks = Blocks::new(log);
        let (mut clients, mut targets, mut known) = (Vec::new(), Vec::new(), HashMap::new());
        let (mut entries, mut others) = (0_u64, 0_u64);
        while let Some(Block { bytes, .. }) = blocks.next()? {
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let Some((addr, asked)) = serde_json::from_slice(line).ok().as_ref().and_then(client) else {
                    others += 1;
                    continue;
                };
                entries += 1;
                let target = match known.get(&asked) {
                    Some(target) => *target,
                    // Beyond, a request is taken for the first one.
                    None if targets.len() >= TARGETS => 0,
                    None => {
                        let next = targets.len() as u32;
                        targets.push(asked.clone());
                        known.insert(asked, next);
                        next
                    }
                };
                let client = Client { addr, target };
                if clients.len() < most {
                    clients.push(client);
                } else {
                    // Vitter's algorithm R: every entry has the same chance.
                    let at = spread(seed, entries) % entries;
                    if let Some(place) = usize::try_from(at).ok().and_then(|at| clients.get_mut(at)) {
                        *place = client;
                    }
                }
            }
        }
        Ok(Self {
            source: format!(
                "{} of {entries} entries of a trace; {others} lines have no client",
                clients.len()
            ),
            clients,
            targets,
        })
    }

    /// How many clients there are.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }
}

fn client(entry: &Entry<'_>) -> Option<(IpAddr, Target)> {
    let addr: IpAddr = entry.client.as_str().parse().ok()?;
    let method = entry.method.as_str().parse().ok()?;
    let (host, path) = (entry.host.as_str().to_owned(), entry.path.as_str().to_owned());
    (!path.is_empty()).then(|| (addr.to_canonical(), Target { method, host, path }))
}

/// An address with a place where people may be.
fn located(geo: &Geo, bits: u32) -> Option<(IpAddr, Country)> {
    let addr = IpAddr::V4(Ipv4Addr::from_bits(bits));
    let place = geo.locate(addr).place;
    let is_of_people = place.point.is_some() && place.precision != Precision::Azure;
    is_of_people.then_some((addr, place.country))
}

/// Addresses of countries in proportion to their weights. A country without a known address has none.
fn of_countries(geo: &Geo, count: usize, countries: &[(Country, f64)], seed: u64) -> Vec<IpAddr> {
    let mut pools: HashMap<Country, Vec<u32>> = countries.iter().map(|(country, _)| (*country, Vec::new())).collect();
    for number in 0..DRAWN {
        let bits = spread(seed, number) as u32;
        if let Some(pool) = located(geo, bits).and_then(|(_, country)| pools.get_mut(&country))
            && pool.len() < KEPT
        {
            pool.push(bits);
        }
    }
    let mut sum = 0.0;
    let bounds: Vec<_> = countries
        .iter()
        .filter_map(|(country, weight)| {
            let pool = pools.get(country).filter(|pool| !pool.is_empty() && *weight > 0.0)?;
            sum += weight;
            Some((sum, *country, pool))
        })
        .collect();
    let draw = |number: usize| {
        let rolls = [1, 2, 3].map(|stream| spread(spread(seed, number as u64), stream));
        let at = rolls[0] as f64 / u64::MAX as f64 * sum;
        let (_, country, pool) = bounds
            .get(bounds.partition_point(|(bound, ..)| *bound <= at))
            .or(bounds.last())?;
        let bits = pool[rolls[1] as usize % pool.len()];
        // Another address of the network, where that is in the country too.
        let other = located(geo, bits & !0xff | rolls[2] as u32 & 0xff).filter(|(_, of)| of == country);
        Some(other.map_or(IpAddr::V4(Ipv4Addr::from_bits(bits)), |(addr, _)| addr))
    };
    (0..count).filter_map(draw).collect()
}
