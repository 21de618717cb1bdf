//! Keeps web pages from using the administration through the browser of an operator.
//!
//! A page on another site can make a browser send requests here. Two ways are closed: a request whose `Origin` or
//! `Sec-Fetch-Site` shows that another site caused it (cross-site request forgery), and one whose `Host` is a name that an
//! attacker could point at this address (DNS rebinding). Programs send neither header and are not affected.

use super::access::Access;
use http::{HeaderMap, Method, header};
use std::net::IpAddr;
use thiserror::Error;

/// Why a request is rejected.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum Rejection {
    /// Another site caused it.
    #[error("requests that change something must not come from another site")]
    CrossSite,
    /// The host is a name that an attacker could point here.
    #[error("host {0:?} is not allowed here: use an IP address or localhost, or list the name in admin.hosts")]
    ForeignName(String),
    /// There is more than one host, or it is not text.
    #[error("the request has no single Host")]
    NoHost,
}

/// Whether a request may be answered.
///
/// # Errors
/// When a web page of another site could be behind it.
pub(super) fn check(method: &Method, headers: &HeaderMap, access: &Access) -> Result<(), Rejection> {
    let host = single(headers, header::HOST.as_str())?;
    let by_browser = headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site");
    let changes = !method.is_safe();
    if let Some(host) = host
        && (!access.any_host_reads() || changes && by_browser)
        && !is_own(host)
        && !access.knows(portolan_core::route::bare_host(host))
    {
        return Err(Rejection::ForeignName(host.to_owned()));
    }
    if changes && by_browser && !same_site(headers, host) {
        return Err(Rejection::CrossSite);
    }
    Ok(())
}

fn same_site(headers: &HeaderMap, host: Option<&str>) -> bool {
    let fetch_site = single(headers, "sec-fetch-site").ok().flatten();
    let caused_here = matches!(fetch_site, None | Some("same-origin" | "none"));
    let origin = match single(headers, header::ORIGIN.as_str()) {
        Ok(Some(origin)) => origin.split_once("://").map(|(_, authority)| authority),
        Ok(None) => host,
        Err(_) => None,
    };
    caused_here && origin.is_some() && origin == host
}

/// An address, or a name that always means this machine (RFC 6761, section 6.3).
fn is_own(host: &str) -> bool {
    let name = portolan_core::route::bare_host(host);
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    bare.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost") || below_localhost(name)
}

fn below_localhost(name: &str) -> bool {
    let suffix = ".localhost";
    name.len()
        .checked_sub(suffix.len())
        .and_then(|at| name.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Rejection> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Rejection::NoHost),
        (Some(_), Some(_)) => Err(Rejection::NoHost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[track_caller]
    fn check_all(loopback: bool, method: &Method, headers: &[(&'static str, &'static str)], allowed: bool) {
        let address = if loopback { "127.0.0.1:9900" } else { "10.0.0.1:9900" };
        check_by(&Access::whole(address.parse().unwrap(), &[]), method, headers, allowed);
    }

    #[track_caller]
    fn check_by(access: &Access, method: &Method, headers: &[(&'static str, &'static str)], allowed: bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let result = check(method, &map, access);
        assert_eq!(result.is_ok(), allowed, "{method} {headers:?} {access:?}: {result:?}");
    }

    #[test]
    fn programs_may_ask_and_order() {
        for method in [Method::GET, Method::POST] {
            check_all(true, &method, &[], true);
            check_all(true, &method, &[("host", "127.0.0.1:9900")], true);
            check_all(true, &method, &[("host", "localhost:9900")], true);
            check_all(true, &method, &[("host", "[::1]:9900")], true);
            check_all(false, &method, &[("host", "portolan-admin.edge.svc:9900")], true);
        }
    }

    #[test]
    fn the_dashboard_may_order() {
        for host in ["127.0.0.1:9900", "LOCALHOST:9900", "edge.localhost:9900", "[::1]:9900"] {
            let origin: &'static str = format!("http://{host}").leak();
            let headers = [("host", host), ("origin", origin), ("sec-fetch-site", "same-origin")];
            check_all(true, &Method::POST, &headers, true);
            check_all(true, &Method::POST, &headers[..2], true);
        }
    }

    #[test]
    fn another_site_may_not_order() {
        let here = ("host", "127.0.0.1:9900");
        for origin in [
            "http://evil.example",
            "null",
            "",
            "http://127.0.0.1:9900.evil.example",
            "http://127.0.0.1:80",
        ] {
            check_all(true, &Method::POST, &[here, ("origin", origin)], false);
            check_all(false, &Method::POST, &[here, ("origin", origin)], false);
        }
        for site in ["cross-site", "same-site"] {
            check_all(true, &Method::POST, &[here, ("sec-fetch-site", site)], false);
        }
        let twice = [
            here,
            ("origin", "http://127.0.0.1:9900"),
            ("origin", "http://evil.example"),
        ];
        check_all(true, &Method::POST, &twice, false);
    }

    #[test]
    fn a_name_pointed_here_is_not_answered() {
        for host in [
            "evil.example:9900",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evillocalhost",
            "",
        ] {
            check_all(true, &Method::GET, &[("host", host)], false);
        }
        // Elsewhere names are usual; a browser that orders is the one thing that needs an address.
        let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
        check_all(false, &Method::GET, &rebound, true);
        check_all(false, &Method::POST, &rebound, false);
        check_all(
            true,
            &Method::GET,
            &[("host", "127.0.0.1"), ("host", "127.0.0.1")],
            false,
        );
    }

    #[test]
    fn configured_names_are_answered_and_only_those() {
        let hosts = ["portolan.example.net".into()];
        let elsewhere = "10.0.0.1:9900".parse().unwrap();
        for access in [Access::probes(&hosts), Access::whole(elsewhere, &hosts)] {
            for (host, allowed) in [
                ("portolan.example.net:9901", true),
                ("Portolan.Example.NET", true),
                ("10.1.2.3:9901", true),
                ("localhost", true),
                ("evil.example", false),
                ("portolan.example.net.evil.example", false),
            ] {
                check_by(&access, &Method::GET, &[("host", host)], allowed);
            }
        }
        check_by(
            &Access::probes(&[]),
            &Method::GET,
            &[("host", "portolan.example.net")],
            false,
        );
        let order = [
            ("host", "portolan.example.net"),
            ("origin", "https://portolan.example.net"),
            ("sec-fetch-site", "same-origin"),
        ];
        check_by(&Access::whole(elsewhere, &hosts), &Method::POST, &order, true);
    }
}
