//! What routes answer themselves, and what they change: redirects, fields of requests and responses.

use portolan_tests::{Request, Setup, World};

const CHANGES: &str = "request_headers: { set: { X-Env: prod }, add: { X-Tag: edge }, remove: [X-Debug, X-Gone] }, \
                       response_headers: { set: { X-Frame-Options: DENY }, add: { X-Tag: ours }, remove: x-request-id }";

fn world() -> World {
    let routes = format!(
        "- {{ path: /changed, service: shop, {CHANGES} }}\n\
         - {{ path: /denied, service: shop, access: {{ deny: [0.0.0.0/0] }}, response_headers: {{ set: {{ X-Frame-Options: DENY }} }} }}\n\
         - {{ path: /old, redirect: {{ prefix: /new, status: 308 }} }}\n\
         - {{ path: /secure, redirect: {{ scheme: https, host: shop.example }} }}"
    );
    let listeners =
        "- { address: 127.0.0.1:0, client_address: { trusted_proxies: [127.0.0.1/32], header: x-forwarded-for } }";
    Setup::three_regions().listeners(listeners).routes(&routes).start()
}

#[tokio::test]
async fn fields_of_requests_and_responses_are_changed() {
    let world = world();
    let ask = |path: &str| {
        let request = Request::get(path).header("x-env", "test").header("x-env", "other");
        request
            .header("x-tag", "client")
            .header("x-debug", "1")
            .header("x-other", "kept")
    };
    let answer = world.send(ask("/changed")).await;
    assert_eq!(answer.status, 200);
    let text = answer.text();
    for (name, expected) in [
        ("x-env", "prod"),
        ("x-tag", "client, edge"),
        ("x-debug", ""),
        ("x-other", "kept"),
    ] {
        assert_eq!(answer.seen(name), expected, "{name}: {text}");
    }
    assert_eq!(answer.header("x-frame-options"), "DENY");

    let plain = world.send(ask("/")).await;
    assert_eq!(plain.seen("x-debug"), "1", "{}", plain.text());
    assert_eq!(plain.header("x-frame-options"), "");
    // Portolan's own answers to requests of the route have them as well.
    let denied = world.send(Request::get("/denied")).await;
    assert_eq!(
        (denied.status.as_u16(), denied.header("x-frame-options")),
        (403, "DENY")
    );
}

#[tokio::test]
async fn a_route_redirects_and_is_counted() {
    let world = world();
    let answer = world
        .send(Request::get("/old/x?y=1").header("host", "a.example:8080"))
        .await;
    assert_eq!(answer.status, 308);
    assert_eq!(answer.header("location"), "http://a.example:8080/new/x?y=1");
    assert_eq!(answer.header("content-length"), "0");
    // As the client made the request, if a trusted proxy says how.
    let proxied = Request::get("/old")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "b.example");
    assert_eq!(world.send(proxied).await.header("location"), "https://b.example/new");
    let answer = world
        .send(Request::get("/secure/?q").header("host", "a.example:8080"))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (302, "https://shop.example/secure/?q")
    );

    let page = world.admin(Request::get("/metrics")).await.text();
    let counted = page
        .lines()
        .filter(|line| line.contains("outcome=\"route_redirect\"") && !line.ends_with(" 0"));
    assert!(
        counted.clone().count() == 1 && counted.clone().all(|line| line.ends_with(" 3")),
        "{:?}",
        counted.collect::<Vec<_>>()
    );
    let explained = world
        .admin(Request::get(
            "/api/v1/explain?ip=81.2.69.142&host=a.example&path=/old/x",
        ))
        .await;
    assert!(
        explained
            .text()
            .contains("redirects with 308 to http://a.example/new/x"),
        "{}",
        explained.text()
    );
}
