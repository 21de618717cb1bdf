//! How many clients a reload would move to other regions.
//!
//! Both sides are decided by [`decide`](crate::decide::decide) over tables of the publisher, with the health that the regions have now on
//! both: only what changes in the configuration or the location database counts. Of a client it is kept which service it had, and not by
//! which route: the clients of a service stand for all of its routes, in equal parts, and each of those for its plainest request.

mod plainest;

use super::basis::Basis;
use super::loaded::Loaded;
use crate::decide::{self, Inquiry};
use crate::plugin::{PluginEngine, PluginWorker, VisibleFields};
use crate::table::{Routed, RoutingTable};
use http::{HeaderMap, Method, Version};
use plainest::Plainest;
use portolan_core::chance::spread;
use portolan_core::config::Config;
use portolan_core::health::{GatewayHealth, HealthView, ServiceHealth};
use portolan_core::id::RegionName;
use portolan_core::identity::ClientIdentity;
use portolan_core::slots::Slots;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

/// Fewer clients than this say nothing of all others.
const FEW: usize = 100;

/// How many clients are made up then.
const MADE_UP: usize = 2_000;

/// How many addresses are drawn for each of them at most: many belong to nobody.
const DRAWS: usize = 20;

/// How many moves are named.
const NAMED: usize = 3;

/// What a reload would move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shift {
    /// Clients by the regions that they move from and to; `None` is no region.
    moves: BTreeMap<(Option<RegionName>, Option<RegionName>), usize>,
    clients: usize,
    /// Whether they were made up.
    made_up: bool,
    limit: u8,
}

impl Shift {
    /// What would move. `clients`: those of the last minutes, with their services.
    ///
    /// # Errors
    /// When the system gives no runtime.
    pub(super) fn between(
        before: Loaded,
        after: Loaded,
        health: &HealthView,
        engine: &PluginEngine,
        clients: &[(String, IpAddr)],
    ) -> io::Result<Self> {
        let active = Arc::clone(&before.settings.routing);
        let mut sides = Vec::with_capacity(2);
        for mut loaded in [before, after] {
            // Versions that are being rolled out are judged by their own rules.
            loaded.rollouts = Arc::default();
            let health = carried(&active, health, &loaded.settings.routing);
            let mut basis = Basis::new(loaded, engine.clone())?;
            sides.push(Side {
                table: basis.table_with(health),
                plugins: basis.plugins(0),
            });
        }
        let [before, after] = &mut sides[..] else {
            return Ok(Self::default());
        };
        let made_up = clients.len() < FEW;
        let clients = match made_up {
            true => &population(&before.table),
            false => clients,
        };
        let mut shift = Self {
            made_up,
            ..Self::default()
        };
        let routes = Plainest::of_routes(&before.table);
        let mut turns = BTreeMap::<&str, usize>::new();
        for (index, (service, client)) in clients.iter().enumerate() {
            let turn = turns.entry(service).or_default();
            let request = routes.get(service).and_then(|all| all.get(*turn % all.len()));
            *turn += 1;
            // What the active configuration has no route to is gone since.
            let Some(from) = before.first(service, request, *client, index) else {
                continue;
            };
            let to = after.first(service, request, *client, index).flatten();
            shift.clients += 1;
            if from != to {
                *shift.moves.entry((from, to)).or_default() += 1;
            }
        }
        Ok(shift)
    }

    /// Itself, when it moves more than so many hundredths of the clients.
    pub(super) fn more_than(mut self, limit: u8) -> Option<Self> {
        self.limit = limit;
        (self.moved() * 100 > self.clients * usize::from(limit)).then_some(self)
    }

    fn moved(&self) -> usize {
        self.moves.values().sum()
    }

    fn percent(&self, count: usize) -> f64 {
        100.0 * count as f64 / self.clients.max(1) as f64
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.made_up {
            true => "made-up clients, for there were few requests",
            false => "clients of the last minutes",
        };
        let moved = self.moved();
        write!(
            f,
            "it would move {} % of the clients to other regions ({moved} of {} {of})",
            rounded(self.percent(moved)),
            self.clients
        )?;
        let mut moves: Vec<_> = self.moves.iter().collect();
        moves.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (index, ((from, to), count)) in moves.iter().take(NAMED).enumerate() {
            let name =
                |region: &Option<RegionName>| region.as_ref().map_or("no region".to_owned(), ToString::to_string);
            let (from, to, percent) = (name(from), name(to), rounded(self.percent(**count)));
            let separator = if index == 0 { ':' } else { ',' };
            write!(f, "{separator} {percent} % from {from} to {to}")?;
        }
        let limit = self.limit;
        write!(f, "; max_shift is {limit} %: accept it with `portolan reload --force`")
    }
}

/// One of the two configurations.
struct Side {
    table: Arc<RoutingTable>,
    plugins: PluginWorker,
}

impl Side {
    /// The region that a client of a service is sent to first with this request, if any. `None` when that leads to no service; without a
    /// request, when no route leads to the service.
    fn first(
        &mut self,
        service: &str,
        request: Option<&Plainest>,
        client: IpAddr,
        number: usize,
    ) -> Option<Option<RegionName>> {
        let routed = match request {
            Some(request) => request.routed(&self.table),
            None => routed(&self.table, service),
        }?;
        let none = HeaderMap::new();
        let inquiry = Inquiry {
            client: ClientIdentity::peer(client),
            location: self.table.geo.locate(client),
            method: request.map_or(&Method::GET, |it| &it.method),
            version: Version::HTTP_11,
            authority: request.map_or("", |it| &it.host),
            path: request.map_or("/", |it| &it.path),
            query: request.map_or("", |it| &it.query),
            fields: request.map_or(VisibleFields::all(&none), Plainest::fields),
            arrival: None,
            session: None,
            // The same on both sides.
            roll: spread(0, number as u64),
            now: Instant::now(),
            time: None,
        };
        let decision = decide::decide(&self.table, routed, &inquiry, &mut self.plugins).decision;
        let first = decision.ranking.first().and_then(|slot| routed.service.gateway(slot));
        Some(first.map(|gateway| gateway.region.clone()))
    }
}

/// A service by its name, by the first route that leads to it.
fn routed<'a>(table: &'a RoutingTable, name: &str) -> Option<Routed<'a>> {
    let services = table.config().services();
    let at = services.iter().position(|service| service.name.as_str() == name)?;
    let leads_there = |route: &portolan_core::route::RouteEntry| !route.is_redirect() && route.service().index() == at;
    let (_, route) = table
        .config()
        .routes()
        .entries()
        .find(|(_, route)| leads_there(route))?;
    table.routed(route)
}

/// Clients from all of the IPv4 address space that have a place, spread over the services.
fn population(table: &RoutingTable) -> Vec<(String, IpAddr)> {
    let services = table.config().services();
    let addresses = (0..(MADE_UP * DRAWS) as u64).map(|number| {
        let bits = (spread(1, number) >> 32) as u32;
        IpAddr::V4(Ipv4Addr::from_bits(bits))
    });
    let placed = addresses.filter(|address| table.geo.locate(*address).place.point.is_some());
    let names = services.iter().map(|service| service.name.to_string()).cycle();
    names.zip(placed).take(MADE_UP).collect()
}

/// The health of a configuration's regions as another one knows it. What that does not have is unknown.
fn carried(from: &Config, health: &HealthView, to: &Config) -> HealthView {
    let services = to.services().iter().map(|service| {
        let known = from.services().iter().zip(health.services());
        let known = known.into_iter().find(|(other, _)| other.name == service.name);
        let slots = |of: fn(&ServiceHealth) -> Slots| {
            let Some((other, health)) = known else {
                return Slots::EMPTY;
            };
            let named = of(health).iter().filter_map(|slot| other.gateway(slot));
            named.filter_map(|gateway| service.slot_of(&gateway.region)).collect()
        };
        let gateways = service.gateways().iter().map(|gateway| {
            let found = known.and_then(|(other, health)| Some(health.gateway(other.slot_of(&gateway.region)?)));
            found.unwrap_or_else(GatewayHealth::default)
        });
        ServiceHealth::new(gateways.collect())
            .with_unresponsive(slots(ServiceHealth::unresponsive))
            .with_last_resort(slots(ServiceHealth::last_resort))
    });
    HealthView::new(services.collect())
}

/// To the tenth below 10, without it above.
fn rounded(percent: f64) -> String {
    match percent < 10.0 {
        true => format!("{percent:.1}"),
        false => format!("{percent:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_names_the_share_and_the_largest_moves() {
        let (west, east) = (Some(RegionName::from("westeurope")), Some(RegionName::from("eastus2")));
        let shift = Shift {
            moves: BTreeMap::from([((west.clone(), east.clone()), 200), ((east, None), 30)]),
            clients: 1_000,
            made_up: false,
            limit: 0,
        };
        assert_eq!(shift.clone().more_than(23), None, "no more than the limit");
        let shift = shift.more_than(10).expect("more than the limit");
        assert_eq!(
            shift.to_string(),
            "it would move 23 % of the clients to other regions (230 of 1000 clients of the last minutes): 20 % from westeurope to \
             eastus2, 3.0 % from eastus2 to no region; max_shift is 10 %: accept it with `portolan reload --force`"
        );
        assert_eq!(Shift::default().more_than(0), None, "nothing moves");
    }
}
