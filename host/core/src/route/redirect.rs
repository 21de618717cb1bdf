//! Redirects that a route answers with, instead of leading to a service.

use super::{PrefixRewrite, bare_host};
use http::StatusCode;

/// A redirect: what differs in the URL that the client is sent to. What is `None` stays as the client requested it, and the query stays
/// always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<&'static str>,
    /// The host, without port.
    pub host: Option<Box<str>>,
    /// The port. `None`: with another scheme the default one, else the client's.
    pub port: Option<u16>,
    /// The path.
    pub path: Option<RedirectPath>,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// The path of a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectPath {
    /// This one.
    Whole(Box<str>),
    /// The client's, with this instead of the route's prefix.
    Prefix(Box<str>),
}

impl Redirect {
    /// Where a request is sent that was made with this scheme, to this authority (a host, perhaps with a port), for this path and query
    /// below the route's prefix. `None` where nobody has named a host.
    pub fn location(&self, prefix: &str, scheme: &str, authority: &str, target: &str) -> Option<String> {
        let host = bare_host(authority);
        let port = authority
            .get(host.len()..)
            .and_then(|rest| rest.rsplit(':').next()?.parse().ok());
        let port = match (self.port, self.scheme) {
            (None, None) => port,
            // The client's port is that of the client's scheme.
            (None, Some(other)) => port.filter(|_| other == scheme),
            (port, _) => port,
        };
        let scheme = self.scheme.unwrap_or(scheme);
        let host = self.host.as_deref().unwrap_or(host);
        if host.is_empty() {
            return None;
        }
        let target = match &self.path {
            None => target.to_owned(),
            Some(RedirectPath::Whole(path)) => match target.split_once('?') {
                Some((_, query)) => format!("{path}?{query}"),
                None => path.to_string(),
            },
            Some(RedirectPath::Prefix(to)) => PrefixRewrite { from: prefix, to }.rewritten(target)?,
        };
        let default = if scheme == "https" { 443 } else { 80 };
        Some(match port.filter(|port| *port != default) {
            Some(port) => format!("{scheme}://{host}:{port}{target}"),
            None => format!("{scheme}://{host}{target}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(scheme: Option<&'static str>, host: Option<&str>, port: Option<u16>, path: Option<RedirectPath>) -> Redirect {
        Redirect {
            scheme,
            host: host.map(Into::into),
            port,
            path,
            status: StatusCode::FOUND,
        }
    }

    #[test]
    fn what_is_not_replaced_stays() {
        let whole = |path: &str| Some(RedirectPath::Whole(path.into()));
        let prefix = |path: &str| Some(RedirectPath::Prefix(path.into()));
        for (redirect, authority, target, expected) in [
            (
                to(Some("https"), None, None, None),
                "a.example",
                "/x?y=1",
                "https://a.example/x?y=1",
            ),
            // Not with the port of the other scheme.
            (
                to(Some("https"), None, None, None),
                "a.example:8080",
                "/",
                "https://a.example/",
            ),
            (
                to(Some("https"), None, Some(8443), None),
                "a.example:8080",
                "/",
                "https://a.example:8443/",
            ),
            (
                to(Some("http"), None, None, None),
                "a.example:8080",
                "/",
                "http://a.example:8080/",
            ),
            (
                to(None, Some("b.example"), None, None),
                "a.example:8080",
                "/",
                "http://b.example:8080/",
            ),
            (
                to(None, Some("b.example"), Some(80), None),
                "a.example:8080",
                "/",
                "http://b.example/",
            ),
            (
                to(None, None, None, whole("/new")),
                "a.example",
                "/old/x?q",
                "http://a.example/new?q",
            ),
            (
                to(None, None, None, whole("/new")),
                "a.example",
                "/old/x",
                "http://a.example/new",
            ),
            (
                to(None, None, None, prefix("/v2")),
                "a.example",
                "/old/x?q",
                "http://a.example/v2/x?q",
            ),
            (
                to(None, None, None, prefix("/")),
                "a.example",
                "/old",
                "http://a.example/",
            ),
            (
                to(None, None, None, prefix("/")),
                "[2001:db8::1]:81",
                "/old?q",
                "http://[2001:db8::1]:81/?q",
            ),
            (
                to(None, Some("b.example"), None, None),
                "",
                "//c.example",
                "http://b.example//c.example",
            ),
        ] {
            assert_eq!(
                redirect.location("/old", "http", authority, target).as_deref(),
                Some(expected),
                "{redirect:?} {authority} {target}"
            );
        }
        let nowhere = to(Some("https"), None, None, None);
        assert_eq!(nowhere.location("/", "http", "", "//b.example"), None);
    }
}
