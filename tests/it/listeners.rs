//! Listeners: what belongs to them, how many connections they allow, and how they change while the program runs.

use http::StatusCode;
use portolan::control::status::Kind;
use portolan::table::RoutingTable;
use portolan_core::health::State;
use portolan_tests::raw::{Message, Wire};
use portolan_tests::{Behaviour, Request, Setup, World, from, send};
use std::net::{SocketAddr, TcpListener, TcpStream};

const TRUSTING: &str = "client_address: { trusted_proxies: [127.0.0.0/8], header: x-forwarded-for }";

/// Clients without a trusted address are assumed to be in America.
fn setup(listeners: &str) -> Setup {
    Setup::three_regions().with("here: eastus2").listeners(listeners)
}

/// The region that answers a request on an open connection which says that it comes from Singapore.
fn region_on(client: &mut Wire) -> String {
    client.write(format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {}\r\n\r\n",
        from::SINGAPORE
    ));
    region(&client.response("GET").expect("an answer"))
}

fn region(answer: &Message) -> String {
    answer.field("x-portolan-region").unwrap_or("none").to_owned()
}

fn knows(table: &RoutingTable, id: &str) -> bool {
    table
        .settings
        .listeners
        .iter()
        .any(|listener| listener.id.as_str() == id)
}

/// Whether the address accepts connections.
fn is_open(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

#[tokio::test]
async fn a_listener_inserted_before_another_does_not_change_its_policy() {
    let world = setup("- { name: public, address: 127.0.0.1:0, debug_headers: true }").start();
    world.until_healthy().await;
    let public = world.proxy();
    let mut open = Wire::open(public);
    assert_eq!(region_on(&mut open), "eastus2");
    world.reconfigure(|text| {
        let inner = format!("listeners:\n  - {{ name: inner, address: 127.0.0.1:0, debug_headers: true, {TRUSTING} }}");
        text.replacen("listeners:", &inner, 1)
    });
    let addresses = world.until_listeners(2).await;
    assert_eq!(addresses[1], public, "it stays where it was");
    assert_eq!(region_on(&mut open), "eastus2", "an open connection is not trusted");
    assert_eq!(region_on(&mut Wire::open(public)), "eastus2", "nor is a new one");
    assert_eq!(region_on(&mut Wire::open(addresses[0])), "southeastasia");
}

#[tokio::test]
async fn without_names_listeners_differ_by_their_addresses() {
    let [first, second] = [(); 2].map(|()| free_port());
    let world = setup(&format!("- {{ address: {second}, debug_headers: true }}")).start();
    world.until_healthy().await;
    let mut open = Wire::open(second);
    assert_eq!(region_on(&mut open), "eastus2");
    world.reconfigure(|text| {
        let inner = format!("listeners:\n  - {{ address: {first}, debug_headers: true, {TRUSTING} }}");
        text.replacen("listeners:", &inner, 1)
    });
    world.until_listeners(2).await;
    assert_eq!(region_on(&mut open), "eastus2");
    assert_eq!(region_on(&mut Wire::open(first)), "southeastasia");
}

#[tokio::test]
async fn a_policy_that_changes_holds_for_open_connections() {
    let world = setup("- { name: public, address: 127.0.0.1:0, debug_headers: true }").start();
    world.until_healthy().await;
    let mut open = Wire::open(world.proxy());
    assert_eq!(region_on(&mut open), "eastus2");
    world.reconfigure(|text| text.replace("debug_headers: true }", &format!("debug_headers: true, {TRUSTING} }}")));
    world
        .until("the proxy is trusted", |table| {
            !table.settings.listeners[0].client_address.trusted.is_empty()
        })
        .await;
    assert_eq!(region_on(&mut open), "southeastasia");
}

#[tokio::test]
async fn a_removed_listener_finishes_its_connections_under_its_own_policy() {
    let world = setup(&format!(
        "- {{ name: public, address: 127.0.0.1:0, debug_headers: true }}\n\
         - {{ name: inner, address: 127.0.0.1:0, debug_headers: true, {TRUSTING} }}"
    ))
    .start();
    world.until_healthy().await;
    let inner = world.app().listeners()[1];
    let mut begun = Wire::open(inner);
    assert_eq!(region_on(&mut begun), "southeastasia");
    let mut idle = Wire::open(inner);
    assert_eq!(region_on(&mut idle), "southeastasia");
    begun.write("GET / HTTP/1.1\r\nhost: a\r\n");
    world.reconfigure(|text| {
        let lines = text.lines().filter(|line| !line.contains("name: inner"));
        lines.map(|line| format!("{line}\n")).collect()
    });
    let addresses = world.until_listeners(1).await;
    assert!(idle.is_closed(), "an idle connection is closed");
    assert!(!is_open(inner) && is_open(addresses[0]));
    begun.write(format!("x-forwarded-for: {}\r\n\r\n", from::SINGAPORE));
    let answer = begun.response("GET").expect("an answer");
    assert_eq!(region(&answer), "southeastasia", "{}", answer.head);
    assert!(answer.closes() && begun.is_closed(), "{}", answer.head);
    assert!(!knows(&world.app().tables().current(), "inner"));

    // With its last connection, its policy goes.
    let mut round = 0;
    let forgotten = |table: &RoutingTable| table.removed_listeners.is_empty();
    while !forgotten(&world.app().tables().current()) {
        round += 1;
        world.reconfigure(|text| format!("{text}# round {round}\n"));
        let before = world.app().tables().current().generation;
        world
            .until("another table is published", |table| table.generation > before)
            .await;
    }
}

#[tokio::test]
async fn an_address_in_use_rejects_the_file() {
    let world = setup("- { name: public, address: 127.0.0.1:0, debug_headers: true }").start();
    world.until_healthy().await;
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("an address");
    let free = free_port();
    world.reconfigure(|text| {
        let more = format!("listeners:\n  - {{ address: {free} }}\n  - {{ address: {address} }}");
        text.replacen("listeners:", &more, 1)
            .replace("here: eastus2", "here: westeurope")
    });
    world.until_rejected(Kind::Config).await;
    let ready = world.admin(Request::get("/readyz")).await.text();
    assert!(ready.contains(&format!("failed to listen on {address}")), "{ready}");
    assert!(!is_open(free), "nothing of a rejected file is bound");
    assert_eq!(world.app().listeners().len(), 1);
    assert_eq!(
        region_on(&mut Wire::open(world.proxy())),
        "eastus2",
        "the last good one remains active"
    );

    // The port becomes free, and the file is accepted when it is loaded again.
    drop(other);
    world.app().reload();
    let addresses = world.until_listeners(3).await;
    assert!(is_open(address) && is_open(free));
    assert_eq!(region_on(&mut Wire::open(addresses[2])), "westeurope");
}

#[tokio::test]
async fn listeners_that_come_and_go_lose_no_request() {
    let world = setup(&format!("- {{ name: public, address: 127.0.0.1:0, {TRUSTING} }}")).start();
    world.until_healthy().await;
    let mut load = world.load(&[from::BRITAIN, from::AMERICA, from::SINGAPORE]);
    for round in 0..10 {
        world.reconfigure(|text| {
            let more = "  - { name: more, address: 127.0.0.1:0 }\n";
            match round % 2 {
                0 => text.replacen("listeners:\n", &format!("listeners:\n{more}"), 1),
                _ => text.replace(more, ""),
            }
        });
        world.until_listeners(2 - round % 2).await;
        load.more(20).await;
    }
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{tally:?}");
}

#[tokio::test]
async fn connections_over_the_limit_are_rejected_and_counted() {
    let world = setup("- { name: public, address: 127.0.0.1:0, max_connections: 1 }").start();
    let mut first = Wire::open(world.proxy());
    assert_eq!(region_on(&mut first), "none");
    let second = Wire::open(world.proxy()).response("GET").expect("an answer");
    assert_eq!((second.status(), second.field("retry-after")), (503, Some("1")));
    let metrics = world.admin(Request::get("/metrics")).await.text();
    for line in [
        "portolan_downstream_connections{listener=\"public\"} 1",
        "portolan_downstream_accepted_connections_total{listener=\"public\"} 1",
        "portolan_downstream_rejected_connections_total{listener=\"public\",limit=\"max_connections\"} 1",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line} in\n{metrics}");
    }
    // The limit is the one of the moment, and a connection that is gone makes room.
    world.reconfigure(|text| text.replace("max_connections: 1", "max_connections: 2"));
    world
        .until("two are allowed", |table| {
            table.settings.listeners[0].max_connections == 2
        })
        .await;
    assert_eq!(send(world.proxy(), &Request::get("/")).await.status, StatusCode::OK);
    assert_eq!(region_on(&mut first), "none");
}

#[tokio::test]
async fn an_error_of_ours_carries_its_reason_where_debug_headers_are_on() {
    let world = Setup::regions(&["westeurope"]).logging().start();
    world.until_healthy().await;
    world.behave("westeurope", Behaviour::Dead);
    world.until_state("westeurope", State::Unhealthy).await;
    let answer = world.send(Request::get("/").from(from::BRITAIN)).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let reason = answer.header("x-portolan-reason");
    assert!(
        reason.starts_with("upstream_unre") && reason.contains("; latency; client=GB"),
        "{reason}"
    );
    let lines = world.until_logged(1).await;
    let error = reason.split(';').next().expect("a word");
    assert_eq!(lines[0]["error"], error, "{}", lines[0]);
    assert_eq!(lines[0]["reason"], "latency; panic", "{}", lines[0]);
    assert_eq!(rejected(&world, error).await, 1);
}

/// How many requests were rejected for a reason.
pub(crate) async fn rejected(world: &World, reason: &str) -> u64 {
    let metrics = world.admin(Request::get("/metrics")).await.text();
    let sample = format!("portolan_rejected_requests_total{{reason=\"{reason}\"}} ");
    let count = metrics.lines().find_map(|line| line.strip_prefix(&sample));
    count
        .and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("no {sample} in\n{metrics}"))
}

/// An address that was free a moment ago.
fn free_port() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("an address")
}
