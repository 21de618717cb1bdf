use super::*;

fn sighting(json: &str) -> Option<(String, Option<(f32, f32)>)> {
    let record: Record = serde_json::from_str(json).unwrap();
    let Sighting { country, point } = record.reading().sighting?;
    Some((
        country.to_string(),
        point.map(|point| (point.latitude(), point.longitude())),
    ))
}

fn seen(country: &str, point: Option<(f32, f32)>) -> Option<(String, Option<(f32, f32)>)> {
    Some((country.to_owned(), point))
}

#[test]
fn nested_records() {
    let london = r#"{"city": {"names": {"en": "London"}}, "country": {"iso_code": "GB", "names": {"en": "United Kingdom"}},
        "location": {"accuracy_radius": 100, "latitude": 51.5142, "longitude": -0.0931}}"#;
    assert_eq!(sighting(london), seen("GB", Some((51.5142, -0.0931))));
    let registered = r#"{"registered_country": {"iso_code": "FR"}}"#;
    assert_eq!(sighting(registered), seen("FR", None));
    let used_elsewhere = r#"{"country": {"iso_code": "SE"}, "registered_country": {"iso_code": "FR"}}"#;
    assert_eq!(sighting(used_elsewhere), seen("SE", None));
    let place_without_country = r#"{"continent": {"code": "EU"}, "location": {"latitude": 48.0, "longitude": 8.0}}"#;
    assert_eq!(sighting(place_without_country), seen("unknown", Some((48.0, 8.0))));
}

#[test]
fn flat_records() {
    let numbers =
        r#"{"country_code": "AU", "city": "Sydney", "state1": "NSW", "latitude": -33.86, "longitude": 151.2}"#;
    assert_eq!(sighting(numbers), seen("AU", Some((-33.86, 151.2))));
    let text = r#"{"country_code": "AU", "city": "Sydney", "latitude": "-33.86", "longitude": "151.2"}"#;
    assert_eq!(sighting(text), seen("AU", Some((-33.86, 151.2))));
    let empty = r#"{"country_code": "AU", "city": "", "state1": "", "latitude": "", "longitude": ""}"#;
    assert_eq!(sighting(empty), seen("AU", None));
    assert_eq!(sighting(r#"{"country_code": "de"}"#), seen("DE", None));
}

#[test]
fn a_stand_in_for_a_country_is_no_point() {
    let kansas = r#"{"country": {"iso_code": "US"},
        "location": {"accuracy_radius": 1000, "latitude": 37.751, "longitude": -97.822}}"#;
    assert_eq!(sighting(kansas), seen("US", None));
    let flat = r#"{"country_code": "US", "city": "", "state1": "", "latitude": 37.751, "longitude": -97.822}"#;
    assert_eq!(sighting(flat), seen("US", None));
    let wide_but_named = r#"{"country": {"iso_code": "US"}, "city": {"names": {"en": "Nome"}},
        "location": {"accuracy_radius": 1000, "latitude": 64.5, "longitude": -165.4}}"#;
    assert_eq!(sighting(wide_but_named), seen("US", Some((64.5, -165.4))));
    let state = r#"{"country": {"iso_code": "US"}, "subdivisions": [{"iso_code": "WA"}],
        "location": {"accuracy_radius": 1000, "latitude": 47.7511, "longitude": -120.7401}}"#;
    assert_eq!(sighting(state), seen("US", Some((47.7511, -120.7401))));
    let somewhere = r#"{"location": {"accuracy_radius": 1000, "latitude": 48.0, "longitude": 8.0}}"#;
    assert_eq!(
        sighting(somewhere),
        seen("unknown", Some((48.0, 8.0))),
        "better than nothing"
    );
    let plain = r#"{"country_code": "US", "latitude": 37.751, "longitude": -97.822}"#;
    assert_eq!(
        sighting(plain),
        seen("US", Some((37.751, -97.822))),
        "a schema without cities"
    );
}

#[test]
fn what_is_no_place() {
    for record in [
        "{}",
        "[]",
        "\"GB\"",
        "42",
        "true",
        r#"{"country_code": ""}"#,
        r#"{"country_code": "EU"}"#,
        r#"{"country": {"iso_code": "A1"}}"#,
        r#"{"country_code": 7, "latitude": [], "longitude": {}}"#,
        r#"{"latitude": 0, "longitude": 0}"#,
        r#"{"latitude": 91.0, "longitude": 8.0}"#,
        r#"{"latitude": "NaN", "longitude": "inf"}"#,
        r#"{"latitude": 48.0}"#,
    ] {
        assert_eq!(sighting(record), None, "{record}");
    }
}

#[test]
fn records_of_ipinfo() {
    let city =
        r#"{"city": "Mountain View", "country": "US", "lat": "37.38605", "lng": "-122.08385", "region": "California"}"#;
    assert_eq!(sighting(city), seen("US", Some((37.38605, -122.08385))));
    let lite = r#"{"asn": "AS15169", "as_name": "Google LLC", "as_domain": "google.com", "continent": "North America",
        "continent_code": "NA", "country": "United States", "country_code": "US"}"#;
    assert_eq!(sighting(lite), seen("US", None));
    assert_eq!(
        sighting(r#"{"country": "DE", "loc": "50.1155, 8.6842"}"#),
        seen("DE", Some((50.1155, 8.6842)))
    );
    let country = r#"{"country": "US", "city": "", "region": "", "lat": "37.751", "lng": "-97.822"}"#;
    assert_eq!(sighting(country), seen("US", None));
}

#[test]
fn records_of_ip2location() {
    let columns = r#"{"country_short": "NL", "country_long": "Netherlands", "region_name": "Noord-Holland",
        "city_name": "Amsterdam", "latitude": "52.378500", "longitude": "4.899980"}"#;
    assert_eq!(sighting(columns), seen("NL", Some((52.3785, 4.89998))));
    let unknown = r#"{"country_short": "-", "region_name": "-", "city_name": "-", "latitude": "0.000000", "longitude": "0.000000"}"#;
    assert_eq!(sighting(unknown), None);
}

#[test]
fn the_schema_is_named_with_its_keys() {
    let schema = |json: &str| serde_json::from_str::<Record>(json).unwrap().reading().keys.schema();
    for (record, expected) in [
        (
            r#"{"country": {"iso_code": "GB"}, "location": {"latitude": 51.5, "longitude": -0.1}}"#,
            "GeoIP2 (country.iso_code; location.latitude, location.longitude)",
        ),
        (
            r#"{"registered_country": {"iso_code": "FR"}}"#,
            "GeoIP2 (registered_country.iso_code)",
        ),
        (
            r#"{"country_code": "AU", "latitude": "-33.8", "longitude": "151.2"}"#,
            "flat (country_code; latitude, longitude)",
        ),
        (
            r#"{"country": "US", "lat": "37.3", "lng": "-122.0"}"#,
            "IPinfo (country; lat, lng)",
        ),
        (r#"{"country_short": "NL"}"#, "IP2Location (country_short)"),
        (r#"{"country_iso": "NL"}"#, "of its own (country_iso)"),
    ] {
        assert_eq!(schema(record).as_deref(), Some(expected), "{record}");
    }
    assert_eq!(schema(r#"{"autonomous_system_number": 1}"#), None);
    let keys = |json: &str| serde_json::from_str::<Record>(json).unwrap().reading().keys;
    let both = keys(r#"{"registered_country": {"iso_code": "FR"}}"#).or(keys(r#"{"country": {"iso_code": "FR"}}"#));
    assert_eq!(both.schema().as_deref(), Some("GeoIP2 (country.iso_code)"));
}

#[test]
fn points_that_cannot_be_read_are_noticed() {
    let unreadable = |json: &str| {
        serde_json::from_str::<Record>(json)
            .unwrap()
            .reading()
            .has_unreadable_point
    };
    for record in [
        r#"{"country_code": "DE", "latitude": "52,5", "longitude": "13,4"}"#,
        r#"{"country_code": "DE", "latitude": 97.0, "longitude": 13.4}"#,
        r#"{"country_code": "DE", "latitude": 52.5}"#,
        r#"{"country": "DE", "loc": "52.5,east"}"#,
    ] {
        assert!(unreadable(record), "{record}");
    }
    for record in [
        r#"{"country_code": "DE"}"#,
        r#"{"country_code": "DE", "latitude": "", "longitude": ""}"#,
        r#"{"country_code": "DE", "latitude": 0, "longitude": 0}"#,
        r#"{"country_code": "DE", "latitude": "52.5", "longitude": "13.4"}"#,
        r#"{"country": {"iso_code": "DE"}, "location": {"time_zone": "Europe/Berlin"}}"#,
        r#"{"country": "DE", "location": "Berlin"}"#,
    ] {
        assert!(!unreadable(record), "{record}");
    }
}

#[test]
fn autonomous_systems_in_all_schemas() {
    let system = |json: &str| {
        let record: Record = serde_json::from_str(json).unwrap();
        record.system().map(|(number, name)| (number, name.map(str::to_owned)))
    };
    let google = Some((15169, Some("Google LLC".to_owned())));
    for record in [
        r#"{"autonomous_system_number": 15169, "autonomous_system_organization": "Google LLC"}"#,
        r#"{"asn": "AS15169", "as_name": "Google LLC", "as_domain": "google.com"}"#,
        r#"{"asn": "15169", "as": "Google LLC"}"#,
        r#"{"as_number": 15169, "as_org": "Google LLC"}"#,
    ] {
        assert_eq!(system(record), google, "{record}");
    }
    assert_eq!(
        system(r#"{"asn": "AS1", "as_domain": "a.net"}"#),
        Some((1, Some("a.net".to_owned())))
    );
    assert_eq!(system(r#"{"asn": 1, "as_name": ""}"#), Some((1, None)));
    for none in [
        r#"{"asn": ""}"#,
        r#"{"asn": "AS0"}"#,
        r#"{"asn": "ASx"}"#,
        r#"{"asn": 4294967296}"#,
        r#"{"asn": -1}"#,
        "{}",
    ] {
        assert_eq!(system(none), None, "{none}");
    }
}

/// mmdb-writer stores a latitude of 0.0 as the flag that it stored before.
#[test]
fn a_boolean_in_the_place_of_a_number_is_one() {
    let equator = r#"{"country": {"iso_code": "GA"}, "location": {"latitude": false, "longitude": 9.5}}"#;
    assert_eq!(sighting(equator), seen("GA", Some((0.0, 9.5))));
    let first = r#"{"country": {"iso_code": "GA"}, "location": {"latitude": -2.5, "longitude": true}}"#;
    assert_eq!(sighting(first), seen("GA", Some((-2.5, 1.0))));
}
