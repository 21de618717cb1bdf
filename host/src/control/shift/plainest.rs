//! The plainest request of each route: what stands for all of its requests, whose hosts and paths are not kept.

use crate::plugin::VisibleFields;
use crate::table::{Routed, RoutingTable};
use http::{HeaderMap, HeaderValue, Method};
use portolan_core::route::{Asked, HostPattern, RouteEntry, Wanted};
use std::collections::BTreeMap;

/// What a condition gets that is met by anything.
const ANYTHING: &str = "x";

/// A request with nothing but what its route asks for.
#[derive(Clone, Debug)]
pub(super) struct Plainest {
    pub(super) host: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) method: Method,
    headers: HeaderMap,
}

impl Plainest {
    /// Those of the routes to each service, by its name. A route that another one hides has none, nor has one that asks for a
    /// client certificate.
    pub(super) fn of_routes(table: &RoutingTable) -> BTreeMap<String, Vec<Self>> {
        let mut all = BTreeMap::<String, Vec<Self>>::new();
        let config = table.config();
        for (host, route) in config.routes().entries() {
            let Some(service) = config.service(route.service()).filter(|_| !route.is_redirect()) else {
                continue;
            };
            let plainest = Self::of(&host, route);
            // It is that of another route when that one is more specific.
            let is_own = |it: &Self| it.find(table).is_some_and(|found| std::ptr::eq(found, route));
            if let Some(plainest) = plainest.filter(is_own) {
                all.entry(service.name.to_string()).or_default().push(plainest);
            }
        }
        all
    }

    fn of(host: &HostPattern, route: &RouteEntry) -> Option<Self> {
        let host = match host {
            HostPattern::Exact(host) => host.to_string(),
            HostPattern::Below(host) => format!("{ANYTHING}.{host}"),
            // No exact name, most likely.
            HostPattern::Any => format!("{ANYTHING}.invalid"),
        };
        let mut plainest = Self {
            host,
            path: route.prefix().to_owned(),
            query: String::new(),
            method: Method::GET,
            headers: HeaderMap::new(),
        };
        let Some(conditions) = route.conditions() else {
            return Some(plainest);
        };
        if conditions.certificate.is_some() {
            return None;
        }
        if let Some(method) = conditions.methods.first() {
            plainest.method = method.clone();
        }
        for (name, wanted) in &conditions.headers {
            let value = HeaderValue::try_from(value(wanted)).ok()?;
            plainest.headers.append(name, value);
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, wanted) in &conditions.query {
            query.append_pair(name, value(wanted));
        }
        plainest.query = query.finish();
        Some(plainest)
    }

    fn find<'a>(&self, table: &'a RoutingTable) -> Option<&'a RouteEntry> {
        let asked = Asked {
            method: &self.method,
            headers: &self.headers,
            query: &self.query,
            certificate: None,
            trust: None,
        };
        table.config().routes().find(&self.host, &self.path, &asked)
    }

    /// Where a configuration leads it. `None`: to no service.
    pub(super) fn routed<'a>(&self, table: &'a RoutingTable) -> Option<Routed<'a>> {
        table.routed(self.find(table).filter(|route| !route.is_redirect())?)
    }

    /// Its fields, as plugins see them.
    pub(super) fn fields(&self) -> VisibleFields<'_> {
        VisibleFields::all(&self.headers)
    }
}

fn value(wanted: &Wanted) -> &str {
    match wanted {
        Wanted::Any => ANYTHING,
        Wanted::Exactly(value) => value,
    }
}
