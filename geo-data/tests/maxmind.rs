//! MaxMind's own test databases, good and bad.

use maxminddb::geoip2;
use portolan_core::geo::{Country, PlaceId, Point};
use portolan_geo::compile::{CompileError, Gate};
use portolan_geo::reader::DatabaseError;
use portolan_geo::{AsnTable, CompileOptions, DatabaseFile, GeoTable};
use proptest::prelude::*;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/maxmind")
}

fn good(name: &str) -> PathBuf {
    fixtures().join("test-data").join(name).with_extension("mmdb")
}

fn table(name: &str) -> GeoTable {
    GeoTable::open(&[good(name)]).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// All files under a folder that end in `.mmdb`.
fn databases(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries
        .flat_map(|path| if path.is_dir() { databases(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "mmdb"))
        .collect();
    found.sort();
    found
}

#[test]
fn addresses_are_where_the_city_database_has_them() {
    for name in ["GeoIP2-City-Test", "GeoLite2-City-Test"] {
        let table = table(name);
        for (address, country, latitude, longitude) in [
            ("216.160.83.56", "US", 47.25, -122.31),
            ("81.2.69.142", "GB", 51.51, -0.09),
            ("175.16.199.1", "CN", 43.88, 125.32),
            ("89.160.20.112", "SE", 58.42, 15.62),
            ("::ffff:81.2.69.142", "GB", 51.51, -0.09),
            ("2002:5102:458e::1", "GB", 51.51, -0.09),
        ] {
            let place = table.locate(ip(address)).place;
            let expected = Point::new(latitude, longitude).unwrap();
            assert_eq!(place.country, Country::parse(country).unwrap(), "{name} {address}");
            assert!(
                place.point.unwrap().distance_km(expected) < 200.0,
                "{name} {address}: {place:?}"
            );
        }
        for address in ["8.8.8.8", "10.0.0.1", "::1", "2a00::1"] {
            assert_eq!(table.locate(ip(address)).id, PlaceId::UNKNOWN, "{name} {address}");
        }
    }
}

#[test]
fn an_operators_database_changes_the_answers() {
    let (theirs, ours) = (table("GeoIP2-City-Test"), GeoTable::embedded());
    let address = ip("2a02:d500::1");
    assert_ne!(theirs.locate(address).place, ours.locate(address).place);
    assert_eq!(
        theirs.locate(address).place.country,
        Country::UNKNOWN,
        "a place without a country"
    );
    assert!(theirs.locate(address).place.point.is_some());
    assert!(ours.locate(ip("8.8.8.8")).place.point.is_some());
    assert_eq!(theirs.locate(ip("8.8.8.8")).id, PlaceId::UNKNOWN);
}

/// Every network, however small, is where the database's own reader says.
#[test]
fn the_table_agrees_with_the_reader() {
    let mut compared = 0;
    for name in [
        "GeoIP2-City-Test",
        "GeoLite2-City-Test",
        "GeoIP2-Precision-Enterprise-Test",
        "GeoIP2-Enterprise-Test",
    ] {
        let table = table(name);
        let reader = maxminddb::Reader::open_readfile(good(name)).unwrap();
        for found in reader.networks(maxminddb::WithinOptions::default()).unwrap() {
            let found = found.unwrap();
            let network = found.network().unwrap();
            let city: geoip2::City<'_> = found.decode().unwrap().unwrap();
            let (Some(latitude), Some(longitude)) = (city.location.latitude, city.location.longitude) else {
                continue;
            };
            let country_level =
                city.location.accuracy_radius.is_some_and(|radius| radius >= 500) && city.city.is_empty();
            if country_level || portolan_geo::special::normalise(network.ip()) != Some(network.ip()) {
                continue;
            }
            let place = table.locate(network.ip()).place;
            let expected = Point::new(latitude as f32, longitude as f32).unwrap();
            // Half the diagonal of a cell at the equator, doubled: the middle of a cell may be at its other side.
            assert!(
                place.point.unwrap().distance_km(expected) < 400.0,
                "{name} {network}: {place:?}"
            );
            if let Some(country) = city.country.iso_code {
                assert_eq!(place.country.as_str(), Some(country), "{name} {network}");
            }
            compared += 1;
        }
    }
    assert!(compared > 100, "only {compared} networks compared");
}

#[test]
fn a_country_database_gives_the_middle_of_its_people() {
    let table = table("GeoIP2-Country-Test");
    let place = table.locate(ip("81.2.69.142")).place;
    assert_eq!(place.country.as_str(), Some("GB"));
    let middle = portolan_geo::countries::find(place.country).unwrap().point;
    assert_eq!(place.point, Some(middle));
}

#[test]
fn a_file_without_places_gives_none() {
    let pair = GeoTable::open(&[good("MaxMind-DB-test-ipv4-24"), good("GeoIP2-City-Test")]).unwrap();
    assert_eq!(pair.locate(ip("81.2.69.142")).place.country.as_str(), Some("GB"));
    let [empty, city] = &pair.info().files[..] else {
        panic!("two files");
    };
    assert!(
        empty.gave_nothing() && empty.v4.networks > 0 && empty.v4.placed == 0,
        "{empty:?}"
    );
    assert!(city.v4.given > 0 && city.v4.given == city.v4.placed, "{city:?}");
    let error = GeoTable::open::<PathBuf>(&[]).unwrap_err().to_string();
    assert_eq!(error, "no database given");
}

#[test]
fn databases_without_places_are_refused_and_say_why() {
    for name in [
        "GeoIP2-Anonymous-IP-Test",
        "GeoIP2-Connection-Type-Test",
        "GeoIP2-Domain-Test",
        "GeoIP2-ISP-Test",
        "GeoLite2-ASN-Test",
        "MaxMind-DB-string-value-entries",
        "MaxMind-DB-test-ipv4-24",
    ] {
        let file = DatabaseFile::read(&good(name)).unwrap();
        let error = GeoTable::compile(&[file], &CompileOptions::default()).unwrap_err();
        assert!(matches!(error, CompileError::TooFewPlaces { .. }), "{name}: {error:?}");
        let text = error.to_string();
        assert!(
            text.contains(name) && text.contains("give a City or Country database"),
            "{text}"
        );
    }
    let private = DatabaseFile::read(&good("MaxMind-DB-no-ipv4-search-tree")).unwrap();
    let error = GeoTable::compile(&[private], &CompileOptions::default()).unwrap_err();
    assert!(matches!(error, CompileError::NothingPublic { .. }), "{error:?}");
}

#[test]
fn the_gate_can_be_narrowed() {
    let file = || [DatabaseFile::read(&good("GeoIP2-City-Test")).unwrap()];
    let compile = |min_usable, min_usable_share| {
        let gate = Gate {
            min_usable,
            min_usable_share,
        };
        GeoTable::compile(
            &file(),
            &CompileOptions {
                gate,
                ..CompileOptions::default()
            },
        )
    };
    assert!(compile(100, 0.9).is_ok());
    assert!(matches!(
        compile(1_000_000, 0.0),
        Err(CompileError::TooFewPlaces { .. })
    ));
    assert!(matches!(compile(0, 1.1), Err(CompileError::TooFewPlaces { .. })));
}

/// None of the files makes the process panic or wait, and whatever table results can be asked, written and read.
#[test]
fn every_test_database_is_used_or_refused() {
    let files = databases(&fixtures());
    assert_eq!(files.len(), 61);
    for path in &files {
        let file = || [DatabaseFile::read(path).unwrap()];
        let any = CompileOptions {
            gate: Gate {
                min_usable: 0,
                min_usable_share: 0.0,
            },
            ..CompileOptions::default()
        };
        if let Ok(table) = GeoTable::compile(&file(), &any) {
            for address in [
                "1.1.1.1",
                "81.2.69.142",
                "255.255.255.255",
                "::",
                "2001:218::1",
                "ffff::",
            ] {
                let location = table.locate(ip(address));
                assert!(location.id.index() < table.places().len());
            }
            let mut bytes = Vec::new();
            table.write(&mut bytes).unwrap();
            assert_eq!(GeoTable::read(bytes.as_slice()).unwrap().info(), table.info());
        }
        if let Ok(table) = AsnTable::compile(&file()) {
            assert!(table.lookup(ip("0.0.0.0")).is_none());
        }
    }
}

#[test]
fn corrupt_databases_never_become_a_table() {
    for path in databases(&fixtures().join("bad-data")) {
        let error = GeoTable::open(&[&path]).unwrap_err();
        println!("{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    for name in [
        "GeoIP2-City-Test-Broken-Double-Format",
        "GeoIP2-City-Test-Invalid-Node-Count",
    ] {
        let error = GeoTable::open(&[good(name)]).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("download it again"), "{error}");
    }
}

/// A search tree whose branches meet again has few nodes and endless leaves.
#[test]
fn a_tree_that_is_none_is_refused_without_walking_all_of_it() {
    let mut bytes = fs::read(good("MaxMind-DB-test-ipv4-24")).unwrap();
    let nodes = maxminddb::Reader::from_source(&bytes).unwrap().metadata().node_count;
    for node in 0..31 {
        // Both branches of a node lead to the next one, and those of the last to nothing.
        let next = if node == 30 { nodes } else { node + 1 };
        let [_, record @ ..] = next.to_be_bytes();
        bytes[node as usize * 6..][..6].copy_from_slice(&[record, record].concat());
    }
    let name = "tangled.mmdb".to_owned();
    let error = GeoTable::compile(
        &[DatabaseFile {
            name,
            bytes: bytes.into(),
        }],
        &CompileOptions::default(),
    )
    .unwrap_err();
    assert!(
        matches!(error, CompileError::Database(DatabaseError::Tangled { .. })),
        "{error:?}"
    );
}

#[test]
fn a_download_that_was_cut_short_is_refused() {
    let whole = fs::read(good("GeoIP2-City-Test")).unwrap();
    for length in [0, 1, 100, whole.len() / 2, whole.len() - 1_000] {
        let file = DatabaseFile {
            name: "half.mmdb".to_owned(),
            bytes: whole[..length].to_vec().into(),
        };
        let error = GeoTable::compile(&[file], &CompileOptions::default()).unwrap_err();
        assert!(
            matches!(
                (length, &error),
                (
                    0,
                    CompileError::Database(DatabaseError::WrongKind { what: "empty", .. })
                ) | (1.., CompileError::Database(DatabaseError::NotADatabase { .. }))
            ),
            "{length}: {error:?}"
        );
    }
    let error = GeoTable::open(&[fixtures().join("nowhere.mmdb")])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("failed to read ") && error.contains("nowhere.mmdb"),
        "{error}"
    );
}

#[test]
fn a_file_that_was_written_twice_is_refused() {
    let bytes = fs::read(good("GeoIP2-City-Test")).unwrap().repeat(2).into();
    let name = "twice.mmdb".to_owned();
    let error = GeoTable::compile(&[DatabaseFile { name, bytes }], &CompileOptions::default()).unwrap_err();
    assert!(
        matches!(error, CompileError::Database(DatabaseError::Repeated { count: 2, .. })),
        "{error:?}"
    );
}

proptest! {
    /// Bytes that changed on a disk or on the way give a table or an error, never a panic or an endless walk.
    #[test]
    fn a_database_with_changed_bytes_is_used_or_refused(
        which in prop::sample::select(vec!["GeoIP2-City-Test", "GeoIP2-Country-Test", "GeoLite2-ASN-Test", "MaxMind-DB-test-mixed-28"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let mut bytes = fs::read(good(which)).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let files = [DatabaseFile { name: which.to_owned(), bytes: bytes.into() }];
        if let Ok(table) = GeoTable::compile(&files, &CompileOptions::default()) {
            prop_assert!(table.locate(ip("81.2.69.142")).id.index() < table.places().len());
        }
        if let Ok(table) = AsnTable::compile(&files) {
            prop_assert_eq!(table.lookup(ip("10.0.0.1")), None);
        }
    }
}

#[test]
fn systems_are_found_by_address() {
    let table = AsnTable::compile(&[DatabaseFile::read(&good("GeoLite2-ASN-Test")).unwrap()]).unwrap();
    assert_eq!(table.lookup(ip("1.128.0.0")), Some(1221));
    let telstra = table.describe(ip("::ffff:1.128.0.1")).unwrap();
    assert_eq!((telstra.number, telstra.organization), (1221, Some("Telstra Pty Ltd")));
    assert_eq!(table.lookup(ip("10.0.0.1")), None);
    assert_eq!(table.lookup(ip("8.8.8.8")), None);
    let error = AsnTable::compile(&[DatabaseFile::read(&good("GeoIP2-City-Test")).unwrap()]).unwrap_err();
    assert!(error.to_string().contains("names no autonomous system"), "{error}");
}

/// Numbers are kept as finely as the database has them.
#[test]
fn systems_agree_with_the_reader() {
    let table = AsnTable::compile(&[DatabaseFile::read(&good("GeoLite2-ASN-Test")).unwrap()]).unwrap();
    let reader = maxminddb::Reader::open_readfile(good("GeoLite2-ASN-Test")).unwrap();
    let mut compared = 0;
    for found in reader.networks(maxminddb::WithinOptions::default()).unwrap() {
        let found = found.unwrap();
        let network = found.network().unwrap();
        if portolan_geo::special::normalise(network.ip()) != Some(network.ip())
            || (network.is_ipv6() && network.prefix() > 64)
        {
            continue;
        }
        let expected: geoip2::Asn<'_> = found.decode().unwrap().unwrap();
        assert_eq!(
            table.lookup(network.network()),
            expected.autonomous_system_number,
            "{network}"
        );
        assert_eq!(
            table.lookup(network.broadcast()),
            expected.autonomous_system_number,
            "{network}"
        );
        compared += 1;
    }
    assert!(compared > 100, "only {compared} networks compared");
}
