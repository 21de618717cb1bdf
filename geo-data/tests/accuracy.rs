//! How often the embedded table picks the region that is truly nearest.
//!
//! The bars are those of the study behind the table. The small sample beside this file always runs; the whole samples
//! run when `PORTOLAN_GEO_SAMPLES` names their folder, or when a folder `shared/geo` lies next to the repository.

use ipnet::{Ipv4Net, Ipv6Net};
use portolan_core::geo::Point;
use portolan_geo::{GeoTable, azure};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs};

/// An address whose place is known.
struct Known {
    ip: IpAddr,
    point: Point,
    country: Option<String>,
}

/// How a table did.
#[derive(Debug)]
struct Score {
    addresses: usize,
    right: f64,
    extra_km: f64,
    right_country: f64,
}

const D3: [&str; 3] = ["eastus2", "westeurope", "southeastasia"];
const D10: [&str; 10] = [
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

fn table() -> &'static GeoTable {
    static TABLE: OnceLock<GeoTable> = OnceLock::new();
    TABLE.get_or_init(GeoTable::embedded)
}

fn score(known: &[Known], regions: &[&str]) -> Score {
    let regions: Vec<Point> = regions.iter().map(|name| azure::find(name).unwrap().point).collect();
    let nearest = |from: Point| {
        let by_distance = |a: &&Point, b: &&Point| from.distance_km(**a).total_cmp(&from.distance_km(**b));
        *regions.iter().min_by(by_distance).unwrap()
    };
    let (mut right, mut extra_km, mut right_country, mut countries) = (0, 0.0, 0, 0);
    for client in known {
        let place = table().locate(client.ip).place;
        // Without a place, the first region is what a service would fall back to.
        let picked = place.point.map_or(regions[0], nearest);
        let best = nearest(client.point);
        right += usize::from(picked == best);
        extra_km += client.point.distance_km(picked) - client.point.distance_km(best);
        if let Some(country) = &client.country {
            countries += 1;
            right_country += usize::from(place.country.as_str() == Some(country));
        }
    }
    let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
    Score {
        addresses: known.len(),
        right: share(right, known.len()),
        extra_km: extra_km / known.len().max(1) as f64,
        right_country: share(right_country, countries),
    }
}

/// Rows of a file with its columns by number: address or prefix, latitude, longitude, country.
fn read(path: &Path, columns: [usize; 4], keep: impl Fn(&[&str]) -> bool) -> Vec<Known> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    let rows = rows.map(|line| line.split(',').collect::<Vec<_>>());
    let known = rows.filter(|row| keep(row)).map(|row| Known {
        ip: row[columns[0]].split('/').next().unwrap().parse().unwrap(),
        point: Point::new(row[columns[1]].parse().unwrap(), row[columns[2]].parse().unwrap()).unwrap(),
        country: Some(row[columns[3]].to_owned()),
    });
    known.collect()
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The folder of the whole samples. Says so when it is not there.
fn samples() -> Option<PathBuf> {
    let found = env::var_os("PORTOLAN_GEO_SAMPLES").map(PathBuf::from).or_else(|| {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
        Some(repository.parent()?.join("shared/geo")).filter(|path| path.is_dir())
    });
    if found.is_none() {
        println!("skipped: PORTOLAN_GEO_SAMPLES names no folder of samples, and there is none next to the repository");
    }
    found
}

fn is_v4(known: &Known) -> bool {
    known.ip.is_ipv4()
}

#[test]
fn the_small_sample_is_met() {
    let known = read(&data("fixtures/accuracy-sample.csv"), [0, 2, 3, 1], |_| true);
    let (d3, d10) = (score(&known, &D3), score(&known, &D10));
    println!("D3 {d3:?}\nD10 {d10:?}");
    assert_eq!(d3.addresses, 600);
    assert!(d3.right >= 0.99 && d10.right >= 0.985 && d10.extra_km <= 20.0);
    assert!(d3.right_country >= 0.985);
}

#[test]
fn the_whole_sample_is_met() {
    let Some(samples) = samples() else { return };
    let known = read(&samples.join("accuracy-sample-dbip-2026-06.csv"), [0, 2, 3, 1], |_| {
        true
    });
    let (v4, v6): (Vec<_>, Vec<_>) = known.into_iter().partition(is_v4);
    for (family, known) in [("v4", v4), ("v6", v6)] {
        let (d3, d10) = (score(&known, &D3), score(&known, &D10));
        println!("{family} D3 {d3:?}\n{family} D10 {d10:?}");
        assert!(d3.right >= 0.99 && d3.extra_km <= 20.0);
        assert!(d10.right >= 0.99 && d10.extra_km <= 20.0);
        assert!(d3.right_country >= 0.985);
    }
}

#[test]
fn servers_in_known_places_find_their_region() {
    let Some(samples) = samples() else { return };
    let known = read(&samples.join("ground-truth-mlab.csv"), [0, 1, 2, 3], |row| {
        row[7] == "physical"
    });
    let v4: Vec<_> = known.into_iter().filter(is_v4).collect();
    let (d3, d10) = (score(&v4, &D3), score(&v4, &D10));
    println!("D3 {d3:?}\nD10 {d10:?}");
    assert!(d3.right >= 0.94 && d10.right >= 0.75);
}

#[test]
fn callers_inside_azure_find_their_region() {
    let prefixes = fs::read_to_string(data("data/azure-prefixes-2025-01.csv")).unwrap();
    let rows = prefixes.lines().skip(1).map(|line| line.split_once(',').unwrap());
    let (v4, v6): (Vec<_>, Vec<_>) = rows.partition(|(prefix, _)| prefix.contains('.'));
    let everywhere: Vec<_> = azure::regions().iter().map(|region| region.name.as_str()).collect();
    for (family, known) in [("v4", every_4096th(&v4)), ("v6", ends_and_middles(&v6))] {
        let (d3, d10, all) = (score(&known, &D3), score(&known, &D10), score(&known, &everywhere));
        println!("{family} D3 {d3:?}\n{family} D10 {d10:?}\n{family} all {all:?}");
        assert!(d3.addresses > 6_000);
        assert!(d3.right >= 0.99 && d10.right >= 0.99 && all.right >= 0.99);
        assert!(d3.right_country >= 0.99);
    }
}

/// A large prefix counts for more than a small one: a few hundred /24s are shared by regions in parts too small for the
/// grain of the table.
fn every_4096th(prefixes: &[(&str, &str)]) -> Vec<Known> {
    let mut known = Vec::new();
    let mut seen = 0;
    for (prefix, region) in prefixes {
        let network: Ipv4Net = prefix.parse().unwrap();
        let (first, last) = (network.network().to_bits(), network.broadcast().to_bits());
        known.extend(
            (first..=last)
                .filter(|address| (address - first + seen) % 4096 == 0)
                .map(|ip| in_azure(Ipv4Addr::from_bits(ip).into(), region)),
        );
        seen = (seen + (last - first) + 1) % 4096;
    }
    known
}

/// v6 prefixes are exact.
fn ends_and_middles(prefixes: &[(&str, &str)]) -> Vec<Known> {
    let addresses = prefixes.iter().flat_map(|(prefix, region)| {
        let network: Ipv6Net = prefix.parse().unwrap();
        let (first, last) = (network.network().to_bits(), network.broadcast().to_bits());
        [first, first + (last - first) / 3, last].map(|ip| in_azure(Ipv6Addr::from_bits(ip).into(), region))
    });
    addresses.collect()
}

fn in_azure(ip: IpAddr, region: &str) -> Known {
    let region = azure::find(region).unwrap();
    Known {
        ip,
        point: region.point,
        country: Some(region.country.to_string()),
    }
}
