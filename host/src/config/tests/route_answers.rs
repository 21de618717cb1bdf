//! Redirects of routes, and changes of fields.

use super::mistakes::{check, messages};
use super::schema::agrees;
use super::{SMALL, settings};
use http::{HeaderMap, Method, StatusCode};
use portolan_core::route::{Asked, RouteEntry};

const ASKED: &str = "path: /, service: shop";

/// What is asked of the route of a small file with these keys.
fn with_route<T>(keys: &str, ask: impl FnOnce(&RouteEntry) -> T) -> T {
    let text = SMALL.replace(ASKED, keys);
    assert!(agrees(&text));
    let settings = settings(&text);
    let asked = Asked {
        method: &Method::GET,
        headers: &HeaderMap::new(),
        query: "",
        certificate: None,
        trust: None,
    };
    ask(settings
        .routing
        .routes()
        .find("a.example", "/old/x", &asked)
        .expect("a route"))
}

#[test]
fn a_route_redirects_instead_of_leading_to_a_service() {
    let keys = "path: /old, redirect: { scheme: https, host: b.example, port: 8443, prefix: /new, status: 308 } }\n  - { service: shop";
    with_route(keys, |route| {
        assert!(route.is_redirect());
        assert_eq!(
            route.redirected("http", "a.example", "/old/x?y"),
            Some((
                StatusCode::PERMANENT_REDIRECT,
                "https://b.example:8443/new/x?y".to_owned()
            ))
        );
    });
    with_route("redirect: { path: /gone } }\n  - { path: /x, service: shop", |route| {
        let expected = (StatusCode::FOUND, "http://a.example/gone".to_owned());
        assert_eq!(route.redirected("http", "a.example", "/old/x"), Some(expected));
    });
}

#[test]
fn mistakes_in_redirects_are_reported() {
    let but = "{ host: \"*\", path: /x, ";
    let from = "{ host: \"*\", path: /, service: shop }";
    let to = |keys: &str| format!("{but}{keys} }}\n  - {{ service: shop }}");
    for (keys, expected) in [
        (
            "redirect: {}",
            "9:38: routes[0].redirect: wanted scheme, host, port, path or prefix: without, clients come back for ever",
        ),
        (
            "redirect: { host: \"*.example\" }",
            "9:46: routes[0].redirect.host: clients are sent to one host, such as shop.example.net",
        ),
        (
            "redirect: { path: /a, prefix: /b }",
            "9:50: routes[0].redirect.prefix: path replaces all of the path: remove one",
        ),
        (
            "redirect: { path: /a, status: 304 }",
            "9:58: routes[0].redirect.status: wanted 301, 302, 303, 307 or 308",
        ),
        (
            "redirect: { path: \"a?b\" }",
            "9:46: routes[0].redirect.path: wanted a path that begins with /, without query, got \"a?b\"",
        ),
        (
            "service: shop, redirect: { path: /a }",
            "9:28: routes[0].service: has no effect beside redirect: remove one",
        ),
        (
            "redirect: { path: /a }, response_headers: { remove: server }",
            "9:52: routes[0].response_headers: has no effect beside redirect: remove one",
        ),
    ] {
        assert_eq!(messages(&SMALL.replacen(from, &to(keys), 1)), [expected], "{keys}");
    }
    check(&[(", service: shop", "", &["9:5: routes[0]: service is missing"])]);
}

#[test]
fn fields_are_set_added_and_removed() {
    let keys = "service: shop, request_headers: { set: { X-Env: prod }, remove: [X-Debug, Cookie] }, response_headers: { add: { vary: origin } }";
    with_route(keys, |route| {
        let request = route.request_headers().expect("changes");
        assert_eq!((request.set.len(), request.add.len(), request.remove.len()), (1, 0, 2));
        assert_eq!(request.set[0].0, "x-env");
        assert_eq!(route.response_headers().expect("changes").add[0].1, "origin");
    });
}

#[test]
fn fields_that_are_not_a_routes_to_change_are_mistakes() {
    let with = |keys: &str| messages(&SMALL.replace("service: shop }", &format!("service: shop, {keys} }}")));
    for name in [
        "Host",
        "Content-Length",
        "transfer-encoding",
        "Transfer_Encoding",
        "Connection",
        "TE",
        "Upgrade",
        "Via",
        "Expect",
        "Forwarded",
        "X-Forwarded-For",
        "X_Forwarded_For",
        "X-Real-IP",
        "X-Azure-FDID",
        "X-Portolan-Region",
        "traceparent",
        "X-Request-Id",
        "Proxy",
        "Sec-WebSocket-Key",
    ] {
        for keys in [
            format!("request_headers: {{ set: {{ {name}: x }} }}"),
            format!("request_headers: {{ add: {{ {name}: x }} }}"),
            format!("request_headers: {{ remove: {name} }}"),
        ] {
            let messages = with(&keys);
            assert!(
                messages.len() == 1 && messages[0].contains("cannot be changed: "),
                "{keys}: {messages:?}"
            );
        }
    }
    for name in ["content-length", "connection", "trailer", "via", "x-portolan-reason"] {
        let messages = with(&format!("response_headers: {{ remove: [{name}] }}"));
        assert!(
            messages.len() == 1 && messages[0].contains("cannot be changed: "),
            "{name}: {messages:?}"
        );
    }
    for (keys, expected) in [
        ("request_headers: {}", "wanted set, add, remove, or several of them"),
        (
            "request_headers: { set: { \":authority\": x } }",
            "\":authority\" is not the name of a field",
        ),
        (
            "request_headers: { set: { a: x }, remove: A }",
            "a is in set, add or remove already",
        ),
        (
            "request_headers: { set: { a: \"x\\ny\" } }",
            "a value is visible ASCII with blanks only inside, got \"x\\ny\"",
        ),
        (
            "request_headers: { set: { a: \" x\" } }",
            "a value is visible ASCII with blanks only inside, got \" x\"",
        ),
        (
            "response_headers: { set: [a] }",
            "wanted a mapping from names to values, got a list",
        ),
    ] {
        let messages = with(keys);
        assert!(
            messages.len() == 1 && messages[0].ends_with(expected),
            "{keys}: {messages:?}"
        );
    }
}
