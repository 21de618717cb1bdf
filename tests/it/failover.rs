//! What clients notice of a region that fails: nothing, where that is possible.

use portolan_core::health::State;
use portolan_core::id::Slot;
use portolan_tests::{Behaviour, Request, Setup, World, from};
use std::time::{Duration, Instant};

const CLIENTS: [&str; 8] = [from::BRITAIN; 8];

/// Breaks the region that carries the traffic while it is under load. Nothing may be lost.
async fn check_nothing_is_lost(behaviour: Behaviour) {
    let world = World::start();
    world.until_healthy().await;
    let mut load = world.load(&CLIENTS);
    load.more(500).await;
    world.behave("westeurope", behaviour);
    world.until_state("westeurope", State::Unhealthy).await;
    load.more(500).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{tally:?}");
    assert!(
        tally.regions.len() == 2 && tally.regions.contains_key("eastus2"),
        "{tally:?}"
    );
}

#[tokio::test]
async fn a_dead_region_loses_no_get() {
    check_nothing_is_lost(Behaviour::Dead).await;
}

#[tokio::test]
async fn a_region_that_drops_connections_loses_no_get() {
    check_nothing_is_lost(Behaviour::Drop).await;
}

#[tokio::test]
async fn a_region_that_resets_connections_loses_no_get() {
    check_nothing_is_lost(Behaviour::Reset).await;
}

#[tokio::test]
async fn a_region_that_swallows_packets_loses_no_get() {
    check_nothing_is_lost(Behaviour::Swallow).await;
}

#[tokio::test]
async fn a_region_that_stops_in_good_order_loses_no_get() {
    check_nothing_is_lost(Behaviour::Stop).await;
}

#[tokio::test]
async fn a_region_that_never_answers_some_requests_loses_no_get() {
    check_nothing_is_lost(Behaviour::Lose).await;
}

#[tokio::test]
async fn a_failing_region_loses_no_get() {
    check_nothing_is_lost(Behaviour::Fail).await;
}

#[tokio::test]
async fn a_flaky_region_loses_no_get() {
    check_nothing_is_lost(Behaviour::Flaky).await;
}

#[tokio::test]
async fn a_hanging_region_loses_no_get() {
    check_nothing_is_lost(Behaviour::Hang).await;
}

#[tokio::test]
async fn a_region_that_cuts_answers_is_left_and_never_shown_as_whole() {
    let world = World::start();
    world.until_healthy().await;
    let mut load = world.load(&CLIENTS);
    load.more(500).await;
    world.behave("westeurope", Behaviour::Cut);
    world.until_state("westeurope", State::Unhealthy).await;
    load.more(500).await;
    let tally = load.stop().await;
    // A cut answer fails at the client, visibly: in its body, or before its head was flushed.
    assert!(
        !tally.failures.is_empty()
            && tally
                .failures
                .keys()
                .all(|what| ["body:", "ready:", "send:"].iter().any(|part| what.starts_with(part))),
        "{tally:?}"
    );
    assert!(tally.regions.contains_key("eastus2"), "{tally:?}");
    assert!(
        !tally.regions.contains_key(""),
        "a half answer was taken for whole: {tally:?}"
    );
}

#[tokio::test]
async fn two_of_three_regions_may_die() {
    let world = World::start();
    world.until_healthy().await;
    let mut load = world.load(&CLIENTS);
    load.more(200).await;
    world.behave("westeurope", Behaviour::Dead);
    world.behave("eastus2", Behaviour::Dead);
    world.until_state("eastus2", State::Unhealthy).await;
    load.more(200).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{tally:?}");
    assert!(tally.regions.contains_key("southeastasia"), "{tally:?}");
}

#[tokio::test]
async fn faults_that_probes_do_not_see_are_found_by_traffic() {
    for behaviour in [Behaviour::Fail, Behaviour::Hang, Behaviour::Reset] {
        let world = World::start();
        world.until_healthy().await;
        world.gateway("westeurope").spare_probes(true);
        let mut load = world.load(&CLIENTS);
        load.more(500).await;
        world.behave("westeurope", behaviour);
        world.until_state("westeurope", State::Unhealthy).await;
        load.more(500).await;
        let tally = load.stop().await;
        assert!(tally.failures.is_empty(), "{behaviour:?}: {tally:?}");
    }
}

/// A request may try one region after the other while those before have not answered.
#[tokio::test]
async fn no_get_waits_for_two_regions_that_hang() {
    let patient = "health_check: off\nretry: { per_try_timeout: 15s, hedge_after: 20ms }";
    let world = Setup::three_regions().service(patient).start();
    world.behave("westeurope", Behaviour::Hang);
    world.behave("eastus2", Behaviour::Hang);
    let begun = Instant::now();
    let answer = world.send(Request::get("/").from(from::BRITAIN)).await;
    assert_eq!(answer.region(), "southeastasia", "{}", answer.text());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// When the second attempt fails, the next region is tried at once, while the first attempt goes on.
#[tokio::test]
async fn no_get_waits_for_one_region_that_hangs_when_the_next_one_is_dead() {
    let patient = "health_check: off\nretry: { per_try_timeout: 15s, hedge_after: 100ms }";
    let world = Setup::three_regions().service(patient).start();
    world.behave("westeurope", Behaviour::Hang);
    world.behave("eastus2", Behaviour::Dead);
    let answer = world.send(Request::get("/").from(from::BRITAIN)).await;
    assert_eq!(answer.region(), "southeastasia", "{}", answer.text());
}

#[tokio::test]
async fn a_post_is_not_hedged() {
    let service = "health_check: off\nretry: { per_try_timeout: 300ms, hedge_after: 20ms }";
    let world = Setup::three_regions().service(service).start();
    world.behave("westeurope", Behaviour::Hang);
    let answer = world.send(Request::post("/order", "one").from(from::BRITAIN)).await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert_eq!(posts(&world), 1);
}

#[tokio::test]
async fn unresponsive_regions_are_not_waited_for() {
    let world = World::start();
    world.until_healthy().await;
    for region in ["westeurope", "eastus2", "southeastasia"] {
        world.behave(region, Behaviour::Hang);
    }
    world
        .until("all regions are unresponsive", |table| {
            table.health.services()[0].unresponsive().len() == 3
        })
        .await;
    // The time for a request is 15 s.
    let begun = Instant::now();
    let answer = world.send(Request::get("/").from(from::BRITAIN)).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_ne!(answer.header("retry-after"), "", "{:?}", answer.headers);
    // It may have been carried out: it must not simply be sent again.
    let answer = world.send(Request::post("/order", "one").from(from::BRITAIN)).await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    world.behave("southeastasia", Behaviour::Serve);
    world
        .until("a region answers again", |table| {
            table.health.services()[0].unresponsive().len() < 3
        })
        .await;
    assert_eq!(world.region_for(from::BRITAIN).await, "southeastasia");
}

/// Half a second slower than the next region, and well otherwise.
#[tokio::test]
async fn a_few_slow_answers_do_not_eject_a_region() {
    let world = Setup::three_regions()
        .service("health_check: off\nretry: { hedge_after: 50ms }")
        .start();
    world.behave("westeurope", Behaviour::Slow);
    for _ in 0..8 {
        let answer = world.send(Request::get("/").from(from::BRITAIN)).await;
        assert_eq!((answer.status.as_u16(), answer.region().as_str()), (200, "eastus2"));
    }
    let overtaken = [0, 0, 0, 0, 0, 0, 8, 0];
    world.until_observed("westeurope", overtaken).await;
    let table = world.app().tables().current();
    assert_ne!(table.health.services()[0].gateway(Slot(0)).state, State::Unhealthy);
}

#[tokio::test]
async fn a_slow_region_is_ejected_for_its_latency_and_everybody_can_see_why() {
    let world = Setup::three_regions()
        .service("health_check: off\nretry: { hedge_after: 50ms, budget: { percent: 100 } }")
        .start();
    let mut load = world.load(&CLIENTS);
    load.more(100).await;
    world.behave("westeurope", Behaviour::Slow);
    world.until_state("westeurope", State::Unhealthy).await;
    load.more(100).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{tally:?}");
    let regions = world.admin(Request::get("/api/v1/regions")).await.json();
    let why = &regions["services"][0]["regions"][0]["why"];
    assert_eq!(why["cause"], "latency", "{regions}");
    assert!(
        why["ejected_for_seconds"]
            .as_f64()
            .is_some_and(|left| left > 0.0 && left <= 30.0),
        "{why}"
    );
    assert!(why["since"].as_f64() <= why["ejected_until"].as_f64(), "{why}");
    let metrics = world.admin(Request::get("/metrics")).await.text();
    for line in [
        r#"portolan_gateway_unhealthy{service="shop",region="westeurope",cause="latency"} 1"#,
        r#"portolan_ejections_total{service="shop",region="westeurope",cause="latency"} 1"#,
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn errors_and_probes_are_counted_by_kind() {
    let world = World::start();
    world.until_healthy().await;
    world.behave("westeurope", Behaviour::Dead);
    assert_eq!(world.region_for(from::BRITAIN).await, "eastus2");
    world.until_state("westeurope", State::Unhealthy).await;
    let count = async |line: &str| {
        let metrics = world.admin(Request::get("/metrics")).await.text();
        let value = metrics.lines().find_map(|it| it.strip_prefix(line)).map(str::to_owned);
        value
            .and_then(|value| value.trim().parse::<f64>().ok())
            .unwrap_or_else(|| panic!("{line}\n{metrics}"))
    };
    let west = r#"service="shop",region="westeurope""#;
    assert!(
        count(&format!(
            r#"portolan_upstream_errors_total{{{west},kind="connect_refused"}}"#
        ))
        .await
            > 0.0
    );
    assert!(count(&format!(r#"portolan_probes_total{{{west},result="passed"}}"#)).await > 0.0);
    assert!(count(&format!(r#"portolan_probes_total{{{west},result="refused"}}"#)).await > 0.0);
}

#[tokio::test]
async fn other_terms_of_the_retry_budget_apply_without_a_restart() {
    let world = World::start();
    let terms = |table: &portolan::table::RoutingTable| table.services[0].budget.terms();
    assert_eq!(terms(&world.app().tables().current()).percent, 20);
    world.reconfigure(|text| text.replace("  shop:\n", "  shop:\n    retry: { budget: { percent: 35 } }\n"));
    world
        .until("35 % may be extra", |table| terms(table).percent == 35)
        .await;
}

#[tokio::test]
async fn a_healed_region_comes_back_in_slow_start() {
    let world = Setup::three_regions()
        .service("health_check: { path: /healthz, interval: 50ms, timeout: 50ms }\nslow_start: 2s")
        .start();
    world.until_healthy().await;
    world.behave("westeurope", Behaviour::Dead);
    world.until_state("westeurope", State::Unhealthy).await;
    assert_eq!(world.region_for(from::BRITAIN).await, "eastus2");
    world.behave("westeurope", Behaviour::Serve);
    world.until_state("westeurope", State::Warming).await;
    world.until_state("westeurope", State::Healthy).await;
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
}

/// With an hour to come back in, it gets a tenth of its requests for minutes.
#[tokio::test]
async fn a_region_in_slow_start_gets_its_share_whoever_orders() {
    let plugin = "policy: { plugin: routing }\n";
    for (policy, section) in [
        ("", ""),
        (
            plugin,
            "plugins: { routing: { source: \"embedded:nearest\", deadline: 200ms } }",
        ),
    ] {
        let world = Setup::three_regions()
            .service(&format!(
                "{policy}health_check: {{ path: /healthz, interval: 50ms, timeout: 50ms }}\nslow_start: 1h"
            ))
            .with(section)
            .start();
        world.until_healthy().await;
        world.behave("westeurope", Behaviour::Dead);
        world.until_state("westeurope", State::Unhealthy).await;
        world.behave("westeurope", Behaviour::Serve);
        world.until_state("westeurope", State::Warming).await;
        let mut held_back = 0;
        for _ in 0..60 {
            let answer = world.send(Request::get("/").from(from::BRITAIN)).await;
            let reason = answer.header("x-portolan-reason");
            let is_held_back = answer.region() == "eastus2";
            assert_eq!(reason.contains("later westeurope=warming"), is_held_back, "{reason}");
            held_back += usize::from(is_held_back);
        }
        // Fewer would come once in 10^14 runs.
        assert!(held_back >= 30, "{policy} {held_back} of 60");
    }
}

#[tokio::test]
async fn everything_down_says_so_and_comes_back() {
    let world = World::start();
    world.until_healthy().await;
    for region in ["westeurope", "eastus2", "southeastasia"] {
        world.behave(region, Behaviour::Dead);
    }
    let answer = world.send(Request::get("/").from(from::BRITAIN)).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_ne!(answer.header("retry-after"), "", "{:?}", answer.headers);
    for region in ["westeurope", "eastus2", "southeastasia"] {
        world.until_state(region, State::Unhealthy).await;
    }
    world.behave("southeastasia", Behaviour::Serve);
    // Panic mode: it is tried before its probes pass.
    assert_eq!(world.region_for(from::BRITAIN).await, "southeastasia");
}

#[tokio::test]
async fn a_post_is_never_carried_out_twice() {
    let world = World::start();
    world.until_healthy().await;
    world.behave("westeurope", Behaviour::Drop);
    let before = posts(&world);
    let answer = world.send(Request::post("/order", "one").from(from::BRITAIN)).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(posts(&world) - before, 1);
}

#[tokio::test]
async fn a_post_to_a_dead_region_goes_elsewhere_whole() {
    let world = World::start();
    world.until_healthy().await;
    world.behave("westeurope", Behaviour::Dead);
    let body = vec![b'x'; 40_000];
    let answer = world.send(Request::post("/order", body).from(from::BRITAIN)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.region().as_str()),
        (200, "eastus2"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.json()["body_bytes"], 40_000);
}

/// `POST`s that reached any region.
fn posts(world: &World) -> u64 {
    ["westeurope", "eastus2", "southeastasia"]
        .iter()
        .map(|region| world.gateway(region).posts())
        .sum()
}
