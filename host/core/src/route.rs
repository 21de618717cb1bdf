//! Finds the service for a host and a path.
//!
//! The most specific host wins (exact before `*.suffix`, longer suffix before shorter, `*` last), and within it the
//! longest path prefix. When no prefix of a host matches, the next less specific host is
//! tried.

use crate::id::ServiceId;
use std::cmp::Ordering;
use thiserror::Error;

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
        let is_name = !name.is_empty() && name.len() <= 253 && name.split('.').all(|label| !label.is_empty());
        if !(is_ipv6 && !below || is_name && name.bytes().all(fits)) {
            return Err(bad());
        }
        let name = name.to_ascii_lowercase().into_boxed_str();
        Ok(if below { Self::Below(name) } else { Self::Exact(name) })
    }
}

/// One route: hosts and a path prefix that lead to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The hosts.
    pub host: HostPattern,
    /// A prefix of whole path segments, beginning with `/`: `/api` is for `/api` and `/api/x`, not for `/apix`.
    pub path: Box<str>,
    /// Where it leads.
    pub service: ServiceId,
}

/// All routes, arranged for looking up. Looking up allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    exact: Vec<HostRoutes>,
    below: Vec<HostRoutes>,
    any: Vec<PathRoute>,
}

#[derive(Clone, Debug)]
struct HostRoutes {
    host: Box<str>,
    paths: Vec<PathRoute>,
}

#[derive(Clone, Debug)]
struct PathRoute {
    prefix: Box<str>,
    service: ServiceId,
}

impl Routes {
    /// Arranges routes. Of two for the same host and path, the first one given is kept.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        let mut arranged = Self::default();
        for route in routes {
            let paths = match route.host {
                HostPattern::Exact(host) => host_entry(&mut arranged.exact, host),
                HostPattern::Below(host) => host_entry(&mut arranged.below, host),
                HostPattern::Any => &mut arranged.any,
            };
            // Longest first, and stable: the first match is the answer.
            let at = paths.partition_point(|other| other.prefix.len() >= route.path.len());
            paths.insert(
                at,
                PathRoute {
                    prefix: route.path,
                    service: route.service,
                },
            );
        }
        arranged
    }

    /// The service for a host (case, a port and a final dot do not matter) and a path.
    pub fn find(&self, host: &str, path: &str) -> Option<ServiceId> {
        let host = bare_host(host);
        lookup(&self.exact, host)
            .and_then(|paths| longest(paths, path))
            .or_else(|| self.find_below(host, path))
            .or_else(|| longest(&self.any, path))
    }

    fn find_below(&self, host: &str, path: &str) -> Option<ServiceId> {
        if self.below.is_empty() {
            return None;
        }
        host.match_indices('.')
            .filter(|(dot, _)| *dot > 0)
            .find_map(|(dot, _)| longest(lookup(&self.below, &host[dot + 1..])?, path))
    }

    /// The hosts that lead to a service by their name, in order. Patterns of hosts are not among them.
    pub fn hosts(&self, service: ServiceId) -> impl Iterator<Item = &str> {
        let leads = move |host: &&HostRoutes| host.paths.iter().any(|path| path.service == service);
        self.exact.iter().filter(leads).map(|host| &*host.host)
    }

    /// Every service some route leads to, with repetitions.
    pub fn services(&self) -> impl Iterator<Item = ServiceId> {
        let hosts = self.exact.iter().chain(&self.below).flat_map(|host| &host.paths);
        hosts.chain(&self.any).map(|route| route.service)
    }
}

fn host_entry(hosts: &mut Vec<HostRoutes>, host: Box<str>) -> &mut Vec<PathRoute> {
    let at = match hosts.binary_search_by(|entry| ignoring_case(&entry.host, &host)) {
        Ok(at) => at,
        Err(at) => {
            hosts.insert(
                at,
                HostRoutes {
                    host,
                    paths: Vec::new(),
                },
            );
            at
        }
    };
    &mut hosts[at].paths
}

fn lookup<'a>(hosts: &'a [HostRoutes], host: &str) -> Option<&'a [PathRoute]> {
    let at = hosts.binary_search_by(|entry| ignoring_case(&entry.host, host)).ok()?;
    hosts.get(at).map(|entry| entry.paths.as_slice())
}

fn longest(paths: &[PathRoute], path: &str) -> Option<ServiceId> {
    paths
        .iter()
        .find(|route| covers(&route.prefix, path))
        .map(|route| route.service)
}

fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

fn ignoring_case(a: &str, b: &str) -> Ordering {
    let lower = |byte: u8| byte.to_ascii_lowercase();
    a.bytes().map(lower).cmp(b.bytes().map(lower))
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
mod tests {
    use super::*;

    fn routes(given: &[(&str, &str, u16)]) -> Routes {
        Routes::new(given.iter().map(|(host, path, service)| Route {
            host: HostPattern::parse(host).expect("a host pattern"),
            path: (*path).into(),
            service: ServiceId(*service),
        }))
    }

    #[track_caller]
    fn check(routes: &Routes, host: &str, path: &str, expected: Option<u16>) {
        assert_eq!(routes.find(host, path), expected.map(ServiceId), "{host}{path}");
    }

    #[test]
    fn the_most_specific_host_wins() {
        let routes = routes(&[
            ("*", "/", 0),
            ("*.example.net", "/", 1),
            ("*.shop.example.net", "/", 2),
            ("shop.example.net", "/", 3),
        ]);
        check(&routes, "shop.example.net", "/", Some(3));
        check(&routes, "SHOP.Example.NET:8443", "/x", Some(3));
        check(&routes, "a.shop.example.net", "/", Some(2));
        check(&routes, "a.b.shop.example.net", "/", Some(2));
        check(&routes, "www.example.net", "/", Some(1));
        check(&routes, "example.net", "/", Some(0));
        check(&routes, ".example.net", "/", Some(0));
        check(&routes, "[2001:db8::1]:80", "/", Some(0));
    }

    #[test]
    fn a_final_dot_makes_no_difference() {
        let routes = routes(&[("shop.example.net.", "/", 1), ("*.example.org.", "/", 2)]);
        for host in [
            "shop.example.net",
            "shop.example.net.",
            "shop.example.net:8080",
            "shop.example.net.:8080",
        ] {
            check(&routes, host, "/", Some(1));
        }
        check(&routes, "www.example.org.", "/", Some(2));
        check(&routes, "shop.example.net..", "/", None);
        for (authority, parts) in [
            ("shop.example.net", ("shop.example.net", "")),
            ("shop.example.net.", ("shop.example.net", "")),
            ("shop.example.net:8080", ("shop.example.net:8080", "")),
            ("shop.example.net.:8080", ("shop.example.net", ":8080")),
            ("shop.example.net.:", ("shop.example.net", ":")),
            ("10.0.0.1", ("10.0.0.1", "")),
            ("[::1]:80", ("[::1]:80", "")),
            ("", ("", "")),
        ] {
            assert_eq!(without_final_dot(authority), parts, "{authority}");
        }
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        let routes = routes(&[("*", "/api", 1), ("*", "/", 0), ("*", "/api/v2/", 2)]);
        check(&routes, "h", "/api", Some(1));
        check(&routes, "h", "/api/v1", Some(1));
        check(&routes, "h", "/apix", Some(0));
        check(&routes, "h", "/api/v2", Some(1));
        check(&routes, "h", "/api/v2/x", Some(2));
    }

    #[test]
    fn a_host_without_a_matching_prefix_falls_through() {
        let routes = routes(&[
            ("shop.example.net", "/cart", 1),
            ("*.example.net", "/static", 2),
            ("*", "/", 3),
        ]);
        check(&routes, "shop.example.net", "/cart/1", Some(1));
        check(&routes, "shop.example.net", "/static/a", Some(2));
        check(&routes, "shop.example.net", "/", Some(3));
        check(&Routes::default(), "shop.example.net", "/", None);
    }

    #[test]
    fn the_first_of_two_equal_routes_is_kept() {
        check(&routes(&[("a", "/", 1), ("a", "/", 2)]), "a", "/", Some(1));
    }

    #[test]
    fn invalid_host_patterns_are_rejected() {
        for bad in ["", "*.", "a..b", "a b", "*.*.net", "a/b", "*x", "user@host", "*.[::1]"] {
            assert!(HostPattern::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(HostPattern::parse("[::1]"), Ok(HostPattern::Exact("[::1]".into())));
    }
}
