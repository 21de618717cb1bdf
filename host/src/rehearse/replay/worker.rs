//! Decides entries again, one thread's worth of them.

use super::conditions::Conditions;
use super::tally::{BadLine, Outcome, Skip, Tally};
use crate::control::basis::Basis;
use crate::decide::{self, Decided, Inquiry};
use crate::plugin::{PluginWorker, VisibleFields};
use crate::rehearse::entry::Entry;
use crate::rehearse::estimate::Estimates;
use crate::table::{Routed, RoutingTable};
use http::{HeaderMap, Method, Version};
use portolan_core::affinity::{Session, hash};
use portolan_core::config::AffinityBy;
use portolan_core::decision::RankedBy;
use portolan_core::geo::Location;
use portolan_core::id::{RegionName, ServiceId, ServiceName, Slot};
use portolan_core::identity::ClientIdentity;
use portolan_core::route::Asked;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// How many tables for conditions are kept by each thread.
const KEPT_TABLES: usize = 512;

/// One thread that decides entries again.
pub(super) struct Worker<'a> {
    basis: &'a Mutex<Basis>,
    base: Arc<RoutingTable>,
    all_healthy: bool,
    /// Routes depend on what no log has: fields, queries, certificates. Then the logged service counts.
    hidden: bool,
    tables: HashMap<(ServiceId, Conditions), Arc<RoutingTable>>,
    plugins: PluginWorker,
    estimates: Estimates,
    none: HeaderMap,
    now: Instant,
    pub(super) tally: Tally,
}

/// What is decided about an entry.
struct Again {
    service: ServiceName,
    outcome: Outcome,
    location: Location,
    is_fallback: bool,
}

impl<'a> Worker<'a> {
    pub(super) fn new(basis: &'a Mutex<Basis>, all_healthy: bool, now: Instant) -> Self {
        let locked = basis.lock().unwrap_or_else(PoisonError::into_inner);
        let base = Arc::clone(locked.table());
        let hidden = base
            .config()
            .routes()
            .entries()
            .any(|(_, route)| route.depends_on_fields());
        Self {
            basis,
            all_healthy,
            hidden,
            tables: HashMap::new(),
            plugins: locked.plugins(0),
            estimates: Estimates::new(base.config()),
            none: HeaderMap::new(),
            now,
            tally: Tally::default(),
            base,
        }
    }

    /// Decides the entries of these lines, of which the first has this number.
    pub(super) fn block(&mut self, first: u64, bytes: &[u8]) {
        for (number, line) in (first..).zip(bytes.split(|byte| *byte == b'\n')) {
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Entry<'_>>(line) {
                Ok(entry) => self.entry(&entry),
                Err(error) => self.tally.bad(BadLine::new(number, &error)),
            }
        }
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        let decided = before(entry).and_then(|before| Ok((before, self.decide(entry)?)));
        let (before, again) = match decided {
            Ok(both) => both,
            Err(skip) => return self.tally.skip(skip, entry.weight()),
        };
        let mut estimate = |outcome: &Outcome| match outcome {
            Outcome::Region(region) => self.estimates.round_trip(again.location, region),
            _ => None,
        };
        let round_trips = estimate(&before).zip(estimate(&again.outcome));
        let country = again.location.place.country;
        let (logged, weight) = (entry.country.as_str(), entry.weight());
        self.tally
            .decided(&again.service, (before, again.outcome), country, round_trips, weight);
        if logged != country.as_str().unwrap_or_default() {
            self.tally.relocated += weight;
        }
        if again.is_fallback {
            self.tally.fallbacks += weight;
        }
    }

    fn decide(&mut self, entry: &Entry<'_>) -> Result<Again, Skip> {
        let client: IpAddr = entry.client.as_str().parse().map_err(|_| Skip::NoClient)?;
        let client = client.to_canonical();
        let (host, path) = (entry.host.as_str(), entry.path.as_str());
        let method: Method = entry.method.as_str().parse().map_err(|_| Skip::NoRequest)?;
        if path.is_empty() {
            return Err(Skip::NoRequest);
        }
        let base = Arc::clone(&self.base);
        let asked = Asked {
            method: &method,
            headers: &HeaderMap::new(),
            query: "",
            certificate: None,
            trust: None,
        };
        let not_routed = |outcome| Again {
            service: ServiceName::new(entry.service.as_str()),
            outcome,
            location: base.geo.locate(client),
            is_fallback: false,
        };
        let routed = match base.route(host, path, &asked) {
            Some(routed) if !self.hidden || routed.service.name.as_str() == entry.service.as_str() => routed,
            None if !self.hidden => {
                let outcome = match base.redirect(host, path, &asked) {
                    Some(_) => Outcome::Redirect,
                    None => Outcome::NoRoute,
                };
                return Ok(not_routed(outcome));
            }
            _ => named(&base, entry.service.as_str()).ok_or_else(|| Skip::service(entry.service.as_str()))?,
        };
        if decide::denied(&base, routed, client).is_some() {
            return Ok(Again {
                service: routed.service.name.clone(),
                ..not_routed(Outcome::Denied)
            });
        }
        let conditions = match self.all_healthy {
            true => Conditions::default(),
            false => Conditions::of(entry, routed.service),
        };
        let table = self.table(routed.id, conditions);
        // All tables have the routes of the configuration.
        let routed = table.routed(routed.route).ok_or(Skip::NoRequest)?;
        Ok(self.decided(&table, routed, entry, (client, &method)))
    }

    fn decided(
        &mut self,
        table: &RoutingTable,
        routed: Routed<'_>,
        entry: &Entry<'_>,
        (client, method): (IpAddr, &Method),
    ) -> Again {
        let (session, bound) = self.session(entry, routed);
        let has_plugin = routed.entry.plugin.is_some();
        let time = has_plugin
            .then(|| humantime::parse_rfc3339(entry.time.as_str()).ok())
            .flatten();
        let inquiry = Inquiry {
            client: ClientIdentity::peer(client),
            location: table.geo.locate(client),
            method,
            version: version(entry.protocol.as_str()),
            authority: entry.host.as_str(),
            path: entry.path.as_str(),
            query: "",
            fields: VisibleFields::all(&self.none),
            arrival: None,
            session,
            // Without the number that was drawn, one that follows from the request: the same in every run.
            roll: entry
                .roll()
                .unwrap_or_else(|| hash(entry.request_id.as_str().as_bytes())),
            now: self.now,
            time,
        };
        let Decided { mut decision, .. } = decide::decide(table, routed, &inquiry, &mut self.plugins);
        if let Some(slot) = bound {
            decision.ranking.prefer(slot);
        }
        let outcome = match decision.by.effects().rejects {
            Some(status) => Outcome::Rejected(status),
            None => match decision.ranking.first().and_then(|slot| routed.service.gateway(slot)) {
                Some(gateway) => Outcome::Region(gateway.region.clone()),
                None => Outcome::NoRegion,
            },
        };
        Again {
            service: routed.service.name.clone(),
            outcome,
            location: decision.location,
            is_fallback: matches!(decision.by, RankedBy::Fallback(_)),
        }
    }

    /// The session of an entry, and the region that its cookie named.
    fn session(&self, entry: &Entry<'_>, routed: Routed<'_>) -> (Option<Session>, Option<Slot>) {
        let Some((affinity, became)) = routed.entry.affinity.as_ref().zip(entry.session()) else {
            return (None, None);
        };
        match affinity.terms().by {
            AffinityBy::Header(_) => (entry.roll().map(Session::Hashed), None),
            // Cookies are not logged. One that was obeyed named the region that was tried first.
            AffinityBy::Cookie(_) if became == "kept" => {
                (None, routed.service.slot_of(&RegionName::new(entry.first_region())))
            }
            AffinityBy::Cookie(_) => (None, None),
        }
    }

    fn table(&mut self, id: ServiceId, conditions: Conditions) -> Arc<RoutingTable> {
        if conditions.is_empty() {
            return Arc::clone(&self.base);
        }
        if let Some(table) = self.tables.get(&(id, conditions)) {
            return Arc::clone(table);
        }
        if self.tables.len() >= KEPT_TABLES {
            self.tables.clear();
        }
        let view = conditions.view(self.base.config(), id);
        let table = self
            .basis
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .table_with(view);
        self.tables.insert((id, conditions), Arc::clone(&table));
        table
    }
}

/// A service by the name that a log has, by the first route that leads to it.
fn named<'a>(table: &'a RoutingTable, name: &str) -> Option<Routed<'a>> {
    let services = table.config().services();
    let at = services.iter().position(|service| service.name.as_str() == name)?;
    let mut routes = table.config().routes().entries();
    let (_, route) = routes.find(|(_, route)| route.service().index() == at)?;
    table.routed(route)
}

/// What had been decided, as the log says.
fn before(entry: &Entry<'_>) -> Result<Outcome, Skip> {
    let region = entry.first_region();
    let outcome = entry.outcome.as_str();
    match entry.by.as_str() {
        "learned" | "explored" => Err(Skip::Learned),
        "" => match outcome {
            "no_route" => Ok(Outcome::NoRoute),
            "route_redirect" => Ok(Outcome::Redirect),
            "denied" => Ok(Outcome::Denied),
            _ => Err(Skip::undecided(outcome)),
        },
        _ => match (entry.plugin_rejects, region) {
            (Some(status), _) => Ok(Outcome::Rejected(status)),
            (None, "") => match outcome {
                "residency" | "draining" | "full" => Ok(Outcome::NoRegion),
                _ => Err(Skip::untried(outcome)),
            },
            (None, region) => Ok(Outcome::Region(RegionName::new(region))),
        },
    }
}

fn version(protocol: &str) -> Version {
    match protocol {
        "HTTP/1.0" => Version::HTTP_10,
        "HTTP/2" => Version::HTTP_2,
        _ => Version::HTTP_11,
    }
}
