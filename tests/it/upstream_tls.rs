//! Gateways over TLS: what is verified, what is counted when it fails, and where requests then go.

mod authority;
mod connections;
mod files;
mod gate;
mod gateway;
mod probes;
mod trust;

use authority::Authority;
use gateway::{End, TlsGateway};
use portolan::vitals::UpstreamError;
use portolan_core::health::Evidence;
use portolan_tests::raw::{Message, Wire};
use portolan_tests::{Setup, World};

/// What a gateway answers.
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";

const POST: &str = "POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 5\r\n\r\nhello";

/// No probes, the first region first, the authority's certificate in a file.
const SERVICE: &str = "health_check: off\npolicy: priority\nupstream: { tls: { ca: ca.pem } }";

const WEST: &str = "westeurope";

/// One gateway over TLS, whose authority is trusted.
fn one(gateway: &TlsGateway, authority: &Authority) -> World {
    setup(authority, SERVICE)
        .gateway(WEST, gateway.url("127.0.0.1"))
        .start()
}

fn setup(authority: &Authority, service: &str) -> Setup {
    Setup::regions(&[]).service(service).file("ca.pem", authority.pem())
}

/// The answer to a request on a connection of its own.
#[track_caller]
fn ask(world: &World, request: &str) -> Message {
    let mut client = Wire::open(world.proxy());
    client.write(request);
    client.response("GET").expect("an answer")
}

/// How often requests to the first region failed like this.
fn errors(world: &World, kind: UpstreamError) -> u64 {
    world.vitals(WEST).errors()[kind as usize]
}

#[test]
fn a_gateway_gets_its_own_name_as_host_and_as_server_name() {
    let authority = Authority::new("root");
    for (host, server_name) in [
        ("127.0.0.1", None),
        ("localhost", Some("localhost")),
        ("localhost.", Some("localhost")),
    ] {
        let gateway = TlsGateway::start(&authority.server(&["127.0.0.1", "localhost"]));
        let world = setup(&authority, SERVICE).gateway(WEST, gateway.url(host)).start();
        let answer = ask(&world, GET);
        assert_eq!(
            (answer.status(), &*answer.body),
            (200, &b"ok"[..]),
            "{host}: {}",
            answer.head
        );
        let seen = gateway.seen();
        let own = format!("host: {}:{}\r\n", host.trim_end_matches('.'), gateway.address().port());
        assert!(seen.requests[0].contains(&own), "{}", seen.requests[0]);
        assert_eq!(seen.handshakes[0].server_name.as_deref(), server_name, "{host}");
        assert_eq!(seen.handshakes[0].protocol.as_deref(), Some(&b"http/1.1"[..]));
    }
}

#[test]
fn with_preserve_host_the_server_name_is_still_the_gateways() {
    let authority = Authority::new("root");
    let gateway = TlsGateway::start(&authority.server(&["localhost"]));
    let service = format!("{SERVICE}\npreserve_host: true");
    let world = setup(&authority, &service)
        .gateway(WEST, gateway.url("localhost"))
        .start();
    assert_eq!(ask(&world, GET).status(), 200);
    let seen = gateway.seen();
    assert!(
        seen.requests[0].contains("host: shop.example\r\n"),
        "{}",
        seen.requests[0]
    );
    assert_eq!(seen.handshakes[0].server_name.as_deref(), Some("localhost"));
}

#[test]
fn another_server_name_is_sent_and_verified() {
    let authority = Authority::new("root");
    let gateway = TlsGateway::start(&authority.server(&["gw.internal"]));
    let service = SERVICE.replace("ca.pem", "ca.pem, server_name: gw.internal");
    let world = setup(&authority, &service)
        .gateway(WEST, gateway.url("127.0.0.1"))
        .start();
    assert_eq!(ask(&world, GET).status(), 200);
    let seen = gateway.seen();
    assert_eq!(seen.handshakes[0].server_name.as_deref(), Some("gw.internal"));
    let own = format!("host: {}\r\n", gateway.address());
    assert!(seen.requests[0].contains(&own), "{}", seen.requests[0]);
}

fn counts(evidence: Evidence, count: u64) -> [u64; Evidence::ALL.len()] {
    let mut counts = [0; Evidence::ALL.len()];
    counts[evidence as usize] = count;
    counts
}

/// Redirects and cookies that name an https gateway.
#[test]
fn the_name_of_an_https_gateway_is_replaced() {
    let authority = Authority::new("root");
    let gateway = TlsGateway::start(&authority.server(&["127.0.0.1"]));
    let world = one(&gateway, &authority);
    let own = gateway.url("127.0.0.1");
    gateway.replies(
        format!("HTTP/1.1 302 Found\r\nlocation: {own}/next\r\ncontent-length: 0\r\n\r\n"),
        End::Never,
    );
    assert_eq!(ask(&world, GET).field("location"), Some("http://shop.example/next"));
}
