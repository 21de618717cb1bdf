//! Health checks that call the health service.

use super::Scene;
use portolan_core::health::State;
use portolan_tests::Request;

const CHECKED: &str = "timeouts: { connect: 1s }";

#[tokio::test]
async fn only_a_service_that_serves_is_healthy() {
    let lines = "retry: { hedge_after: off }";
    let probe =
        "health_check: { probe: grpc, grpc_service: shop.Cart, interval: 20ms, timeout: 2s, headers: { x-key: a } }";
    let scene = Scene::new(1, lines);
    scene.servers[0].health("shop.Cart", Ok(1));
    scene.world.reconfigure(|text| text.replace("health_check: off", probe));
    scene.world.until_state("westeurope", State::Healthy).await;
    let seen = scene.servers[0].seen();
    let asked = seen.first().expect("a probe");
    assert_eq!(asked.method, "grpc.health.v1.Health/Check");
    for (name, value) in [("x-key", "a"), ("te", "trailers"), ("user-agent", "portolan-probe")] {
        assert_eq!(asked.head[name], value, "{name}");
    }
    assert_eq!(asked.head["content-type"], "application/grpc");
    for (answer, told) in [
        (Ok(2), "the health service answers NOT_SERVING"),
        (Ok(0), "the health service answers UNKNOWN"),
        (Ok(3), "the health service answers SERVICE_UNKNOWN"),
        (Err(5), "grpc-status 5: the health service does not know this service"),
        (Err(12), "grpc-status 12: the gateway has no health service"),
        (Err(13), "grpc-status 13 (internal)"),
    ] {
        scene.servers[0].health("shop.Cart", answer);
        scene.world.until_state("westeurope", State::Unhealthy).await;
        let regions = scene.world.admin(Request::get("/api/v1/regions")).await.text();
        assert!(regions.contains(told), "{told}: {regions}");
        scene.servers[0].health("shop.Cart", Ok(1));
        let returned = |table: &portolan::table::RoutingTable| {
            let state = table.health.services()[0].gateways()[0].state;
            state == State::Healthy || state == State::Warming
        };
        scene.world.until("it has returned", returned).await;
    }
}

/// A server of HTTP/1.1 has no health service.
#[tokio::test]
async fn a_gateway_that_does_not_speak_http2_is_unhealthy() {
    use portolan_tests::raw::RawGateway;
    let gateway = RawGateway::start();
    let world = portolan_tests::Setup::regions(&[])
        .other("westeurope", gateway.address())
        .service(&format!(
            "{CHECKED}\nhealth_check: {{ probe: grpc, interval: 20ms, timeout: 200ms }}"
        ))
        .start();
    world.until_state("westeurope", State::Unhealthy).await;
}
