//! What is asked of gateways, and which answers change the protocol.

use super::peer::{Gateway, Peer, TEXT, accept_of, field, switched};
use super::{KEY, PLAIN, Scene, asks, handshake};
use crate::tls::client::{Authority, der};
use portolan_core::health::Evidence;
use portolan_tests::Setup;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;

#[tokio::test]
async fn a_handshake_reaches_the_gateway_as_it_was_and_its_answer_the_client() {
    let scene = Scene::made(|setup| {
        let listener = "- { name: web, address: 127.0.0.1:0, debug_headers: true }";
        setup.listeners(listener)
    });
    let scene = scene.await;
    let mut client = Peer::open(scene.world.proxy()).await;
    client.write(handshake()).await;
    let mut gateway = scene.gateway.next().await;
    let asked = gateway.head().await;
    assert!(asked.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{asked}");
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
        ("sec-websocket-protocol", "chat, superchat"),
        ("x-forwarded-host", "shop.example"),
    ] {
        assert_eq!(field(&asked, name), Some(value), "{asked}");
    }
    let more =
        "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\nKeep-Alive: timeout=5\r\n";
    gateway.write(switched(&accept_of(KEY), more)).await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
    for (name, value) in [
        ("connection", Some("upgrade")),
        ("upgrade", Some("websocket")),
        ("sec-websocket-accept", Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        ("sec-websocket-extensions", Some("permessage-deflate")),
        ("sec-websocket-protocol", Some("chat")),
        ("x-portolan-region", Some("westeurope")),
        ("keep-alive", None),
        ("content-length", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(field(&answer, name), value, "{answer}");
    }
    client.send(TEXT, b"hello").await;
    gateway.expect_frame(TEXT, b"hello").await;
    gateway.send(TEXT, b"welcome").await;
    client.expect_frame(TEXT, b"welcome").await;
}

#[tokio::test]
async fn an_upgrade_is_asked_for_in_any_case_and_order() {
    let scene = Scene::new().await;
    for (connection, upgrade, expected) in [
        ("upgrade", "WebSocket", Some("WebSocket")),
        ("keep-alive, UPGRADE", "websocket", Some("websocket")),
        ("Upgrade, close", "websocket", Some("websocket")),
        ("upgrade", "h2c, SPDY/3.1, TLS/1.2, custom", Some("SPDY/3.1, custom")),
        // Not asked for, or not to be served.
        ("keep-alive", "websocket", None),
        ("upgrade", "h2c", None),
        ("upgrade", "TLS/1.0", None),
    ] {
        let mut client = Peer::open(scene.world.proxy()).await;
        client.write(asks(connection, upgrade)).await;
        let mut gateway = scene.gateway.next().await;
        let asked = gateway.head().await;
        assert_eq!(field(&asked, "upgrade"), expected, "{connection} {upgrade}: {asked}");
        let named = field(&asked, "connection").is_some_and(|it| it.contains("upgrade"));
        assert_eq!(named, expected.is_some(), "{asked}");
        let Some(expected) = expected else {
            gateway
                .write("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                .await;
            assert!(client.head().await.starts_with("HTTP/1.1 204 "));
            continue;
        };
        // The last one that is offered.
        let chosen = expected.rsplit(", ").next().expect("one").to_uppercase();
        let answer = format!("HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: {chosen}\r\n\r\n");
        gateway.write(answer).await;
        assert_eq!(field(&client.head().await, "upgrade"), Some(&*chosen));
        client.write("up").await;
        gateway.expect("up").await;
        gateway.write("down").await;
        client.expect("down").await;
    }
}

#[tokio::test]
async fn an_upgrade_with_a_body_or_of_http_1_0_is_ignored() {
    let scene = Scene::new().await;
    let with_body = asks("upgrade", "websocket")
        .replace("GET", "POST")
        .replace("Host:", "Content-Length: 4\r\nHost:")
        + "body";
    let old = asks("upgrade, keep-alive", "websocket").replace("HTTP/1.1", "HTTP/1.0");
    for request in [with_body, old] {
        let mut client = Peer::open(scene.world.proxy()).await;
        client.write(request).await;
        let mut gateway = scene.gateway.next().await;
        let asked = gateway.head().await;
        assert_eq!(field(&asked, "upgrade"), None, "{asked}");
        gateway
            .write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            .await;
        assert!(client.head().await.contains(" 200 OK\r\n"));
        client.expect("ok").await;
    }
}

#[tokio::test]
async fn an_answer_that_was_not_asked_for_is_an_error_of_the_gateway() {
    let scene = Scene::with_service("retry: { attempts: 1 }", |setup| setup).await;
    let plain = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n".to_owned();
    let upgrade = |lines: &str| format!("HTTP/1.1 101 x\r\nConnection: upgrade\r\n{lines}\r\n");
    for (request, answer) in [
        (plain, upgrade("Upgrade: websocket\r\n")),
        (asks("upgrade", "h2c"), upgrade("Upgrade: h2c\r\n")),
        (handshake(), upgrade("Upgrade: h2c\r\n")),
        (handshake(), upgrade("Upgrade: websocket, other\r\n")),
        (handshake(), upgrade("")),
        (handshake(), upgrade("Upgrade: websocket\r\n").replace("1.1", "1.0")),
    ] {
        let mut client = Peer::open(scene.world.proxy()).await;
        client.write(&request).await;
        let mut gateway = scene.gateway.next().await;
        gateway.head().await;
        gateway.write(&answer).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{request} {answer}: {head}");
    }
    let of_region = "service=\"shop\",region=\"westeurope\"";
    let malformed = format!("portolan_upstream_errors_total{{{of_region},kind=\"malformed\"}}");
    assert_eq!(scene.metric(&malformed).await, 6);
    assert_eq!(
        scene.metric(&format!("portolan_upstream_tunnels{{{of_region}}}")).await,
        0
    );
}

#[tokio::test]
async fn other_answers_are_ordinary_ones() {
    let scene = Scene::new().await;
    for (status, more) in [
        ("426 Upgrade Required", "upgrade: websocket\r\n"),
        ("403 Forbidden", ""),
        ("200 OK", ""),
    ] {
        let mut client = Peer::open(scene.world.proxy()).await;
        client.write(handshake()).await;
        let mut gateway = scene.gateway.next().await;
        gateway.head().await;
        gateway
            .write(format!(
                "HTTP/1.1 {status}\r\n{more}content-length: 2\r\nconnection: close\r\n\r\nno"
            ))
            .await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
        client.expect("no").await;
        // The connection goes on as one of HTTP.
        client.write("GET /next HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
        let mut gateway = scene.gateway.next().await;
        assert!(gateway.head().await.starts_with("GET /next "));
        gateway
            .write("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 204 "));
    }
}

#[tokio::test]
async fn another_region_is_asked_until_one_has_answered() {
    let (first, second) = (Gateway::start().await, Gateway::start().await);
    let setup = Setup::regions(&[]).service(PLAIN);
    let setup = setup
        .other("westeurope", first.address())
        .other("eastus2", second.address());
    let world = setup.start();
    for answer in [
        "",
        "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 101 x\r\nupgrade: h2c\r\n\r\n",
    ] {
        let mut client = Peer::open(world.proxy()).await;
        client.write(handshake()).await;
        let mut peer = first.next().await;
        peer.head().await;
        peer.write(answer).await;
        drop(peer);
        let mut peer = second.next().await;
        peer.accept_websocket().await;
        assert!(client.head().await.starts_with("HTTP/1.1 101 "), "{answer}");
        client.send(TEXT, b"second").await;
        peer.expect_frame(TEXT, b"second").await;
    }
    // The handshake is what is observed of a gateway.
    let mut expected = [0; Evidence::ALL.len()];
    expected[Evidence::Success as usize] = 3;
    world.until_observed("eastus2", expected).await;
}

#[tokio::test]
async fn bytes_that_come_with_the_handshake_go_on_with_the_tunnel() {
    let scene = Scene::new().await;
    let mut client = Peer::open(scene.world.proxy()).await;
    let early = super::peer::frame(TEXT, b"early", true);
    client.write([handshake().as_bytes(), &early].concat()).await;
    let mut gateway = scene.gateway.next().await;
    gateway.head().await;
    // More of it, while the proxy waits for the gateway.
    client.send(TEXT, b"and more").await;
    let first = super::peer::frame(TEXT, b"first", false);
    gateway
        .write([switched(&accept_of(KEY), "").as_bytes(), &first].concat())
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    client.expect_frame(TEXT, b"first").await;
    gateway.expect_frame(TEXT, b"early").await;
    gateway.expect_frame(TEXT, b"and more").await;
}

/// A gateway that would rather speak HTTP/2.
fn gateway_config(authority: &Authority) -> Arc<ServerConfig> {
    let (certificate, key) = authority.issue(&["127.0.0.1"]);
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let mut config = ServerConfig::builder_with_provider(portolan::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![der(&certificate)], key)
        .expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

#[tokio::test]
async fn over_tls_on_both_sides() {
    let authority = Authority::new("Root");
    let gateway = Gateway::start_tls(gateway_config(&authority)).await;
    let url = format!("https://{}", gateway.address());
    let (certificate, key) = authority.issue(&["shop.example"]);
    let setup = Setup::regions(&[])
        .file("ca.pem", authority.pem())
        .file("tls.crt", certificate)
        .file("tls.key", key)
        .listeners("- { address: 127.0.0.1:0, tls: { certificate: tls.crt, private_key: tls.key } }")
        .service(&format!("{PLAIN}\nupstream: {{ tls: {{ ca: ca.pem }} }}"));
    let world = setup.gateway("westeurope", url).start();
    let stream = authority
        .client()
        .connect(world.proxy(), "shop.example")
        .await
        .expect("a handshake");
    let mut client = Peer::client(stream);
    client.write(handshake()).await;
    let mut gateway = gateway.next().await;
    gateway.accept_websocket().await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    let large = vec![7; 1 << 20];
    client.send(super::peer::BINARY, &large).await;
    gateway.expect_frame(super::peer::BINARY, &large).await;
    gateway.send(super::peer::BINARY, &large).await;
    client.expect_frame(super::peer::BINARY, &large).await;
    gateway.shut().await;
    assert!(client.ends().await);
    client.shut().await;
    assert!(gateway.ends().await);
}

#[tokio::test]
async fn behind_a_proxy_protocol_header() {
    let scene = Scene::with_service("upstream: { proxy_protocol: v2 }", |setup| setup).await;
    let mut client = Peer::open(scene.world.proxy()).await;
    client.write(handshake()).await;
    let mut gateway = scene.gateway.next().await;
    gateway.expect(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c").await;
    gateway.skip(12).await;
    gateway.accept_websocket().await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    client.send(TEXT, b"hello").await;
    gateway.expect_frame(TEXT, b"hello").await;
}
