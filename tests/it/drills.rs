//! Drills: a region is lost to a share of the clients, and to nobody else.

use http::Method;
use portolan_core::health::State;
use portolan_tests::{Answer, Behaviour, Load, Request, Setup, World, from};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

async fn post(world: &World, path: &str) -> Answer {
    world.admin(Request::new(Method::POST, path)).await
}

async fn begin(world: &World, terms: &str) -> Value {
    let answer = post(world, &format!("/api/v1/drill?lose=westeurope&{terms}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Waits until the drill is so; it goes on with `renew`.
async fn until(world: &World, renew: bool, so: impl Fn(&Value) -> bool) -> Value {
    let looks = async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        loop {
            looks.tick().await;
            let report = match renew {
                true => post(world, "/api/v1/drill/renew").await.json(),
                false => world.admin(Request::get("/api/v1/drill")).await.json(),
            };
            if so(&report) {
                return report;
            }
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), looks).await;
    waited.expect("the drill gets there")
}

fn has_ended(report: &Value) -> bool {
    report["phase"] == "ended"
}

#[tokio::test]
async fn a_drill_loses_no_request_and_reports_what_it_did() {
    let world = World::start();
    world.until_healthy().await;
    let mut load = world.load(&[from::BRITAIN; 4]);
    load.more(100).await;
    begin(
        &world,
        "share=100%25&for=1s&baseline=300ms&abort_if=error_rate%20%3E%201%25&reason=exercise",
    )
    .await;
    let during = until(&world, true, |report| !report["seconds_to_detect"].is_null()).await;
    assert_eq!(during["phase"], "during", "{during}");
    let table = world.app().tables().current();
    let states: Vec<_> = table.health.services()[0]
        .gateways()
        .iter()
        .map(|it| it.state)
        .collect();
    assert_eq!(states, [State::Healthy; 3], "the region itself is as it was");
    let report = until(&world, true, has_ended).await;
    let tally = load.stop().await;
    assert_eq!(report["result"], "completed", "{report}");
    assert!(tally.failures.is_empty(), "{tally:?}");
    assert!(tally.regions.contains_key("eastus2"), "{tally:?}");
    for phase in ["before", "during", "after"] {
        let counts = &report[phase];
        assert!(
            counts["requests"].as_u64() > Some(0) && counts["errors"] == 0,
            "{phase}: {report}"
        );
        assert!(
            counts["p50_ms"].as_f64() <= counts["p99_ms"].as_f64(),
            "{phase}: {report}"
        );
    }
    let [detected, shifted] = ["seconds_to_detect", "seconds_to_shift"].map(|key| report[key].as_f64());
    assert!(detected > Some(0.0) && detected < Some(1.0), "{report}");
    // Where the last request that met the loss had begun before it: at once.
    assert!(shifted >= Some(0.0) && shifted < Some(1.0), "{report}");
    assert!(
        report["during"]["retried"].as_u64() > Some(0),
        "some met the loss: {report}"
    );
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
    let events = world.admin(Request::get("/api/v1/events")).await.json();
    let kinds = |event: &Value| event["kind"].as_str().unwrap_or_default().to_owned();
    let events: Vec<_> = events["events"].as_array().expect("events").iter().map(kinds).collect();
    for (kind, count) in [
        ("drill_began", 1),
        ("drill_ended", 1),
        ("operator_action", 1),
        ("health_changed", 3),
    ] {
        assert_eq!(
            events.iter().filter(|it| *it == kind).count(),
            count,
            "{kind}: {events:?}"
        );
    }
}

#[tokio::test]
async fn only_the_share_takes_part_and_each_client_always_or_never() {
    let world = World::start();
    world.until_healthy().await;
    let clients: Vec<_> = (0..200).map(|network| format!("81.2.{network}.1")).collect();
    let mut homes = BTreeMap::new();
    for client in &clients {
        homes.insert(client, world.region_for(client).await);
    }
    homes.retain(|_, region| region == "westeurope");
    assert!(homes.len() > 100, "{homes:?}");
    begin(&world, "share=50%25&for=10s&baseline=0s").await;
    let mut load = Load::start_with(
        world.proxy(),
        vec![homes.keys().map(|client| Request::get("/").from(client)).collect()],
    );
    load.more(400).await;
    until(&world, true, |report| !report["seconds_to_detect"].is_null()).await;
    assert!(load.stop().await.failures.is_empty());
    let mut moved = 0;
    for client in homes.keys() {
        let regions = [world.region_for(client).await, world.region_for(client).await];
        assert_eq!(regions[0], regions[1], "{client}");
        moved += usize::from(regions[0] != "westeurope");
    }
    let part = moved as f64 / homes.len() as f64;
    assert!((0.3..0.7).contains(&part), "{moved} of {}", homes.len());
    let stopped = post(&world, "/api/v1/drill/stop").await;
    assert_eq!(stopped.status, 200, "{}", stopped.text());
    let report = until(&world, true, has_ended).await;
    assert_eq!(report["result"], "stopped by an operator");
    for client in homes.keys().take(20) {
        assert_eq!(world.region_for(client).await, "westeurope", "{client}");
    }
}

#[tokio::test]
async fn what_would_do_harm_is_refused_with_the_reason() {
    let world = World::start();
    world.until_healthy().await;
    let refused = async |query: &str, status: u16, why: &str| {
        let answer = post(&world, &format!("/api/v1/drill?{query}")).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        assert!(answer.text().contains(why), "{query}: {}", answer.text());
    };
    refused("lose=mars&share=10%25&for=1m", 409, "no service has a region mars").await;
    refused(
        "lose=westeurope&share=10%25&for=1m&min_regions=3",
        409,
        "would have 2 serving regions, and 3 are needed",
    )
    .await;
    refused("lose=westeurope&share=0%25&for=1m", 400, "is not a share").await;
    refused("lose=westeurope&share=10%25", 400, "for, how long is missing").await;
    refused(
        "lose=westeurope&share=10%25&for=1m&abort_if=errors",
        400,
        "is no condition",
    )
    .await;
    assert_eq!(post(&world, "/api/v1/drill/stop").await.status, 409);
    assert_eq!(world.admin(Request::get("/api/v1/drill")).await.status, 404);
    post(&world, "/api/v1/regions/westeurope/drain").await;
    refused("lose=westeurope&share=10%25&for=1m", 409, "westeurope is draining").await;
    post(&world, "/api/v1/regions/westeurope/undrain").await;
    begin(&world, "share=10%25&for=1m&baseline=0s&min_regions=2").await;
    refused(
        "lose=eastus2&share=10%25&for=1m",
        409,
        "a drill of westeurope is running",
    )
    .await;
    // Another region is lost really: fewer are left than are needed.
    until(&world, true, |report| report["phase"] == "during").await;
    world.behave("eastus2", Behaviour::Dead);
    let report = until(&world, true, has_ended).await;
    let result = report["result"].as_str().unwrap_or_default();
    assert!(
        result.starts_with("not safe any more: without westeurope, service shop would have 1"),
        "{result}"
    );
}

#[tokio::test]
async fn a_drill_ends_when_its_condition_is_met() {
    let world = Setup::three_regions()
        .service(
            "health_check: { interval: 100ms, timeout: 100ms }\n\
             outlier_detection: { consecutive_failures: 1000000, failure_percent: 0% }",
        )
        .start();
    world.until_healthy().await;
    for region in ["eastus2", "southeastasia"] {
        world.gateway(region).pass_probes(true);
        world.behave(region, Behaviour::Fail);
    }
    let load = world.load(&[from::BRITAIN; 4]);
    begin(
        &world,
        "share=100%25&for=1m&baseline=100ms&abort_if=error_rate%20%3E%201%25",
    )
    .await;
    let report = until(&world, true, has_ended).await;
    load.stop().await;
    let result = report["result"].as_str().unwrap_or_default();
    assert!(result.starts_with("aborted by error_rate > 1%: it was "), "{report}");
    assert_eq!(report["before"]["errors"], 0, "{report}");
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope", "at once");
}

#[tokio::test]
async fn a_drill_ends_when_nobody_asks_for_it_any_more() {
    let world = World::start();
    world.until_healthy().await;
    begin(&world, "share=100%25&for=10m&baseline=0s").await;
    let report = until(&world, false, has_ended).await;
    assert_eq!(report["result"], "whoever began it has gone");
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
}
