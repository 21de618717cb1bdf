//! Points on the globe and distances between them.

/// Mean radius of the Earth in kilometres (IUGG).
const EARTH_RADIUS_KM: f64 = 6_371.008_8;

/// A point on the globe, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Degrees north, -90 to 90.
    pub latitude: f32,
    /// Degrees east, -180 to 180.
    pub longitude: f32,
}

impl Point {
    /// A point from degrees north and east; `None` when these are no place, as for a client that nobody can locate.
    pub fn new(latitude: f32, longitude: f32) -> Option<Self> {
        ((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude))
            .then_some(Self { latitude, longitude })
    }

    /// The direction of this point from the middle of the Earth. Takes four sines: prepare it for regions in
    /// [`Plugin::update`](crate::Plugin::update).
    pub fn direction(self) -> Direction {
        let (latitude, longitude) = (
            f64::from(self.latitude).to_radians(),
            f64::from(self.longitude).to_radians(),
        );
        Direction([
            latitude.cos() * longitude.cos(),
            latitude.cos() * longitude.sin(),
            latitude.sin(),
        ])
    }

    /// Great-circle distance in kilometres, on a sphere of mean radius.
    pub fn distance_km(self, other: Self) -> f64 {
        self.direction().distance_km(other.direction())
    }
}

/// A point as a unit vector: many distances from it cost a few multiplications each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Direction([f64; 3]);

impl Direction {
    /// The square of the straight line through the Earth, in squares of its radius, 0 to 4. Grows with the great-circle
    /// distance, so it orders points by it without a root or a sine.
    pub fn chord_squared(self, other: Self) -> f64 {
        self.0.iter().zip(other.0).map(|(a, b)| (a - b) * (a - b)).sum()
    }

    /// Great-circle distance in kilometres: the arc over the chord.
    pub fn distance_km(self, other: Self) -> f64 {
        2.0 * EARTH_RADIUS_KM * (self.chord_squared(other).sqrt() / 2.0).min(1.0).asin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(latitude: f32, longitude: f32) -> Point {
        Point::new(latitude, longitude).unwrap()
    }

    #[test]
    fn known_distances() {
        // Airports, great-circle distances as published: within 0.5 %, the Earth being no sphere.
        let (lhr, jfk, sin) = (
            point(51.4706, -0.4619),
            point(40.6398, -73.7789),
            point(1.3502, 103.994),
        );
        for (a, b, km) in [(lhr, jfk, 5_540.0), (lhr, sin, 10_880.0), (jfk, sin, 15_340.0)] {
            let distance = a.distance_km(b);
            assert!(
                (distance / km - 1.0).abs() < 0.005,
                "{a:?} to {b:?}: {distance} instead of {km}"
            );
        }
    }

    #[test]
    fn what_is_no_place() {
        for (latitude, longitude) in [(f32::NAN, f32::NAN), (0.0, f32::NAN), (90.5, 0.0), (0.0, -180.5)] {
            assert_eq!(Point::new(latitude, longitude), None, "{latitude} {longitude}");
        }
        assert!(Point::new(-90.0, 180.0).is_some());
    }

    proptest! {
        #[test]
        fn chords_order_like_arcs(lat in -90.0_f32..90.0, lon in -180.0_f32..180.0,
                                  a in (-90.0_f32..90.0, -180.0_f32..180.0),
                                  b in (-90.0_f32..90.0, -180.0_f32..180.0)) {
            let (from, a, b) = (point(lat, lon).direction(), point(a.0, a.1).direction(), point(b.0, b.1).direction());
            prop_assert!((0.0..=20_016.0).contains(&from.distance_km(a)));
            prop_assert!((from.distance_km(a) - a.distance_km(from)).abs() < 1e-6);
            if from.chord_squared(a) < from.chord_squared(b) {
                prop_assert!(from.distance_km(a) <= from.distance_km(b));
            }
        }
    }
}
