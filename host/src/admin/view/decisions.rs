//! A request that was, with its decision and its attempts.

use super::Location;
use super::candidates::{Candidate, Tried, share, tenths};
use super::regions::Why;
use super::why_not::{Circumstances, WhyNot};
use crate::control::decisions::{Logged, Scene, SceneGateway};
use crate::control::overrides;
use crate::record::DecidedRecord;
use portolan_core::decision::RankedBy;
use portolan_core::id::{RegionName, Slot};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

/// `GET /api/v1/explain?request=ID`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedRequest {
    /// Its id.
    pub request_id: String,
    /// When it had ended.
    pub at: String,
    /// Why it is in the log: `failed` (or tried more than once), or `sampled`.
    pub kept: String,
    /// The client's address.
    pub client: String,
    /// What the address was taken from.
    pub client_from: String,
    /// Two letters; `None` when unknown.
    pub country: Option<String>,
    /// The place of its cell in the location table; `None` when it has none.
    pub location: Option<Location>,
    /// The status of the response.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: String,
    /// Why it was rejected, if it was.
    pub error: Option<String>,
    /// The region that answered.
    pub answered_by: Option<String>,
    /// The attempts in the order in which they ended.
    pub attempts: Vec<Tried>,
    /// Why there was no further attempt.
    pub no_retry: Option<String>,
    /// From its beginning to the head of its response, in milliseconds.
    pub first_byte_ms: Option<f64>,
    /// From its beginning to its end, in milliseconds.
    pub total_ms: f64,
    /// The decision; `None` for what was rejected before one.
    pub decision: Option<LoggedDecision>,
    /// The answer to `why_not`.
    #[serde(default)]
    pub why_not: Option<WhyNot>,
}

/// A decision as it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedDecision {
    /// The number of the routing table.
    pub generation: u64,
    /// The service.
    pub service: String,
    /// How its regions are ordered.
    pub policy: String,
    /// Who ordered them: `policy`, `learned`, `explored`, `plugin` or `fallback`.
    pub by: String,
    /// Why the plugin could not, when it could not.
    pub fault: Option<String>,
    /// The plugin's reason.
    pub plugin_reason: Option<String>,
    /// Whether the plugin version decided that is being rolled out.
    pub canary: bool,
    /// Whether the client took part in a drill.
    pub drill: bool,
    /// One line why the regions are in their order.
    pub reason: String,
    /// How long deciding took, in milliseconds.
    pub decide_ms: f64,
    /// The regions, best first, the excluded ones last, with what was known of them then.
    pub regions: Vec<Candidate>,
}

/// `GET /api/v1/requests`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedRequests {
    /// The last ones, newest first.
    pub requests: Vec<LoggedLine>,
}

/// A request in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedLine {
    /// When it had ended.
    pub at: String,
    /// Its id.
    pub request_id: String,
    /// The client's address.
    pub client: String,
    /// Two letters; `None` when unknown.
    pub country: Option<String>,
    /// The service.
    pub service: Option<String>,
    /// The status of the response.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: String,
    /// The attempts.
    pub attempts: Vec<Tried>,
    /// Whether it failed or was tried more than once.
    pub failed: bool,
}

impl LoggedRequests {
    pub(in crate::admin) fn of<'a>(requests: impl IntoIterator<Item = &'a Logged>) -> Self {
        let lines = requests.into_iter().map(|logged| LoggedLine {
            at: humantime::format_rfc3339_millis(logged.record.at).to_string(),
            request_id: logged.record.id.as_str().to_owned(),
            client: logged.record.client.addr.to_string(),
            country: logged.record.country.as_str().map(Into::into),
            service: logged.scene.as_ref().map(|scene| scene.service.clone()),
            status: logged.record.status.map(|status| status.as_u16()),
            outcome: logged.record.outcome.as_str().into(),
            attempts: attempts(logged),
            failed: logged.record.has_failed,
        });
        Self {
            requests: lines.collect(),
        }
    }
}

impl LoggedRequest {
    pub(in crate::admin) fn of(logged: &Logged, drains: &BTreeMap<RegionName, overrides::Ordered>) -> Self {
        let record = &logged.record;
        let decision = record.decided.as_ref().zip(logged.scene.as_deref());
        let mut decision = decision.map(|(decided, scene)| LoggedDecision::of(decided, scene, logged));
        if let Some(decision) = &mut decision {
            Candidate::drained(&mut decision.regions, drains);
        }
        Self {
            request_id: record.id.as_str().to_owned(),
            at: humantime::format_rfc3339_millis(record.at).to_string(),
            kept: if record.has_failed { "failed" } else { "sampled" }.into(),
            client: record.client.addr.to_string(),
            client_from: record.client.source.as_str().into(),
            country: record.country.as_str().map(Into::into),
            location: record.point.map(Into::into),
            status: record.status.map(|status| status.as_u16()),
            outcome: record.outcome.as_str().into(),
            error: record.reason.map(|reason| reason.as_str().into()),
            answered_by: record.answered_by.and_then(|slot| region(logged, slot)),
            attempts: attempts(logged),
            no_retry: record.withheld.map(|why| why.as_str().into()),
            first_byte_ms: record.first_byte.map(millis),
            total_ms: millis(record.total),
            decision,
            why_not: None,
        }
    }

    /// Says why it was not this region. What was rejected before a decision has no answer.
    ///
    /// # Errors
    /// The service's regions, when this is none of them.
    pub(in crate::admin) fn asked_why_not(mut self, region: &str) -> Result<Self, Vec<String>> {
        if let Some(decision) = &self.decision {
            let circumstances = Circumstances {
                service: &decision.service,
                policy: &decision.policy,
                by: &decision.by,
                reason: &decision.reason,
                country: self.country.as_deref(),
                canary: decision.canary,
                drill: decision.drill,
                answered_by: self.answered_by.as_deref(),
                attempts: &self.attempts,
                regions: &decision.regions,
            };
            self.why_not = Some(WhyNot::of(region, &circumstances)?);
        }
        Ok(self)
    }
}

impl LoggedDecision {
    fn of(decided: &DecidedRecord, scene: &Scene, logged: &Logged) -> Self {
        let gateways = scene.gateways.iter().enumerate();
        let mut regions: Vec<_> = gateways
            .filter_map(|(index, gateway)| {
                let slot = Slot(u8::try_from(index).ok()?);
                Some(candidate(decided, scene, logged, (slot, gateway)))
            })
            .collect();
        // What may answer and is not among the first ones of the order comes before what may not.
        regions.sort_by_key(|region| (region.rank.unwrap_or(usize::MAX), region.excluded.is_some()));
        let by = decided.cause.by;
        Self {
            generation: decided.generation.0,
            service: scene.service.clone(),
            policy: scene.policy.clone(),
            by: by.as_str().into(),
            fault: match by {
                RankedBy::Fallback(fault) => Some(fault.into()),
                RankedBy::Policy | RankedBy::Learned | RankedBy::Explored | RankedBy::Plugin { .. } => None,
            },
            plugin_reason: logged.plugin_reason.clone(),
            canary: decided.seen_by.canary,
            drill: decided.seen_by.drill,
            reason: logged.because.clone(),
            decide_ms: millis(decided.took),
            regions,
        }
    }
}

fn candidate(
    decided: &DecidedRecord,
    scene: &Scene,
    logged: &Logged,
    (slot, gateway): (Slot, &SceneGateway),
) -> Candidate {
    let candidates = &decided.cause.candidates;
    let from = logged.record.point.or(scene.here);
    let vantage = from.map(|point| portolan_geo::azure::round_trips().from_place(point));
    Candidate {
        region: gateway.region.to_string(),
        rank: decided.order.iter().position(|ranked| *ranked == slot).map(|at| at + 1),
        excluded: candidates.exclusion(slot).map(|why| why.as_str().into()),
        state: gateway.health.state.as_str().into(),
        distance_km: from.map(|from| tenths(from.distance_km(gateway.point))),
        round_trip_ms: vantage.map(|vantage| tenths(vantage.to(&gateway.region, gateway.point))),
        learned: None,
        from_here_ms: None,
        from_here: None,
        priority: gateway.priority,
        weight: Some(gateway.weight),
        max_requests: gateway.max_requests,
        share: Some(share(&gateway.health)),
        later: decided.cause.later_as_str(slot).map(Into::into),
        why: Why::of(&gateway.health.why, Instant::now(), SystemTime::now()),
        drained: None,
    }
}

fn attempts(logged: &Logged) -> Vec<Tried> {
    let attempts = logged.record.attempts.iter().map(|(slot, evidence)| Tried {
        region: region(logged, *slot).unwrap_or_default(),
        outcome: evidence.as_str().into(),
    });
    attempts.collect()
}

fn region(logged: &Logged, slot: Slot) -> Option<String> {
    let gateway = logged.scene.as_ref()?.gateways.get(slot.index())?;
    Some(gateway.region.to_string())
}

/// Milliseconds to the nearest microsecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
