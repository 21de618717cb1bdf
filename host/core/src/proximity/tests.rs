use super::*;
use proptest::prelude::*;

fn point(latitude: f32, longitude: f32) -> Point {
    Point::new(latitude, longitude).unwrap()
}

const NONE: f32 = f32::NAN;

/// Cape Town, Rio and Amsterdam: the cable from Cape Town to Rio goes by way of Europe.
fn atlantic() -> RoundTrips {
    let regions = [
        (RegionName::from("cape"), point(-33.9, 18.4)),
        (RegionName::from("rio"), point(-22.9, -43.2)),
        (RegionName::from("amsterdam"), point(52.4, 4.9)),
    ];
    RoundTrips::new(&regions, &[NONE, 320.0, 160.0, 320.0, NONE, 190.0, 160.0, 190.0, NONE]).unwrap()
}

#[test]
fn without_measurements_the_line_over_the_distance_is_left() {
    let (johannesburg, rio) = (point(-26.2, 28.0), point(-22.9, -43.2));
    let estimate = RoundTrips::default()
        .from_place(johannesburg)
        .to(&RegionName::from("rio"), rio);
    assert_eq!(estimate, 5.0 + 0.0147 * johannesburg.distance_km(rio));
    // A region without a measurement, among others with one.
    assert_eq!(
        atlantic()
            .from_place(johannesburg)
            .to(&RegionName::from("elsewhere"), rio),
        estimate
    );
}

#[test]
fn measurements_nearby_correct_the_estimate() {
    let table = atlantic();
    let (stellenbosch, rio, amsterdam) = (point(-33.93, 18.86), point(-22.9, -43.2), point(52.4, 4.9));
    assert!(stellenbosch.distance_km(rio) < stellenbosch.distance_km(amsterdam));
    let vantage = table.from_place(stellenbosch);
    let (to_rio, to_amsterdam) = (
        vantage.to(&RegionName::from("rio"), rio),
        vantage.to(&RegionName::from("amsterdam"), amsterdam),
    );
    assert!((310.0..330.0).contains(&to_rio), "{to_rio}");
    assert!((150.0..170.0).contains(&to_amsterdam), "{to_amsterdam}");
}

#[test]
fn the_formula_by_hand() {
    let (cape, rio, amsterdam) = (point(-33.9, 18.4), point(-22.9, -43.2), point(52.4, 4.9));
    let client = point(0.0, 10.0);
    let line = |a: Point, b: Point| 5.0 + 0.0147 * a.distance_km(b);
    let (near_cape, near_amsterdam) = (
        (-client.distance_km(cape) / 2000.0).exp(),
        (-client.distance_km(amsterdam) / 2000.0).exp(),
    );
    let sum = near_cape + near_amsterdam;
    let weighted = near_cape * (320.0 - line(cape, rio)) + near_amsterdam * (190.0 - line(amsterdam, rio));
    let expected = line(client, rio) + sum.min(1.0) * weighted / sum;
    let estimate = atlantic().from_place(client).to(&RegionName::from("rio"), rio);
    assert!((estimate - expected).abs() < 1e-3, "{estimate} is not {expected}");
}

#[test]
fn evidence_fades_with_distance() {
    let (pacific, rio) = (point(-20.0, 170.0), point(-22.9, -43.2));
    let estimate = atlantic().from_place(pacific).to(&RegionName::from("rio"), rio);
    let line = 5.0 + 0.0147 * pacific.distance_km(rio);
    assert!((estimate - line).abs() < 2.0, "{estimate} is far from {line}");
}

#[test]
fn a_region_gives_no_evidence_of_itself() {
    // Were Rio its own neighbour, its missing round trip to itself would have to come from somewhere.
    let rio = point(-22.9, -43.2);
    let estimate = atlantic().from_place(rio).to(&RegionName::from("rio"), rio);
    assert!(estimate.is_finite() && estimate >= 0.0);
}

#[test]
fn tables_that_do_not_fit_are_rejected() {
    let here = (RegionName::from("here"), point(0.0, 0.0));
    assert_eq!(
        RoundTrips::new(std::slice::from_ref(&here), &[1.0, 2.0]).unwrap_err(),
        InvalidRoundTrips::NotSquare { regions: 1, got: 2 }
    );
    assert_eq!(
        RoundTrips::new(&[here.clone(), here.clone()], &[1.0; 4]).unwrap_err(),
        InvalidRoundTrips::Duplicate(here.0)
    );
}

prop_compose! {
    fn points()(latitude in -90.0_f32..=90.0, longitude in -180.0_f32..=180.0) -> Point {
        point(latitude, longitude)
    }
}

proptest! {
    /// The shortcut through unit vectors finds the regions that sorting by distance finds, and the estimate is never
    /// negative nor infinite.
    #[test]
    fn estimates_agree_with_the_formula_over_all_regions(
        regions in proptest::collection::vec((points(), 0.0_f32..400.0), 1..12),
        client in points(),
    ) {
        let named: Vec<_> = regions.iter().enumerate().map(|(i, r)| (RegionName::new(i.to_string()), r.0)).collect();
        let millis: Vec<f32> = named.iter().flat_map(|_| regions.iter().map(|r| r.1)).collect();
        let table = RoundTrips::new(&named, &millis).unwrap();
        let vantage = table.from_place(client);
        for (target, (name, to)) in named.iter().enumerate() {
            let mut others: Vec<usize> = (0..named.len()).filter(|other| *other != target).collect();
            others.sort_by(|a, b| client.distance_km(named[*a].1).total_cmp(&client.distance_km(named[*b].1)));
            let (mut weights, mut weighted) = (0.0, 0.0);
            for x in others.into_iter().take(5) {
                let rtt = regions[target].1;
                if rtt > 0.0 {
                    let weight = (-client.distance_km(named[x].1) / 2000.0).exp();
                    weights += weight;
                    weighted += weight * (f64::from(rtt) - 5.0 - 0.0147 * named[x].1.distance_km(*to));
                }
            }
            let line = 5.0 + 0.0147 * client.distance_km(*to);
            let expected = if weights == 0.0 { line } else { (line + weights.min(1.0) * weighted / weights).max(0.0) };
            let estimate = vantage.to(name, *to);
            prop_assert!((estimate - expected).abs() < 1e-2, "{estimate} is not {expected}");
        }
    }
}
