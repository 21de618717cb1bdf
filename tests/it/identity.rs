//! Who the client is, and what the gateway is told.

use portolan::table::RoutingTable;
use portolan_tests::{Request, Setup, World, from};
use std::net::{IpAddr, Ipv4Addr};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn only_trusted_peers_are_believed() {
    let untrusting = Setup::three_regions().with("here: eastus2").start();
    untrusting.reconfigure(|text| text.replace("trusted_proxies: [127.0.0.0/8]", "trusted_proxies: [192.0.2.0/24]"));
    let first = untrusting.app().tables().current().generation;
    let distrusts = |table: &RoutingTable| !table.settings.listeners[0].client_address.trusted.contains(LOCAL);
    untrusting
        .until("the listener is reloaded", |table| {
            table.generation > first && distrusts(table)
        })
        .await;
    assert_eq!(untrusting.region_for(from::SINGAPORE).await, "eastus2");
}

#[tokio::test]
async fn the_right_most_untrusted_address_is_the_client() {
    let world = World::start();
    let chain = format!("{}, {}:4711, 127.0.0.2", from::BRITAIN, from::SINGAPORE);
    assert_eq!(world.region_for(&chain).await, "southeastasia");
}

#[tokio::test]
async fn the_gateway_sees_its_own_name_and_the_clients_way() {
    let world = World::start();
    let request = Request::get("/a?b=c")
        .from(from::BRITAIN)
        .header("connection", "keep-alive, x-secret")
        .header("x-secret", "for the proxy only")
        .header("te", "gzip");
    let answer = world.send(request).await;
    assert_eq!(answer.seen("host"), world.gateway("westeurope").address().to_string());
    assert_eq!(answer.seen("x-forwarded-for"), format!("{}, 127.0.0.1", from::BRITAIN));
    assert_eq!(answer.seen("x-forwarded-host"), "shop.example.net");
    assert_eq!(answer.seen("x-forwarded-proto"), "http");
    assert!(answer.seen("via").contains("1.1"), "{}", answer.text());
    assert_eq!(answer.seen("traceparent").len(), 55, "{}", answer.text());
    for hop in ["x-secret", "te", "connection"] {
        assert_eq!(answer.seen(hop), "", "{hop} is for one hop");
    }
    assert_eq!(answer.json()["path"], "/a?b=c");
}

#[tokio::test]
async fn the_public_host_is_preserved_when_asked_for() {
    let world = Setup::three_regions().service("preserve_host: true").start();
    assert_eq!(
        world.send(Request::get("/").from(from::BRITAIN)).await.seen("host"),
        "shop.example.net"
    );
}
