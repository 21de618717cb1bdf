//! Everything that was decided about a request, as one value with its explanation.

use crate::affinity::{Affine, Session};
use crate::candidates::{Candidates, Exclusion};
use crate::chart;
use crate::config::{Config, Policy, Service};
use crate::geo::{Location, Place};
use crate::health::{GatewayHealth, ServiceHealth};
use crate::id::{Generation, RegionName, ServiceId, Slot};
use crate::identity::ClientIdentity;
use crate::nearest::Cost;
use crate::proximity::RoundTrips;
use crate::rank::Ranking;
use crate::round_trip::Measured;
use crate::slots::Slots;
use std::fmt;

/// The routing decision for one request. Small and without pointers: creating one allocates nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The routing table it was made from.
    pub generation: Generation,
    /// The client.
    pub client: ClientIdentity,
    /// The client's location.
    pub location: Location,
    /// Which service the route leads to.
    pub service: ServiceId,
    /// The eligible regions.
    pub candidates: Candidates,
    /// The order in which they are tried.
    pub ranking: Ranking,
    /// What ordered them.
    pub by: RankedBy,
    /// Its session and what became of that, where the service has affinity.
    pub session: Option<(Session, Affine)>,
    /// The random number it was made with.
    pub roll: u64,
}

/// What ordered the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankedBy {
    /// The service's own policy.
    Policy,
    /// The same by learned round trips, where geography would order them otherwise.
    Learned,
    /// The same, and the first region is one of which nothing is known yet.
    Explored,
    /// Its plugin.
    Plugin {
        /// The plugin's reason code, 0 when it returns none.
        reason: u16,
        /// Whether parts of its answer had to be dropped.
        repaired: bool,
        /// Whether it ordered the regions: without an opinion the order is that of the policy.
        opinion: bool,
        /// What else it answered.
        effects: Effects,
    },
    /// The built-in policy, because the plugin failed: the fault's name.
    Fallback(&'static str),
}

/// What a plugin's answer does besides ordering the regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The status that the request is rejected with.
    pub rejects: Option<u16>,
    /// Which of its request headers it sets for the gateway: bits, by their position in what it has named.
    pub sets: u8,
    /// Whether session affinity applies.
    pub affinity: AffinityWish,
}

/// What a plugin says of a request's session affinity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AffinityWish {
    /// It applies as it is configured.
    #[default]
    Configured,
    /// It does not apply.
    Off,
    /// It applies, also where it waits for the plugin.
    On,
}

impl AffinityWish {
    /// Its name in logs and explanations; `None` for what is configured.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Configured => None,
            Self::Off => Some("off"),
            Self::On => Some("on"),
        }
    }
}

impl RankedBy {
    /// `policy`, `learned`, `explored`, `plugin` or `fallback`: the bounded label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Learned => "learned",
            Self::Explored => "explored",
            Self::Plugin { .. } => "plugin",
            Self::Fallback(_) => "fallback",
        }
    }

    /// What the plugin's answer does besides ordering the regions.
    pub fn effects(self) -> Effects {
        match self {
            Self::Plugin { effects, .. } => effects,
            Self::Policy | Self::Learned | Self::Explored | Self::Fallback(_) => Effects::default(),
        }
    }

    /// The plugin's reason code; `None` when no plugin ordered the regions.
    pub fn plugin_reason(self) -> Option<u16> {
        match self {
            Self::Plugin { reason, .. } => Some(reason),
            Self::Policy | Self::Learned | Self::Explored | Self::Fallback(_) => None,
        }
    }
}

/// Why the regions of a decision are in their order: the part of a decision that is kept for the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What ordered them.
    pub by: RankedBy,
    /// Which may answer.
    pub candidates: Candidates,
    /// What became of its session, where the service has affinity.
    pub session: Option<Affine>,
    /// Regions that come later in the order because they are in slow start.
    later: Slots,
}

impl Cause {
    /// Why a region comes after all others in the order: `slow_start` or `last_resort`. `None` for the others.
    pub fn later_as_str(&self, slot: Slot) -> Option<&'static str> {
        match slot {
            slot if self.later.contains(slot) => Some("slow_start"),
            slot if self.candidates.last_resort.contains(slot) => Some("last_resort"),
            _ => None,
        }
    }

    /// The same line as [`Decision::reason`], without the client.
    pub fn reason<'a>(&self, service: &'a Service, plugin_reason: Option<&'a str>) -> impl fmt::Display + 'a {
        Reason {
            cause: *self,
            location: None,
            service,
            plugin_reason,
        }
    }
}

/// A decision spelled out for people: every region of the service with its rank or exclusion.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The service's name.
    pub service: String,
    /// How its regions are ordered.
    pub policy: String,
    /// Whether they are ordered by the round trips from this instance, and not by those from the client.
    pub is_from_here: bool,
    /// One line: why the first region is first.
    pub reason: String,
    /// The regions, best first, the excluded ones last.
    pub regions: Vec<RegionExplanation>,
}

/// One region in an [`Explanation`].
#[derive(Clone, Debug, PartialEq)]
pub struct RegionExplanation {
    /// The region.
    pub region: RegionName,
    /// Its position among those to be tried, from 1; `None` when excluded or left out by the plugin.
    pub rank: Option<usize>,
    /// Why it may not answer.
    pub excluded: Option<Exclusion>,
    /// What is known of its gateway.
    pub health: GatewayHealth,
    /// Kilometres from the client, when its place is known.
    pub distance_km: Option<f64>,
    /// Estimated round trip from the client in milliseconds, when its place is known.
    pub round_trip_ms: Option<f64>,
    /// The round trip from this instance, as the policy counts it with [`LatencyFrom::Here`](crate::config::LatencyFrom::Here).
    pub from_here: Cost,
    /// Its failover level.
    pub priority: u8,
    /// Its weight under the policy `weighted`.
    pub weight: u32,
    /// Its limit of concurrent requests.
    pub max_requests: Option<u32>,
    /// Why it comes after all others in the order: `slow_start` or `last_resort`.
    pub later: Option<&'static str>,
}

impl Decision {
    /// The region that is tried first.
    pub fn chosen<'a>(&self, config: &'a Config) -> Option<&'a RegionName> {
        let gateway = config.service(self.service)?.gateway(self.ranking.first()?)?;
        Some(&gateway.region)
    }

    /// One short line for a header: what ordered the regions, where the client is, and which regions were excluded.
    /// `plugin_reason` is the plugin's name for its reason.
    pub fn reason<'a>(&self, service: &'a Service, plugin_reason: Option<&'a str>) -> impl fmt::Display + 'a {
        Reason {
            cause: self.cause(),
            location: Some(self.location),
            service,
            plugin_reason,
        }
    }

    /// Why the regions are in this order, without the client.
    pub fn cause(&self) -> Cause {
        let held_back = self.ranking.held_back();
        Cause {
            by: self.by,
            candidates: self.candidates,
            session: self.session.map(|(_, affine)| affine),
            later: match self.ranking.first() {
                Some(first) if !held_back.contains(first) => held_back,
                _ => Slots::EMPTY,
            },
        }
    }

    /// The decision in readable form. `measured`: the round trips from this instance.
    pub fn explain(
        &self,
        config: &Config,
        service: &Service,
        health: &ServiceHealth,
        (round_trips, measured): (&RoundTrips, &dyn Fn(Slot) -> Option<Measured>),
        plugin_reason: Option<&str>,
    ) -> Explanation {
        let cause = self.cause();
        let from = self.location.place.point.or(config.fallback());
        let vantage = from.map(|point| round_trips.from_place(point));
        let mut regions: Vec<RegionExplanation> = service
            .slots()
            .iter()
            .filter_map(|slot| {
                let gateway = service.gateway(slot)?;
                Some(RegionExplanation {
                    region: gateway.region.clone(),
                    rank: self
                        .ranking
                        .order()
                        .iter()
                        .position(|ranked| *ranked == slot)
                        .map(|at| at + 1),
                    excluded: self.candidates.exclusion(slot),
                    health: health.gateway(slot),
                    distance_km: from.map(|from| from.distance_km(gateway.point)),
                    round_trip_ms: vantage
                        .as_ref()
                        .map(|vantage| vantage.to(&gateway.region, gateway.point)),
                    from_here: Cost::of(gateway, measured(slot), config.fallback(), round_trips),
                    priority: gateway.priority,
                    weight: gateway.weight,
                    max_requests: gateway.max_requests,
                    later: cause.later_as_str(slot),
                })
            })
            .collect();
        regions.sort_by_key(|region| region.rank.unwrap_or(usize::MAX));
        Explanation {
            service: service.name.to_string(),
            policy: policy_name(service),
            is_from_here: chart::is_for_all(service),
            reason: self.reason(service, plugin_reason).to_string(),
            regions,
        }
    }
}

/// The word for a service's policy in the configuration, with the plugin's name and where round trips are counted from.
pub fn policy_name(service: &Service) -> String {
    let from = if chart::is_for_all(service) { " from here" } else { "" };
    match &service.policy {
        Policy::Plugin(name) => format!("plugin {name}{from}"),
        policy => format!("{}{from}", policy_word(policy)),
    }
}

/// The word for a policy in the configuration.
pub fn policy_word(policy: &Policy) -> &'static str {
    match policy {
        Policy::Latency => "latency",
        Policy::Distance => "distance",
        Policy::Priority => "priority",
        Policy::Weighted => "weighted",
        Policy::Plugin(_) => "plugin",
    }
}

struct Reason<'a> {
    cause: Cause,
    location: Option<Location>,
    service: &'a Service,
    plugin_reason: Option<&'a str>,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cause:
                Cause {
                    by,
                    candidates,
                    session,
                    later,
                },
            location,
            service,
            plugin_reason,
        } = self;
        match by {
            // It is off, or no region may answer.
            RankedBy::Policy if matches!(service.policy, Policy::Plugin(_)) => f.write_str("plugin; not asked")?,
            RankedBy::Policy => f.write_str(policy_word(&service.policy))?,
            RankedBy::Learned | RankedBy::Explored => {
                write!(f, "{}; {}", policy_word(&service.policy), by.as_str())?;
            }
            RankedBy::Plugin { opinion, effects, .. } => {
                write!(f, "plugin; because={}", plugin_reason.unwrap_or("none"))?;
                if let Some(status) = effects.rejects {
                    write!(f, "; rejects={status}")?;
                } else if !opinion {
                    f.write_str("; opinion=none")?;
                }
                if effects.sets != 0 {
                    write!(f, "; headers={}", effects.sets.count_ones())?;
                }
                if let Some(affinity) = effects.affinity.as_str() {
                    write!(f, "; affinity={affinity}")?;
                }
            }
            RankedBy::Fallback(fault) => write!(f, "fallback; fault={fault}")?,
        }
        if chart::is_for_all(service) {
            f.write_str("; from=here")?;
        }
        match location.map(|location| location.place) {
            Some(Place {
                point: Some(point),
                country,
                ..
            }) => write!(
                f,
                "; client={country}; at={:.1},{:.1}",
                point.latitude(),
                point.longitude()
            )?,
            Some(Place { point: None, .. }) => f.write_str("; client=nowhere")?,
            None => {}
        }
        if let Some(session) = session {
            write!(f, "; session={}", session.as_str())?;
        }
        if candidates.panic {
            f.write_str("; panic")?;
        }
        let excluded = service.slots() - candidates.eligible - candidates.last_resort;
        for slot in excluded.iter() {
            if let (Some(gateway), Some(why)) = (service.gateway(slot), candidates.exclusion(slot)) {
                write!(f, "; not {}={}", gateway.region, why.as_str())?;
            }
        }
        for gateway in later.iter().filter_map(|slot| service.gateway(slot)) {
            write!(f, "; later {}=warming", gateway.region)?;
        }
        for gateway in candidates.last_resort.iter().filter_map(|slot| service.gateway(slot)) {
            write!(f, "; later {}=unhealthy", gateway.region)?;
        }
        Ok(())
    }
}
