//! Regions drained by operators, and graceful shutdown.

use portolan_core::health::State;
use portolan_tests::{Behaviour, Request, World, from};

#[tokio::test]
async fn a_drained_region_gets_no_new_requests() {
    let world = World::start();
    world.until_healthy().await;
    let answer = world
        .admin(Request::new(http::Method::POST, "/api/v1/regions/westeurope/drain"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    world.until_state("westeurope", State::Draining).await;
    let answer = world.send(Request::get("/").from(from::BRITAIN)).await;
    assert_eq!(answer.region(), "eastus2");
    assert!(
        answer.header("x-portolan-reason").contains("not westeurope=draining"),
        "{:?}",
        answer.headers
    );
    let answer = world
        .admin(Request::new(http::Method::POST, "/api/v1/regions/westeurope/undrain"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    world.until_state("westeurope", State::Healthy).await;
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
}

#[tokio::test]
async fn a_request_begun_before_the_end_is_answered() {
    let world = World::start();
    world.until_healthy().await;
    world.behave("westeurope", Behaviour::Slow);
    let (answer, ()) = tokio::join!(world.send(Request::get("/").from(from::BRITAIN)), async {
        world.until_in_flight("westeurope", 1).await;
        world.app().begin_drain();
    });
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(
        world.try_send(&Request::get("/")).await.is_err(),
        "no listener accepts any more"
    );
}
