//! Session affinity, as clients see it.

use portolan_core::health::State;
use portolan_tests::{Answer, Behaviour, Request, Setup, World, from};
use std::fs;

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const NEXT: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

const BOTH: [&str; 2] = ["westeurope", "eastus2"];

fn world(affinity: &str) -> World {
    let setup = Setup::regions(&BOTH).service(&format!("affinity: {affinity}\nslow_start: 0s"));
    setup
        .with("affinity_keys: affinity.keys")
        .file("affinity.keys", KEY)
        .start()
}

/// The cookie that a response gives, as a client returns it.
fn given(answer: &Answer) -> Option<String> {
    let mut cookies = answer.headers.get_all("set-cookie").iter();
    let cookie = cookies.next().map(|cookie| cookie.to_str().expect("text").to_owned());
    assert!(cookies.next().is_none(), "{:?}", answer.headers);
    Some(cookie?.split_once(';').expect("attributes").0.to_owned())
}

async fn with(world: &World, cookie: &str, address: &str) -> Answer {
    world
        .send(Request::get("/").from(address).header("cookie", cookie))
        .await
}

async fn order(world: &World, path: &str) {
    let answer = world.admin(Request::new(http::Method::POST, path)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_route_that_removes_cookies_of_gateways_keeps_the_one_of_the_session() {
    let routes =
        "- { path: /shop, service: shop, response_headers: { remove: set-cookie, set: { X-Frame-Options: DENY } } }";
    let setup = Setup::regions(&BOTH).service("affinity: { cookie: {} }").routes(routes);
    let setup = setup.with("affinity_keys: affinity.keys").file("affinity.keys", KEY);
    let world = setup.start();
    let answer = world.send(Request::get("/shop")).await;
    assert_eq!(answer.header("x-frame-options"), "DENY");
    assert!(given(&answer).is_some(), "{:?}", answer.headers);
}

#[tokio::test]
async fn a_session_stays_in_its_region_wherever_its_client_goes() {
    let world = world("{ cookie: { max_age: 1h } }");
    world.until_healthy().await;
    let first = world.send(Request::get("/").from(from::BRITAIN)).await;
    assert_eq!(first.region(), "westeurope");
    let attributes = first.header("set-cookie").split_once(';').expect("attributes").1;
    assert_eq!(attributes, " Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
    let cookie = given(&first).expect("a cookie");
    // From the other side of the ocean; nobody is told again.
    let answer = with(&world, &cookie, from::AMERICA).await;
    assert_eq!((answer.region().as_str(), given(&answer)), ("westeurope", None));
    assert!(
        answer.header("x-portolan-reason").contains("session=kept"),
        "{:?}",
        answer.headers
    );
    // A forged one is as none.
    let forged = format!("{}A", &cookie[..cookie.len() - 1]);
    let forged = if forged == cookie {
        format!("{}E", &cookie[..cookie.len() - 1])
    } else {
        forged
    };
    let answer = with(&world, &forged, from::AMERICA).await;
    assert_eq!(answer.region(), "eastus2");
    assert_ne!(given(&answer), Some(cookie));
    let metrics = world.admin(Request::get("/metrics")).await.text();
    for (session, count) in [("kept", 1), ("moved", 0), ("begun", 2)] {
        let sample = format!("portolan_affinity_requests_total{{service=\"shop\",session=\"{session}\"}} {count}");
        assert!(metrics.contains(&sample), "{sample}: {metrics}");
    }
}

#[tokio::test]
async fn a_session_comes_back_with_its_region_unless_it_is_sticky() {
    for (affinity, returns) in [("{ cookie: {} }", true), ("{ cookie: {}, failover: sticky }", false)] {
        let world = world(affinity);
        world.until_healthy().await;
        let cookie = given(&world.send(Request::get("/").from(from::BRITAIN)).await).expect("a cookie");
        world.behave("westeurope", Behaviour::Dead);
        world.until_state("westeurope", State::Unhealthy).await;
        let answer = with(&world, &cookie, from::BRITAIN).await;
        assert_eq!(answer.region(), "eastus2");
        assert!(
            answer.header("x-portolan-reason").contains("session=moved"),
            "{:?}",
            answer.headers
        );
        let moved = given(&answer);
        assert_eq!(moved.is_none(), returns, "{affinity}");
        world.behave("westeurope", Behaviour::Serve);
        world.until_state("westeurope", State::Healthy).await;
        let cookie = moved.unwrap_or(cookie);
        let region = with(&world, &cookie, from::BRITAIN).await.region();
        assert_eq!(region, if returns { "westeurope" } else { "eastus2" }, "{affinity}");
    }
}

/// A drain lasts: whoever it moves stays, and is told so once.
#[tokio::test]
async fn a_drain_moves_sessions_for_good() {
    let world = world("{ cookie: {} }");
    world.until_healthy().await;
    let cookie = given(&world.send(Request::get("/").from(from::BRITAIN)).await).expect("a cookie");
    order(&world, "/api/v1/regions/westeurope/drain").await;
    world.until_state("westeurope", State::Draining).await;
    let answer = with(&world, &cookie, from::BRITAIN).await;
    assert_eq!(answer.region(), "eastus2");
    let moved = given(&answer).expect("another cookie");
    order(&world, "/api/v1/regions/westeurope/undrain").await;
    world.until_state("westeurope", State::Healthy).await;
    let answer = with(&world, &moved, from::BRITAIN).await;
    assert_eq!((answer.region().as_str(), given(&answer)), ("eastus2", None));
    // A client that has not come meanwhile has its region still.
    assert_eq!(with(&world, &cookie, from::BRITAIN).await.region(), "westeurope");
}

#[tokio::test]
async fn residency_is_stronger_than_a_session() {
    let setup =
        Setup::regions(&BOTH).service("affinity: { cookie: {} }\nresidency: [{ countries: [US], regions: [eastus2] }]");
    let world = setup
        .with("affinity_keys: affinity.keys")
        .file("affinity.keys", KEY)
        .start();
    world.until_healthy().await;
    let cookie = given(&world.send(Request::get("/").from(from::BRITAIN)).await).expect("a cookie");
    let answer = with(&world, &cookie, from::AMERICA).await;
    assert_eq!(answer.region(), "eastus2");
    let moved = given(&answer).expect("another cookie");
    assert_eq!(with(&world, &moved, from::BRITAIN).await.region(), "eastus2");
}

#[tokio::test]
async fn keys_rotate_and_bad_ones_are_rejected() {
    let world = world("{ cookie: {} }");
    world.until_healthy().await;
    let cookie = given(&world.send(Request::get("/").from(from::BRITAIN)).await).expect("a cookie");
    let generation = |world: &World| world.app().tables().current().generation;
    let before = generation(&world);
    world.replace("affinity.keys", format!("# new first\n{NEXT}\n{KEY}\n"));
    world
        .until("the new keys are active", |table| table.generation > before)
        .await;
    assert_eq!(with(&world, &cookie, from::AMERICA).await.region(), "westeurope");
    let newer = given(&world.send(Request::get("/").from(from::BRITAIN)).await).expect("a cookie");
    world.replace("affinity.keys", "secret\n");
    world.until_rejected(portolan::control::status::Kind::Config).await;
    assert_eq!(with(&world, &newer, from::AMERICA).await.region(), "westeurope");
    let errors = world.admin(Request::get("/readyz")).await.text();
    assert!(!errors.contains("secret"), "{errors}");
    assert!(fs::read_to_string(world.folder().join("affinity.keys")).is_ok());
    // The old one alone: what the newer one signed is not known any more.
    let before = generation(&world);
    world.replace("affinity.keys", KEY);
    world
        .until("the old key is active", |table| table.generation > before)
        .await;
    world.until_no_error(portolan::control::status::Kind::Config).await;
    assert_eq!(with(&world, &newer, from::AMERICA).await.region(), "eastus2");
    assert_eq!(with(&world, &cookie, from::AMERICA).await.region(), "westeurope");
}

#[tokio::test]
async fn equal_values_of_a_field_have_one_region() {
    let setup = Setup::regions(&BOTH).service("affinity: { header: x-tenant-id }");
    let world = setup.start();
    world.until_healthy().await;
    let region = async |tenant: &str, address: &str| {
        let request = Request::get("/").from(address).header("x-tenant-id", tenant);
        let answer = world.send(request).await;
        assert_eq!(given(&answer), None);
        answer.region()
    };
    let mut counts = [0; 2];
    for tenant in 0..40 {
        let tenant = format!("tenant-{tenant}");
        let here = region(&tenant, from::BRITAIN).await;
        assert_eq!(here, region(&tenant, from::AMERICA).await, "{tenant}");
        counts[usize::from(here == BOTH[1])] += 1;
    }
    assert!(counts.iter().all(|count| *count > 8), "{counts:?}");
    // Without the field it is the closest.
    assert_eq!(world.region_for(from::AMERICA).await, "eastus2");
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
}
