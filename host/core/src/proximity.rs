//! How close a region is to a place.

use crate::geo::Point;
use crate::id::RegionName;

/// Measured round trips between known regions.
#[derive(Clone, Debug, Default)]
pub struct RoundTrips {}

/// A place to measure from.
#[derive(Clone, Debug)]
pub struct Vantage {
    from: Point,
}

impl RoundTrips {
    /// What is near a place, prepared once for all regions.
    pub fn from_place(&self, from: Point) -> Vantage {
        Vantage { from }
    }
}

impl Vantage {
    /// Estimated round trip in milliseconds to a region.
    pub fn to(&self, _region: &RegionName, point: Point) -> f64 {
        5.0 + 0.0147 * self.from.distance_km(point)
    }
}
