//! A table has what its databases have, address by address: networks of any size, and databases that lie over each other.

#[path = "common/mmdb.rs"]
mod mmdb;

use ipnet::IpNet;
use mmdb::Value;
use portolan_core::candidates;
use portolan_core::chart::Chart;
use portolan_core::config::{Gateway, GatewayAddress, Residency, Service, ServiceParts};
use portolan_core::geo::{Country, PlaceId, Point, Precision};
use portolan_core::health::{GatewayHealth, ServiceHealth, State};
use portolan_core::id::Slot;
use portolan_core::rank;
use portolan_core::slots::Slots;
use portolan_geo::{ConfiguredNetwork, Coverage, DatabaseFile, GeoTable, azure, countries};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn city(country: &'static str, latitude: f64, longitude: f64) -> Value {
    let location = Value::Map(vec![
        ("latitude", Value::Double(latitude)),
        ("longitude", Value::Double(longitude)),
    ]);
    let iso = |code| Value::Map(vec![("iso_code", Value::Text(code))]);
    Value::Map(vec![("country", iso(country)), ("location", location)])
}

fn country(country: &'static str) -> Value {
    Value::Map(vec![("country_code", Value::Text(country))])
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn database(name: &str, networks: &[(&str, Value)]) -> DatabaseFile {
    let networks: Vec<_> = networks
        .iter()
        .map(|(network, value)| (net(network), value.clone()))
        .collect();
    DatabaseFile {
        name: name.to_owned(),
        bytes: mmdb::write("Test-City", &networks).into(),
    }
}

fn country_at(table: &GeoTable, address: &str) -> String {
    table.locate(ip(address)).place.country.to_string()
}

/// As relays and tunnels have them: neighbours of a /31, a /32 or a /64 are countries apart.
#[test]
fn the_smallest_networks_have_their_own_place() {
    let relay = database(
        "relay.mmdb",
        &[
            ("104.28.0.0/16", city("US", 39.0, -77.5)),
            ("104.28.252.0/31", city("DE", 49.3, 7.4)),
            ("104.28.252.2/32", city("NZ", -36.8, 174.7)),
            ("104.28.252.255/32", city("IT", 43.1, 12.1)),
            ("104.28.253.128/25", city("JP", 35.7, 139.7)),
            ("2a02:26f7::/32", city("NL", 52.4, 4.9)),
            ("2a02:26f7:f400:5800::/64", city("NZ", -36.8, 174.7)),
            ("2a02:26f7:f400:5802::/63", city("DE", 49.3, 7.4)),
            ("2001:470:26:a2::/64", city("IT", 43.1, 12.1)),
            ("2001:470:26:a2::8/126", city("FR", 47.2, 2.9)),
            ("2001:470:26:a2:ffff:ffff:ffff:ffff/128", city("ES", 40.4, -3.7)),
        ],
    );
    let table = GeoTable::of_files(&[relay]).unwrap();
    for (address, country) in [
        ("104.27.255.255", "unknown"),
        ("104.28.0.0", "US"),
        ("104.28.251.255", "US"),
        ("104.28.252.0", "DE"),
        ("104.28.252.1", "DE"),
        ("104.28.252.2", "NZ"),
        ("104.28.252.3", "US"),
        ("104.28.252.255", "IT"),
        ("104.28.253.0", "US"),
        ("104.28.253.127", "US"),
        ("104.28.253.128", "JP"),
        ("104.28.254.0", "US"),
        ("104.29.0.0", "unknown"),
        ("::ffff:104.28.252.2", "NZ"),
        ("2a02:26f7:f400:57ff:ffff::", "NL"),
        ("2a02:26f7:f400:5800::", "NZ"),
        ("2a02:26f7:f400:5800:ffff:ffff:ffff:ffff", "NZ"),
        ("2a02:26f7:f400:5801::", "NL"),
        ("2a02:26f7:f400:5803:ffff::", "DE"),
        ("2a02:26f7:f400:5804::", "NL"),
        ("2001:470:26:a1::", "unknown"),
        ("2001:470:26:a2::7", "IT"),
        ("2001:470:26:a2::8", "FR"),
        ("2001:470:26:a2::b", "FR"),
        ("2001:470:26:a2::c", "IT"),
        ("2001:470:26:a2:ffff:ffff:ffff:fffe", "IT"),
        ("2001:470:26:a2:ffff:ffff:ffff:ffff", "ES"),
        ("2001:470:26:a3::", "unknown"),
    ] {
        assert_eq!(country_at(&table, address), country, "{address}");
    }
    let mut bytes = Vec::new();
    table.write(&mut bytes).unwrap();
    let read = GeoTable::read(&bytes).unwrap();
    assert_eq!(
        country_at(&read, "2001:470:26:a2::9"),
        "FR",
        "compiled tables are exact, too"
    );
    assert_eq!(country_at(&read, "104.28.252.2"), "NZ");
}

#[test]
fn databases_lie_over_each_other_network_by_network() {
    let own = || {
        database(
            "own.mmdb",
            &[("203.0.112.7/32", country("SG")), ("2001:218:1::/64", country("SG"))],
        )
    };
    let cities = || {
        database(
            "city.mmdb",
            &[
                ("8.8.8.0/24", city("US", 37.4, -122.1)),
                ("81.2.69.0/24", city("GB", 51.5, -0.1)),
                ("203.0.112.0/29", city("JP", 35.7, 139.7)),
                ("203.0.112.7/32", city("JP", 35.7, 139.7)),
            ],
        )
    };
    let whole = || {
        database(
            "country.mmdb",
            &[
                ("8.8.8.0/24", country("US")),
                ("9.0.0.0/8", country("US")),
                ("81.0.0.0/8", country("GB")),
                ("2001:218::/32", country("JP")),
            ],
        )
    };
    let table = GeoTable::of_files(&[own(), cities(), whole()]).unwrap();
    for (address, country, precision) in [
        ("203.0.112.7", "SG", Precision::Country),
        ("203.0.112.6", "JP", Precision::Cell),
        ("8.8.8.8", "US", Precision::Cell),
        ("9.9.9.9", "US", Precision::Country),
        ("81.2.69.142", "GB", Precision::Cell),
        ("81.2.68.1", "GB", Precision::Country),
        ("2001:218:1::1", "SG", Precision::Country),
        ("2001:218:2::1", "JP", Precision::Country),
        ("1.1.1.1", "unknown", Precision::Unknown),
    ] {
        let place = table.locate(ip(address)).place;
        assert_eq!(
            (place.country.to_string().as_str(), place.precision),
            (country, precision),
            "{address}"
        );
    }
    let coverage = |networks, given| Coverage {
        networks,
        placed: networks,
        given,
        ..Coverage::default()
    };
    let files: Vec<_> = table
        .info()
        .files
        .iter()
        .map(|file| (file.name.as_str(), file.v4, file.v6))
        .collect();
    // The /29 is four networks beside its last address; of the country file, 8.8.8.0/24 is hidden, and 81.0.0.0/8 is not.
    assert_eq!(files[0], ("own.mmdb", coverage(1, 1), coverage(1, 1)));
    assert_eq!(files[1], ("city.mmdb", coverage(6, 5), coverage(0, 0)));
    assert_eq!(files[2], ("country.mmdb", coverage(3, 2), coverage(1, 1)));

    let reversed = GeoTable::of_files(&[whole(), cities()]).unwrap();
    assert_eq!(
        reversed.locate(ip("81.2.69.142")).place.precision,
        Precision::Country,
        "first wins"
    );
    let twice = GeoTable::of_files(&[cities(), cities()]).unwrap();
    assert!(twice.info().files[1].gave_nothing() && !twice.info().files[0].gave_nothing());
}

#[test]
fn configured_networks_lie_over_everything_private_ones_too() {
    let configured = |network: &str, code: &str, point: Option<(f32, f32)>| ConfiguredNetwork {
        network: net(network),
        country: Country::parse(code).unwrap_or_default(),
        point: point.map(|(latitude, longitude)| Point::new(latitude, longitude).unwrap()),
    };
    let networks = [
        configured("10.0.0.0/8", "DE", None),
        configured("10.1.0.0/16", "SG", Some((1.3, 103.8))),
        configured("10.1.2.3/32", "", Some((-33.9, 18.4))),
        configured("10.1.0.0/16", "US", None),
        configured("fd00::/8", "FR", None),
        configured("fd00:1::/64", "IT", None),
        configured("255.255.255.255/32", "GB", None),
        configured("81.2.69.0/24", "JP", None),
    ];
    let embedded = GeoTable::embedded();
    let (table, ids) = embedded.with_networks(&networks).unwrap();
    for (address, network) in [
        ("10.0.0.0", Some(0)),
        ("10.1.0.0", Some(1)),
        ("10.1.2.2", Some(1)),
        ("10.1.2.3", Some(2)),
        ("10.1.2.4", Some(1)),
        ("10.255.255.255", Some(0)),
        ("fd00::1", Some(4)),
        ("fd00:1::1", Some(5)),
        ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(4)),
        ("255.255.255.255", Some(6)),
        ("::ffff:10.1.2.3", Some(2)),
        ("81.2.69.142", Some(7)),
        ("255.255.255.254", None),
        ("11.0.0.0", None),
        ("fe00::", None),
        ("192.168.0.1", None),
    ] {
        let found = table.locate(ip(address));
        let expected = network.map_or_else(|| embedded.locate(ip(address)).id, |network: usize| ids[network]);
        assert_eq!(found.id, expected, "{address}");
        assert_eq!(
            found.place.precision == Precision::Configured,
            network.is_some(),
            "{address}"
        );
    }
    let place = |id: PlaceId| table.places()[id.index()];
    let middle = countries::find(Country::parse("DE").unwrap()).unwrap().point;
    assert_eq!(place(ids[0]).point, Some(middle));
    assert_eq!(place(ids[1]).point, Point::new(1.3, 103.8).ok());
    assert_eq!(place(ids[2]).country, Country::UNKNOWN);
}

const COUNTRIES: [(&str, f64, f64); 6] = [
    ("DE", 52.5, 13.4),
    ("FR", 48.9, 2.3),
    ("US", 40.7, -74.0),
    ("SG", 1.3, 103.8),
    ("BR", -23.5, -46.6),
    ("JP", 35.7, 139.7),
];

prop_compose! {
    /// Networks of all sizes, most of them close together, so that they are neighbours and nested.
    fn networks()(parts in prop::collection::vec((any::<bool>(), any::<u128>(), 0_u8..=40, 0_usize..6, any::<bool>()), 1..40)) -> Vec<(IpNet, usize, bool)> {
        parts.into_iter().map(|(is_v4, noise, length, country, is_city)| {
            let network = if is_v4 {
                let address = 0x681c_fc00 | (noise as u32 & 0x3ff);
                IpNet::new(Ipv4Addr::from_bits(address).into(), 16 + length * 2 / 5)
            } else {
                // Lengths up to /128, of which some are about /64.
                let address = 0x2a02_26f7_u128 << 96 | (noise & 7) << 64 | (noise >> 70 & 7);
                IpNet::new(Ipv6Addr::from_bits(address).into(), 48 + length * 2)
            };
            (network.unwrap().trunc(), country, is_city)
        }).collect()
    }
}

fn file(networks: &[(IpNet, usize, bool)]) -> DatabaseFile {
    let records: Vec<_> = networks
        .iter()
        .map(|(network, number, is_city)| {
            let (code, latitude, longitude) = COUNTRIES[*number];
            let value = if *is_city {
                city(code, latitude, longitude)
            } else {
                country(code)
            };
            (*network, value)
        })
        .collect();
    DatabaseFile {
        name: "generated.mmdb".to_owned(),
        bytes: mmdb::write("Generated-City", &records).into(),
    }
}

/// Addresses at and beside the ends of networks.
fn ends(networks: &[(IpNet, usize, bool)]) -> Vec<IpAddr> {
    let near = networks
        .iter()
        .flat_map(|(network, ..)| match (network.network(), network.broadcast()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let (first, last) = (first.to_bits(), last.to_bits());
                [first - 1, first, last, last + 1].map(|bits| Ipv4Addr::from_bits(bits).into())
            }
            (first, last) => {
                let bits = |ip| match ip {
                    IpAddr::V6(v6) => v6.to_bits(),
                    IpAddr::V4(v4) => v4.to_bits().into(),
                };
                let (first, last) = (bits(first), bits(last));
                [first - 1, first, last, last + 1].map(|bits| Ipv6Addr::from_bits(bits).into())
            }
        });
    near.collect()
}

/// The country of the record of an address, as the format's own reader finds it.
fn record_country(reader: &maxminddb::Reader<&[u8]>, address: IpAddr) -> Option<Country> {
    let record: serde_json::Value = reader.lookup(address).unwrap().decode().unwrap()?;
    let code = record
        .pointer("/country/iso_code")
        .or_else(|| record.pointer("/country_code"))?;
    Country::parse(code.as_str()?)
}

/// A service in five regions, which sends clients of some countries to some of them only: bits choose both.
fn service(rules: &[(u8, u8)]) -> Service {
    const REGIONS: [&str; 5] = ["westeurope", "eastus2", "southeastasia", "brazilsouth", "japaneast"];
    let gateways = REGIONS.map(|name| {
        let region = azure::find(name).unwrap();
        Gateway::new(
            region.name.clone(),
            region.point,
            GatewayAddress::http(Ipv4Addr::LOCALHOST, 9000),
        )
    });
    let residency = rules.iter().map(|(countries, regions)| Residency {
        countries: named(*countries),
        regions: (0..5).filter(|slot| regions >> slot & 1 == 1).map(Slot).collect(),
    });
    Service::new(ServiceParts {
        residency: residency.collect(),
        ..ServiceParts::new("generated", gateways.to_vec())
    })
    .unwrap()
}

/// The countries that bits choose.
fn named(bits: u8) -> Vec<Country> {
    let chosen = COUNTRIES
        .iter()
        .enumerate()
        .filter(|(number, _)| bits >> number & 1 == 1);
    chosen.map(|(_, (code, ..))| Country::parse(code).unwrap()).collect()
}

proptest! {
    /// Whatever the databases, the rules and the health of the regions: a client whose own record names its country is only
    /// ever answered where the rules for that country allow it. A failure prints its case, with the seed in a file beside.
    #[test]
    fn residency_holds_for_every_record(
        databases in prop::collection::vec(networks(), 1..4),
        rules in prop::collection::vec((1_u8..64, 0_u8..32), 1..4),
        unhealthy in 0_u8..32,
        roll: u64,
    ) {
        let files: Vec<_> = databases.iter().map(|networks| file(networks)).collect();
        let readers: Vec<_> = files.iter().map(|file| maxminddb::Reader::from_source(&file.bytes[..]).unwrap()).collect();
        let table = GeoTable::of_files(&files).unwrap();
        let service = service(&rules);
        let state = |slot: u8| if unhealthy >> slot & 1 == 1 { State::Unhealthy } else { State::Healthy };
        let health = ServiceHealth::new((0..5).map(|slot| GatewayHealth { state: state(slot), ..GatewayHealth::default() }).collect());
        let chart = Chart::draw(&service, table.places(), None, azure::round_trips());
        for address in databases.iter().flat_map(|networks| ends(networks)) {
            let location = table.locate(address);
            let record = readers.iter().find_map(|reader| record_country(reader, address));
            prop_assert_eq!(location.place.country, record.unwrap_or_default(), "{}", address);
            let Some(country) = record else { continue };
            let candidates = candidates::gather(&service, &health, location.place.country, Slots::EMPTY);
            let ranking = rank::native(&service, chart.row(location.id), &candidates, &health, roll);
            for slot in ranking.order() {
                for (countries, regions) in &rules {
                    prop_assert!(!named(*countries).contains(&country) || regions >> slot.0 & 1 == 1, "{} in {}: {:?}", address, country, slot);
                }
            }
        }
    }
}
