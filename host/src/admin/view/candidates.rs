//! The regions of a decision, and the attempts that followed.

use super::Ordered;
use super::regions::Why;
use crate::control::overrides;
use portolan_core::decision::RegionExplanation;
use portolan_core::health::GatewayHealth;
use portolan_core::id::RegionName;
use portolan_core::learned::{Estimate, Known};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

/// One region of the service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The region.
    pub region: String,
    /// Its position among those to be tried, from 1.
    pub rank: Option<usize>,
    /// Why it may not answer.
    pub excluded: Option<String>,
    /// `unknown`, `healthy`, `warming`, `unhealthy` or `draining`.
    pub state: String,
    /// Kilometres from the client.
    pub distance_km: Option<f64>,
    /// Estimated round trip from the client in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// What connections from the client's prefix measured.
    #[serde(default)]
    pub learned: Option<Learned>,
    /// Round trip from this instance in milliseconds.
    #[serde(default)]
    pub from_here_ms: Option<f64>,
    /// What that is: `measured`, `floor` (measured, and less than the distance takes), `estimated` or `unknown`.
    #[serde(default)]
    pub from_here: Option<String>,
    /// Its failover level, 0 first.
    pub priority: u8,
    /// Its weight under the policy `weighted`.
    #[serde(default)]
    pub weight: Option<u32>,
    /// Its limit of concurrent requests.
    #[serde(default)]
    pub max_requests: Option<u32>,
    /// Its share of its usual traffic, 0 to 1: less than 1 during slow start.
    #[serde(default)]
    pub share: Option<f64>,
    /// Why it comes after all others in the order: `slow_start` or `last_resort`.
    #[serde(default)]
    pub later: Option<String>,
    /// Why it is in its state.
    #[serde(default)]
    pub why: Option<Why>,
    /// Where an operator has drained it: when, and from where.
    #[serde(default)]
    pub drained: Option<Ordered>,
}

/// What connections measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// The median of their smallest round trips in milliseconds.
    pub round_trip_ms: f64,
    /// How many connections it rests on; old ones count for less.
    pub connections: f64,
    /// Most connections are within this factor of the median.
    pub factor: f64,
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// In which region.
    pub region: String,
    /// How it ended.
    pub outcome: String,
}

impl Candidate {
    pub(super) fn drained(regions: &mut [Self], drains: &BTreeMap<RegionName, overrides::Ordered>) {
        for region in regions.iter_mut().filter(|region| region.state == "draining") {
            region.drained = drains.get(&RegionName::from(region.region.as_str())).map(Ordered::from);
        }
    }

    pub(super) fn of(standing: &RegionExplanation, learned: &[Known]) -> Self {
        let known = learned.iter().find(|known| known.region == standing.region);
        Self {
            region: standing.region.to_string(),
            rank: standing.rank,
            excluded: standing.excluded.map(|why| why.as_str().into()),
            state: standing.health.state.as_str().into(),
            distance_km: standing.distance_km.map(tenths),
            round_trip_ms: standing.round_trip_ms.map(tenths),
            learned: known.map(|known| Learned::from(known.estimate)),
            from_here_ms: Some(standing.from_here.millis).filter(|it| it.is_finite()).map(tenths),
            from_here: Some(standing.from_here.source.as_str().into()),
            priority: standing.priority,
            weight: Some(standing.weight),
            max_requests: standing.max_requests,
            share: Some(share(&standing.health)),
            later: standing.later.map(Into::into),
            why: Why::of(&standing.health.why, Instant::now(), SystemTime::now()),
            drained: None,
        }
    }
}

impl From<Estimate> for Learned {
    fn from(estimate: Estimate) -> Self {
        Self {
            round_trip_ms: tenths(estimate.ms()),
            connections: tenths(f64::from(estimate.weight())),
            factor: tenths(f64::from(estimate.deviation()).exp()),
        }
    }
}

/// The share of its usual traffic.
pub(super) fn share(health: &GatewayHealth) -> f64 {
    f64::from(health.share) / f64::from(GatewayHealth::FULL_SHARE)
}

/// No estimate is better than that.
pub(super) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
