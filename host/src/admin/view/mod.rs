//! What the administration's JSON looks like. These types exist for that alone: the decision core's are not for the
//! wire. The command line reads the same ones back.

pub mod endpoints;
pub mod explain;
pub mod map;
pub mod names;
pub mod plugins;
pub mod policies;
pub mod ready;
pub mod regions;

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
    /// a Unix socket.
    pub from: String,
}

impl From<&overrides::Ordered> for Ordered {
    fn from(ordered: &overrides::Ordered) -> Self {
        Self {
            since: humantime::format_rfc3339_seconds(ordered.since).to_string(),
            from: ordered.from.clone(),
        }
    }
}

/// `POST /api/v1/regions/{region}/drain` and `/undrain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// The region.
    pub region: String,
    /// Whether it is drained.
    pub drained: bool,
}

/// `POST /api/v1/plugins/{plugin}/rollback` and `/rollforward`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// The plugin.
    pub plugin: String,
    /// The digest of the version that is active now.
    pub digest: String,
}
