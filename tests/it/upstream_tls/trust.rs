//! Which gateways get requests, and where requests go that a gateway cannot get.

use super::authority::{Authority, Identity, Valid};
use super::gateway::{Clients, End, TlsGateway, config};
use super::{GET, POST, SERVICE, WEST, ask, counts, errors, one, setup};
use portolan::vitals::UpstreamError;
use portolan_core::health::{Evidence, State};
use portolan_tests::raw::RawGateway;
use portolan_tests::{Request, Setup, from};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// What a gateway presents, and the kind of error.
fn untrusted(authority: &Authority) -> Vec<(&'static str, Identity, UpstreamError)> {
    let names = ["127.0.0.1"];
    let intermediate = authority.intermediate("intermediate");
    vec![
        (
            "unknown issuer",
            Authority::new("another").server(&names),
            UpstreamError::TlsUnknownIssuer,
        ),
        // The authority's name is right, its key is not.
        (
            "false issuer",
            Authority::new("root").server(&names),
            UpstreamError::TlsInvalidCertificate,
        ),
        (
            "no intermediate",
            intermediate.server(&names).alone(),
            UpstreamError::TlsUnknownIssuer,
        ),
        (
            "another name",
            authority.server(&["gw.example", "127.0.0.2"]),
            UpstreamError::TlsNameMismatch,
        ),
        (
            "expired",
            authority.server_valid(&names, Valid::Before),
            UpstreamError::TlsExpired,
        ),
        (
            "not yet valid",
            authority.server_valid(&names, Valid::Later),
            UpstreamError::TlsExpired,
        ),
        (
            "for clients",
            authority.client("127.0.0.1"),
            UpstreamError::TlsInvalidCertificate,
        ),
    ]
}

/// Nothing of a request was sent: it goes to another region whatever its method, and to no region twice.
#[tokio::test]
async fn a_gateway_that_cannot_be_trusted_gets_no_request() {
    let authority = Authority::new("root");
    for (what, identity, kind) in untrusted(&authority) {
        let (bad, good) = (TlsGateway::start(&identity), RawGateway::start());
        let setup = setup(&authority, SERVICE).gateway(WEST, bad.url("127.0.0.1"));
        let world = setup.gateway("eastus2", format!("http://{}", good.address())).start();
        for (count, request) in [(1, GET), (2, POST)] {
            assert_eq!(ask(&world, request).status(), 200, "{what}");
            assert_eq!(good.seen().len(), 1, "{what}");
            assert_eq!(errors(&world, kind), count, "{what}: {:?}", world.vitals(WEST).errors());
        }
        assert!(bad.seen().requests.is_empty(), "{what}");
        world.until_observed(WEST, counts(Evidence::ConnectFailed, 2)).await;
        let metrics = world.admin(Request::get("/metrics")).await.text();
        let line = format!(
            "portolan_upstream_errors_total{{service=\"shop\",region=\"westeurope\",kind=\"{}\"}} 2",
            kind.as_str()
        );
        assert!(metrics.contains(&line), "{what}: {line}");
    }
}

#[test]
fn a_chain_with_its_intermediate_is_accepted() {
    let authority = Authority::new("root");
    let intermediate = authority.intermediate("intermediate");
    let gateway = TlsGateway::start(&intermediate.server(&["127.0.0.1"]));
    assert_eq!(ask(&one(&gateway, &authority), GET).status(), 200);
}

#[test]
fn what_is_no_tls_is_a_failed_handshake() {
    let authority = Authority::new("root");
    // Plain HTTP, and a server that ends every connection.
    let plain = RawGateway::start();
    plain.says("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    let ends = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let ends_at = ends.local_addr().expect("an address");
    std::thread::spawn(move || ends.incoming().for_each(drop));
    for address in [speaks_plain(), ends_at] {
        let setup = setup(&authority, SERVICE).gateway(WEST, format!("https://{address}"));
        let world = setup.gateway("eastus2", format!("http://{}", plain.address())).start();
        assert_eq!(ask(&world, POST).status(), 400);
        assert_eq!(
            errors(&world, UpstreamError::TlsHandshake),
            1,
            "{:?}",
            world.vitals(WEST).errors()
        );
    }
}

/// A server that answers whatever it gets, as nginx does on a port without TLS.
fn speaks_plain() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            use std::io::{Read, Write};
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
        }
    });
    address
}

/// The handshake has a time limit: the kernel accepts connections of a process that hangs.
#[test]
fn a_handshake_that_does_not_go_on_is_given_up() {
    let authority = Authority::new("root");
    let hangs = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let other = RawGateway::start();
    let address = hangs.local_addr().expect("an address");
    let setup = setup(&authority, SERVICE).gateway(WEST, format!("https://{address}"));
    let world = setup.gateway("eastus2", format!("http://{}", other.address())).start();
    assert_eq!(ask(&world, POST).status(), 200);
    assert_eq!(errors(&world, UpstreamError::ConnectTimeout), 1);
}

/// In TLS 1.3 that shows when the response is read: the request may have been received.
#[test]
fn a_client_certificate_that_is_required_is_sent() {
    let authority = Authority::new("root");
    let identity = authority.server(&["127.0.0.1"]);
    let client = authority.client("edge");
    for version in [12, 13] {
        let gateway = TlsGateway::start_with(config(&identity, Clients::Of(&authority), Some(version)));
        let service = SERVICE.replace(
            "ca.pem",
            "ca.pem, client_certificate: client.pem, client_private_key: client.key",
        );
        let setup = setup(&authority, &service).file("client.pem", &client.chain_pem);
        let setup = setup.file("client.key", &client.key_pem);
        let world = setup.gateway(WEST, gateway.url("127.0.0.1")).start();
        assert_eq!(ask(&world, POST).status(), 200);
        assert!(gateway.seen().handshakes[0].has_certificate);
    }
}

#[test]
fn without_the_required_certificate_a_post_is_not_repeated() {
    let authority = Authority::new("root");
    let identity = authority.server(&["127.0.0.1"]);
    let (gateway, other) = (
        TlsGateway::start_with(config(&identity, Clients::Of(&authority), Some(13))),
        RawGateway::start(),
    );
    let setup = setup(&authority, SERVICE).gateway(WEST, gateway.url("127.0.0.1"));
    let world = setup.gateway("eastus2", format!("http://{}", other.address())).start();
    assert_eq!(ask(&world, POST).status(), 502);
    assert!(other.seen().is_empty());
    assert_eq!(
        errors(&world, UpstreamError::TlsClientCertificate),
        1,
        "{:?}",
        world.vitals(WEST).errors()
    );
    assert_eq!(ask(&world, GET).status(), 200);
    assert_eq!(errors(&world, UpstreamError::TlsClientCertificate), 2);

    // In TLS 1.2 the handshake fails, before anything is sent.
    gateway.reconfigure(config(&identity, Clients::Of(&authority), Some(12)));
    assert_eq!(ask(&world, POST).status(), 200);
    assert_eq!(errors(&world, UpstreamError::TlsClientCertificate), 3);
    assert!(gateway.seen().requests.is_empty());
}

/// The certificate of the region that carries the traffic expires under load.
#[tokio::test]
async fn nothing_is_lost_when_a_certificate_expires() {
    let authority = Authority::new("root");
    let gateway = TlsGateway::start(&authority.server(&["127.0.0.1"]));
    let service = "health_check: { interval: 100ms }\npolicy: priority\nupstream: { max_requests_per_connection: 20, tls: { ca: ca.pem } }";
    let setup = Setup::regions(&["eastus2"])
        .service(service)
        .file("ca.pem", authority.pem());
    let setup = setup
        .gateway(WEST, gateway.url("127.0.0.1"))
        .region("eastus2", "priority: 1");
    let world = setup.start();
    world.until_state(WEST, State::Healthy).await;
    gateway.replies(
        "HTTP/1.1 200 OK\r\nx-region: westeurope\r\ncontent-length: 2\r\n\r\nok",
        End::Never,
    );
    let mut load = world.load(&[from::BRITAIN; 8]);
    load.more(200).await;
    let expired = authority.server_valid(&["127.0.0.1"], Valid::Before);
    gateway.reconfigure(config(&expired, Clients::Any, None));
    world.until_state(WEST, State::Unhealthy).await;
    load.more(200).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{tally:?}");
    assert!(tally.regions.contains_key("eastus2"), "{tally:?}");
}
