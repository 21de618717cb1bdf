//! Deciding a request from a pinned table: the core's steps in order, with the plugin's order between them.
//!
//! The request path and `explain` call the same function.

use crate::arrival::Arrival;
use crate::plugin::{Estimate, PluginWorker, RouteRequest, VisibleFields};
use crate::table::{PluginEntry, Routed, RoutingTable, ServiceEntry};
use http::{HeaderValue, Method, Version};
use portolan_core::access::Denied;
use portolan_core::affinity::Session;
use portolan_core::candidates;
use portolan_core::config::When;
use portolan_core::decision::{AffinityWish, Decision, RankedBy};
use portolan_core::geo::{Country, Location, PlaceId};
use portolan_core::id::Slot;
use portolan_core::identity::ClientIdentity;
use portolan_core::learned::PrefixOrder;
use portolan_core::rank;
use portolan_core::route::{self, HeaderChanges};
use portolan_core::slots::Slots;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// What a decision is about: the request as far as it matters, and the chance it is given.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'a> {
    /// Who asks.
    pub client: ClientIdentity,
    /// Where that is.
    pub location: Location,
    /// How.
    pub method: &'a Method,
    /// In which version of HTTP.
    pub version: Version,
    /// For which host, in either case, with or without port.
    pub authority: &'a str,
    /// For which path, without query.
    pub path: &'a str,
    /// With which query, without the question mark.
    pub query: &'a str,
    /// With which fields, as a plugin may see them.
    pub fields: VisibleFields<'a>,
    /// The connection it came on; `None` for a hypothetical request.
    pub arrival: Option<&'a Arrival>,
    /// The session that it belongs to, where the service has affinity.
    pub session: Option<Session>,
    /// The request's chance.
    pub roll: u64,
    /// The moment it came.
    pub now: Instant,
    /// The same by the calendar. `None`: the clock is read, where a plugin asks.
    pub time: Option<SystemTime>,
}

/// A decision, and the plugin's part of it, if there was one.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// What the plugin did.
    pub plugin: Option<Consulted>,
}

/// What a plugin did for a decision.
#[derive(Clone, Debug)]
pub struct Consulted {
    /// How long it took.
    pub took: Duration,
    /// What becomes of the request headers that it may set. `None` where there are none.
    pub headers: Option<Arc<HeaderChanges>>,
}

/// Why the route of a request denies its client, and in which country that is; `None` when it does not.
#[inline]
pub fn denied(table: &RoutingTable, routed: Routed<'_>, client: IpAddr) -> Option<(Denied, Country)> {
    let access = routed.route.access()?;
    let country = table.geo.locate(client).place.country;
    let checked = access.check(client, country, || table.geo.system(client));
    checked.err().map(|why| (why, country))
}

/// Decides which regions of a service are tried, and in which order.
pub fn decide(table: &RoutingTable, routed: Routed<'_>, inquiry: &Inquiry<'_>, plugins: &mut PluginWorker) -> Decided {
    let Routed {
        id,
        service,
        entry,
        health,
        ..
    } = routed;
    let location = inquiry.location;
    let load = |slot| entry.load(slot, inquiry.now);
    // Most services have neither limits nor learned orders: one branch for both.
    let (full, (row, by)) = if entry.is_plain() {
        (Slots::EMPTY, (entry.chart.row(location.id), RankedBy::Policy))
    } else {
        let full = entry
            .capacity()
            .map_or(Slots::EMPTY, |it| it.full(routed.priority(), health, load));
        (full, preferred(entry, location.id, inquiry))
    };
    let candidates = candidates::gather(service, health, location.place.country, full);
    // All requests of a session get the same answer from chance.
    let roll = inquiry.session.map_or(inquiry.roll, Session::roll);
    let mut decision = Decision {
        generation: table.generation,
        client: inquiry.client,
        location,
        service: id,
        candidates,
        ranking: rank::native(service, row, &candidates, health, roll),
        by,
        session: None,
        roll,
    };
    if let Some(capacity) = entry.capacity() {
        let of = (service, row, &candidates);
        capacity.spill(of, health, &mut decision.ranking, routed.priority(), load, roll);
    }
    let plugin = entry.plugin.as_ref().filter(|_| !candidates.eligible.is_empty());
    let plugin = plugin.map(|plugin| {
        let begun = Instant::now();
        let headers = consult(table, (routed, plugin), &mut decision, inquiry, plugins);
        Consulted {
            took: begun.elapsed(),
            headers,
        }
    });
    if let Some(session) = inquiry.session
        && (plugin.is_none() || has_affinity(&decision, entry))
    {
        let affine = session.prefer(service, &candidates, &mut decision.ranking);
        decision.session = Some((session, affine));
    }
    Decided { decision, plugin }
}

/// The regions by preference where there may be learned orders. Only requests that change nothing may explore, and none
/// whose session would stay where it went.
fn preferred<'a>(entry: &'a ServiceEntry, place: PlaceId, inquiry: &Inquiry<'_>) -> (&'a [Slot], RankedBy) {
    let may_explore = matches!(*inquiry.method, Method::GET | Method::HEAD) && inquiry.session.is_none();
    let learned = entry.learned();
    match learned.and_then(|orders| orders.of(inquiry.client.addr, may_explore, inquiry.roll)) {
        None => (entry.chart.row(place), RankedBy::Policy),
        Some(PrefixOrder { row, is_explored: true }) => (row, RankedBy::Explored),
        Some(PrefixOrder { row, .. }) => (row, RankedBy::Learned),
    }
}

/// Whether session affinity applies to a request that a plugin was asked about.
fn has_affinity(decision: &Decision, entry: &ServiceEntry) -> bool {
    match decision.by.effects().affinity {
        AffinityWish::Off => false,
        AffinityWish::On => true,
        AffinityWish::Configured => {
            let terms = entry.affinity.as_ref().map(|affinity| affinity.terms());
            terms.is_none_or(|terms| terms.when == When::Always)
        }
    }
}

/// Asks the plugin: its order, or the native one and why the plugin had none. Returns what becomes of the request headers that it
/// may set.
fn consult(
    table: &RoutingTable,
    (routed, plugin): (Routed<'_>, &PluginEntry),
    decision: &mut Decision,
    inquiry: &Inquiry<'_>,
    plugins: &mut PluginWorker,
) -> Option<Arc<HeaderChanges>> {
    let place = decision.location.id;
    let host = lower_case(route::bare_host(inquiry.authority));
    let request = RouteRequest {
        method: inquiry.method,
        version: inquiry.version,
        host: &host,
        path: inquiry.path,
        query: inquiry.query,
        fields: inquiry.fields,
        arrival: inquiry.arrival,
        client: inquiry.client.addr,
        country: decision.location.place.country,
        point: decision.location.place.point,
        asn: table.geo.system(inquiry.client.addr),
        // The upper half: the native ranking uses the whole, mixed.
        roll: (decision.roll >> 32) as u32,
        native: &decision.ranking,
        estimate: &|slot| Estimate {
            round_trip: routed.entry.chart.round_trip(place, slot),
            in_flight: routed
                .entry
                .gateway(slot)
                .map_or(0, |gateway| gateway.vitals.in_flight()),
        },
        statuses: routed.route.plugin_statuses(),
        now: inquiry.now,
        time: inquiry.time,
    };
    let (version, is_candidate) = plugin.version_for(inquiry.client.addr);
    let plugins = if is_candidate { plugins.candidates() } else { plugins };
    let answer = plugins.route(version, decision.service, &plugin.regions, &request);
    if let Some(shadow) = plugin.trial.as_ref().and_then(|trial| trial.shadow.as_ref()) {
        let ranking = answer.as_ref().map_or(&decision.ranking, |answer| &answer.ranking);
        let config = &table.settings.routing;
        shadow.offer(config, decision.service, &plugin.regions, &request, ranking.first());
    }
    let (by, headers) = match answer {
        Ok(answer) => {
            decision.ranking = answer.ranking;
            let by = RankedBy::Plugin {
                reason: answer.reason,
                repaired: answer.repaired,
                opinion: answer.opinion,
                effects: answer.effects,
            };
            (by, answer.headers)
        }
        Err(fault) => {
            let headers = version.setup.without_headers().cloned();
            (RankedBy::Fallback(fault.as_str()), headers)
        }
    };
    decision.by = by;
    headers
}

/// The cookie that tells a client to which region its session belongs from now on, where it has to learn that. `answered` is the region
/// whose response it gets.
#[inline]
pub fn affinity_cookie(
    decision: &Decision,
    routed: Routed<'_>,
    answered: Slot,
    is_secure: bool,
) -> Option<HeaderValue> {
    let ((session, _), affinity) = decision.session.zip(routed.entry.affinity.as_ref())?;
    let slot = session.moves_to(affinity.terms().failover, &decision.candidates, answered)?;
    affinity.cookie(session, slot, is_secure)
}

/// Hosts nearly always come in lower case.
fn lower_case(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    }
}

/// The reason that the plugin gave for its order, as it names it.
pub fn plugin_reason<'a>(decision: &Decision, routed: Routed<'a>) -> Option<&'a str> {
    match decision.by {
        RankedBy::Plugin { reason, .. } => routed.entry.plugin_reason(decision.client.addr, reason),
        RankedBy::Policy | RankedBy::Learned | RankedBy::Explored | RankedBy::Fallback(_) => None,
    }
}
