//! The table that Portolan ships: what examples rely on, and what keeps it whole.

use portolan_core::geo::PlaceId;
use portolan_geo::open::OpenError;
use portolan_geo::{GeoTable, azure, countries};
use std::fs;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

fn table() -> &'static GeoTable {
    static TABLE: OnceLock<GeoTable> = OnceLock::new();
    TABLE.get_or_init(GeoTable::embedded)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The addresses that the README, the demo and its tests show: an address, its country, and which of the demo's
/// regions is the closest by estimated round trip.
const EXAMPLES: [(&str, &str, &str); 17] = [
    ("81.2.69.142", "GB", "westeurope"),
    ("193.99.144.80", "DE", "westeurope"),
    ("128.93.162.83", "FR", "westeurope"),
    ("196.25.1.1", "ZA", "westeurope"),
    ("2a02:8070::1", "DE", "westeurope"),
    ("23.128.64.1", "US", "eastus2"),
    ("18.7.22.1", "US", "eastus2"),
    ("171.64.1.1", "US", "eastus2"),
    ("142.150.1.1", "CA", "eastus2"),
    ("132.248.1.1", "MX", "eastus2"),
    ("200.147.3.157", "BR", "eastus2"),
    ("2601:600::1", "US", "eastus2"),
    ("165.21.0.1", "SG", "southeastasia"),
    ("133.11.0.1", "JP", "southeastasia"),
    ("139.130.4.5", "AU", "southeastasia"),
    ("14.139.0.1", "IN", "southeastasia"),
    ("2001:218::1", "JP", "southeastasia"),
];

#[test]
fn examples_are_where_they_are_said_to_be() {
    let demo = ["westeurope", "eastus2", "southeastasia"].map(|name| azure::find(name).unwrap());
    for (address, country, region) in EXAMPLES {
        let place = table().locate(ip(address)).place;
        assert_eq!(place.country.as_str(), Some(country), "{address}");
        let vantage = azure::round_trips().from_place(place.point.unwrap());
        let millis = |region: &&&azure::Region| vantage.to(&region.name, region.point);
        let closest = demo.iter().min_by(|a, b| millis(a).total_cmp(&millis(b))).unwrap();
        assert_eq!(closest.name.as_str(), region, "{address}");
    }
}

#[test]
fn the_american_example_is_nearer_to_the_east() {
    let from = table().locate(ip("23.128.64.1")).place.point.unwrap();
    let [east, west] = ["eastus2", "westus"].map(|name| azure::find(name).unwrap().point);
    assert!(from.distance_km(east) < from.distance_km(west));
}

#[test]
fn special_addresses_are_unknown() {
    for address in [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "100.64.0.1",
        "203.0.113.7",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        let v4: std::net::Ipv4Addr = address.parse().unwrap();
        for ip in [IpAddr::V4(v4), v4.to_ipv6_mapped().into()] {
            assert_eq!(table().locate(ip).id, PlaceId::UNKNOWN, "{ip}");
        }
    }
    for address in [
        "::1",
        "fe80::1",
        "fd00::1",
        "2001:db8::1",
        "3fff::1",
        "ff02::1",
        "64:ff9b:1::1",
        "2002:a00:1::1",
    ] {
        assert_eq!(table().locate(ip(address)).id, PlaceId::UNKNOWN, "{address}");
    }
}

#[test]
fn carried_addresses_are_where_the_inner_one_is() {
    let london = table().locate(ip("81.2.69.142"));
    for outer in [
        "::ffff:81.2.69.142",
        "64:ff9b::81.2.69.142",
        "2002:5102:458e::1",
        "2001:0:4136:e378:8000:63bf:aefd:ba71",
    ] {
        assert_eq!(table().locate(ip(outer)), london, "{outer}");
    }
}

#[test]
fn every_place_but_the_first_has_a_point_and_a_known_country() {
    let (first, others) = table().places().split_first().unwrap();
    assert!(first.point.is_none() && first.country.as_str().is_none());
    assert!(others.len() > 2_000);
    for place in others {
        assert!(place.point.is_some(), "{place:?}");
        assert!(
            place.country.as_str().is_none() || countries::find(place.country).is_some(),
            "{place:?}"
        );
    }
}

#[test]
fn the_table_says_whose_data_it_is() {
    let info = table().info();
    assert!(info.database.contains("DB-IP"));
    assert_eq!(
        info.attribution.as_deref(),
        Some("IP Geolocation by DB-IP (https://db-ip.com)")
    );
    assert!(info.networks() > 10_000_000);
    let june_2026 = UNIX_EPOCH + Duration::from_secs(1_780_272_000)..UNIX_EPOCH + Duration::from_secs(1_782_864_000);
    assert!(june_2026.contains(&(UNIX_EPOCH + Duration::from_secs(info.built))));
    assert!(!info.is_stale(june_2026.end));
}

#[test]
fn a_compiled_file_can_be_opened_like_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let (compiled, damaged) = (folder.path().join("table.geo"), folder.path().join("damaged.geo"));
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/data/locations.geo");
    fs::copy(shipped, &compiled).unwrap();
    let opened = GeoTable::open(&[&compiled]).unwrap();
    assert_eq!((opened.places(), opened.info()), (table().places(), table().info()));

    let mut bytes = fs::read(shipped).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let error = GeoTable::open(&[&damaged]).unwrap_err();
    assert!(
        matches!(error, OpenError::Compiled { .. }) && error.to_string().contains("damaged.geo"),
        "{error}"
    );

    let error = GeoTable::open(&[&compiled, &compiled]).unwrap_err();
    assert!(matches!(error, OpenError::Mixed { .. }), "{error}");
}
