//! WebSocket over HTTP/2 (RFC 8441), to gateways of HTTP/1.1.

use super::peer::{BINARY, CLOSE, Peer, TEXT, field, frame, switched};
use super::{KEY, Scene};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response, StatusCode};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

const LISTENER: &str = "- { name: web, address: 127.0.0.1:0, http2: prior-knowledge, debug_headers: true }";

async fn scene(lines: &str, rest: &str) -> Scene {
    Scene::with_service(lines, |setup| setup.listeners(LISTENER).with(rest)).await
}

async fn connect(scene: &Scene) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(scene.world.proxy()).await.expect("connected");
    let (requests, connection) = h2::client::handshake(stream).await.expect("a handshake");
    tokio::spawn(connection);
    let allowed = async {
        while !requests.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(super::peer::TIMEOUT, allowed)
        .await
        .expect("SETTINGS_ENABLE_CONNECT_PROTOCOL");
    requests
}

fn ask(protocol: &'static str) -> Request<()> {
    let request = Request::builder()
        .method("CONNECT")
        .uri("https://shop.example/chat?room=1")
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .header("sec-websocket-extensions", "permessage-deflate")
        .header("sec-websocket-key", KEY);
    request.body(()).expect("a request")
}

/// A client's end of a tunnel.
struct Socket {
    sender: SendStream<Bytes>,
    receiver: RecvStream,
    read: Vec<u8>,
}

impl Socket {
    fn new(sender: SendStream<Bytes>, response: Response<RecvStream>) -> Self {
        Self {
            sender,
            receiver: response.into_body(),
            read: Vec::new(),
        }
    }

    async fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut bytes = Bytes::from(frame(opcode, payload, true));
        while !bytes.is_empty() {
            self.sender.reserve_capacity(bytes.len());
            let capacity = std::future::poll_fn(|context| self.sender.poll_capacity(context));
            let capacity = timeout(super::peer::TIMEOUT, capacity)
                .await
                .expect("in time")
                .expect("open")
                .expect("open");
            let part = bytes.split_to(capacity.min(bytes.len()));
            self.sender.send_data(part, false).expect("open");
        }
    }

    /// The next bytes, which are to be these.
    async fn expect(&mut self, bytes: &[u8]) {
        while self.read.len() < bytes.len() {
            let data = timeout(super::peer::TIMEOUT, self.receiver.data())
                .await
                .expect("in time");
            let data = data
                .unwrap_or_else(|| panic!("the end after {:?}", self.read))
                .expect("good");
            self.receiver
                .flow_control()
                .release_capacity(data.len())
                .expect("received");
            self.read.extend_from_slice(&data);
        }
        let came: Vec<u8> = self.read.drain(..bytes.len()).collect();
        assert!(came == bytes, "{:?}", &came[..came.len().min(100)]);
    }

    /// The end of what the proxy sends, and whether it is an orderly one. Nothing may come before.
    async fn ends(&mut self) -> bool {
        assert!(self.read.is_empty());
        loop {
            let data = timeout(super::peer::TIMEOUT, self.receiver.data())
                .await
                .expect("in time");
            match data {
                None => return true,
                Some(Ok(data)) => assert!(data.is_empty(), "{data:?}"),
                Some(Err(_)) => return false,
            }
        }
    }
}

async fn open(scene: &Scene, requests: &mut SendRequest<Bytes>) -> (Socket, Peer) {
    let (response, sender) = requests.send_request(ask("websocket"), false).expect("sent");
    let mut gateway = scene.gateway.next().await;
    gateway.accept_websocket().await;
    let response = timeout(super::peer::TIMEOUT, response)
        .await
        .expect("in time")
        .expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    (Socket::new(sender, response), gateway)
}

#[tokio::test]
async fn extended_connect_becomes_an_upgrade_with_a_handshake_of_our_own() {
    let scene = scene("", "").await;
    let mut requests = connect(&scene).await;
    let (response, sender) = requests.send_request(ask("websocket"), false).expect("sent");
    let mut gateway = scene.gateway.next().await;
    let asked = gateway.head().await;
    assert!(asked.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{asked}");
    for (name, value) in [
        ("upgrade", Some("websocket")),
        ("connection", Some("upgrade")),
        ("sec-websocket-version", Some("13")),
        ("sec-websocket-protocol", Some("chat")),
        ("sec-websocket-extensions", Some("permessage-deflate")),
        ("x-forwarded-host", Some("shop.example")),
        ("transfer-encoding", None),
    ] {
        assert_eq!(field(&asked, name), value, "{asked}");
    }
    assert_eq!(asked.matches("sec-websocket-key").count(), 1, "{asked}");
    let key = field(&asked, "sec-websocket-key").expect("a key");
    assert!(key != KEY && key.len() == KEY.len(), "{asked}");
    let more = "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
    let first = frame(TEXT, b"first", false);
    gateway
        .write([switched(&super::accept_of(key), more).as_bytes(), &first].concat())
        .await;
    let response = timeout(super::peer::TIMEOUT, response)
        .await
        .expect("in time")
        .expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    assert_eq!(headers["sec-websocket-protocol"], "chat");
    assert_eq!(headers["sec-websocket-extensions"], "permessage-deflate");
    assert_eq!(headers["x-portolan-region"], "westeurope");
    for none in [
        "sec-websocket-accept",
        "upgrade",
        "connection",
        "content-length",
        "sec-websocket-key",
    ] {
        assert!(!headers.contains_key(none), "{headers:?}");
    }
    let mut client = Socket::new(sender, response);
    client.expect(&first).await;
    let (up, down) = (vec![3; 1 << 20], vec![4; (1 << 20) + 3]);
    let ((), ()) = tokio::join!(
        async {
            client.send(BINARY, &up).await;
            client.expect(&frame(BINARY, &down, false)).await;
        },
        async {
            gateway.send(BINARY, &down).await;
            gateway.expect_frame(BINARY, &up).await;
        }
    );
    // Half closed, then closed.
    client.sender.send_data(Bytes::new(), true).expect("open");
    assert!(gateway.ends().await);
    gateway.send(TEXT, b"bye").await;
    client.expect(&frame(TEXT, b"bye", false)).await;
    gateway.shut().await;
    assert!(client.ends().await);
    let line = &scene.logged(1).await[0];
    for (key, value) in [
        ("status", "200"),
        ("upgrade", "\"websocket\""),
        ("tunnel_end", "\"client_closed\""),
        ("protocol", "\"HTTP/2\""),
    ] {
        assert_eq!(line[key].to_string(), value, "{line}");
    }
}

#[tokio::test]
async fn a_gateway_that_did_not_understand_the_handshake_opens_no_tunnel() {
    let scene = scene("retry: { attempts: 1 }", "").await;
    let mut requests = connect(&scene).await;
    for (answer, expected) in [
        (switched("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", ""), 502),
        (switched("", "").replace("Sec-WebSocket-Accept: \r\n", ""), 502),
        (
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno".to_owned(),
            403,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno".to_owned(),
            502,
        ),
    ] {
        let (response, _sender) = requests.send_request(ask("websocket"), false).expect("sent");
        let mut gateway = scene.gateway.next().await;
        gateway.head().await;
        gateway.write(&answer).await;
        let response = timeout(super::peer::TIMEOUT, response)
            .await
            .expect("in time")
            .expect("a response");
        assert_eq!(response.status(), expected, "{answer}");
    }
}

#[tokio::test]
async fn other_protocols_and_plain_connect_are_refused() {
    let scene = scene("", "").await;
    let mut requests = connect(&scene).await;
    let plain = Request::builder()
        .method("CONNECT")
        .uri("shop.example:443")
        .body(())
        .expect("a request");
    for (request, expected) in [(ask("connect-udp"), 501), (ask("WebSocket"), 501), (plain, 405)] {
        let (response, _sender) = requests.send_request(request, false).expect("sent");
        let response = timeout(super::peer::TIMEOUT, response)
            .await
            .expect("in time")
            .expect("a response");
        assert_eq!(response.status(), expected);
    }
    assert_eq!(
        scene
            .metric("portolan_rejected_requests_total{reason=\"connect_protocol\"}")
            .await,
        2
    );
}

#[tokio::test]
async fn streams_beside_a_tunnel_go_on_and_a_reset_ends_one_tunnel_only() {
    let scene = scene("", "").await;
    let mut requests = connect(&scene).await;
    let (mut first, mut of_first) = open(&scene, &mut requests).await;
    let (mut second, mut of_second) = open(&scene, &mut requests).await;
    first.sender.send_reset(Reason::CANCEL);
    assert!(of_first.ends().await, "the gateway sees an end");
    scene.until_ended("client_reset", 1).await;
    // A gateway that is cut ends its stream.
    second.send(TEXT, b"hello").await;
    of_second.expect_frame(TEXT, b"hello").await;
    of_second.reset();
    second.ends().await;
    scene.until_ended("upstream_reset", 1).await;
    let request = Request::builder()
        .uri("https://shop.example/")
        .body(())
        .expect("a request");
    let (response, _) = requests.send_request(request, true).expect("sent");
    let mut gateway = scene.gateway.next().await;
    gateway.head().await;
    gateway
        .write("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        .await;
    assert_eq!(response.await.expect("a response").status(), 204);
}

#[tokio::test]
async fn a_client_that_reads_nothing_stops_its_own_gateway_only() {
    let scene = scene("", "").await;
    let mut requests = connect(&scene).await;
    let (_stalled, mut of_stalled) = open(&scene, &mut requests).await;
    let piece = frame(BINARY, &[0; 60_000], false);
    let stalls = async {
        loop {
            of_stalled.write(&piece).await;
        }
    };
    assert!(timeout(Duration::from_secs(2), stalls).await.is_err(), "it stops");
    let (mut other, mut behind) = open(&scene, &mut requests).await;
    other.send(TEXT, b"hello").await;
    behind.expect_frame(TEXT, b"hello").await;
}

#[tokio::test]
async fn a_drain_says_goodbye_over_http2_too() {
    let scene = scene("", "drain_time: 4s").await;
    let mut requests = connect(&scene).await;
    let (mut client, mut gateway) = open(&scene, &mut requests).await;
    scene.world.app().begin_drain();
    client.send(TEXT, b"hello").await;
    gateway.expect_frame(TEXT, b"hello").await;
    client.expect(&[0x80 | CLOSE, 2, 0x03, 0xe9]).await;
    gateway.expect_going_away().await;
    assert!(client.ends().await && gateway.ends().await);
    let line = &scene.logged(1).await[0];
    assert_eq!(line["tunnel_end"], "draining", "{line}");
}
