//! Who the client is, and which fields about it reach the gateway.

use portolan::table::RoutingTable;
use portolan_tests::{Answer, Behaviour, Request, Setup, World, from};
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
async fn the_gateway_sees_its_own_host_and_the_forwarding_fields() {
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
    for hop in ["x-secret", "te"] {
        assert_eq!(answer.seen(hop), "", "{hop} is for one hop");
    }
    // Of the connection to the gateway, not the client's.
    assert!(
        matches!(&*answer.seen("connection"), "" | "keep-alive"),
        "{}",
        answer.text()
    );
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

/// Fields that some server or framework reads as the client's address, its host or the length of a body.
const ODD: [(&str, &str); 11] = [
    ("X_Forwarded_For", "6.6.6.6"),
    ("X-Forwarded_Host", "evil.example"),
    ("X.Forwarded.Proto", "https"),
    ("X_Azure_FDID", "0"),
    ("X_Portolan_Region", "mars"),
    ("Content_Length", "7"),
    ("Transfer_Encoding", "chunked"),
    ("X-Real-IP", "6.6.6.6"),
    ("True-Client-IP", "6.6.6.6"),
    ("X-Client-IP", "6.6.6.6"),
    ("X-Original-Host", "evil.example"),
];

/// A request with all of them.
fn odd() -> Request {
    let fields = ODD.into_iter();
    fields.fold(Request::get("/"), |request, (name, value)| request.header(name, value))
}

#[tokio::test]
async fn no_spelling_of_a_forwarding_field_reaches_the_gateway() {
    for peers in ["192.0.2.0/24", "127.0.0.0/8"] {
        let listener = format!(
            "- address: 127.0.0.1:0\n  client_address: {{ trusted_proxies: [{peers}], header: x-forwarded-for }}"
        );
        let world = Setup::three_regions().listeners(&listener).start();
        let answer = world.send(odd().header("X_Request_Id", "kept")).await;
        for (name, _) in ODD {
            let seen = answer.seen(&name.to_ascii_lowercase());
            assert_eq!(seen, "", "{name} from a proxy in {peers}: {}", answer.text());
        }
        assert_eq!(answer.seen("x_request_id"), "kept");
    }
}

#[tokio::test]
async fn a_listed_field_passes_from_trusted_proxies_only() {
    let listener = |peers| {
        format!(
            "- address: 127.0.0.1:0\n  client_address: {{ trusted_proxies: [{peers}], header: x-forwarded-for, \
             pass_headers: [X-Real-IP, x_azure_fdid] }}"
        )
    };
    for (peers, passed) in [("127.0.0.0/8", "6.6.6.6"), ("192.0.2.0/24", "")] {
        let world = Setup::three_regions().listeners(&listener(peers)).start();
        let answer = world.send(odd()).await;
        assert_eq!(answer.seen("x-real-ip"), passed, "{}", answer.text());
        assert_eq!(
            answer.seen("x_azure_fdid").is_empty(),
            passed.is_empty(),
            "{}",
            answer.text()
        );
        assert_eq!(answer.seen("true-client-ip"), "", "{}", answer.text());
    }
}

#[tokio::test]
async fn another_front_door_is_not_trusted() {
    let listener = "- address: 127.0.0.1:0\n  debug_headers: true\n  client_address: { trusted_proxies: [127.0.0.0/8], \
                    header: x-azure-socketip, front_door_id: ours }";
    let world = Setup::three_regions().with("here: eastus2").listeners(listener).start();
    let request = |id| {
        Request::get("/")
            .header("x-azure-fdid", id)
            .header("x-azure-socketip", from::SINGAPORE)
            .header("x-azure-ref", "1")
            .header("x-forwarded-host", "public.example")
            .header("x-forwarded-proto", "https")
    };
    let ours = world.send(request("ours")).await;
    let seen = |answer: &Answer| {
        [
            "x-azure-fdid",
            "x-azure-socketip",
            "x-azure-ref",
            "x-forwarded-host",
            "x-forwarded-proto",
        ]
        .map(|name| answer.seen(name))
    };
    assert_eq!(ours.region(), "southeastasia", "{}", ours.text());
    assert_eq!(seen(&ours), ["ours", from::SINGAPORE, "1", "public.example", "https"]);
    let another = world.send(request("another")).await;
    assert_eq!(another.region(), "eastus2", "{}", another.text());
    assert_eq!(seen(&another), ["", "", "", "shop.example.net", "http"]);
}

#[tokio::test]
async fn a_request_has_an_id_at_gateways_in_logs_and_in_errors() {
    let world = Setup::regions(&["westeurope"])
        .service("health_check: off")
        .logging()
        .start();
    let with = |path: &str| Request::get(path).header("x-request-id", "7b1f-42");
    // The peer is trusted: it is the one that gave the id.
    let answer = world.send(with("/")).await;
    assert_eq!(answer.seen("x-request-id"), "7b1f-42");
    let made = world.send(Request::get("/")).await.seen("x-request-id").to_string();
    assert_eq!(made.len(), 32, "{made}");
    world.behave("westeurope", Behaviour::Dead);
    let refused = world.send(with("/")).await;
    assert!(
        refused.text().contains("\"request_id\":\"7b1f-42\""),
        "{}",
        refused.text()
    );
    let lines = world.until_logged(3).await;
    // Lines are written when their responses have ended, in any order.
    let mut ids: Vec<_> = lines.iter().filter_map(|line| line["request_id"].as_str()).collect();
    let mut expected = ["7b1f-42", &made, "7b1f-42"];
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);
}
