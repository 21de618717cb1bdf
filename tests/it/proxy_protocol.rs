//! The PROXY protocol on a listener: who the client is, and what is closed.

mod upstream;

use portolan_tests::raw::{Message, Wire};
use portolan_tests::{Request, Setup, World, from};
use serde_json::Value;

/// Loopback must send headers; clients without a place are in America.
const LISTENER: &str = "- { name: public, address: 127.0.0.1:0, debug_headers: true, proxy_protocol: { trusted: \
                        [127.0.0.0/8] } }";

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

const REQUEST: &str = "GET /a HTTP/1.1\r\nhost: shop.example.net\r\n\r\n";

async fn world(listener: &str) -> World {
    let world = Setup::three_regions()
        .with("here: eastus2")
        .listeners(listener)
        .logging()
        .start();
    world.until_healthy().await;
    world
}

fn v1(source: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} 192.0.2.9 4711 443\r\n").into_bytes()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a length").to_be_bytes();
    [&[kind], &length[..], value].concat()
}

/// Version 2 for a client in Singapore.
fn v2(extensions: &[u8]) -> Vec<u8> {
    let addresses = [203, 116, 0, 1, 192, 0, 2, 9, 0x12, 0x67, 0x01, 0xBB];
    let payload = [&addresses[..], extensions].concat();
    let length = u16::try_from(payload.len()).expect("a length").to_be_bytes();
    [SIGNATURE, &[0x21, 0x11], &length, &payload].concat()
}

/// The answer to a request behind a header, in one piece.
fn asked(world: &World, header: &[u8], request: &str) -> Message {
    let mut wire = Wire::open(world.proxy());
    wire.write([header, request.as_bytes()].concat());
    wire.response("GET").expect("an answer")
}

fn region(answer: &Message) -> &str {
    answer.field("x-portolan-region").unwrap_or("none")
}

/// A field as the gateway saw it.
fn seen(answer: &Message, name: &str) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body["headers"][name].as_str().unwrap_or_default().to_owned()
}

/// How many connections began like this.
async fn counted(world: &World, result: &str) -> u64 {
    let metrics = world.admin(Request::get("/metrics")).await.text();
    let name = format!("portolan_proxy_protocol_headers_total{{listener=\"public\",result=\"{result}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("{result}: {metrics}"))
}

#[tokio::test]
async fn a_header_of_either_version_names_the_client() {
    let world = world(LISTENER).await;
    for header in [v1(from::SINGAPORE), v2(&[])] {
        let answer = asked(&world, &header, REQUEST);
        assert_eq!(region(&answer), "southeastasia", "{}", answer.head);
        assert_eq!(seen(&answer, "x-forwarded-for"), from::SINGAPORE);
        assert_eq!(seen(&answer, "x-forwarded-proto"), "http");
    }
    let logged = world.until_logged(2).await;
    for line in logged {
        assert_eq!(line["client"], from::SINGAPORE);
        assert_eq!(line["client_from"], "proxy-protocol");
        assert_eq!(line["proxy_protocol"], Value::Null);
    }
    assert_eq!((counted(&world, "v1").await, counted(&world, "v2").await), (1, 1));
}

#[tokio::test]
async fn a_header_that_names_nobody_leaves_the_peer() {
    let world = world(LISTENER).await;
    let local = [SIGNATURE, b"\x20\0\0\0"].concat();
    let unspecified = [SIGNATURE, b"\x21\0\0\0"].concat();
    for header in [local, unspecified, b"PROXY UNKNOWN\r\n".to_vec()] {
        let answer = asked(&world, &header, REQUEST);
        assert_eq!(region(&answer), "eastus2", "{}", answer.head);
        assert_eq!(seen(&answer, "x-forwarded-for"), "127.0.0.1");
    }
    let found = [
        counted(&world, "local").await,
        counted(&world, "v2").await,
        counted(&world, "v1").await,
    ];
    assert_eq!(found, [1, 1, 1]);
}

#[tokio::test]
async fn headers_and_requests_come_in_any_pieces() {
    let world = world(LISTENER).await;
    // Longer than what is looked at at a time.
    let long = v2(&[tlv(0x04, &[7; 700]), tlv(0x02, b"shop.example.net")].concat());
    for header in [v1(from::SINGAPORE), v2(&[]), long] {
        let bytes = [&header, REQUEST.as_bytes()].concat();
        for size in [1, 7, header.len() - 1, header.len(), header.len() + 1, bytes.len()] {
            let mut wire = Wire::open(world.proxy());
            for piece in bytes.chunks(size) {
                wire.write(piece);
            }
            let answer = wire.response("GET").expect("an answer");
            assert_eq!(region(&answer), "southeastasia", "in pieces of {size}: {}", answer.head);
            // The connection goes on as any other.
            wire.write(REQUEST);
            let answer = wire.response("GET").expect("a second answer");
            assert_eq!(seen(&answer, "x-forwarded-for"), from::SINGAPORE);
        }
    }
}

#[tokio::test]
async fn what_follows_a_header_is_not_lost() {
    let world = world(LISTENER).await;
    let body = vec![b'x'; 1_000_000];
    let head = format!("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
    let next = "GET /next HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut wire = Wire::open(world.proxy());
    wire.write([&v2(&[]), head.as_bytes(), &body, next.as_bytes()].concat());
    assert_eq!(wire.response("POST").expect("an answer").status(), 200);
    let answer = wire.response("GET").expect("a second answer");
    let told: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(told["path"], "/next");
    let logged = world.until_logged(2).await;
    assert!(
        logged.iter().any(|line| line["received_bytes"] == 1_000_000),
        "{logged:?}"
    );
}

#[tokio::test]
async fn a_trusted_peer_without_a_header_is_closed() {
    let world = world(LISTENER).await;
    for (bytes, result) in [
        (REQUEST.as_bytes().to_vec(), "not_hdr"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), "not_hdr"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n".to_vec(), "bad_hdr"),
        ([SIGNATURE, b"\x21\x11\xFF\xFF"].concat(), "bad_hdr"),
        (vec![b'P'; 100_000], "not_hdr"),
    ] {
        let before = counted(&world, result).await;
        let mut wire = Wire::open(world.proxy());
        wire.write(&bytes);
        assert!(wire.is_closed(), "{}", bytes.escape_ascii());
        assert_eq!(counted(&world, result).await, before + 1, "{}", bytes.escape_ascii());
    }
    for (bytes, result) in [(&b""[..], "empty"), (b"PROXY TCP4 1.2", "truncated")] {
        let mut wire = Wire::open(world.proxy());
        wire.write(bytes);
        wire.end();
        assert!(wire.is_closed());
        assert_eq!(counted(&world, result).await, 1, "{result}");
    }
}

#[tokio::test]
async fn from_others_a_header_is_no_request() {
    let world = world("- { address: 127.0.0.1:0, proxy_protocol: { trusted: [192.0.2.0/24] } }").await;
    for header in [v1(from::SINGAPORE), v2(&[])] {
        let answer = asked(&world, &header, REQUEST);
        assert_eq!((answer.status(), answer.closes()), (400, true), "{}", answer.head);
    }
    let mut wire = Wire::open(world.proxy());
    wire.write(REQUEST);
    assert_eq!(wire.response("GET").expect("an answer").status(), 200, "none is needed");
}

#[tokio::test]
async fn the_named_peer_may_be_a_proxy_in_turn() {
    let listener = "- { address: 127.0.0.1:0, debug_headers: true, proxy_protocol: { trusted: [127.0.0.1] }, \
                    client_address: { trusted_proxies: [10.0.0.0/8], header: x-forwarded-for } }";
    let world = world(listener).await;
    let request = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {}\r\n\r\n",
        from::SINGAPORE
    );
    let behind = asked(&world, &v1("10.1.2.3"), &request);
    assert_eq!(region(&behind), "southeastasia");
    assert_eq!(
        seen(&behind, "x-forwarded-for"),
        format!("{}, 10.1.2.3", from::SINGAPORE)
    );
    let stranger = asked(&world, &v1(from::BRITAIN), &request);
    assert_eq!(region(&stranger), "westeurope", "{}", stranger.head);
}

#[tokio::test]
async fn extensions_are_logged_and_tls_is_the_clients() {
    let world = world(LISTENER).await;
    let ssl = [&[7, 0, 0, 0, 0], &tlv(0x21, b"TLSv1.3")[..], &tlv(0x22, b"alice")].concat();
    let extensions = [
        tlv(0x02, b"shop.example.net"),
        tlv(0x05, b"id-1"),
        tlv(0x20, &ssl),
        tlv(0xEE, b"\x01\x04\x03\x02\x01"),
    ];
    let answer = asked(&world, &v2(&extensions.concat()), REQUEST);
    assert_eq!(seen(&answer, "x-forwarded-proto"), "https");
    let logged = world.until_logged(1).await;
    assert_eq!(
        logged[0]["proxy_protocol"],
        serde_json::json!({ "authority": "shop.example.net", "unique_id": "id-1", "tls": "TLSv1.3", "common_name": "alice",
                            "verified": true, "private_link": 0x0102_0304 })
    );
}

#[tokio::test]
async fn who_must_send_a_header_changes_with_the_configuration() {
    let world = world(LISTENER).await;
    world.reconfigure(|text| text.replace("trusted: [127.0.0.0/8]", "trusted: [192.0.2.1]"));
    let local = "127.0.0.1".parse().expect("an address");
    world
        .until("nobody must", |table| {
            !table.settings.listeners[0].proxies.contains(local)
        })
        .await;
    let mut wire = Wire::open(world.proxy());
    wire.write(REQUEST);
    assert_eq!(wire.response("GET").expect("an answer").status(), 200);
}
