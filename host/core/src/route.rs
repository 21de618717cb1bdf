//! Finds the route for a request.
//!
//! The most specific host wins (exact before `*.suffix`, longer suffix before shorter, `*` last), within it the
//! longest path prefix, and of several for the same path the one with the most specific conditions. When no route of a host
//! matches, the next less specific host is tried.

mod conditions;
mod header_changes;
mod key;
mod paths;
mod prefix;
mod redirect;

pub use conditions::{Asked, Conditions, Wanted, WantedCertificate};
pub use header_changes::HeaderChanges;
pub use key::RouteKey;
pub use prefix::PrefixRewrite;
pub use redirect::{Redirect, RedirectPath};

use crate::access::Access;
use crate::id::ServiceId;
use arrayvec::ArrayString;
use http::StatusCode;
use paths::Paths;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The longest name of a host (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;

/// Which hosts a route is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// One host, lower case, without port.
    Exact(Box<str>),
    /// Every host below this one, at any depth: `example.net` for `*.example.net`.
    Below(Box<str>),
    /// Every host.
    Any,
}

/// An invalid host pattern.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("a host is a name such as shop.example.net, *.example.net, or *; got {0:?}")]
pub struct BadHostPattern(String);

impl HostPattern {
    /// Reads `shop.example.net`, `*.example.net` or `*`; in either case, without port. A final dot makes no difference.
    ///
    /// # Errors
    /// When the text is not a valid host.
    pub fn parse(text: &str) -> Result<Self, BadHostPattern> {
        let bad = || BadHostPattern(text.to_owned());
        if text == "*" {
            return Ok(Self::Any);
        }
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_ipv6 = name.starts_with('[') && name.ends_with(']');
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_name = !name.is_empty() && name.len() <= MAX_HOST && name.split('.').all(|label| !label.is_empty());
        if !(is_ipv6 && !below || is_name && name.bytes().all(fits)) {
            return Err(bad());
        }
        let name = name.to_ascii_lowercase().into_boxed_str();
        Ok(if below { Self::Below(name) } else { Self::Exact(name) })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Below(host) => write!(f, "*.{host}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// One route: hosts and a path prefix that lead to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The hosts.
    pub host: HostPattern,
    /// A prefix of whole path segments, beginning with `/`: `/api` is for `/api` and `/api/x`, not for `/apix`.
    pub path: Box<str>,
    /// What a request must have besides.
    pub conditions: Conditions,
    /// Where it leads. [`ServiceId::NONE`] where it redirects.
    pub service: ServiceId,
    /// What applies on the way.
    pub rules: Rules,
}

/// What applies to the requests of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Which clients it is for.
    pub access: Option<Access>,
    /// What gateways see instead of the path prefix; begins with `/`.
    pub prefix_rewrite: Option<Box<str>>,
    /// Its own policies, where it has some: their index in the configuration.
    pub policies: Option<PoliciesId>,
    /// The statuses with which the plugin of the service may reject requests.
    pub plugin_statuses: Box<[u16]>,
    /// What is changed of the fields of requests.
    pub request_headers: Option<HeaderChanges>,
    /// What is changed of the fields of responses.
    pub response_headers: Option<Arc<HeaderChanges>>,
    /// Where it redirects to, instead of leading to a service.
    pub redirect: Option<Redirect>,
}

/// The index of a route's own policies in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoliciesId(pub u32);

impl PoliciesId {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Route {
    /// A route for every request with this host and path.
    pub fn new(host: HostPattern, path: impl Into<Box<str>>, service: ServiceId) -> Self {
        Self {
            host,
            path: path.into(),
            conditions: Conditions::default(),
            service,
            rules: Rules::default(),
        }
    }
}

/// All routes, arranged for looking up. Looking up allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    exact: Vec<HostRoutes>,
    below: Vec<HostRoutes>,
    any: Paths,
}

#[derive(Clone, Debug)]
struct HostRoutes {
    host: Box<str>,
    paths: Paths,
}

/// A route of some host. What most routes do not have is behind a pointer, so that they are passed over quickly.
#[derive(Clone, Debug)]
pub struct RouteEntry {
    prefix: Box<str>,
    service: ServiceId,
    conditions: Option<Box<Conditions>>,
    rules: Option<Box<Rules>>,
}

impl RouteEntry {
    /// What the paths of its requests begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where it leads. [`ServiceId::NONE`] where it redirects.
    pub fn service(&self) -> ServiceId {
        self.service
    }

    /// Which clients it is for. `None`: all.
    pub fn access(&self) -> Option<&Access> {
        self.rules.as_ref()?.access.as_ref()
    }

    /// Its own policies. `None`: those of the service.
    pub fn policies(&self) -> Option<PoliciesId> {
        self.rules.as_ref()?.policies
    }

    /// The statuses with which the plugin of the service may reject requests.
    pub fn plugin_statuses(&self) -> &[u16] {
        self.rules.as_ref().map_or(&[], |rules| &rules.plugin_statuses)
    }

    /// What is changed of the fields of requests.
    pub fn request_headers(&self) -> Option<&HeaderChanges> {
        self.rules.as_ref()?.request_headers.as_ref()
    }

    /// What is changed of the fields of responses.
    #[inline]
    pub fn response_headers(&self) -> Option<&Arc<HeaderChanges>> {
        self.rules.as_ref()?.response_headers.as_ref()
    }

    /// Whether it redirects, and leads to no service.
    pub fn is_redirect(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.redirect.is_some())
    }

    /// The redirect for a request that was made with this scheme, to this authority, for this path and query. `None` where the route does
    /// not redirect, or nobody has named a host.
    pub fn redirected(&self, scheme: &str, authority: &str, target: &str) -> Option<(StatusCode, String)> {
        let redirect = self.rules.as_ref()?.redirect.as_ref()?;
        let location = redirect.location(&self.prefix, scheme, authority, target)?;
        Some((redirect.status, location))
    }

    /// What gateways see instead of its path. `None`: the same.
    pub fn prefix_rewrite(&self) -> Option<PrefixRewrite<'_>> {
        let to = self.rules.as_ref()?.prefix_rewrite.as_deref()?;
        Some(PrefixRewrite { from: &self.prefix, to })
    }

    /// The target (path and query) that gateways see instead of this one, which the route is for. `None`: the same.
    pub fn rewritten(&self, target: &str) -> Option<String> {
        self.prefix_rewrite()?.rewritten(target)
    }

    /// What its requests must have besides host and path. `None`: nothing.
    pub fn conditions(&self) -> Option<&Conditions> {
        self.conditions.as_deref()
    }

    /// Whether it is only for requests with certain fields, queries or client certificates.
    pub fn depends_on_fields(&self) -> bool {
        let conditions = self.conditions.as_ref();
        conditions.is_some_and(|it| !it.headers.is_empty() || !it.query.is_empty() || it.certificate.is_some())
    }

    fn fits(&self, asked: &Asked<'_>) -> bool {
        self.conditions.as_ref().is_none_or(|conditions| conditions.fit(asked))
    }
}

impl Routes {
    /// Arranges routes. Of two for the same requests, the first one given is used.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        let (mut exact, mut below, mut any) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for mut route in routes {
            let host = std::mem::replace(&mut route.host, HostPattern::Any);
            let routes: &mut Vec<Route> = match host {
                HostPattern::Exact(host) => exact.entry(host).or_default(),
                HostPattern::Below(host) => below.entry(host).or_default(),
                HostPattern::Any => &mut any,
            };
            routes.push(route);
        }
        Self {
            exact: arranged(exact),
            below: arranged(below),
            any: Paths::new(any),
        }
    }

    /// The route for a host (case, a port and a final dot do not matter), a path, and what else is asked.
    pub fn find(&self, host: &str, path: &str, asked: &Asked<'_>) -> Option<&RouteEntry> {
        let host = bare_host(host);
        let mut room = ArrayString::new();
        let host = lower_case(host, &mut room);
        // A name that is longer than any has routes for every host only.
        let own = host.and_then(|host| {
            lookup(&self.exact, host)
                .and_then(|paths| paths.find(path, asked))
                .or_else(|| self.find_below(host, path, asked))
        });
        own.or_else(|| self.any.find(path, asked))
    }

    fn find_below(&self, host: &str, path: &str, asked: &Asked<'_>) -> Option<&RouteEntry> {
        if self.below.is_empty() {
            return None;
        }
        host.match_indices('.')
            .filter(|(dot, _)| *dot > 0)
            .find_map(|(dot, _)| lookup(&self.below, &host[dot + 1..])?.find(path, asked))
    }

    /// The hosts that lead to a service by their name, in order. Patterns of hosts are not among them.
    pub fn hosts(&self, service: ServiceId) -> impl Iterator<Item = &str> {
        let leads = move |host: &&HostRoutes| host.paths.entries().any(|path| path.service == service);
        self.exact.iter().filter(leads).map(|host| &*host.host)
    }

    /// The hosts of all routes, as they are written.
    pub fn host_patterns(&self) -> impl Iterator<Item = HostPattern> {
        let exact = self.exact.iter().map(|host| HostPattern::Exact(host.host.clone()));
        let below = self.below.iter().map(|host| HostPattern::Below(host.host.clone()));
        let any = (!self.any.is_empty()).then_some(HostPattern::Any);
        exact.chain(below).chain(any)
    }

    /// All routes with their hosts as they are written.
    pub fn entries(&self) -> impl Iterator<Item = (HostPattern, &RouteEntry)> {
        let exact = self.exact.iter();
        let exact = exact.flat_map(|it| {
            it.paths
                .entries()
                .map(|path| (HostPattern::Exact(it.host.clone()), path))
        });
        let below = self.below.iter();
        let below = below.flat_map(|it| {
            it.paths
                .entries()
                .map(|path| (HostPattern::Below(it.host.clone()), path))
        });
        exact
            .chain(below)
            .chain(self.any.entries().map(|path| (HostPattern::Any, path)))
    }

    /// Every service some route leads to, with repetitions. Redirects lead to none.
    pub fn services(&self) -> impl Iterator<Item = ServiceId> {
        let hosts = self
            .exact
            .iter()
            .chain(&self.below)
            .flat_map(|host| host.paths.entries());
        let all = hosts.chain(self.any.entries()).filter(|route| !route.is_redirect());
        all.map(|route| route.service)
    }
}

/// Hosts in order, with their routes.
fn arranged(hosts: BTreeMap<Box<str>, Vec<Route>>) -> Vec<HostRoutes> {
    let hosts = hosts.into_iter();
    hosts
        .map(|(host, routes)| HostRoutes {
            host,
            paths: Paths::new(routes),
        })
        .collect()
}

fn lookup<'a>(hosts: &'a [HostRoutes], host: &str) -> Option<&'a Paths> {
    let at = hosts.binary_search_by(|entry| (*entry.host).cmp(host)).ok()?;
    hosts.get(at).map(|entry| &entry.paths)
}

/// A host as routes have it, which most are already. `None`: longer than any name.
fn lower_case<'h>(host: &'h str, room: &'h mut ArrayString<MAX_HOST>) -> Option<&'h str> {
    if !host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(host);
    }
    room.try_push_str(host).ok()?;
    room.make_ascii_lowercase();
    Some(room)
}

/// A host without its port and without a final dot: `shop.example.net.` is `shop.example.net` (RFC 3986, section 3.2.2).
/// The brackets of an IPv6 address stay.
pub fn bare_host(host: &str) -> &str {
    let host = match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// A host with an optional port in two parts that make the same without the final dot of a name.
pub fn without_final_dot(authority: &str) -> (&str, &str) {
    let port = authority.rfind(':').map(|colon| authority.split_at(colon));
    if let Some((host, port)) = port
        && let Some(bare) = host.strip_suffix('.')
        && port[1..].bytes().all(|byte| byte.is_ascii_digit())
    {
        return (bare, port);
    }
    (authority.strip_suffix('.').unwrap_or(authority), "")
}

#[cfg(test)]
mod tests;
