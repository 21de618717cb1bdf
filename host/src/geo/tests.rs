use super::*;
use crate::config::GeoNetwork;
use portolan_core::geo::Point;
use std::cell::Cell;
use std::time::SystemTime;

fn fixture(name: &str) -> Bytes {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../geo-data/fixtures");
    std::fs::read(folder.join(name)).expect("a fixture").into()
}

fn network(text: &str, country: Option<&str>, region: Option<&str>) -> GeoNetwork {
    GeoNetwork {
        network: text.parse().expect("a network"),
        country: country.and_then(Country::parse),
        point: Point::new(1.3, 103.8).ok(),
        region: region.map(Into::into),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn databases_with_the_same_content_are_used_again() {
    let (first, second) = (
        fixture("schemas/ipinfo-lite.mmdb"),
        fixture("schemas/ipinfo-standard.mmdb"),
    );
    let content = Cell::new(&first);
    let read = |_: &Path, _| Ok(content.get().clone());
    let mut settings = GeoSettings {
        databases: vec!["city.mmdb".into()],
        asn_databases: vec!["asn.mmdb".into()],
        ..GeoSettings::default()
    };
    let before = Geo::load(&settings, None, None, read).expect("loaded");
    settings.networks = vec![network("10.0.0.0/8", Some("SG"), None)];
    let with_networks = Geo::load(&settings, Some(&before), None, read).expect("loaded");
    assert!(with_networks.has_same_databases(&before));
    let systems = |geo: &Geo| geo.systems.clone().expect("systems");
    assert!(Arc::ptr_eq(&systems(&with_networks), &systems(&before)));
    assert_eq!(before.locate(ip("10.1.1.1")).place.point, None);
    assert_eq!(with_networks.locate(ip("10.1.1.1")).place.country.to_string(), "SG");
    settings.networks.clear();
    let without = Geo::load(&settings, Some(&with_networks), None, read).expect("loaded");
    assert_eq!(without.locate(ip("10.1.1.1")).place.point, None);
    // Another content under the same name is another database.
    settings.asn_databases.clear();
    content.set(&second);
    let replaced = Geo::load(&settings, Some(&with_networks), None, read).expect("loaded");
    assert!(!replaced.has_same_databases(&before) && replaced.systems.is_none());
}

#[test]
fn a_network_without_a_country_is_in_the_one_that_the_databases_say() {
    let settings = GeoSettings {
        networks: vec![network("81.2.69.0/24", None, Some("southeastasia"))],
        ..GeoSettings::default()
    };
    let unread = |_: &Path, _| unreachable!("no file is named");
    let geo = Geo::load(&settings, None, None, unread).expect("loaded");
    let located = geo.locate(ip("81.2.69.142"));
    assert_eq!(located.place.country.to_string(), "GB");
    assert_eq!(located.place.point, Point::new(1.3, 103.8).ok());
    assert_eq!(geo.preferred, [(located.id, "southeastasia".into())]);
}

#[test]
fn the_attribution_of_the_configuration_is_that_of_its_databases() {
    let read = |_: &Path, _| Ok(fixture("schemas/ipinfo-lite.mmdb"));
    let mut settings = GeoSettings {
        attribution: Some("By Acme".into()),
        ..GeoSettings::default()
    };
    let embedded = Geo::load(&settings, None, None, read).expect("loaded");
    let text = embedded.attribution(&settings).expect("the embedded table's");
    assert!(text.contains("DB-IP"), "{text}");
    settings.databases = vec!["lite.mmdb".into()];
    let lite = Geo::load(&settings, None, None, read).expect("loaded");
    assert_eq!(lite.attribution(&settings), Some("By Acme"));
    settings.attribution = None;
    assert!(
        lite.attribution(&settings)
            .is_some_and(|text| text.contains("ipinfo.io"))
    );
}

#[test]
fn the_embedded_table_is_never_old() {
    let settings = GeoSettings::default();
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    assert_eq!(Geo::embedded().warnings(&settings, far), []);
}

#[test]
fn a_file_that_gives_nothing_is_warned_of() {
    let read = |_: &Path, _| Ok(fixture("schemas/ipinfo-lite.mmdb"));
    let settings = GeoSettings {
        databases: vec!["a.mmdb".into(), "b.mmdb".into()],
        ..GeoSettings::default()
    };
    let geo = Geo::load(&settings, None, None, read).expect("loaded");
    let warnings = geo.warnings(&settings, SystemTime::UNIX_EPOCH);
    let messages: Vec<_> = warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(
        messages,
        ["b.mmdb gives no place: the databases before it have one for all of its networks"]
    );
}
