//! The path prefix that gateways see instead of a route's own, and the way back.

/// The path prefix of a route, and what gateways see instead of it. Both begin with `/`; a final slash makes no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixRewrite<'a> {
    /// As clients know it.
    pub from: &'a str,
    /// As gateways know it.
    pub to: &'a str,
}

impl PrefixRewrite<'_> {
    /// The target (path and query) that gateways see instead of this one, which the route is for. `None` when it is shorter than
    /// the prefix.
    pub fn rewritten(self, target: &str) -> Option<String> {
        let (from, to) = (bare(self.from), bare(self.to));
        // Nothing, or something that begins with a slash or with the query.
        let rest = target.get(from.len()..)?;
        let root = if to.is_empty() && !rest.starts_with('/') {
            "/"
        } else {
            ""
        };
        Some([to, root, rest].concat())
    }

    /// The path by which clients know one that a gateway names, perhaps with a query. `None` where it is not below the prefix that
    /// gateways see, and where it may be the clients' path already: the route's own prefix is below that of the gateways, and this
    /// path is below both.
    ///
    /// Never a reference to another host, as a path with two slashes at its beginning would be.
    pub fn restored(self, path: &[u8]) -> Option<Vec<u8>> {
        let (from, to) = (bare(self.from).as_bytes(), bare(self.to).as_bytes());
        let rest = below(to, path)?;
        if below(to, from).is_some() && below(from, path).is_some() {
            return None;
        }
        let root: &[u8] = match from {
            [] if !rest.starts_with(b"/") => b"/",
            _ => b"",
        };
        let restored = [from, root, rest].concat();
        (!matches!(&*restored, [b'/', b'/' | b'\\', ..])).then_some(restored)
    }

    /// The same for the path of a cookie (RFC 6265, section 5.1.4). `None` also where the cookie is sent to the whole route as it
    /// is, such as one for `/`: an application may mean the whole host.
    pub fn restored_cookie(self, path: &[u8]) -> Option<Vec<u8>> {
        let own = path.strip_suffix(b"/").unwrap_or(path);
        match below(own, bare(self.from).as_bytes()) {
            Some(_) => None,
            None => self.restored(path),
        }
    }
}

/// Without a final slash: nothing for the root.
fn bare(prefix: &str) -> &str {
    prefix.strip_suffix('/').unwrap_or(prefix)
}

/// What follows a prefix of whole segments.
fn below<'p>(prefix: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    path.strip_prefix(prefix)
        .filter(|rest| matches!(rest, [] | [b'/' | b'?' | b'#', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(way: (&str, &str), restore: impl Fn(PrefixRewrite<'_>, &[u8]) -> Option<Vec<u8>>, cases: &[(&str, &str)]) {
        let (from, to) = way;
        for (path, expected) in cases {
            let restored = restore(PrefixRewrite { from, to }, path.as_bytes());
            let restored = restored.map(|it| String::from_utf8(it).expect("text"));
            let expected = Some(*expected).filter(|expected| !expected.is_empty());
            assert_eq!(restored.as_deref(), expected, "{path} from {from} to {to}");
        }
    }

    #[test]
    fn a_path_of_gateways_becomes_one_of_clients() {
        let check = |from, to, cases: &[_]| check((from, to), |prefix, path| prefix.restored(path), cases);
        for to in ["/v2", "/v2/"] {
            check(
                "/api",
                to,
                &[
                    ("/v2", "/api"),
                    ("/v2/", "/api/"),
                    ("/v2/a?b=/v2#c", "/api/a?b=/v2#c"),
                    ("/v2?b", "/api?b"),
                    ("/v2x", ""),
                    ("/V2/a", ""),
                    ("/", ""),
                    ("/api/a", ""),
                ],
            );
        }
        check(
            "/api/",
            "/",
            &[("/", "/api/"), ("/a", "/api/a"), ("/api/a", ""), ("/apix", "/api/apix")],
        );
        check(
            "/",
            "/app",
            &[("/app", "/"), ("/app/a", "/a"), ("/app?b", "/?b"), ("/a", "")],
        );
        // Below both prefixes: the longer one tells which it is, unless it is that of the clients.
        check("/api", "/api/v2", &[("/api/v2/a", "/api/a"), ("/api/a", "")]);
        check("/api/v2", "/api", &[("/api/v2/a", ""), ("/api/a", "/api/v2/a")]);
        check("/", "/", &[("/", ""), ("/a", "")]);
    }

    #[test]
    fn no_path_becomes_a_reference_to_another_host() {
        check(
            ("/", "/app"),
            |prefix, path| prefix.restored(path),
            &[
                ("/app//evil.example", ""),
                ("/app/\\evil.example", ""),
                ("/app/a//b", "/a//b"),
            ],
        );
    }

    #[test]
    fn a_cookie_for_the_whole_route_stays() {
        let check = |from, to, cases: &[_]| check((from, to), |prefix, path| prefix.restored_cookie(path), cases);
        check("/api", "/", &[("/", ""), ("/admin", "/api/admin"), ("/api", "")]);
        check(
            "/api",
            "/v2",
            &[("/v2", "/api"), ("/v2/", "/api/"), ("/", ""), ("/v1", "")],
        );
        check(
            "/shop/v2",
            "/shop",
            &[("/shop", ""), ("/shop/", ""), ("/shop/cart", "/shop/v2/cart")],
        );
        check("/", "/app", &[("/app", "/"), ("/app/a", "/a"), ("/", "")]);
    }
}
