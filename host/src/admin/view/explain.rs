//! A decision in full.

use super::Location;
use super::policies::Policies;
use crate::explain::{Explained, Question};
use crate::steer::Steered;
use portolan_core::decision::{RankedBy, RegionExplanation};
use portolan_core::learned::{Estimate, Known};
use serde::{Deserialize, Serialize};

/// `GET /api/v1/explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explain {
    /// The number of the routing table it was decided by.
    pub generation: u64,
    /// What was asked.
    pub request: Request,
    /// Who asked, and where from.
    pub client: Client,
    /// The service that the route leads to.
    pub service: String,
    /// Why the route denies the client, so that it gets 403: `denied_network`, `denied_country`, `denied_asn` or `not_allowed`.
    #[serde(default)]
    pub denied: Option<String>,
    /// The path and query that gateways see, where they are not the client's.
    #[serde(default)]
    pub rewritten: Option<String>,
    /// What applies on the way.
    #[serde(default)]
    pub policies: Option<Policies>,
    /// How the client is sent to a region directly; `None` where its service does not do that.
    #[serde(default)]
    pub steer: Option<Steer>,
    /// Which round trips count: `client` or `here`.
    #[serde(default)]
    pub from: Option<String>,
    /// How its regions are ordered.
    pub policy: String,
    /// Who ordered them: `policy`, `learned`, `explored`, `plugin` or `fallback`.
    pub by: String,
    /// Why the plugin could not, when it could not.
    pub fault: Option<String>,
    /// One line why the first region is first.
    pub reason: String,
    /// Panic mode: all eligible regions are unhealthy, and health was ignored.
    pub panic: bool,
    /// The chance the decision was given.
    pub roll: u64,
    /// The region that is tried first; `None` when no region is eligible.
    pub chosen: Option<String>,
    /// The regions, best first, the excluded ones last.
    pub regions: Vec<Candidate>,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The host.
    pub host: String,
    /// The path.
    pub path: String,
}

/// Who asked, and where from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// The address.
    pub address: String,
    /// What the address was taken from.
    pub source: String,
    /// Two letters; `None` when unknown.
    pub country: Option<String>,
    /// The place of its cell in the location table; `None` when it has none.
    pub location: Option<Location>,
    /// How closely it is known where the client is: `cell`, `country`, `azure`, `configured` or `unknown`.
    #[serde(default)]
    pub precision: String,
    /// Where it is in words, or why that is not known.
    #[serde(default)]
    pub place: String,
}

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

/// How the client is sent to a region directly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steer {
    /// `redirect` or `alt-svc`.
    pub by: String,
    /// Where the client is redirected to.
    pub location: Option<String>,
    /// Why it is not, although its service redirects.
    pub proxied: Option<String>,
    /// `Alt-Svc` in the response, where it is sent over TLS.
    pub alt_svc: Option<String>,
}

impl From<&Steered> for Steer {
    fn from(steered: &Steered) -> Self {
        let by = match steered {
            Steered::Redirected(_) | Steered::Proxied(_) => "redirect",
            Steered::AltSvc(_) => "alt-svc",
        };
        let mut steer = Self {
            by: by.into(),
            ..Self::default()
        };
        match steered.clone() {
            Steered::Redirected(location) => steer.location = Some(location),
            Steered::Proxied(why) => steer.proxied = Some(why.into()),
            Steered::AltSvc(value) => steer.alt_svc = value,
        }
        steer
    }
}

impl Explain {
    /// The decision about a question, for the wire.
    pub fn of(question: &Question, explained: &Explained) -> Self {
        let Explained {
            decision,
            explanation,
            denied,
            rewritten,
            applied,
            place: described,
            learned,
            steered,
        } = explained;
        let place = decision.location.place;
        let first = explanation.regions.iter().find(|standing| standing.rank == Some(1));
        Self {
            generation: decision.generation.0,
            request: Request {
                method: question.method.to_string(),
                host: question.host.clone(),
                path: question.path.clone(),
            },
            client: Client {
                address: decision.client.addr.to_string(),
                source: decision.client.source.as_str().into(),
                country: place.country.as_str().map(Into::into),
                location: place.point.map(Into::into),
                precision: described.precision.into(),
                place: described.place.clone(),
            },
            service: explanation.service.clone(),
            denied: denied.map(|why| why.as_str().into()),
            rewritten: rewritten.clone(),
            policies: Some(applied.into()),
            steer: steered.as_ref().map(Steer::from),
            from: Some(if explanation.is_from_here { "here" } else { "client" }.into()),
            policy: explanation.policy.clone(),
            by: decision.by.as_str().into(),
            fault: match decision.by {
                RankedBy::Fallback(fault) => Some(fault.into()),
                RankedBy::Policy | RankedBy::Learned | RankedBy::Explored | RankedBy::Plugin { .. } => None,
            },
            reason: explanation.reason.clone(),
            panic: decision.candidates.panic,
            roll: decision.roll,
            chosen: first.map(|standing| standing.region.to_string()),
            regions: explanation
                .regions
                .iter()
                .map(|standing| Candidate::of(standing, learned))
                .collect(),
        }
    }
}

impl Candidate {
    fn of(standing: &RegionExplanation, learned: &[Known]) -> Self {
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

/// No estimate is better than that.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
