//! The routes of one host, arranged by path.
//!
//! Paths are sorted. Every prefix of a path comes before it, and what is between the two begins with the prefix as well: so the last prefix that
//! is not after a path, or one of those that it begins with itself, is the longest one that the path has. Looking up takes one binary search,
//! whatever the number of routes.

use super::{Asked, Route, RouteEntry, Rules};

/// The routes.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths(Vec<Path>);

/// The routes of one path prefix.
#[derive(Clone, Debug)]
struct Path {
    prefix: Box<str>,
    /// The place of the longest other prefix that this one begins with.
    shorter: Option<usize>,
    /// The one with the most specific conditions first.
    routes: Vec<RouteEntry>,
}

impl Paths {
    /// Arranges routes. Of two for the same requests, the first one given is used.
    pub(super) fn new(mut routes: Vec<Route>) -> Self {
        // Stable: those for the same requests keep their order.
        routes.sort_by(|one, other| {
            one.path
                .cmp(&other.path)
                .then_with(|| other.conditions.specificity().cmp(&one.conditions.specificity()))
        });
        let mut paths: Vec<Path> = Vec::new();
        for route in routes {
            let entry = entry(route);
            match paths.last_mut() {
                Some(last) if last.prefix == entry.prefix => last.routes.push(entry),
                _ => {
                    let shorter = chain(&paths, paths.len().checked_sub(1))
                        .find(|place| entry.prefix.starts_with(&*paths[*place].prefix));
                    paths.push(Path {
                        prefix: entry.prefix.clone(),
                        shorter,
                        routes: vec![entry],
                    });
                }
            }
        }
        Self(paths)
    }

    /// The route for a path and what else is asked: of the longest prefix that has one.
    pub(super) fn find(&self, path: &str, asked: &Asked<'_>) -> Option<&RouteEntry> {
        let after = self.0.partition_point(|it| *it.prefix <= *path);
        chain(&self.0, after.checked_sub(1))
            .map(|place| &self.0[place])
            .filter(|it| covers(&it.prefix, path))
            .find_map(|it| it.routes.iter().find(|route| route.fits(asked)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All routes, by path.
    pub(super) fn entries(&self) -> impl Iterator<Item = &RouteEntry> {
        self.0.iter().flat_map(|path| &path.routes)
    }
}

/// A path and those that it begins with, from the longest to the shortest.
fn chain(paths: &[Path], from: Option<usize>) -> impl Iterator<Item = usize> {
    std::iter::successors(from, |place| paths[*place].shorter)
}

fn entry(route: Route) -> RouteEntry {
    RouteEntry {
        prefix: route.path,
        service: route.service,
        conditions: (!route.conditions.is_empty()).then(|| Box::new(route.conditions)),
        rules: (route.rules != Rules::default()).then(|| Box::new(route.rules)),
    }
}

/// Whether a path has a prefix of whole segments.
fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::spread;
    use crate::id::ServiceId;
    use crate::route::HostPattern;
    use http::{HeaderMap, Method};
    use std::cell::Cell;

    /// As routes are defined: of all that cover a path, the longest.
    fn by_definition(routes: &[Route], path: &str) -> Option<ServiceId> {
        let all = routes.iter().filter(|route| covers(&route.path, path));
        // The first of those that are alike.
        let longest = all.rev().max_by_key(|route| route.path.len());
        longest.map(|route| route.service)
    }

    #[test]
    fn it_finds_what_a_walk_over_all_routes_finds() {
        let seed = 20_261_128;
        let rolls = Cell::new(0);
        let next = |below: u64| {
            rolls.set(rolls.get() + 1);
            spread(seed, rolls.get()) % below
        };
        let text = |most: u64| -> String {
            let letters = (0..next(most)).map(|_| ["/", "a", "b", "a/", "/b", "é"][next(6) as usize]);
            std::iter::once("/").chain(letters).collect()
        };
        for round in 0..300 {
            let routes: Vec<_> = (0..round % 60)
                .map(|number| Route::new(HostPattern::Any, text(5), ServiceId(number)))
                .collect();
            let paths = Paths::new(routes.clone());
            for _ in 0..60 {
                let path = text(8);
                let (headers, method) = (HeaderMap::new(), Method::GET);
                let asked = Asked {
                    method: &method,
                    headers: &headers,
                    query: "",
                    certificate: None,
                    trust: None,
                };
                let found = paths.find(&path, &asked).map(RouteEntry::service);
                assert_eq!(
                    found,
                    by_definition(&routes, &path),
                    "{path} among {routes:?}, seed {seed}"
                );
            }
        }
    }
}
