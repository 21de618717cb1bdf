//! Gateways by name, as clients and operators meet them.

use super::*;
use hickory_proto::rr::RecordType;
use portolan_core::health::State;
use portolan_tests::dns::Mode;
use portolan_tests::{Request, Setup, World, from};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

/// One region, by the name `gw.test`, with this server.
fn setup(server: &NameServer) -> Setup {
    Setup::regions(&["westeurope"])
        .by_name("westeurope", "gw.test")
        .with(&format!("resolvers: [\"{}\"]", server.address()))
}

/// The name of the first gateway.
fn name(world: &World) -> Arc<Name> {
    let table = world.app().tables().current();
    let target = table.services[0].gateways.first().expect("a gateway");
    Arc::clone(target.name().expect("a name"))
}

/// Requests of one client at a start.
const EACH: u32 = 20;

/// A port of this address that is free now.
fn free_port(address: &str) -> u16 {
    let listener = std::net::TcpListener::bind((address, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Asks again and again, each time on a connection of its own, until there were enough answers; counts their statuses. As
/// long as the port is closed, nothing is counted.
fn ask_from_the_first_moment(address: &str, port: u16) -> BTreeMap<String, u32> {
    let mut statuses = BTreeMap::new();
    while statuses.values().sum::<u32>() < EACH {
        let Ok(mut stream) = TcpStream::connect((address, port)) else {
            thread::yield_now();
            continue;
        };
        let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let mut answer = String::new();
        let sent = stream.write_all(request.as_bytes());
        let status = match sent.and_then(|()| stream.read_to_string(&mut answer)) {
            Ok(_) => answer.get(9..12).unwrap_or("none").to_owned(),
            Err(error) => error.to_string(),
        };
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}

#[test]
fn twenty_starts_under_load_from_the_first_moment_lose_nothing() {
    // Not the address that clients connect from: a client that knocks at a closed port of its own range may meet itself.
    let address = "127.0.0.4";
    let server = NameServer::start();
    for name in ["gw.test", "us.test"] {
        server.set(name, 60, &["127.0.0.1"]);
    }
    server.delay(Duration::from_millis(60));
    for round in 0..20 {
        let port = free_port(address);
        let setup = Setup::regions(&["westeurope", "eastus2"])
            .by_name("westeurope", "gw.test")
            .by_name("eastus2", "us.test")
            .with(&format!("resolvers: [\"{}\"]", server.address()));
        let text = setup.config().replacen("127.0.0.1:0", &format!("{address}:{port}"), 1);
        let setup = setup.file("portolan.yaml", text);
        let statuses = thread::scope(|scope| {
            let clients = [0; 2].map(|_| scope.spawn(|| ask_from_the_first_moment(address, port)));
            let world = setup.try_start().unwrap_or_else(|error| panic!("{error}"));
            let statuses = clients.map(|client| client.join().expect("statuses"));
            drop(world);
            statuses
        });
        let all_good = BTreeMap::from([("200".to_owned(), EACH)]);
        assert_eq!(statuses, [all_good.clone(), all_good], "start {round}");
    }
}

#[tokio::test]
async fn a_lost_ipv6_answer_delays_no_start() {
    let server = NameServer::start();
    server.set("gw.test", 5, &["127.0.0.1"]);
    server.mode_of("gw.test", RecordType::AAAA, Mode::Drop);
    let begun = std::time::Instant::now();
    let world = setup(&server).start();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(world.send(Request::get("/")).await.status, 200);
}

#[tokio::test]
async fn a_name_that_appears_late_is_used_at_once() {
    let server = NameServer::start();
    let world = setup(&server).start();
    assert_eq!(world.send(Request::get("/")).await.status, 503);
    server.set("gw.test", 60, &["127.0.0.1"]);
    let name = name(&world);
    until(&name, &["127.0.0.1"]).await;
    assert_eq!(world.send(Request::get("/")).await.status, 200);
    world.until_state("westeurope", State::Healthy).await;
}

#[tokio::test]
async fn a_name_without_addresses_is_no_evidence_against_its_gateway() {
    let server = NameServer::start();
    let world = Setup::regions(&["westeurope", "eastus2"])
        .by_name("westeurope", "gw.test")
        .service("health_check: off")
        .with(&format!("resolvers: [\"{}\"]", server.address()))
        .start();
    // More than enough to eject it, if it counted.
    for _ in 0..20 {
        assert_eq!(world.region_for(from::BRITAIN).await, "eastus2");
    }
    server.set("gw.test", 60, &["127.0.0.1"]);
    until(&name(&world), &["127.0.0.1"]).await;
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
}

#[tokio::test]
async fn the_first_request_waits_for_the_first_answer() {
    let server = NameServer::start();
    server.set("gw.test", 300, &["127.0.0.1"]);
    server.set("new.test", 300, &["127.0.0.1"]);
    let world = setup(&server).start();
    server.delay(Duration::from_millis(300));
    world.reconfigure(|text| text.replace("gw.test", "new.test"));
    world
        .until("the gateway has its new name", |table| {
            let target = table.services[0].gateways.first().expect("a gateway");
            target.name().expect("a name").as_str() == "new.test"
        })
        .await;
    assert_eq!(world.send(Request::get("/")).await.status, 200);
}

#[tokio::test]
async fn a_failure_of_dns_is_not_noticed_by_clients() {
    let server = NameServer::start();
    server.set("gw.test", 1, &["127.0.0.1", "2001:db8::1"]);
    let world = setup(&server).start();
    server.mode_of("gw.test", RecordType::A, Mode::ServFail);
    let name = name(&world);
    until_so("IPv4 fails", || {
        let [v4, _] = name.status(std::time::Instant::now());
        v4.lookups[2] >= 2
    })
    .await;
    for _ in 0..20 {
        assert_eq!(world.send(Request::get("/").from(from::BRITAIN)).await.status, 200);
    }
}

#[tokio::test]
async fn other_name_servers_are_asked_after_a_reload() {
    let (old, new) = (NameServer::start(), NameServer::start());
    for server in [&old, &new] {
        server.set("gw.test", 300, &["127.0.0.1"]);
    }
    let world = setup(&old).start();
    let (before, after) = (old.address().to_string(), new.address().to_string());
    world.reconfigure(|text| text.replace(&before, &after));
    new.wait_for("gw.test", 2).await;
    assert_eq!(old.count("gw.test"), 2);
    assert_eq!(world.send(Request::get("/")).await.status, 200);
}

#[tokio::test]
async fn a_hangup_looks_all_names_up_anew() {
    let server = NameServer::start();
    server.set("gw.test", 300, &["127.0.0.1"]);
    let world = setup(&server).start();
    server.wait_for("gw.test", 2).await;
    server.set("gw.test", 300, &["127.0.0.2"]);
    world.app().reload();
    until(&name(&world), &["127.0.0.2"]).await;
}

#[tokio::test]
async fn names_are_shown_with_their_age_and_last_error() {
    let server = NameServer::start();
    server.set("gw.test", 1, &["127.0.0.1"]);
    let world = setup(&server).start();
    server.mode(Mode::Refused);
    let watched = name(&world);
    until_so("IPv4 fails", || errors(&watched).contains(&"refused")).await;

    let regions = world.admin(Request::get("/api/v1/regions")).await.json();
    let shown = &regions["services"][0]["regions"][0]["name"];
    assert_eq!(shown["name"], "gw.test");
    assert_eq!(shown["addresses"][0], "127.0.0.1");
    let v4 = &shown["families"][0];
    assert_eq!((&v4["family"], &v4["ttl_seconds"]), (&"ipv4".into(), &1.0.into()));
    assert!(v4["age_seconds"].as_f64().expect("an age") >= 1.0, "{v4}");
    assert_eq!(v4["error_reason"], "refused");
    assert_eq!(v4["error"], format!("{}: REFUSED", server.address()));

    let metrics = world.admin(Request::get("/metrics")).await.text();
    for line in [
        "portolan_dns_addresses{name=\"gw.test\",family=\"ipv4\"} 1",
        "portolan_dns_answer_ttl_seconds{name=\"gw.test\",family=\"ipv4\"} 1",
        "portolan_dns_lookup_error{name=\"gw.test\",family=\"ipv4\",reason=\"refused\"} 1",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line} is not in\n{metrics}");
    }
    assert!(metrics.contains("portolan_dns_lookups_total{name=\"gw.test\",family=\"ipv4\",result=\"failed\"} "));
    assert!(metrics.contains("portolan_dns_answer_age_seconds{name=\"gw.test\",family=\"ipv4\"} "));
}
