//! The orders of a service that differ from geography, prepared for requests.

use super::evidence::{Evidence, Known};
use super::order::{self, Comparison, Terms};
use super::prefix::Prefix;
use crate::chance::spread;
use crate::chart::{self, Chart};
use crate::config::{LatencyFrom, Policy, Service};
use crate::geo::{Location, PlaceId, Point};
use crate::id::Slot;
use crate::proximity::RoundTrips;
use std::collections::HashMap;
use std::net::IpAddr;

/// The number that decides about exploring, apart from those that the ranking draws from the same roll.
const EXPLORE: u64 = 1 << 32;

/// Orders by prefix, of the prefixes where evidence changes them. Equal orders are stored once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    by_prefix: HashMap<Prefix, Rows>,
    rows: Vec<Box<[Slot]>>,
    /// Of 2^64 rolls, how many explore.
    explore: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rows {
    learned: u32,
    explored: Option<u32>,
}

/// The order for a client whose prefix has evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixOrder<'a> {
    /// The regions by preference.
    pub row: &'a [Slot],
    /// Whether the first one is there to be measured.
    pub is_explored: bool,
}

impl Orders {
    /// Whether the regions of a service are ordered by round trips from the client, and may follow evidence.
    pub fn fit(service: &Service) -> bool {
        matches!(service.policy, Policy::Latency | Policy::Plugin(_)) && service.latency_from == LatencyFrom::Client
    }

    /// Prepares the orders of a service. `locate` says where a prefix is.
    pub fn prepare(
        service: &Service,
        chart: &Chart,
        evidence: &[(Prefix, Vec<Known>)],
        prior: &mut Priors<'_>,
        locate: impl Fn(IpAddr) -> Location,
        terms: Terms,
    ) -> Self {
        let mut orders = Self {
            explore: (terms.explore.clamp(0.0, 1.0) * u64::MAX as f64) as u64,
            ..Self::default()
        };
        let mut ids = HashMap::new();
        let mut intern = |row: Vec<Slot>, rows: &mut Vec<Box<[Slot]>>| {
            *ids.entry(row.clone()).or_insert_with(|| {
                rows.push(row.into());
                // There are fewer rows than prefixes.
                (rows.len() - 1) as u32
            })
        };
        for (prefix, known) in evidence {
            let location = locate(prefix.address());
            let costs = prior.of(service, location);
            let row = chart.row(location.id);
            let of = |slot: Slot| comparison(service, costs, known, slot);
            let priority = |slot: Slot| service.gateway(slot).map_or(0, |gateway| gateway.priority);
            let Some((order, explored)) = order::order(row, priority, of, terms) else {
                continue;
            };
            let explored = explored.map(|first| {
                let others = order.iter().copied().filter(|slot| *slot != first);
                intern([first].into_iter().chain(others).collect(), &mut orders.rows)
            });
            let learned = intern(order, &mut orders.rows);
            orders.by_prefix.insert(*prefix, Rows { learned, explored });
        }
        orders
    }

    /// How many prefixes have an order of their own.
    pub fn len(&self) -> usize {
        self.by_prefix.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.by_prefix.is_empty()
    }

    /// The order for a client; `None` where geography decides. `may_explore`: whether the request may go to a region
    /// that is likely to be farther.
    pub fn of(&self, client: IpAddr, may_explore: bool, roll: u64) -> Option<PrefixOrder<'_>> {
        let rows = self.by_prefix.get(&Prefix::lookup(client))?;
        let explored = rows
            .explored
            .filter(|_| may_explore && spread(roll, EXPLORE) < self.explore);
        let row = self.rows.get(explored.unwrap_or(rows.learned) as usize)?;
        Some(PrefixOrder {
            row,
            is_explored: explored.is_some(),
        })
    }
}

/// A region of a service by geography and by evidence. `costs` are those of the prefix's place, by slot.
pub fn comparison(service: &Service, costs: &[f64], known: &[Known], slot: Slot) -> Comparison {
    let region = service.gateway(slot).map(|gateway| &gateway.region);
    let known = known.iter().find(|known| Some(&known.region) == region);
    Comparison {
        prior_ms: costs.get(slot.index()).copied().unwrap_or(f64::INFINITY),
        evidence: known.map(|known| known.estimate),
    }
}

/// Round trips by geography from places to the regions of one service, computed once for each place.
#[derive(Debug)]
pub struct Priors<'a> {
    round_trips: &'a RoundTrips,
    fallback: Option<Point>,
    of: HashMap<PlaceId, Vec<f64>>,
}

impl<'a> Priors<'a> {
    /// For one service. Clients without a place are assumed to be at `fallback`.
    pub fn new(round_trips: &'a RoundTrips, fallback: Option<Point>) -> Self {
        Self {
            round_trips,
            fallback,
            of: HashMap::new(),
        }
    }

    fn of(&mut self, service: &Service, location: Location) -> &[f64] {
        let (round_trips, from) = (self.round_trips, location.place.point.or(self.fallback));
        self.of
            .entry(location.id)
            .or_insert_with(|| chart::costs(service, from, round_trips))
    }
}

/// The evidence on all prefixes at a moment, for [`Orders::prepare`]. Prefixes without enough to act by are left out.
pub fn gathered(evidence: &Evidence, now: u64) -> Vec<(Prefix, Vec<Known>)> {
    let prefixes = evidence.prefixes().into_iter();
    let known = prefixes.map(|prefix| (prefix, evidence.of(prefix, now)));
    let is_enough = |known: &Known| known.estimate.weight() >= order::LEAST_EVIDENCE;
    known.filter(|(_, known)| known.iter().any(is_enough)).collect()
}
