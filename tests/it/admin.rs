//! The administration interface.

use http::Method;
use portolan_tests::{Behaviour, Request, Setup, World, from};

#[tokio::test]
async fn liveness_readiness_and_metrics_are_served() {
    let world = World::start();
    world.until_healthy().await;
    for _ in 0..5 {
        world.send(Request::get("/").from(from::BRITAIN)).await;
    }
    assert_eq!(world.admin(Request::get("/livez")).await.status, 200);
    assert_eq!(world.admin(Request::get("/readyz")).await.status, 200);
    let metrics = world.admin(Request::get("/metrics")).await.text();
    let line = metrics
        .lines()
        .find(|line| {
            line.starts_with("portolan_upstream_attempts_total{")
                && line.contains("westeurope")
                && line.contains("success")
        })
        .unwrap_or_else(|| panic!("no attempts are counted:\n{metrics}"));
    assert!(line.ends_with(" 5"), "{line}");
}

#[tokio::test]
async fn an_explanation_is_the_decision_of_the_request() {
    let world = World::start();
    world.until_healthy().await;
    world.behave("westeurope", Behaviour::Dead);
    world
        .until_state("westeurope", portolan_core::health::State::Unhealthy)
        .await;
    let answer = world
        .admin(Request::get(&format!(
            "/api/v1/explain?ip={}&host=shop.example.net&path=/",
            from::BRITAIN
        )))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    for part in ["westeurope", "eastus2", "southeastasia", "unhealthy", "GB"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    let sent = world.send(Request::get("/").from(from::BRITAIN)).await;
    assert!(
        text.contains(sent.header("x-portolan-reason")),
        "{text}\n{:?}",
        sent.headers
    );
}

#[tokio::test]
async fn the_configuration_of_plugins_is_not_shown() {
    let world = Setup::three_regions()
        .service("policy: { plugin: canary }")
        .with("plugins: { canary: { source: \"embedded:canary\", config: { region: eastus2, percent: 61 } } }")
        .start();
    let shown = world.admin(Request::get("/api/v1/config")).await.json();
    assert_eq!(
        shown["plugins"]["canary"],
        serde_json::json!({ "source": "embedded:canary", "config": { "region": "[redacted]", "percent": "[redacted]" } })
    );
}

#[tokio::test]
async fn cross_site_requests_are_rejected() {
    let world = World::start();
    let order = Request::new(Method::POST, "/api/v1/regions/westeurope/drain").header("origin", "http://evil.example");
    assert_eq!(world.admin(order).await.status, 403);
    let unknown = Request::new(Method::POST, "/api/v1/regions/atlantis/drain");
    assert_eq!(world.admin(unknown).await.status, 404);
    assert_eq!(
        world
            .admin(Request::get("/api/v1/regions/westeurope/drain"))
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn the_dashboard_needs_nothing_from_outside() {
    let world = World::start();
    let page = world.admin(Request::get("/")).await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type").starts_with("text/html"),
        "{:?}",
        page.headers
    );
    let text = page.text();
    assert!(
        text.contains("https://db-ip.com"),
        "the licence of the data asks for a link"
    );
    for outside in ["src=\"http", "href=\"http://", "@import", "url(http"] {
        assert!(!text.contains(outside), "{outside}");
    }
}
