//! The administration interface.

use http::Method;
use portolan::control::status::Kind;
use portolan_core::health::State;
use portolan_tests::{Behaviour, Request, Setup, World, from};
use std::time::Duration;

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

/// Asks until the answer is as wanted.
async fn until(world: &World, path: &str, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    for _ in 0..400 {
        let answer = world.admin(Request::get(path)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        if wanted(&answer.json()) {
            return answer.json();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!(
        "{path} never was as wanted: {}",
        world.admin(Request::get(path)).await.text()
    );
}

fn kinds(list: &serde_json::Value, of: &str) -> Vec<String> {
    let items = list[of].as_array().expect("a list");
    items
        .iter()
        .map(|item| item["kind"].as_str().expect("a kind").to_owned())
        .collect()
}

#[tokio::test]
async fn what_needs_attention_comes_and_goes_with_its_cause() {
    let world = World::start();
    world.until_healthy().await;
    let path = "/api/v1/attention";
    let listed = |kind: &'static str| move |list: &serde_json::Value| kinds(list, "items").iter().any(|it| it == kind);
    let attention = world.admin(Request::get(path)).await.json();
    assert!(kinds(&attention, "items").is_empty(), "{attention}");
    world.behave("westeurope", Behaviour::Dead);
    let attention = until(&world, path, listed("region_unhealthy")).await;
    assert_eq!(attention["items"][0]["subject"], "shop/westeurope", "{attention}");
    world.reconfigure(|text| text.replace("routes:", "rutes:"));
    world.until_rejected(Kind::Config).await;
    let attention = until(&world, path, listed("config_rejected")).await;
    let texts: Vec<_> = attention["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["text"].to_string())
        .collect();
    assert!(texts.iter().any(|text| text.contains("rutes")), "{texts:?}");
    world.reconfigure(|text| text.replace("rutes:", "routes:"));
    world.behave("westeurope", Behaviour::Serve);
    until(&world, path, |list| kinds(list, "items").is_empty()).await;
    let events = world.admin(Request::get("/api/v1/events")).await.json();
    let kinds = kinds(&events, "events");
    for kind in ["health_changed", "config_rejected", "config_accepted"] {
        assert!(kinds.iter().any(|it| it == kind), "{kind}: {events}");
    }
}

#[tokio::test]
async fn panic_mode_has_a_beginning_and_an_end() {
    let world = World::start();
    world.until_healthy().await;
    for region in ["westeurope", "eastus2", "southeastasia"] {
        world.behave(region, Behaviour::Dead);
    }
    let happened =
        |kind: &'static str| move |list: &serde_json::Value| kinds(list, "events").iter().any(|it| it == kind);
    until(&world, "/api/v1/events", happened("panic_began")).await;
    world.behave("eastus2", Behaviour::Serve);
    until(&world, "/api/v1/events", happened("panic_ended")).await;
}

#[tokio::test]
async fn a_region_says_why_it_is_out_and_when_it_is_probed_next() {
    let world = World::start();
    world.until_healthy().await;
    world.behave("westeurope", Behaviour::Dead);
    world.until_state("westeurope", State::Unhealthy).await;
    let of_west = |list: &serde_json::Value| list["services"][0]["regions"][0].clone();
    let probed = |list: &serde_json::Value| of_west(list)["next_probe_seconds"].is_number();
    let west = of_west(&until(&world, "/api/v1/regions", probed).await);
    assert_eq!(
        (&west["region"], &west["state"]),
        (&"westeurope".into(), &"unhealthy".into())
    );
    assert!(
        west["why"]["detail"].is_string() && west["why"]["for_seconds"].is_number(),
        "{west}"
    );
    let drain = Request::new(Method::POST, "/api/v1/regions/eastus2/drain");
    assert_eq!(world.admin(drain).await.status, 200);
    let events = world.admin(Request::get("/api/v1/events")).await.json();
    let drained = events["events"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|it| it["kind"] == "region_drained");
    let drained = drained.expect("the drain is an event");
    assert_eq!(
        (&drained["subject"], &drained["author"]),
        (&"eastus2".into(), &"127.0.0.1".into())
    );
}

#[tokio::test]
async fn traffic_and_the_last_hour_are_of_requests_that_were_sent() {
    let world = World::start();
    world.until_healthy().await;
    // A worker takes a sample with the first request after a pause: the last ones may wait for the next.
    let mut sent = 0;
    let traffic = loop {
        world.send(Request::get("/").from(from::BRITAIN)).await;
        sent += 1;
        let traffic = world.admin(Request::get("/api/v1/traffic")).await.json();
        if traffic["requests"].as_u64() >= Some(4) {
            break traffic;
        }
        assert!(sent < 100_000, "{traffic}");
    };
    let cells = traffic["cells"].as_array().expect("a list");
    assert_eq!(cells.len(), 1, "{traffic}");
    let latitude = cells[0][0].as_f64().expect("degrees");
    assert!((49.0..=60.0).contains(&latitude), "{traffic}");
    assert_eq!(traffic["regions"][0]["requests"], traffic["requests"], "{traffic}");
    // The first interval ends after ten seconds.
    let sampled = |list: &serde_json::Value| list["latest"].as_u64() >= Some(1);
    let history = until(&world, "/api/v1/history", sampled).await;
    let service = &history["services"][0];
    assert_eq!(service["requests"][0], sent, "{history}");
    assert_eq!(service["regions"][0]["requests"][0], sent, "{history}");
    assert!(service["decide_ms"]["p99"][0].as_f64() > Some(0.0), "{history}");
}
