//! The order of regions by their distance from this instance.
//!
//! Where every byte passes through this instance, the client's way to it is the same for all regions, so that only the way
//! from here to each gateway counts.

use crate::config::Gateway;
use crate::geo::Point;
use crate::proximity::RoundTrips;
use crate::round_trip::Measured;
use std::fmt;
use std::time::Duration;

/// Kilometres of distance that a round trip takes a millisecond for in fibre without detours: light travels 204 km in a
/// millisecond there (refractive index 1.468), and travels the distance twice.
const KM_PER_MS: f64 = 102.0;

/// A region is nearer only by more than this, in milliseconds...
const MARGIN_MS: f64 = 0.5;
/// ... and by more than this part of its cost...
const MARGIN_PART: f64 = 0.1;

/// What a region costs from here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Milliseconds; infinity for a region of which nothing is known.
    pub millis: f64,
    /// The standard deviation of what was measured, in milliseconds.
    pub deviation: f64,
    /// Where this is from.
    pub source: Source,
}

/// What the cost of a region from here was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Measured round trips.
    Measured,
    /// Its distance, which no signal travels in the time that was measured: something nearer answers its handshakes, such as
    /// a sidecar or another proxy.
    Floor,
    /// The estimate by its distance: nothing has been measured yet.
    Estimated,
    /// Nothing has been measured yet, and it is not known where this instance is.
    Unknown,
}

impl Source {
    /// The word in explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Floor => "floor",
            Self::Estimated => "estimated",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Source::Unknown => f.write_str("unknown"),
            source => write!(f, "{:.1} ms ({})", self.millis, source.as_str()),
        }
    }
}

impl Cost {
    /// The cost of a gateway, from an instance at `here`, where that is known.
    pub fn of(gateway: &Gateway, measured: Option<Measured>, here: Option<Point>, round_trips: &RoundTrips) -> Self {
        let floor = here.map_or(0.0, |here| here.distance_km(gateway.point) / KM_PER_MS);
        let (millis, deviation, source) = match (measured, here) {
            (Some(measured), _) => match as_millis(measured.round_trip) {
                millis if millis >= floor => (millis, as_millis(measured.deviation), Source::Measured),
                _ => (floor, 0.0, Source::Floor),
            },
            (None, Some(here)) => {
                let estimate = round_trips.from_place(here).to(&gateway.region, gateway.point);
                (estimate, 0.0, Source::Estimated)
            }
            (None, None) => (f64::INFINITY, 0.0, Source::Unknown),
        };
        Self {
            millis,
            deviation,
            source,
        }
    }

    /// Whether this is less than another by more than what both are uncertain by: more than half a millisecond, a tenth, and
    /// their deviations together.
    pub fn is_clearly_less(&self, other: &Self) -> bool {
        let margin = MARGIN_MS
            .max(self.millis * MARGIN_PART)
            .max(self.deviation + other.deviation);
        self.millis + margin < other.millis
    }
}

/// Sorts by cost, but leaves what is about equal in its order, so that it does not change with every measurement. Nothing comes
/// after what costs clearly more.
pub fn reorder<T: Copy>(order: &mut [T], cost: impl Fn(T) -> Cost) {
    for begin in 0..order.len() {
        let rest = &mut order[begin..];
        let costs = rest.iter().map(|it| cost(*it));
        let Some(least) = costs.min_by(|a, b| a.millis.total_cmp(&b.millis)) else {
            return;
        };
        // There is one: the least itself.
        if let Some(next) = rest.iter().position(|it| !least.is_clearly_less(&cost(*it))) {
            rest[..=next].rotate_right(1);
        }
    }
}

fn as_millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GatewayAddress;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn measured(millis: f64, deviation: f64) -> Cost {
        Cost {
            millis,
            deviation,
            source: Source::Measured,
        }
    }

    fn gateway(latitude: f32, longitude: f32) -> Gateway {
        Gateway::new(
            "somewhere".into(),
            Point::new(latitude, longitude).expect("a point"),
            GatewayAddress::http(Ipv4Addr::new(192, 0, 2, 1), 80),
        )
    }

    fn round_trip(millis: u64) -> Option<Measured> {
        Some(Measured {
            round_trip: Duration::from_millis(millis),
            deviation: Duration::ZERO,
        })
    }

    #[test]
    fn what_was_measured_counts_and_before_that_the_estimate() {
        let (amsterdam, round_trips) = (Point::new(52.4, 4.9).expect("a point"), RoundTrips::default());
        let dublin = gateway(53.3, -6.3);
        let of = |measured, here| Cost::of(&dublin, measured, here, &round_trips);
        assert_eq!(of(round_trip(17), Some(amsterdam)), self::measured(17.0, 0.0));
        assert_eq!(of(round_trip(17), None), self::measured(17.0, 0.0));
        let estimate = of(None, Some(amsterdam));
        assert_eq!(estimate.source, Source::Estimated);
        assert_eq!(of(round_trip(17), None).to_string(), "17.0 ms (measured)");
        assert_eq!(of(None, None).to_string(), "unknown");
        assert!((10.0..25.0).contains(&estimate.millis), "{estimate:?}");
        assert_eq!(of(None, None).source, Source::Unknown);
        assert!(self::measured(900.0, 0.0).is_clearly_less(&of(None, None)));
    }

    #[test]
    fn handshakes_that_are_answered_nearby_do_not_make_a_region_near() {
        let amsterdam = Point::new(52.4, 4.9).expect("a point");
        let (dublin, singapore) = (gateway(53.3, -6.3), gateway(1.3, 103.8));
        let of = |gateway| Cost::of(gateway, round_trip(0), Some(amsterdam), &RoundTrips::default());
        assert_eq!(of(&singapore).source, Source::Floor);
        assert!((95.0..110.0).contains(&of(&singapore).millis), "{:?}", of(&singapore));
        assert!(of(&dublin).is_clearly_less(&of(&singapore)));
        assert_eq!(of(&gateway(52.4, 4.9)).source, Source::Measured);
    }

    #[test]
    fn near_equals_stay_in_their_order_and_clear_differences_do_not() {
        let sorted = |costs: &[(f64, f64)]| {
            let mut order: Vec<usize> = (0..costs.len()).collect();
            reorder(&mut order, |at| measured(costs[at].0, costs[at].1));
            order
        };
        assert_eq!(
            sorted(&[(10.0, 0.0), (9.7, 0.0), (9.2, 0.0)]),
            [0, 1, 2],
            "less than a tenth"
        );
        assert_eq!(
            sorted(&[(10.0, 0.0), (9.5, 0.0), (8.9, 0.0)]),
            [1, 2, 0],
            "the first is clearly slower"
        );
        assert_eq!(
            sorted(&[(0.9, 0.0), (0.5, 0.0)]),
            [0, 1],
            "less than half a millisecond"
        );
        assert_eq!(sorted(&[(30.0, 6.0), (20.0, 5.0)]), [0, 1], "uncertain");
        assert_eq!(sorted(&[(30.0, 4.0), (20.0, 5.0)]), [1, 0]);
        assert_eq!(sorted(&[(80.0, 0.0), (f64::INFINITY, 0.0), (20.0, 0.0)]), [2, 0, 1]);
    }

    proptest! {
        #[test]
        fn an_order_is_stable_and_nothing_comes_after_what_costs_clearly_more(
            costs in prop::collection::vec((0.0..300.0_f64, 0.0..5.0_f64), 1..12)
        ) {
            let cost = |at: usize| measured(costs[at].0, costs[at].1);
            let mut order: Vec<usize> = (0..costs.len()).collect();
            reorder(&mut order, cost);
            let mut slots = order.clone();
            slots.sort_unstable();
            prop_assert_eq!(slots, (0..costs.len()).collect::<Vec<_>>());
            for (at, earlier) in order.iter().enumerate() {
                let least = order[at..].iter().map(|it| cost(*it)).min_by(|a, b| a.millis.total_cmp(&b.millis));
                prop_assert!(!least.expect("one").is_clearly_less(&cost(*earlier)));
            }
            let mut again = order.clone();
            reorder(&mut again, cost);
            prop_assert_eq!(again, order, "the same costs change nothing");
        }
    }
}
