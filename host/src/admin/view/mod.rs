//! What the administration's JSON looks like. These types exist for that alone: the decision core's are not for the
//! wire. The command line reads the same ones back.

pub mod attention;
pub mod candidates;
pub mod decisions;
pub mod endpoints;
pub mod events;
pub mod explain;
pub mod history;
pub mod instances;
pub mod map;
pub mod names;
pub mod plugins;
pub mod policies;
pub mod ready;
pub mod regions;
pub mod rollout;
pub mod traffic;
pub mod why_not;

use crate::control::overrides;
use portolan_core::geo::Point;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts by word.
pub type Counts = BTreeMap<String, u64>;

/// A point on the globe, in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Degrees north.
    pub latitude: f32,
    /// Degrees east.
    pub longitude: f32,
}

impl From<Point> for Location {
    fn from(point: Point) -> Self {
        Self {
            latitude: point.latitude(),
            longitude: point.longitude(),
        }
    }
}

/// The time and origin of an operator's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// When.
    pub since: String,
    /// Who asked the administration: an address, with the subject of a client certificate where there was one, or the user of
    /// a Unix socket. The instance itself is `portolan`.
    pub from: String,
    /// Why, where a reason was given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl From<&overrides::Ordered> for Ordered {
    fn from(ordered: &overrides::Ordered) -> Self {
        Self {
            since: humantime::format_rfc3339_seconds(ordered.since).to_string(),
            from: ordered.from.clone(),
            reason: ordered.reason.clone(),
        }
    }
}

/// `POST /api/v1/reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Always: a rejected one is an error.
    pub reloaded: bool,
}

/// `POST /api/v1/regions/{region}/drain` and `/undrain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// The region.
    pub region: String,
    /// Whether it is drained.
    pub drained: bool,
}

/// `POST /api/v1/regions/{region}/failback`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedBack {
    /// The region, which waits no more.
    pub region: String,
}
