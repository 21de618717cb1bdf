use super::*;

fn point(latitude: f32, longitude: f32) -> Point {
    Point::new(latitude, longitude).unwrap()
}

fn country(code: &str) -> Country {
    Country::parse(code).unwrap()
}

#[test]
fn cells_reach_to_the_edges_of_the_globe() {
    for (latitude, longitude, row, column) in [
        (-90.0, -180.0, 0, 0),
        (90.0, 180.0, 71, 143),
        (0.0, 0.0, 36, 72),
        (-0.01, -0.01, 35, 71),
        (2.49, 2.49, 36, 72),
        (2.5, 2.5, 37, 73),
    ] {
        let key = PlaceKey::cell(point(latitude, longitude), country("GB"));
        assert_eq!(
            key,
            PlaceKey::Cell(row, column, country("GB")),
            "{latitude}, {longitude}"
        );
    }
}

#[test]
fn a_cell_is_where_most_of_its_addresses_are() {
    let mut atlas = Atlas::default();
    let (berlin, oranienburg) = (point(52.52, 13.4), point(52.75, 13.24));
    let id = atlas.id(PlaceKey::cell(berlin, country("DE")));
    assert_eq!(
        atlas.id(PlaceKey::cell(oranienburg, country("DE"))),
        id,
        "the same cell"
    );
    atlas.weigh(id, Direction::of(berlin), 900.0);
    atlas.weigh(id, Direction::of(oranienburg), 100.0);
    let (places, numbers) = atlas.finish([id].into_iter()).unwrap();
    let place = places[numbers.of(id).index()];
    assert_eq!(place.country, country("DE"));
    let tenth = berlin.distance_km(oranienburg) / 10.0;
    assert!((place.point.unwrap().distance_km(berlin) - tenth).abs() < 0.1);
}

#[test]
fn a_cell_at_the_date_line_stays_there() {
    let mut atlas = Atlas::default();
    let id = atlas.id(PlaceKey::cell(point(-17.0, 179.9), country("FJ")));
    atlas.weigh(id, Direction::of(point(-17.0, 179.9)), 1.0);
    atlas.weigh(id, Direction::of(point(-17.0, 178.0)), 1.0);
    let longitude = atlas.finish([id].into_iter()).unwrap().0[1].point.unwrap().longitude();
    assert!((178.9..179.0).contains(&longitude), "{longitude}");
}

#[test]
fn places_in_use_are_numbered_by_their_runs() {
    let mut atlas = Atlas::default();
    let keys = ["GB", "FR", "DE", "SE"].map(|code| PlaceKey::Country(country(code)));
    let [gb, fr, de, se] = keys.map(|key| atlas.id(key));
    let (places, numbers) = atlas.finish([fr, de, gb, de, KeyId::default()].into_iter()).unwrap();
    assert_eq!([de, fr, gb, se].map(|id| numbers.of(id).0), [1, 2, 3, 0]);
    assert_eq!(numbers.of(KeyId::default()), PlaceId::UNKNOWN);
    assert_eq!(places[0], Place::default());
    let codes: Vec<_> = places.iter().map(|place| place.country.to_string()).collect();
    assert_eq!(codes, ["unknown", "DE", "FR", "GB"]);
}

#[test]
fn more_places_than_numbers_are_refused() {
    let mut atlas = Atlas::default();
    let keys = (0..72_u8).flat_map(|row| (0..144_u8).flat_map(move |column| [(row, column); 7]));
    let countries = ["GB", "FR", "DE", "SE", "NO", "FI", "DK"]
        .map(country)
        .into_iter()
        .cycle();
    let ids: Vec<_> = keys
        .zip(countries)
        .map(|((row, column), country)| atlas.id(PlaceKey::Cell(row, column, country)))
        .collect();
    assert_eq!(atlas.finish(ids.into_iter()).err(), Some(TooManyPlaces(72 * 144 * 7)));
}
