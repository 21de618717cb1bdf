//! The faults of the failover tests, with gateways of HTTP/2.

use portolan_core::health::State;
use portolan_tests::{Behaviour, Setup, World, from};

const CLIENTS: [&str; 8] = [from::BRITAIN; 8];

const SERVICE: &str = "health_check: { path: /healthz, interval: 100ms, timeout: 100ms }\nupstream: { protocol: h2 }";

fn world(more: &str) -> World {
    Setup::three_regions().service(&format!("{SERVICE}\n{more}")).start()
}

/// Breaks the region that gets the traffic, under load. No request may be lost.
async fn check_no_get_is_lost(behaviour: Behaviour, more: &str) {
    let world = world(more);
    world.until_healthy().await;
    let mut load = world.load(&CLIENTS);
    load.more(500).await;
    let counts = world.vitals("westeurope").http2.counts();
    assert!(counts.streams.1 >= 400 && counts.connections.1 <= 4, "{counts:?}");
    world.behave("westeurope", behaviour);
    world.until_state("westeurope", State::Unhealthy).await;
    load.more(500).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{behaviour:?}: {tally:?}");
    assert!(tally.regions.contains_key("eastus2"), "{behaviour:?}: {tally:?}");
}

#[tokio::test]
async fn a_dead_region_loses_no_get() {
    check_no_get_is_lost(Behaviour::Dead, "").await;
}

#[tokio::test]
async fn a_region_that_drops_connections_loses_no_get() {
    check_no_get_is_lost(Behaviour::Drop, "").await;
}

#[tokio::test]
async fn a_region_that_resets_connections_loses_no_get() {
    check_no_get_is_lost(Behaviour::Reset, "").await;
}

#[tokio::test]
async fn a_region_that_drops_packets_loses_no_get() {
    check_no_get_is_lost(Behaviour::Swallow, "").await;
}

#[tokio::test]
async fn a_region_that_shuts_down_gracefully_loses_no_get() {
    check_no_get_is_lost(Behaviour::Stop, "").await;
}

#[tokio::test]
async fn a_region_that_never_answers_some_requests_loses_no_get() {
    check_no_get_is_lost(Behaviour::Lose, "").await;
}

#[tokio::test]
async fn a_region_that_answers_503_loses_no_get() {
    check_no_get_is_lost(Behaviour::Fail, "").await;
}

#[tokio::test]
async fn a_hanging_region_loses_no_get() {
    check_no_get_is_lost(Behaviour::Hang, "").await;
}

/// Held back until it is whole, a response that is cut is answered by another region.
#[tokio::test]
async fn a_region_that_cuts_answers_loses_none_that_are_held_back() {
    check_no_get_is_lost(Behaviour::Cut, "retry: { hold_back_body: 64KiB }").await;
}

#[tokio::test]
async fn a_region_that_cuts_answers_is_ejected_and_cut_answers_look_cut() {
    let world = world("");
    world.until_healthy().await;
    let mut load = world.load(&CLIENTS);
    load.more(500).await;
    world.behave("westeurope", Behaviour::Cut);
    world.until_state("westeurope", State::Unhealthy).await;
    load.more(500).await;
    let tally = load.stop().await;
    assert!(!tally.failures.is_empty(), "{tally:?}");
    assert!(tally.regions.contains_key("eastus2"), "{tally:?}");
    assert!(
        !tally.regions.contains_key(""),
        "an incomplete answer looked complete: {tally:?}"
    );
}
