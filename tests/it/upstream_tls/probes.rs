//! Health checks of gateways over TLS.

use super::authority::{Authority, Valid};
use super::gateway::{Clients, TlsGateway, config};
use super::{WEST, setup};
use portolan_core::health::State;
use portolan_core::tls::TlsFailure;
use portolan_tests::Request;

/// A probe that passes proves that requests can: the same name, the same Host, the same certificates.
#[tokio::test]
async fn probes_ask_as_requests_do() {
    let authority = Authority::new("root");
    let gateway = TlsGateway::start(&authority.server(&["gw.internal"]));
    let service = "health_check: { interval: 50ms }\nupstream: { tls: { ca: ca.pem, server_name: gw.internal } }";
    let world = setup(&authority, service)
        .gateway(WEST, gateway.url("127.0.0.1"))
        .start();
    world.until_state(WEST, State::Healthy).await;
    let seen = gateway.seen();
    assert_eq!(seen.handshakes[0].server_name.as_deref(), Some("gw.internal"));
    assert!(seen.requests[0].starts_with("GET /healthz "), "{}", seen.requests[0]);
    let own = format!("host: {}\r\n", gateway.address());
    assert!(seen.requests[0].contains(&own), "{}", seen.requests[0]);
}

#[tokio::test]
async fn probes_of_either_kind_find_certificates_that_cannot_be_trusted() {
    let authority = Authority::new("root");
    for probe in ["http", "tcp"] {
        let gateway = TlsGateway::start(&authority.server_valid(&["127.0.0.1"], Valid::Before));
        let service = format!(
            "health_check: {{ probe: {probe}, interval: 50ms, unhealthy_threshold: 1 }}\nupstream: {{ tls: {{ ca: ca.pem }} }}"
        );
        let world = setup(&authority, &service)
            .gateway(WEST, gateway.url("127.0.0.1"))
            .start();
        world.until_state(WEST, State::Unhealthy).await;
        let regions = world.admin(Request::get("/api/v1/regions")).await.text();
        assert!(regions.contains(&TlsFailure::Expired.to_string()), "{probe}: {regions}");
        let metrics = world.admin(Request::get("/metrics")).await.text();
        assert!(metrics.contains(r#"result="tls_error"} "#), "{probe}");
    }
}

/// Handshakes succeed in TLS 1.3, and only an answer shows that requests are rejected.
#[tokio::test]
async fn probes_find_that_a_client_certificate_is_missing() {
    let authority = Authority::new("root");
    let identity = authority.server(&["127.0.0.1"]);
    let gateway = TlsGateway::start_with(config(&identity, Clients::Of(&authority), Some(13)));
    let service = "health_check: { interval: 50ms, unhealthy_threshold: 1 }\nupstream: { tls: { ca: ca.pem } }";
    let world = setup(&authority, service)
        .gateway(WEST, gateway.url("127.0.0.1"))
        .start();
    world.until_state(WEST, State::Unhealthy).await;
    let regions = world.admin(Request::get("/api/v1/regions")).await.text();
    assert!(
        regions.contains(&TlsFailure::ClientCertificate.to_string()),
        "{regions}"
    );
}
