//! Failover as clients see it: no lost requests, where that is possible.

use portolan_core::health::State;
use portolan_core::id::Slot;
use portolan_core::slots::Slots;
use portolan_tests::{Behaviour, Request, Setup, World, from};
use std::time::{Duration, Instant};

const CLIENTS: [&str; 8] = [from::BRITAIN; 8];

/// Breaks the region that gets the traffic, under load. No request may be lost.
async fn check_no_get_is_lost(behaviour: Behaviour) {
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
    check_no_get_is_lost(Behaviour::Dead).await;
}

#[tokio::test]
async fn a_region_that_drops_connections_loses_no_get() {
    check_no_get_is_lost(Behaviour::Drop).await;
}

#[tokio::test]
async fn a_region_that_resets_connections_loses_no_get() {
    check_no_get_is_lost(Behaviour::Reset).await;
}

#[tokio::test]
async fn a_region_that_drops_packets_loses_no_get() {
    check_no_get_is_lost(Behaviour::Swallow).await;
}

#[tokio::test]
async fn a_region_that_shuts_down_gracefully_loses_no_get() {
    check_no_get_is_lost(Behaviour::Stop).await;
}

#[tokio::test]
async fn a_region_that_never_answers_some_requests_loses_no_get() {
    check_no_get_is_lost(Behaviour::Lose).await;
}

#[tokio::test]
async fn a_region_that_answers_503_loses_no_get() {
    check_no_get_is_lost(Behaviour::Fail).await;
}

#[tokio::test]
async fn a_region_that_sometimes_answers_503_loses_no_get() {
    check_no_get_is_lost(Behaviour::Flaky).await;
}

#[tokio::test]
async fn a_hanging_region_loses_no_get() {
    check_no_get_is_lost(Behaviour::Hang).await;
}

#[tokio::test]
async fn a_region_that_cuts_answers_is_ejected_and_cut_answers_look_cut() {
    let world = World::start();
    world.until_healthy().await;
    let mut load = world.load(&CLIENTS);
    load.more(500).await;
    world.behave("westeurope", Behaviour::Cut);
    world.until_state("westeurope", State::Unhealthy).await;
    load.more(500).await;
    let tally = load.stop().await;
    // A cut answer fails at the client: in its body, or before its head was flushed.
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
        "an incomplete answer looked complete: {tally:?}"
    );
}

#[tokio::test]
async fn two_dead_regions_of_three_lose_no_get() {
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
async fn outlier_detection_ejects_regions_whose_probes_pass() {
    for behaviour in [Behaviour::Fail, Behaviour::Hang, Behaviour::Reset] {
        let world = World::start();
        world.until_healthy().await;
        world.gateway("westeurope").pass_probes(true);
        let mut load = world.load(&CLIENTS);
        load.more(500).await;
        world.behave("westeurope", behaviour);
        world.until_state("westeurope", State::Unhealthy).await;
        load.more(500).await;
        let tally = load.stop().await;
        assert!(tally.failures.is_empty(), "{behaviour:?}: {tally:?}");
    }
}

/// One client's large cookie took the closest region from all clients.
#[tokio::test]
async fn a_request_that_every_region_hangs_up_on_takes_no_region_from_others() {
    // A pause of this machine moves nothing: no probe times out, and nothing is hedged.
    let world = Setup::regions(&["westeurope", "eastus2"])
        .service("health_check: { path: /healthz, interval: 100ms, timeout: 10s }\nretry: { hedge_after: off }")
        .start();
    world.until_healthy().await;
    for region in ["westeurope", "eastus2"] {
        world.behave(region, Behaviour::SmallHeads);
    }
    let mut load = world.load(&CLIENTS);
    load.more(200).await;
    let large = Request::get("/")
        .from(from::BRITAIN)
        .header("cookie", &"c".repeat(5_000));
    for _ in 0..100 {
        assert_eq!(world.send(large.clone()).await.status, 502);
        load.more(10).await;
        let table = world.app().tables().current();
        assert!(table.health.services()[0].unhealthy().is_empty(), "{:?}", table.health);
    }
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{tally:?}");
    assert_eq!(tally.regions.keys().collect::<Vec<_>>(), ["westeurope"], "{tally:?}");
}

/// A healthy region stood by while requests got 503, because it was ejected for an earlier fault.
#[tokio::test]
async fn an_ejected_region_whose_probes_pass_answers_when_all_others_are_down() {
    let world = World::start();
    world.until_healthy().await;
    world.gateway("westeurope").pass_probes(true);
    let mut load = world.load(&CLIENTS);
    load.more(200).await;
    world.behave("westeurope", Behaviour::Fail);
    world.until_state("westeurope", State::Unhealthy).await;
    world.behave("westeurope", Behaviour::Serve);
    world
        .until("westeurope is the last resort", |table| {
            table.health.services()[0].last_resort() == Slots::only(Slot(0))
        })
        .await;
    // Requests that run were decided by an earlier table.
    load.more(200).await;
    world.behave("eastus2", Behaviour::Dead);
    world.behave("southeastasia", Behaviour::Dead);
    load.more(500).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{tally:?}");
    let table = world.app().tables().current();
    assert!(!table.health.services()[0].unhealthy().contains(Slot(0)), "it is back");
}

/// A region that failed was never ejected, because another one that was well again still was.
#[tokio::test]
async fn at_the_ejection_ceiling_the_region_that_fails_now_is_out() {
    let world = World::start();
    world.until_healthy().await;
    let mut load = world.load(&CLIENTS);
    for region in ["westeurope", "eastus2"] {
        world.gateway(region).pass_probes(true);
        load.more(200).await;
        world.behave(region, Behaviour::Flaky);
        world.until_state(region, State::Unhealthy).await;
        world.behave(region, Behaviour::Serve);
        world
            .until("its probes pass", |table| {
                !table.health.services()[0].last_resort().is_empty()
            })
            .await;
    }
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{tally:?}");
    let table = world.app().tables().current();
    assert_eq!(table.health.services()[0].unhealthy(), Slots::only(Slot(1)));
}

/// A request is hedged in one region after the other while earlier attempts have not answered.
#[tokio::test]
async fn a_get_is_hedged_past_two_hanging_regions() {
    let service = "health_check: off\nretry: { per_try_timeout: 15s, hedge_after: 20ms }";
    let world = Setup::three_regions().service(service).start();
    world.behave("westeurope", Behaviour::Hang);
    world.behave("eastus2", Behaviour::Hang);
    let begun = Instant::now();
    let answer = world.send(Request::get("/").from(from::BRITAIN)).await;
    assert_eq!(answer.region(), "southeastasia", "{}", answer.text());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// When the second attempt fails, the next region is tried at once, while the first attempt goes on.
#[tokio::test]
async fn a_get_is_hedged_past_a_hanging_and_a_dead_region() {
    let service = "health_check: off\nretry: { per_try_timeout: 15s, hedge_after: 100ms }";
    let world = Setup::three_regions().service(service).start();
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
async fn requests_to_unresponsive_regions_fail_within_a_second() {
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
    // The gateway may have processed it: the client must not blindly retry.
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

/// Slower than the next region, but healthy.
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
async fn a_slow_region_is_ejected_for_its_latency_and_the_cause_is_shown() {
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
async fn a_changed_retry_budget_applies_without_a_restart() {
    let world = World::start();
    let terms = |table: &portolan::table::RoutingTable| table.services[0].budget.terms();
    assert_eq!(terms(&world.app().tables().current()).percent, 20);
    world.reconfigure(|text| text.replace("  shop:\n", "  shop:\n    retry: { budget: { percent: 35 } }\n"));
    world
        .until("35 % may be extra", |table| terms(table).percent == 35)
        .await;
}

#[tokio::test]
async fn a_recovered_region_returns_in_slow_start() {
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

/// With a slow start of an hour, it gets a tenth of its requests for minutes.
#[tokio::test]
async fn a_region_in_slow_start_gets_its_share_with_and_without_a_plugin() {
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
async fn with_all_regions_down_requests_get_503_until_one_recovers() {
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
    // Panic mode tries it before its probes pass.
    assert_eq!(world.region_for(from::BRITAIN).await, "southeastasia");
}

#[tokio::test]
async fn a_post_is_not_retried_after_it_was_sent() {
    let world = World::start();
    world.until_healthy().await;
    world.behave("westeurope", Behaviour::Drop);
    let before = posts(&world);
    let answer = world.send(Request::post("/order", "one").from(from::BRITAIN)).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(posts(&world) - before, 1);
}

#[tokio::test]
async fn a_post_to_a_dead_region_is_retried_with_its_whole_body() {
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
