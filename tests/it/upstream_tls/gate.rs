//! The gate of a failback that is asked over TLS.

use super::authority::{Authority, Identity, Valid};
use super::gateway::{Clients, TlsGateway, config};
use portolan::control::status::Kind;
use portolan_core::health::{Awaited, State};
use portolan_core::tls::TlsFailure;
use portolan_tests::{Behaviour, Request, Setup, World, from};

const REGION: &str = "westeurope";

fn world(gate: &TlsGateway, host: &str, ca: &str) -> World {
    let url = gate.url(host);
    let service = format!(
        "health_check: {{ interval: 100ms, timeout: 100ms }}\nslow_start: 0s\n\
         failback: {{ gate: {{ url: \"{url}/ok/{{region}}\", ca: ca.pem, interval: 100ms }} }}"
    );
    Setup::three_regions().service(&service).file("ca.pem", ca).start()
}

/// The region is lost, recovers, and waits for the gate, which fails like this.
async fn refused(world: &World, failure: &str) {
    world.until_healthy().await;
    world.behave(REGION, Behaviour::Dead);
    world.until_state(REGION, State::Unhealthy).await;
    world.behave(REGION, Behaviour::Serve);
    world
        .until("its gate has failed", |table| {
            let health = table.health.services()[0].gateways()[0];
            matches!(health.why.awaits, Some((Awaited::GateCheck(Some(_)), _)))
        })
        .await;
    let reason = format!("recovered, waits for 2xx from the check of its gate, which failed: {failure}");
    let regions = world.admin(Request::get("/api/v1/regions")).await.json();
    let why = &regions["services"][0]["regions"][0]["why"];
    assert_eq!(
        (&why["awaits"], &why["detail"]),
        (&"gate_check".into(), &reason.as_str().into()),
        "{why}"
    );
    let events = world.admin(Request::get("/api/v1/events")).await.json();
    let events = events["events"].as_array().expect("events");
    assert!(events.iter().any(|event| event["reason"] == reason), "{events:?}");
    assert_eq!(world.region_for(from::BRITAIN).await, "eastus2");
}

fn serve(gate: &TlsGateway, identity: &Identity) {
    gate.reconfigure(config(identity, Clients::Any, None));
}

#[tokio::test]
async fn a_gate_whose_certificate_cannot_be_trusted_stays_closed() {
    let authority = Authority::new("root");
    let gate = TlsGateway::start(&authority.server_valid(&["127.0.0.1"], Valid::Before));
    let world = world(&gate, "127.0.0.1", authority.pem());
    refused(&world, &format!("TLS: {}", TlsFailure::Expired)).await;
    assert!(gate.seen().requests.is_empty(), "nothing was sent");
    serve(&gate, &authority.server(&["127.0.0.1"]));
    world.until_state(REGION, State::Healthy).await;
    let seen = gate.seen();
    assert!(
        seen.requests[0].starts_with("GET /ok/westeurope "),
        "{}",
        seen.requests[0]
    );
    assert_eq!(world.region_for(from::BRITAIN).await, REGION);
}

#[tokio::test]
async fn the_certificate_of_a_gate_is_for_its_host() {
    let authority = Authority::new("root");
    let gate = TlsGateway::start(&authority.server(&["gate.internal"]));
    let world = world(&gate, "localhost", authority.pem());
    refused(&world, &format!("TLS: {}", TlsFailure::NameMismatch)).await;
    serve(&gate, &authority.server(&["localhost"]));
    world.until_state(REGION, State::Healthy).await;
    let seen = gate.seen();
    let last = seen.handshakes.last().expect("a handshake");
    assert_eq!(last.server_name.as_deref(), Some("localhost"));
}

/// The file is watched; a bad one is rejected, and the one before stays.
#[tokio::test]
async fn the_authorities_of_a_gate_are_replaced_while_it_is_asked() {
    let (other, authority) = (Authority::new("other"), Authority::new("root"));
    let gate = TlsGateway::start(&authority.server(&["127.0.0.1"]));
    let world = world(&gate, "127.0.0.1", other.pem());
    refused(&world, &format!("TLS: {}", TlsFailure::UnknownIssuer)).await;
    world.replace("ca.pem", "no certificate");
    world.until_rejections(Kind::UpstreamTls, 1).await;
    let ready = world.admin(Request::get("/readyz")).await.text();
    assert!(ready.contains("services.shop.failback.gate.ca"), "{ready}");
    world.replace("ca.pem", authority.pem());
    world.until_state(REGION, State::Healthy).await;
}
