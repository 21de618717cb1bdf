//! What regions can take: limits that hold, displaced requests, and what a region that has recovered waits for.

use http::Method;
use portolan::table::RoutingTable;
use portolan_core::health::State;
use portolan_tests::raw::{RawGateway, Reply, Wire};
use portolan_tests::{Behaviour, Request, Setup, World, from};
use std::thread;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const SURVIVORS: [&str; 2] = ["eastus2", "southeastasia"];

fn send(world: &World, path: &str) -> Wire {
    let mut client = Wire::open(world.proxy());
    client.write(format!(
        "GET {path} HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-for: {}\r\n\r\n",
        from::BRITAIN
    ));
    client
}

fn in_flight(world: &World) -> [u32; 2] {
    SURVIVORS.map(|region| world.vitals(region).in_flight())
}

/// Sends a request that some region holds.
async fn hold(world: &World, path: &str) -> Wire {
    let before: u32 = in_flight(world).iter().sum();
    let held = send(world, path);
    let what = format!("{path} is held beside {before}");
    world
        .poll(&what, || in_flight(world).iter().sum::<u32>() > before)
        .await;
    held
}

fn check_shed(world: &World, path: &str) {
    let answer = send(world, path).response("GET").expect("an answer");
    assert_eq!(answer.status(), 503, "{path}: {}", answer.head);
    assert!(answer.field("retry-after").is_some(), "{path}: {}", answer.head);
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(body.contains("\"reason\":\"full\""), "{path}: {body}");
}

/// One region of three is lost at 70 % utilisation, each may have ten requests: 21 of them meet room for 20.
#[tokio::test]
async fn a_lost_region_overloads_no_other_and_costs_low_priority_only() {
    let setup = ["westeurope", "eastus2", "southeastasia"]
        .into_iter()
        .fold(Setup::three_regions(), |setup, region| {
            setup.region(region, "max_requests: 10")
        });
    let world = setup
        .service("health_check: { interval: 100ms, timeout: 100ms }\nretry: { hedge_after: off }\nslow_start: 0s")
        .routes("- { path: /low, service: shop, priority: low }")
        .start();
    world.until_healthy().await;
    for region in SURVIVORS {
        world.gateway(region).pass_probes(true);
        world.behave(region, Behaviour::Hang);
    }
    world.behave("westeurope", Behaviour::Dead);
    world.until_state("westeurope", State::Unhealthy).await;
    let mut held = Vec::new();
    for _ in 0..14 {
        held.push(hold(&world, "/").await);
    }
    let [east, south] = in_flight(&world);
    assert!(east > 0 && south > 0, "spread by headroom: {east} and {south}");
    // Of ten, low priority may use eight.
    let room = 8_u32.saturating_sub(east) + 8_u32.saturating_sub(south);
    for _ in 0..room.min(7) {
        held.push(hold(&world, "/low").await);
    }
    for _ in room.min(7)..7 {
        check_shed(&world, "/low");
    }
    while held.len() < 20 {
        held.push(hold(&world, "/").await);
    }
    assert_eq!(in_flight(&world), [10, 10]);
    check_shed(&world, "/");
    check_shed(&world, "/low");
    assert_eq!(in_flight(&world), [10, 10], "never above");
    // It comes back, and gets its own again.
    world.behave("westeurope", Behaviour::Serve);
    world.until_state("westeurope", State::Healthy).await;
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
    for region in SURVIVORS {
        world.behave(region, Behaviour::Serve);
    }
    for mut held in held {
        assert_eq!(held.response("GET").expect("an answer").status(), 200);
    }
}

#[tokio::test]
async fn requests_that_come_at_once_do_not_exceed_the_limit() {
    let gateway = RawGateway::start();
    gateway.replies([Reply::Hold(OK.to_vec())]);
    let world = Setup::regions(&[])
        .other("westeurope, max_requests: 5", gateway.address())
        .service("health_check: off")
        .start();
    let proxy = world.proxy();
    let clients = (0..40).map(|_| {
        thread::spawn(move || {
            let mut client = Wire::open(proxy);
            client.write("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
            client.response("GET").map(|answer| answer.status())
        })
    });
    let clients: Vec<_> = clients.collect();
    let refused = || clients.iter().filter(|client| client.is_finished()).count();
    world.poll("the others have been answered", || refused() >= 35).await;
    assert!(gateway.connections() <= 5, "{}", gateway.connections());
    let held = 40 - refused();
    gateway.release();
    let statuses: Vec<_> = clients
        .into_iter()
        .map(|client| client.join().expect("no panic"))
        .collect();
    let good = statuses.iter().filter(|status| **status == Some(200)).count();
    assert_eq!(good, held, "{statuses:?}");
    assert!(
        statuses.iter().all(|status| matches!(status, Some(200 | 503))),
        "{statuses:?}"
    );
    assert!(gateway.seen().len() <= 5);
}

#[tokio::test]
async fn a_region_that_reports_that_it_is_busy_passes_requests_on() {
    let [busy, other] = [RawGateway::start(), RawGateway::start()];
    busy.says(
        "HTTP/1.1 200 OK\r\nendpoint-load-metrics: TEXT application_utilization=1.0,rps_fractional=9\r\n\
         x-from: busy\r\ncontent-length: 0\r\n\r\n",
    );
    other.says("HTTP/1.1 200 OK\r\nx-from: other\r\ncontent-length: 0\r\n\r\n");
    let world = Setup::regions(&[])
        .other("westeurope, max_requests: 100", busy.address())
        .other("eastus2, max_requests: 100", other.address())
        .service("health_check: off\nupstream: { load_report: orca }")
        .start();
    let first = send(&world, "/").response("GET").expect("an answer");
    assert_eq!(first.field("x-from"), Some("busy"));
    assert_eq!(
        first.field("endpoint-load-metrics"),
        None,
        "clients do not get to see it"
    );
    let second = send(&world, "/").response("GET").expect("an answer");
    assert_eq!(second.field("x-from"), Some("other"), "{}", second.head);
    let metrics = world.admin(Request::get("/metrics")).await.text();
    let sample = "portolan_gateway_reported_utilization{service=\"shop\",region=\"westeurope\"} 1\n";
    assert!(metrics.contains(sample), "{metrics}");
}

fn awaits(table: &RoutingTable) -> Option<&'static str> {
    let health = table.health.services()[0].gateways()[0];
    health.why.awaits.map(|(awaited, _)| awaited.as_str())
}

/// The region is lost and recovers.
async fn recover(world: &World, awaited: &str) {
    world.until_healthy().await;
    world.behave("westeurope", Behaviour::Dead);
    world.until_state("westeurope", State::Unhealthy).await;
    world.behave("westeurope", Behaviour::Serve);
    world.until("it waits", |table| awaits(table) == Some(awaited)).await;
}

const SERVICE: &str = "health_check: { interval: 100ms, timeout: 100ms }\nslow_start: 0s\n";

#[tokio::test]
async fn a_region_waits_for_the_command_failback() {
    let world = Setup::three_regions()
        .service(&format!("{SERVICE}failback: {{ hold_down: 200ms, gate: operator }}"))
        .start();
    world.until_healthy().await;
    let order = |order: &str| {
        let path = format!("/api/v1/regions/westeurope/{order}");
        world.admin(Request::new(Method::POST, &path))
    };
    let early = order("failback?reason=too+early").await;
    assert_eq!(early.status, 409, "{}", early.text());
    assert!(
        early.text().contains("does not wait for its failback: it is healthy"),
        "{}",
        early.text()
    );
    recover(&world, "operator").await;
    assert_eq!(world.region_for(from::BRITAIN).await, "eastus2");
    let regions = world.admin(Request::get("/api/v1/regions")).await.json();
    let why = &regions["services"][0]["regions"][0]["why"];
    assert_eq!(
        (&why["awaits"], &why["cause"]),
        (&"operator".into(), &"operator".into()),
        "{why}"
    );
    let metrics = world.admin(Request::get("/metrics")).await.text();
    let sample = "portolan_gateway_failback_waiting{service=\"shop\",region=\"westeurope\",awaits=\"operator\"} 1\n";
    assert!(metrics.contains(sample), "{metrics}");
    let done = order("failback?reason=replicated&author=alice").await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
    // What happened, and the audit log.
    let events = world.admin(Request::get("/api/v1/events")).await.json();
    let events = events["events"].as_array().expect("events");
    let waits = events.iter().any(|event| {
        event["kind"] == "health_changed" && event["reason"] == "recovered, waits for the command failback"
    });
    assert!(waits, "{events:?}");
    let audit: Vec<_> = events
        .iter()
        .filter(|event| event["kind"] == "operator_action")
        .collect();
    let [refused, done] = audit[..] else {
        panic!("{audit:?}")
    };
    for (event, reason, result) in [
        (refused, "too early", "refused: westeurope does"),
        (done, "replicated", "done"),
    ] {
        assert_eq!(
            (&event["subject"], &event["reason"]),
            (&"failback westeurope".into(), &reason.into()),
            "{event}"
        );
        assert!(
            event["result"].as_str().is_some_and(|it| it.starts_with(result)),
            "{event}"
        );
    }
    let author = done["author"].as_str().unwrap_or_default();
    assert_eq!(author, "alice (127.0.0.1)");
}

#[tokio::test]
async fn a_region_waits_for_the_check_of_its_gate() {
    let gate = RawGateway::start();
    gate.says("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let address = gate.address();
    let world = Setup::three_regions()
        .service(&format!(
            "{SERVICE}failback: {{ gate: {{ url: \"http://{address}/ok/{{region}}\", interval: 100ms }} }}"
        ))
        .start();
    recover(&world, "gate_check").await;
    let asked = || thread::scope(|scope| scope.spawn(|| gate.until_seen(2)).join().is_ok());
    assert!(asked());
    assert_eq!(world.region_for(from::BRITAIN).await, "eastus2");
    let seen = gate.seen();
    assert!(
        seen.iter()
            .all(|request| request.line().starts_with("GET /ok/westeurope ")),
        "{seen:?}"
    );
    gate.says("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    world.until_state("westeurope", State::Healthy).await;
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
}
