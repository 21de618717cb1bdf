use super::*;
use crate::certificate::ClientCertificate;
use crate::identity::{ClientAddress, ClientHeader};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

fn routes(given: &[(&str, &str, u16)]) -> Routes {
    Routes::new(given.iter().map(|(host, path, service)| {
        let host = HostPattern::parse(host).expect("a host pattern");
        Route::new(host, *path, ServiceId(*service))
    }))
}

#[track_caller]
fn check(routes: &Routes, host: &str, path: &str, expected: Option<u16>) {
    let headers = HeaderMap::new();
    let asked = Asked {
        method: &Method::GET,
        headers: &headers,
        query: "",
        certificate: None,
        trust: None,
    };
    let found = routes.find(host, path, &asked).map(RouteEntry::service);
    assert_eq!(found, expected.map(ServiceId), "{host}{path}");
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

/// Routes of every host for `/`, in the order of the file.
fn with(conditions: Vec<Conditions>) -> Routes {
    Routes::new((0..).zip(conditions).map(|(number, conditions)| Route {
        conditions,
        ..Route::new(HostPattern::Any, "/", ServiceId(number))
    }))
}

fn methods(methods: &[Method]) -> Conditions {
    Conditions {
        methods: methods.into(),
        ..Conditions::default()
    }
}

fn wanted(text: &str) -> Wanted {
    match text {
        "*" => Wanted::Any,
        text => Wanted::Exactly(text.into()),
    }
}

fn headers(given: &[(&'static str, &str)]) -> Conditions {
    let all = given
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), wanted(value)));
    Conditions {
        headers: all.collect(),
        ..Conditions::default()
    }
}

fn query(given: &[(&str, &str)]) -> Conditions {
    let all = given.iter().map(|(name, value)| ((*name).into(), wanted(value)));
    Conditions {
        query: all.collect(),
        ..Conditions::default()
    }
}

/// Which route is found for a request of this method, with these fields and this query.
fn found(routes: &Routes, method: Method, fields: &[(&'static str, &'static str)], query: &str) -> Option<u16> {
    let fields = fields
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let headers: HeaderMap = fields.collect();
    let asked = Asked {
        method: &method,
        headers: &headers,
        query,
        certificate: None,
        trust: None,
    };
    routes.find("h", "/", &asked).map(|route| route.service().0)
}

#[test]
fn the_most_specific_conditions_win_and_then_the_first() {
    let routes = with(vec![
        Conditions::default(),
        query(&[("v", "2")]),
        headers(&[("x-beta", "on")]),
        headers(&[("x-beta", "on"), ("x-user", "*")]),
        methods(&[Method::PUT, Method::POST]),
        headers(&[("x-beta", "*")]),
    ]);
    let beta = ("x-beta", "on");
    assert_eq!(found(&routes, Method::GET, &[], ""), Some(0));
    assert_eq!(found(&routes, Method::GET, &[], "a=1&v=2"), Some(1));
    assert_eq!(found(&routes, Method::GET, &[beta], "v=2"), Some(2));
    assert_eq!(found(&routes, Method::GET, &[beta, ("x-user", "")], "v=2"), Some(3));
    assert_eq!(found(&routes, Method::POST, &[beta, ("x-user", "1")], "v=2"), Some(4));
    assert_eq!(found(&routes, Method::GET, &[("x-beta", "ON")], ""), Some(5));
}

#[test]
fn all_conditions_of_a_route_must_hold() {
    let all = Conditions {
        methods: [Method::GET].into(),
        headers: [(HeaderName::from_static("x-a"), wanted("1"))].into(),
        query: [("q".into(), wanted("a b"))].into(),
        certificate: None,
    };
    let routes = with(vec![all]);
    for query in ["q=a+b", "q=a%20b", "x&q=1&q=a+b", "%71=a+b"] {
        assert_eq!(found(&routes, Method::GET, &[("x-a", "1")], query), Some(0), "{query}");
    }
    for query in ["", "q", "q=a", "Q=a+b", "q=a+b+", "xq=a+b"] {
        assert_eq!(found(&routes, Method::GET, &[("x-a", "1")], query), None, "{query}");
    }
    assert_eq!(found(&routes, Method::HEAD, &[("x-a", "1")], "q=a+b"), None);
    assert_eq!(found(&routes, Method::GET, &[("x-a", "2")], "q=a+b"), None);
    assert_eq!(found(&routes, Method::GET, &[], "q=a+b"), None);
}

#[test]
fn a_route_for_a_certificate_is_for_nobody_else_and_comes_first() {
    let ops = Conditions {
        certificate: Some(WantedCertificate {
            subjects: [wanted("CN=ops")].into(),
            ..WantedCertificate::default()
        }),
        ..Conditions::default()
    };
    let routes = with(vec![Conditions::default(), methods(&[Method::GET]), ops]);
    let headers = HeaderMap::new();
    let found = |subject: Option<&str>| {
        let certificate = subject.map(|subject| ClientCertificate {
            subject: subject.into(),
            ..ClientCertificate::default()
        });
        let asked = Asked {
            method: &Method::GET,
            headers: &headers,
            query: "",
            certificate: certificate.as_ref(),
            trust: None,
        };
        routes.find("h", "/", &asked).map(|route| route.service().0)
    };
    assert_eq!(found(None), Some(1));
    assert_eq!(found(Some("CN=other")), Some(1));
    assert_eq!(found(Some("CN=ops")), Some(2));
}

#[test]
fn a_longer_path_comes_before_conditions() {
    let long = Route::new(HostPattern::Any, "/api", ServiceId(0));
    let short = Route {
        conditions: methods(&[Method::GET]),
        ..Route::new(HostPattern::Any, "/", ServiceId(1))
    };
    check(&Routes::new([short, long]), "h", "/api/x", Some(0));
}

#[test]
fn a_route_whose_conditions_fail_falls_through_to_other_hosts() {
    let host = HostPattern::parse("shop.example.net").expect("a host");
    let narrow = Route {
        conditions: methods(&[Method::POST]),
        ..Route::new(host, "/api", ServiceId(0))
    };
    let wide = Route::new(HostPattern::Any, "/", ServiceId(1));
    check(&Routes::new([narrow, wide]), "shop.example.net", "/api", Some(1));
}

#[test]
fn fields_that_a_peer_must_not_write_are_absent() {
    let routes = with(vec![headers(&[("x-azure-fdid", "*")]), headers(&[("x-beta", "*")])]);
    let policy = ClientAddress {
        header: ClientHeader::AzureSocketIp { front_door_id: None },
        ..ClientAddress::default()
    };
    let mut fields = HeaderMap::new();
    fields.insert("x-azure-fdid", HeaderValue::from_static("1"));
    let found = |fields: &HeaderMap, is_trusted| {
        let asked = Asked {
            method: &Method::GET,
            headers: fields,
            query: "",
            certificate: None,
            trust: Some((&policy, is_trusted)),
        };
        routes.find("h", "/", &asked).map(|route| route.service().0)
    };
    assert_eq!((found(&fields, true), found(&fields, false)), (Some(0), None));
    fields.insert("x-beta", HeaderValue::from_static("1"));
    assert_eq!(found(&fields, false), Some(1), "others may be written by anybody");
}

#[test]
fn prefixes_are_rewritten_in_whole_segments() {
    for (prefix, to, target, expected) in [
        ("/api", "/", "/api", "/"),
        ("/api", "/", "/api/", "/"),
        ("/api", "/", "/api/x?y=/api", "/x?y=/api"),
        ("/api", "/", "/api?x", "/?x"),
        ("/api", "/v2", "/api", "/v2"),
        ("/api", "/v2", "/api?x", "/v2?x"),
        ("/api", "/v2/", "/api/x", "/v2/x"),
        ("/api/", "/v2", "/api/x", "/v2/x"),
        ("/", "/v2", "/", "/v2/"),
        ("/", "/v2", "/x", "/v2/x"),
        ("/", "/", "/x?a", "/x?a"),
        ("/api", "/api/api", "/api/x", "/api/api/x"),
    ] {
        let rules = Rules {
            prefix_rewrite: Some(to.into()),
            ..Rules::default()
        };
        let routes = Routes::new([Route {
            rules,
            ..Route::new(HostPattern::Any, prefix, ServiceId(0))
        }]);
        let path = target.split('?').next().expect("a path");
        let headers = HeaderMap::new();
        let asked = Asked {
            method: &Method::GET,
            headers: &headers,
            query: "",
            certificate: None,
            trust: None,
        };
        let route = routes.find("h", path, &asked).expect("a route");
        assert_eq!(
            route.rewritten(target).as_deref(),
            Some(expected),
            "{prefix} {to} {target}"
        );
    }
}
