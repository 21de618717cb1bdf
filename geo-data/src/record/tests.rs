use super::*;

fn sighting(json: &str) -> Option<(String, Option<(f32, f32)>)> {
    let record: Record = serde_json::from_str(json).unwrap();
    let Sighting { country, point } = record.sighting()?;
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

/// mmdb-writer stores a latitude of 0.0 as the flag that it stored before.
#[test]
fn a_boolean_in_the_place_of_a_number_is_one() {
    let equator = r#"{"country": {"iso_code": "GA"}, "location": {"latitude": false, "longitude": 9.5}}"#;
    assert_eq!(sighting(equator), seen("GA", Some((0.0, 9.5))));
    let first = r#"{"country": {"iso_code": "GA"}, "location": {"latitude": -2.5, "longitude": true}}"#;
    assert_eq!(sighting(first), seen("GA", Some((-2.5, 1.0))));
}
