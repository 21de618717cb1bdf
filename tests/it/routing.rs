//! Which region a request goes to when all regions are healthy.

use portolan_core::id::ServiceId;
use portolan_tests::{Request, Setup, World, from};

#[tokio::test]
async fn every_client_reaches_the_closest_region() {
    let world = World::start();
    world.until_healthy().await;
    for (client, region) in [
        (from::BRITAIN, "westeurope"),
        (from::AMERICA, "eastus2"),
        (from::SINGAPORE, "southeastasia"),
    ] {
        let answer = world.send(Request::get("/").from(client)).await;
        assert_eq!(answer.region(), region, "{client}");
        assert_eq!(answer.header("x-portolan-region"), region);
        assert!(
            answer.header("x-portolan-reason").starts_with("latency; client="),
            "{:?}",
            answer.headers
        );
    }
}

#[tokio::test]
async fn a_client_without_a_place_gets_the_fallback() {
    let world = Setup::three_regions().with("here: southeastasia").start();
    let answer = world.send(Request::get("/").from(from::NOWHERE)).await;
    assert_eq!(answer.region(), "southeastasia");
    assert!(
        answer.header("x-portolan-reason").contains("client=nowhere"),
        "{:?}",
        answer.headers
    );
}

#[tokio::test]
async fn a_lower_priority_number_comes_first_wherever_the_client_is() {
    let world = Setup::three_regions()
        .region("westeurope", "priority: 1")
        .region("southeastasia", "priority: 1")
        .start();
    assert_eq!(world.region_for(from::BRITAIN).await, "eastus2");
    assert_eq!(world.region_for(from::SINGAPORE).await, "eastus2");
}

#[tokio::test]
async fn residency_keeps_clients_in_their_regions() {
    let world = Setup::three_regions()
        .service("residency:\n  - { countries: [GB], regions: [southeastasia] }\n  - { countries: [SG], regions: [] }")
        .start();
    let answer = world.send(Request::get("/").from(from::BRITAIN)).await;
    assert_eq!(answer.region(), "southeastasia");
    assert!(
        answer.header("x-portolan-reason").contains("not westeurope=residency"),
        "{:?}",
        answer.headers
    );
    let answer = world.send(Request::get("/").from(from::SINGAPORE)).await;
    assert_eq!(answer.status, 451, "{}", answer.text());
    assert_eq!(world.region_for(from::AMERICA).await, "eastus2");
}

#[tokio::test]
async fn weights_share_the_traffic() {
    let world = Setup::three_regions()
        .service("policy: weighted")
        .region("westeurope", "weight: 3")
        .region("eastus2", "weight: 1")
        .region("southeastasia", "weight: 0")
        .start();
    let mut load = world.load(&[from::BRITAIN; 4]);
    load.more(2_000).await;
    let tally = load.stop().await;
    assert_eq!(tally.failures.len(), 0, "{tally:?}");
    let share = tally.regions["westeurope"] as f64 / tally.answers() as f64;
    assert!((share - 0.75).abs() < 0.05, "{tally:?}");
    assert!(!tally.regions.contains_key("southeastasia"), "{tally:?}");
}

#[tokio::test]
async fn a_host_without_a_route_is_not_found() {
    let setup = Setup::three_regions();
    let world = setup.start();
    world.reconfigure(|text| text.replace("host: \"*\"", "host: shop.example.net"));
    let generation = world.app().tables().current().generation;
    world
        .until("the routes are reloaded", |table| {
            table.generation > generation && table.config().routes().hosts(ServiceId(0)).count() == 1
        })
        .await;
    assert_eq!(
        world
            .send(Request::get("/").header("host", "other.example.net"))
            .await
            .status,
        404
    );
    assert_eq!(
        world.send(Request::get("/").from(from::BRITAIN)).await.region(),
        "westeurope"
    );
}

#[tokio::test]
async fn a_full_region_passes_requests_on() {
    let world = Setup::three_regions().region("westeurope", "max_requests: 1").start();
    world.until_healthy().await;
    world.behave("westeurope", portolan_tests::Behaviour::Hang);
    let (hanging, behind) = tokio::join!(
        async { world.send(Request::get("/first").from(from::BRITAIN)).await },
        async {
            world.until_in_flight("westeurope", 1).await;
            let answer = world.send(Request::get("/second").from(from::BRITAIN)).await;
            world.behave("westeurope", portolan_tests::Behaviour::Serve);
            answer
        }
    );
    assert_ne!(behind.region(), "westeurope", "{:?}", behind.headers);
    assert_eq!(hanging.status, 200);
}
