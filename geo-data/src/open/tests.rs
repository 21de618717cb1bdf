use super::*;
use crate::compile::CompileError;
use crate::family::Family;
use crate::{AsnTable, Coverage};
use flate2::Compression;
use flate2::write::GzEncoder;
use portolan_core::geo::Precision;
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    folder.join(name).with_extension("mmdb")
}

fn table(name: &str) -> GeoTable {
    GeoTable::open(&[path(name)]).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[track_caller]
fn is_at(table: &GeoTable, address: &str, country: &str, near: Option<(f32, f32)>) {
    let place = table.locate(ip(address)).place;
    assert_eq!(place.country.to_string(), country, "{address}");
    match near {
        Some((latitude, longitude)) => {
            let point = place.point.unwrap();
            assert!(
                (point.latitude() - latitude).abs() < 0.1 && (point.longitude() - longitude).abs() < 0.1,
                "{address}: {point:?}"
            );
            assert_eq!(place.precision, Precision::Cell, "{address}");
        }
        None => assert_eq!(place.precision, Precision::Country, "{address}"),
    }
}

#[test]
fn databases_of_ipinfo() {
    let standard = table("schemas/ipinfo-standard");
    is_at(&standard, "81.2.69.142", "GB", Some((51.5, -0.1)));
    is_at(&standard, "8.8.8.8", "US", None);
    is_at(&standard, "2a02:8070::1", "DE", Some((50.1, 8.7)));
    let schema = standard.info().files[0].schema.as_deref();
    assert_eq!(schema, Some("IPinfo (country; lat, lng)"));
    let lite = table("schemas/ipinfo-lite");
    is_at(&lite, "81.2.69.142", "GB", None);
    assert_eq!(lite.info().files[0].schema.as_deref(), Some("flat (country_code)"));
    assert!(
        lite.info()
            .attribution
            .as_ref()
            .is_some_and(|text| text.contains("ipinfo.io"))
    );
}

#[test]
fn databases_of_ip2location() {
    let table = table("schemas/ip2location-columns");
    is_at(&table, "81.2.69.142", "GB", Some((51.5, -0.1)));
    is_at(&table, "8.8.8.8", "US", None);
    // Its point cannot be read, which is said.
    is_at(&table, "1.1.1.1", "AU", None);
    assert_eq!(
        table.info().coverage(Family::V4),
        Coverage {
            networks: 4,
            placed: 3,
            given: 3,
            unreadable: 1
        }
    );
    let schema = table.info().files[0].schema.as_deref();
    assert_eq!(schema, Some("IP2Location (country_short; latitude, longitude)"));
}

#[test]
fn a_family_without_a_place_is_filled_in() {
    let embedded = GeoTable::embedded();
    let filled = table("schemas/ip2location-columns").filled_from(|| &embedded).unwrap();
    assert_eq!(filled.info().filled, Some(Family::V6));
    is_at(&filled, "81.2.69.142", "GB", Some((51.5, -0.1)));
    assert_eq!(
        filled.locate(ip("9.9.9.9")).place,
        Default::default(),
        "a gap within a family is not filled"
    );
    for address in ["2001:4860:4860::8888", "2a02:8070::1", "2400:cb00::1"] {
        let (own, other) = (filled.locate(ip(address)).place, embedded.locate(ip(address)).place);
        assert_eq!(own, other, "{address}");
        assert!(own.point.is_some(), "{address}");
    }
    let both = table("schemas/ipinfo-lite").filled_from(|| &embedded).unwrap();
    assert_eq!(both.info().filled, None);
    assert_eq!(both.locate(ip("2001:4860:4860::8888")).place, Default::default());
}

#[test]
fn countries_of_a_family() {
    let countries = |family| {
        let countries = table("schemas/ipinfo-lite").countries(family).into_iter();
        countries.map(|country| country.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(countries(Family::V4), ["GB", "US"]);
    assert_eq!(countries(Family::V6), ["DE"]);
}

#[test]
fn a_gzipped_database_is_the_same_database() {
    let folder = tempfile::tempdir().unwrap();
    let plain = std::fs::read(path("maxmind/test-data/GeoLite2-City-Test")).unwrap();
    let compressed = folder.path().join("GeoLite2-City.mmdb.gz");
    let mut encoder = GzEncoder::new(std::fs::File::create(&compressed).unwrap(), Compression::best());
    encoder.write_all(&plain).unwrap();
    encoder.finish().unwrap();
    let (table, plain) = (
        GeoTable::open(&[compressed]).unwrap(),
        table("maxmind/test-data/GeoLite2-City-Test"),
    );
    assert_eq!(table.places(), plain.places());
    assert_eq!(table.info().networks(), plain.info().networks());
}

#[test]
fn private_networks_are_reported_as_left_out() {
    let error = GeoTable::open(&[path("schemas/private")]).unwrap_err();
    assert!(
        matches!(error, OpenError::Compile(CompileError::NothingPublic { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("geo.networks"), "{error}");
}

#[test]
fn autonomous_systems_of_several_files_and_of_all_schemas() {
    let systems = |names: &[&str]| {
        let files: Vec<_> = names
            .iter()
            .map(|name| DatabaseFile::read(&path(name)).unwrap())
            .collect();
        AsnTable::compile(&files).unwrap()
    };
    let split = systems(&["schemas/asn-v4", "schemas/asn-v6"]);
    let described = |table: &AsnTable, address: &str| {
        let system = table.describe(ip(address));
        system.map(|system| (system.number, system.organization.unwrap_or_default().to_owned()))
    };
    let google = Some((15169, "Google LLC".to_owned()));
    assert_eq!(described(&split, "8.8.8.8"), google);
    assert_eq!(described(&split, "2001:4860:4860::8888"), google);
    assert_eq!(
        described(&split, "2a02:8070::1"),
        Some((3209, "Vodafone GmbH".to_owned()))
    );
    let one = systems(&["schemas/asn-v4"]);
    assert!(one.networks(Family::V4) > 0 && one.networks(Family::V6) == 0);
    // Network by network, the first one counts.
    let layered = systems(&["schemas/asn-v6", "schemas/ipinfo-lite"]);
    assert_eq!(
        described(&layered, "81.2.69.142"),
        Some((20712, "Andrews & Arnold Ltd".to_owned()))
    );
    assert_eq!(
        described(&layered, "2a02:8070::1"),
        Some((3209, "Vodafone GmbH".to_owned()))
    );
    let lite = systems(&["schemas/ipinfo-lite"]);
    assert_eq!(described(&lite, "8.8.8.8"), google);
    assert_eq!(described(&lite, "2a02:8070::1"), Some((3209, "vodafone.de".to_owned())));
}
