//! The fast path: the answers to Front Door's own probes, over real sockets.

use http::Method;
use portolan_core::health::State;
use portolan_tests::{Answer, Behaviour, Request, Setup, World, from};
use std::time::{Duration, Instant};

/// From the death of a region to the first 503.
const BOUND: Duration = Duration::from_secs(3);

fn setup() -> Setup {
    Setup::three_regions().with("front_door: { mode: off, probe: { healthy_after: 300ms } }")
}

async fn probe(world: &World, method: Method, path: &str) -> Answer {
    world
        .send(Request::new(method, &format!("/.portolan/probe/{path}")))
        .await
}

/// Asks until a probe gets this answer; how long that took.
async fn until_probe(world: &World, path: &str, status: u16) -> Duration {
    let began = Instant::now();
    let ask = async {
        while probe(world, Method::HEAD, path).await.status != status {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ask)
        .await
        .unwrap_or_else(|_| panic!("{path} was never answered {status}"));
    began.elapsed()
}

#[tokio::test]
async fn probes_of_a_region_that_dies_fail_within_three_seconds_until_it_recovers() {
    let world = setup().start();
    world.until_healthy().await;
    assert_eq!(probe(&world, Method::HEAD, "shop/westeurope").await.status, 200);
    world.behave("westeurope", Behaviour::Dead);
    let took = until_probe(&world, "shop/westeurope", 503).await;
    assert!(took < BOUND, "{took:?}");
    // The service has other regions.
    assert_eq!(probe(&world, Method::HEAD, "shop").await.status, 200);
    assert_eq!(probe(&world, Method::HEAD, "shop/eastus2").await.status, 200);
    let said = probe(&world, Method::GET, "shop/westeurope?explain").await;
    assert_eq!(said.status, 503);
    assert!(
        !said.text().contains("eastus2"),
        "strangers are not told: {}",
        said.text()
    );
    world.reconfigure(|text| text.replace("healthy_after: 300ms", "healthy_after: 300ms, explain: true"));
    world
        .until("probes are explained", |table| {
            table.settings.front_door.as_ref().is_some_and(|it| it.explains_probes)
        })
        .await;
    let said = probe(&world, Method::GET, "shop/westeurope?explain").await;
    assert!(
        said.text()
            .contains("westeurope: 503, unhealthy as this instance sees it"),
        "{}",
        said.text()
    );
    world.behave("westeurope", Behaviour::Serve);
    until_probe(&world, "shop/westeurope", 200).await;
}

#[tokio::test]
async fn probes_of_a_service_without_a_healthy_region_fail() {
    let world = Setup::regions(&["westeurope", "eastus2"])
        .with("front_door: { mode: off, probe: { healthy_after: 0s } }")
        .start();
    world.until_healthy().await;
    // An instance that reaches no gateway at all would doubt its own view: one of them still answers, and fails.
    world.behave("westeurope", Behaviour::Fail);
    world.behave("eastus2", Behaviour::Fail);
    let took = until_probe(&world, "shop", 503).await;
    assert!(took < BOUND, "{took:?}");
    world.behave("eastus2", Behaviour::Serve);
    until_probe(&world, "shop", 200).await;
}

#[tokio::test]
async fn a_drained_region_is_not_fit() {
    let world = setup().start();
    world.until_healthy().await;
    let order = |what: &str| Request::new(Method::POST, &format!("/api/v1/regions/eastus2/{what}"));
    assert_eq!(world.admin(order("drain")).await.status, 200);
    until_probe(&world, "shop/eastus2", 503).await;
    assert!(
        probe(&world, Method::GET, "shop/eastus2")
            .await
            .text()
            .contains("drain")
    );
    assert_eq!(world.admin(order("undrain")).await.status, 200);
    until_probe(&world, "shop/eastus2", 200).await;
}

#[tokio::test]
async fn requests_below_the_path_reach_no_gateway_and_all_others_do() {
    let world = Setup::three_regions()
        .service("health_check: off")
        .with("front_door: { mode: off, probe: { path: /up } }")
        .start();
    let reached = || -> u64 {
        let regions = ["westeurope", "eastus2", "southeastasia"];
        regions.iter().map(|region| world.gateway(region).requests()).sum()
    };
    let ask = async |method: Method, path: &str| world.send(Request::new(method, path).from(from::BRITAIN)).await;
    for (method, path, status) in [
        (Method::GET, "/up/shop", 200),
        (Method::HEAD, "/up/shop/westeurope", 200),
        (Method::GET, "/up", 404),
        (Method::GET, "/up/atlantis", 404),
        (Method::POST, "/up/shop", 405),
        (Method::DELETE, "/up/shop/westeurope", 405),
    ] {
        let answer = ask(method.clone(), path).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-portolan-region"), "");
    }
    let refused = ask(Method::POST, "/up/shop").await;
    assert_eq!(refused.header("allow"), "GET, HEAD");
    let head = ask(Method::HEAD, "/up/shop").await;
    let get = ask(Method::GET, "/up/shop").await;
    assert_eq!(head.header("content-length"), get.header("content-length"));
    assert!(head.body.is_empty() && !get.body.is_empty());
    assert_eq!(reached(), 0);
    assert_eq!(ask(Method::GET, "/upper").await.region(), "westeurope");
    assert_eq!(reached(), 1);
    let metrics = world.admin(Request::get("/metrics")).await.text();
    let counted = "portolan_requests_total{service=\"\",region=\"\",outcome=\"probe\"} 9";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn a_reload_adds_moves_and_removes_the_path() {
    let world = World::start();
    world.until_healthy().await;
    // Without a section it is a path like any other.
    assert_eq!(probe(&world, Method::GET, "shop").await.region(), "westeurope");
    assert_eq!(world.admin(Request::get("/api/v1/front-door")).await.status, 404);
    world.reconfigure(|text| format!("{text}front_door: {{ mode: off }}\n"));
    world
        .until("there is a front door", |table| table.settings.front_door.is_some())
        .await;
    assert_eq!(probe(&world, Method::GET, "shop").await.region(), "");
    world.behave("westeurope", Behaviour::Dead);
    until_probe(&world, "shop/westeurope", 503).await;
    // The state of a region is kept over a reload.
    world.reconfigure(|text| text.replace("mode: off", "mode: off, probe: { path: /up }"));
    world
        .until("the path has moved", |table| {
            table.settings.front_door.as_ref().is_some_and(|it| &*it.path == "/up")
        })
        .await;
    assert_eq!(world.send(Request::get("/up/shop/westeurope")).await.status, 503);
    assert_eq!(probe(&world, Method::GET, "shop").await.region(), "eastus2");
    world.reconfigure(|text| text.replace("front_door:", "# "));
    world
        .until("there is none", |table| table.settings.front_door.is_none())
        .await;
    assert_eq!(
        world.send(Request::get("/up/shop").from(from::AMERICA)).await.region(),
        "eastus2"
    );
}

/// Sends requests, whatever becomes of them, until the instance is isolated, or is not any more.
async fn until_isolated(world: &World, isolated: bool) {
    let send = async {
        loop {
            let _ = world.try_send(&Request::get("/").from(from::BRITAIN)).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = send => {}
        _ = world.until("isolation is as expected", |table| table.health.is_isolated() == isolated) => {}
    }
}

#[tokio::test]
async fn an_instance_that_reaches_no_gateway_reports_none_unhealthy() {
    // Without checks a refused connection does not prove that the host is there.
    let world = Setup::three_regions()
        .service("health_check: off")
        .with("front_door: { mode: off, probe: { healthy_after: 0s } }")
        .start();
    world.behave("westeurope", Behaviour::Dead);
    world.behave("eastus2", Behaviour::Dead);
    world.behave("southeastasia", Behaviour::Dead);
    until_isolated(&world, true).await;
    until_probe(&world, "shop/westeurope", 200).await;
    let said = probe(&world, Method::GET, "shop/westeurope").await.text();
    assert!(said.contains("unknown"), "{said}");
    world.behave("eastus2", Behaviour::Serve);
    until_isolated(&world, false).await;
    world.until_state("westeurope", State::Unhealthy).await;
    until_probe(&world, "shop/westeurope", 503).await;
}

#[tokio::test]
async fn administration_shows_the_answers() {
    let world = setup().start();
    world.until_healthy().await;
    world.behave("westeurope", Behaviour::Dead);
    until_probe(&world, "shop/westeurope", 503).await;
    let view = world.admin(Request::get("/api/v1/front-door")).await;
    assert_eq!(view.status, 200);
    let view = view.json();
    assert_eq!(view["mode"], "off");
    assert_eq!(view["probes"]["path"], "/.portolan/probe");
    let shop = &view["probes"]["services"][0];
    assert_eq!((&shop["service"], &shop["status"]), (&"shop".into(), &200.into()));
    assert_eq!(shop["regions"][0]["region"], "westeurope");
    assert_eq!(shop["regions"][0]["status"], 503);
    let metrics = world.admin(Request::get("/metrics")).await.text();
    for line in [
        "portolan_front_door_probe_healthy{service=\"shop\",region=\"\"} 1",
        "portolan_front_door_probe_healthy{service=\"shop\",region=\"westeurope\"} 0",
        "portolan_front_door_mode{mode=\"off\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains("portolan_front_door_leads"), "nothing is published");
}
