//! A decision in full.

use super::Location;
use super::candidates::Candidate;
use super::policies::Policies;
use super::why_not::{Circumstances, WhyNot};
use crate::control::overrides;
use crate::explain::{Explained, Question};
use crate::steer::Steered;
use portolan_core::decision::RankedBy;
use portolan_core::id::RegionName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Whether the plugin version decided that is being rolled out.
    #[serde(default)]
    pub canary: bool,
    /// Whether the client takes part in a drill.
    #[serde(default)]
    pub drill: bool,
    /// The answer to `why_not`.
    #[serde(default)]
    pub why_not: Option<WhyNot>,
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
            seen_by,
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
            canary: seen_by.canary,
            drill: seen_by.drill,
            why_not: None,
        }
    }

    /// Says which regions operators have drained, when and from where.
    pub(in crate::admin) fn with_drains(mut self, drains: &BTreeMap<RegionName, overrides::Ordered>) -> Self {
        Candidate::drained(&mut self.regions, drains);
        self
    }

    /// Says why it was not this region.
    ///
    /// # Errors
    /// The service's regions, when this is none of them.
    pub fn asked_why_not(mut self, region: &str) -> Result<Self, Vec<String>> {
        let circumstances = Circumstances {
            service: &self.service,
            policy: &self.policy,
            by: &self.by,
            reason: &self.reason,
            country: self.client.country.as_deref(),
            canary: self.canary,
            drill: self.drill,
            answered_by: None,
            attempts: &[],
            regions: &self.regions,
        };
        self.why_not = Some(WhyNot::of(region, &circumstances)?);
        Ok(self)
    }
}
