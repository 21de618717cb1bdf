//! Who may use a route, and which requests a route is for.

use http::{Method, StatusCode};
use portolan_tests::{Answer, Request, Setup, World, fixture, from};

/// A world whose routes are these, before the one for everything.
fn begun(setup: Setup, routes: &str) -> World {
    let first = "routes:\n  - { host: \"*\", path: /, service: shop }\n";
    let config = setup.config();
    assert!(config.contains(first), "{config}");
    let routes = format!("routes:\n{routes}  - {{ host: \"*\", path: /, service: shop }}\n");
    let config = config.replace(first, &routes);
    std::fs::write(setup.folder().join("portolan.yaml"), config).expect("written");
    setup.try_start().unwrap_or_else(|error| panic!("{error}"))
}

/// The same with healthy regions, a database of autonomous systems and an access log.
async fn world(routes: &str) -> World {
    let setup = Setup::three_regions()
        .with("geo: { asn_database: asn.mmdb }")
        .file("asn.mmdb", fixture("maxmind/test-data/GeoLite2-ASN-Test.mmdb"))
        .logging();
    let world = begun(setup, routes);
    world.until_healthy().await;
    world
}

async fn asked(world: &World, path: &str, client: &str) -> StatusCode {
    world.send(Request::get(path).from(client)).await.status
}

/// How often requests were rejected for a reason.
async fn rejected(world: &World, reason: &str) -> u64 {
    let metrics = world.admin(Request::get("/metrics")).await.text();
    let name = format!("portolan_rejected_requests_total{{reason=\"{reason}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("{reason}: {metrics}"))
}

/// In the fixture this address belongs to AS1221.
const AS1221: &str = "1.128.0.1";

#[tokio::test]
async fn clients_are_denied_by_network_country_and_system() {
    let world = world(
        "  - { path: /net, service: shop, access: { deny: [10.0.0.0/8, \"2001:db8::/32\"] } }\n  \
           - { path: /land, service: shop, access: { deny: [GB, unknown] } }\n  \
           - { path: /as, service: shop, access: { deny: [AS1221] } }\n  \
           - { path: /only, service: shop, access: { deny: [203.116.0.2], allow: [SG, 10.1.2.3] } }\n",
    )
    .await;
    for (path, client, reason) in [
        ("/net", from::NOWHERE, "denied_network"),
        ("/net", "2001:db8::1", "denied_network"),
        ("/net", from::BRITAIN, ""),
        ("/land", from::BRITAIN, "denied_country"),
        ("/land", from::NOWHERE, "denied_country"),
        ("/land", from::SINGAPORE, ""),
        ("/as", AS1221, "denied_asn"),
        ("/as", from::BRITAIN, ""),
        ("/only", from::SINGAPORE, ""),
        ("/only", from::NOWHERE, ""),
        ("/only", "203.116.0.2", "denied_network"),
        ("/only", from::BRITAIN, "not_allowed"),
        ("/", from::BRITAIN, ""),
    ] {
        let before = if reason.is_empty() {
            0
        } else {
            rejected(&world, reason).await
        };
        let status = asked(&world, path, client).await;
        if reason.is_empty() {
            assert_eq!(status, StatusCode::OK, "{path} {client}");
        } else {
            assert_eq!(status, StatusCode::FORBIDDEN, "{path} {client}");
            assert_eq!(rejected(&world, reason).await, before + 1, "{path} {client}");
        }
    }
}

#[tokio::test]
async fn a_denied_request_is_logged_with_its_reason_and_counted_for_its_service() {
    let world = world("  - { path: /land, service: shop, access: { deny: [GB] } }\n").await;
    let answer = world.send(Request::get("/land").from(from::BRITAIN)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let problem = answer.json();
    assert_eq!(problem["detail"], "this client has no access", "{problem}");
    let line = world.until_logged(1).await.remove(0);
    let expected = serde_json::json!({ "status": 403, "outcome": "denied", "error": "denied_country", "service": "shop",
                                       "client": from::BRITAIN, "country": "GB" });
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(line[key], *value, "{line}");
    }
    let metrics = world.admin(Request::get("/metrics")).await.text();
    let counted = "portolan_requests_total{service=\"shop\",region=\"\",outcome=\"denied\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    // No region was tried.
    assert!(line["attempts"].as_array().is_some_and(Vec::is_empty), "{line}");
}

#[tokio::test]
async fn explain_shows_who_is_denied_and_what_gateways_see() {
    let world =
        world("  - { path: /api, query: { v: \"2\" }, service: shop, prefix_rewrite: /, access: { deny: [GB] } }\n")
            .await;
    let explain = async |ip: &str| {
        let path = format!("/api/v1/explain?ip={ip}&host=a&path=/api/x%3Fv%3D2");
        world.admin(Request::get(&path)).await.json()
    };
    let denied = explain(from::BRITAIN).await;
    assert_eq!(
        (&denied["denied"], &denied["rewritten"]),
        (&"denied_country".into(), &"/x?v=2".into())
    );
    assert_eq!(explain(from::SINGAPORE).await["denied"], serde_json::Value::Null);
}

/// The region hangs, and there is no other for this client's request to be tried in.
#[tokio::test]
async fn a_route_may_have_times_and_retries_of_its_own() {
    let routes = "  - { path: /fast, service: shop, timeouts: { request: 50ms } }\n  \
                  - { path: /once, service: shop, retry: { attempts: 1, hedge_after: off } }\n";
    // Nothing but these requests shows the regions' health.
    let world = begun(Setup::three_regions().service("health_check: off"), routes);
    world.behave("westeurope", portolan_tests::Behaviour::Reset);
    let once = asked(&world, "/once", from::BRITAIN).await;
    assert_eq!(once, StatusCode::BAD_GATEWAY);
    assert_eq!(asked(&world, "/", from::BRITAIN).await, StatusCode::OK);
    for region in ["westeurope", "eastus2", "southeastasia"] {
        world.behave(region, portolan_tests::Behaviour::Hang);
    }
    assert_eq!(asked(&world, "/fast", from::BRITAIN).await, StatusCode::GATEWAY_TIMEOUT);
}

fn path(answer: &Answer) -> String {
    answer.json()["path"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn routes_match_by_method_field_and_query() {
    // Each rewrites to a path that shows which route it was.
    let world = world(
        "  - { methods: [POST, DELETE], service: shop, prefix_rewrite: /methods }\n  \
           - { headers: { x-beta: \"on\" }, service: shop, prefix_rewrite: /headers }\n  \
           - { query: { v: \"2\" }, service: shop, prefix_rewrite: /query }\n  \
           - { headers: { x-real-ip: \"*\" }, service: shop, prefix_rewrite: /untrusted }\n",
    )
    .await;
    let request = |method: Method, path: &str| Request::new(method, path).from(from::BRITAIN);
    for (request, expected) in [
        (request(Method::GET, "/a?v=1"), "/a?v=1"),
        (request(Method::GET, "/a?b=1&v=2"), "/query/a?b=1&v=2"),
        (request(Method::GET, "/a?v=2").header("x-beta", "on"), "/headers/a?v=2"),
        (request(Method::GET, "/a").header("X-Beta", "off"), "/a"),
        (request(Method::DELETE, "/a").header("x-beta", "on"), "/methods/a"),
        // It is not among those that the listener lets proxies write.
        (request(Method::GET, "/a").header("x-real-ip", "1.2.3.4"), "/a"),
    ] {
        let answer = world.send(request).await;
        assert_eq!(path(&answer), expected, "{}", answer.text());
    }
}

#[tokio::test]
async fn gateways_see_the_rewritten_path_also_when_a_request_is_retried() {
    let world = world("  - { path: /api, service: shop, prefix_rewrite: /v2/ }\n").await;
    world.behave("westeurope", portolan_tests::Behaviour::Reset);
    for (asked, expected) in [
        ("/api", "/v2"),
        ("/api/", "/v2/"),
        ("/api/x?y=/api", "/v2/x?y=/api"),
        ("/apix", "/apix"),
    ] {
        let answer = world.send(Request::get(asked).from(from::BRITAIN)).await;
        assert_eq!(path(&answer), expected, "{}", answer.text());
        assert_ne!(answer.region(), "westeurope");
    }
}
