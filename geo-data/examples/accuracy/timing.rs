//! How long look-ups take.

use crate::sample::{Networks, Random};
use ipnet::IpNet;
use portolan_geo::GeoTable;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

const ADDRESSES: usize = 200_000;

/// Prints the time of a look-up: of any v4 address, and of addresses of random networks. The best of five rounds.
pub(crate) fn print(table: &GeoTable, networks: &Networks, random: &mut Random) {
    let any: Vec<IpAddr> = (0..ADDRESSES)
        .map(|_| Ipv4Addr::from_bits(random.next() as u32).into())
        .collect();
    time(table, "any v4 addresses", &any);
    for (name, networks) in [("v4 networks", &networks.v4), ("v6 networks", &networks.v6)] {
        if !networks.is_empty() {
            let chosen = (0..ADDRESSES).map(|_| {
                let network: &IpNet = &networks[(random.next() % networks.len() as u64) as usize];
                random.address(network)
            });
            time(table, name, &chosen.collect::<Vec<_>>());
        }
    }
}

fn time(table: &GeoTable, name: &str, addresses: &[IpAddr]) {
    let rounds = (0..5).map(|_| {
        let start = Instant::now();
        for address in addresses {
            black_box(table.locate(*address));
        }
        start.elapsed().as_secs_f64()
    });
    let best = rounds.fold(f64::MAX, f64::min);
    println!("  look-up, {name}: {:.1} ns", best * 1e9 / addresses.len() as f64);
}
