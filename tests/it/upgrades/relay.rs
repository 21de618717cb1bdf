//! What a tunnel carries, how it ends, and what is counted of it.

use super::peer::{BINARY, CLOSE, Peer, TEXT, frame};
use super::{Scene, handshake};
use portolan_tests::{Request, Setup};
use std::time::{Duration, Instant};

const OPEN: &str = "portolan_upstream_tunnels{service=\"shop\",region=\"westeurope\"}";

#[tokio::test]
async fn large_messages_pass_whole_in_both_directions_at_once() {
    let scene = Scene::new().await;
    let (mut client, mut gateway) = scene.websocket().await;
    let (up, down) = (vec![0x55; 1 << 20], vec![0xaa; (1 << 20) + 17]);
    let ((), ()) = tokio::join!(
        async {
            client.send(BINARY, &up).await;
            client.expect_frame(BINARY, &down).await;
        },
        async {
            gateway.send(BINARY, &down).await;
            gateway.expect_frame(BINARY, &up).await;
        }
    );
    client.send(TEXT, b"").await;
    gateway.expect_frame(TEXT, b"").await;
}

/// A client that reads nothing stops its gateway, and nobody else.
#[tokio::test]
async fn what_is_not_read_is_not_gathered() {
    let scene = Scene::new().await;
    let (mut client, mut gateway) = scene.custom().await;
    let piece = vec![1; 64 * 1024];
    let mut written = 0;
    let stalls = async {
        loop {
            gateway.write(&piece).await;
            written += piece.len();
        }
    };
    // The sockets' buffers are some megabytes at most.
    let stalled = tokio::time::timeout(Duration::from_secs(2), stalls).await;
    assert!(
        stalled.is_err() && written < 64 << 20,
        "{written} bytes are on their way"
    );
    let (mut other, mut behind) = scene.custom().await;
    other.write("up").await;
    behind.expect("up").await;
    // Reading lets it go on.
    client.skip(written).await;
    gateway.write(&piece).await;
    client.skip(piece.len()).await;
}

#[tokio::test]
async fn an_end_that_has_closed_its_side_still_gets_what_the_other_one_sends() {
    let scene = Scene::new().await;
    for client_first in [true, false] {
        let (client, gateway) = scene.custom().await;
        let (mut first, mut second) = match client_first {
            true => (client, gateway),
            false => (gateway, client),
        };
        first.write("last words").await;
        first.shut().await;
        second.expect("last words").await;
        assert!(second.ends().await);
        second.write("an answer").await;
        first.expect("an answer").await;
        second.shut().await;
        assert!(first.ends().await);
    }
    scene.until_ended("client_closed", 1).await;
    scene.until_ended("upstream_closed", 1).await;
}

#[tokio::test]
async fn a_reset_is_passed_on_as_one() {
    let scene = Scene::new().await;
    let (client, mut gateway) = scene.custom().await;
    client.reset();
    assert!(!gateway.ends().await, "a reset");
    scene.until_ended("client_reset", 1).await;

    let (mut client, gateway) = scene.custom().await;
    gateway.reset();
    assert!(!client.ends().await, "a reset");
    scene.until_ended("upstream_reset", 1).await;
    // A client of WebSocket notices by the missing Close frame, and keeps what it has not read yet.
    let (mut client, gateway) = scene.websocket().await;
    gateway.reset();
    assert!(client.ends().await, "an end");
    scene.until_ended("upstream_reset", 2).await;
}

#[tokio::test]
async fn who_says_goodbye_first_has_ended_it() {
    let scene = Scene::new().await;
    for (client_first, end) in [(true, "client_closed"), (false, "upstream_closed")] {
        let (mut client, mut gateway) = scene.websocket().await;
        let status = 1000_u16.to_be_bytes();
        let (first, second) = match client_first {
            true => (&mut client, &mut gateway),
            false => (&mut gateway, &mut client),
        };
        first.send(CLOSE, &status).await;
        second.expect_frame(CLOSE, &status).await;
        second.send(CLOSE, &status).await;
        first.expect_frame(CLOSE, &status).await;
        // The server closes first (RFC 6455, section 7.1.1).
        gateway.shut().await;
        assert!(client.ends().await);
        client.shut().await;
        assert!(gateway.ends().await);
        scene.until_ended(end, 1).await;
    }
}

#[tokio::test]
async fn a_tunnel_is_counted_and_logged_when_it_has_ended() {
    let scene = Scene::new().await;
    let (mut client, mut gateway) = scene.websocket().await;
    assert_eq!(scene.metric(OPEN).await, 1);
    let listeners = |text: &str| text.contains("portolan_downstream_tunnels{listener=") && text.contains("\"} 1\n");
    let text = scene.world.admin(Request::get("/metrics")).await.text();
    assert!(listeners(&text), "{text}");
    // It is a request that is worked on, and an attempt in flight.
    assert_eq!(scene.metric("portolan_downstream_in_flight").await, 1);
    scene.world.until_in_flight("westeurope", 1).await;
    client.send(TEXT, b"hello").await;
    gateway.expect_frame(TEXT, b"hello").await;
    gateway.send(TEXT, b"hi").await;
    client.expect_frame(TEXT, b"hi").await;
    client.shut().await;
    assert!(gateway.ends().await);
    gateway.shut().await;
    let line = &scene.logged(1).await[0];
    for (key, value) in [
        ("status", "101"),
        ("outcome", "\"1xx\""),
        ("upgrade", "\"websocket\""),
        ("tunnel_end", "\"client_closed\""),
    ] {
        assert_eq!(line[key].to_string(), value, "{line}");
    }
    let sizes = [frame(TEXT, b"hello", true).len(), frame(TEXT, b"hi", false).len()];
    assert_eq!(
        [line["received_bytes"].as_u64(), line["sent_bytes"].as_u64()],
        sizes.map(|size| Some(size as u64)),
        "{line}"
    );
    assert_eq!(scene.metric(OPEN).await, 0);
    scene.world.until_in_flight("westeurope", 0).await;
    let received = "portolan_upstream_tunnel_received_bytes_total{service=\"shop\",region=\"westeurope\"}";
    assert_eq!(scene.metric(received).await, sizes[0] as u64);
    // The time of a tunnel says nothing of how fast requests are answered.
    assert_eq!(
        scene
            .metric("portolan_request_duration_seconds_count{service=\"shop\"}")
            .await,
        0
    );
    assert_eq!(
        scene
            .metric("portolan_request_first_byte_seconds_count{service=\"shop\"}")
            .await,
        1
    );
}

#[tokio::test]
async fn a_tunnel_without_a_byte_ends_with_a_goodbye_and_one_with_some_does_not() {
    let scene = Scene::with_service("timeouts: { tunnel: 1s, request: 200ms, idle: 100ms }", |setup| setup).await;
    let (mut quiet, mut of_quiet) = scene.websocket().await;
    let (mut busy, mut of_busy) = scene.custom().await;
    let begun = Instant::now();
    // Neither the time for the response nor that for bodies ends it.
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        busy.write("x").await;
        of_busy.expect("x").await;
    }
    quiet.expect_going_away().await;
    of_quiet.expect_going_away().await;
    let (quiet_end, gateway_end) = (quiet.ends().await, of_quiet.ends().await);
    assert!(quiet_end && gateway_end && begun.elapsed() >= Duration::from_secs(1));
    drop((quiet, of_quiet));
    scene.until_ended("idle_timeout", 1).await;
    assert!(busy.ends().await && of_busy.ends().await, "without frames it is closed");
    scene.until_ended("idle_timeout", 2).await;
}

#[tokio::test]
async fn a_half_closed_tunnel_is_not_kept_as_long() {
    let scene = Scene::with_service("timeouts: { idle: 300ms }", |setup| setup).await;
    let (mut client, mut gateway) = scene.custom().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    client.shut().await;
    assert!(gateway.ends().await);
    gateway.write("still there").await;
    client.expect("still there").await;
    assert!(client.ends().await);
    scene.until_ended("client_closed", 1).await;
}

#[tokio::test]
async fn tunnels_are_requests_to_limits_and_rejections_are_ordinary_answers() {
    let scene =
        Scene::made(|setup| setup.routes("- { path: /chat, service: shop, limits: { concurrent_requests: 1 } }"));
    let scene = scene.await;
    let (client, gateway) = scene.websocket().await;
    let mut second = Peer::open(scene.world.proxy()).await;
    second.write(handshake()).await;
    let head = second.head().await;
    assert!(
        head.starts_with("HTTP/1.1 503 ") && head.contains("retry-after: "),
        "{head}"
    );
    drop((client, gateway));
    scene
        .world
        .poll("the place is free", || {
            scene.world.app().tables().current().in_flight.total() == 0
        })
        .await;
    scene.websocket().await;
}

#[tokio::test]
async fn a_session_and_a_drained_region_decide_about_new_tunnels_only() {
    let scene = Scene::with_service("affinity: { cookie: {} }", |setup| setup).await;
    let mut client = Peer::open(scene.world.proxy()).await;
    client.write(handshake()).await;
    let mut gateway = scene.gateway.next().await;
    gateway.accept_websocket().await;
    let head = client.head().await;
    assert!(head.contains("set-cookie: portolan-affinity="), "{head}");
    let drain = Request::new(http::Method::POST, "/api/v1/regions/westeurope/drain");
    assert_eq!(scene.world.admin(drain).await.status, 200);
    scene
        .world
        .until_state("westeurope", portolan_core::health::State::Draining)
        .await;
    client.send(TEXT, b"still here").await;
    gateway.expect_frame(TEXT, b"still here").await;
    let mut late = Peer::open(scene.world.proxy()).await;
    late.write(handshake()).await;
    assert!(late.head().await.starts_with("HTTP/1.1 503 "));
}

/// Redirecting a handshake would break clients: few of them follow redirects.
#[tokio::test]
async fn steering_redirects_no_handshake() {
    let setup = Setup::regions(&["westeurope"]).region("westeurope", "public: \"https://weu.example\"");
    let world = setup.service("steer: redirect").start();
    world.until_healthy().await;
    let mut client = Peer::open(world.proxy()).await;
    client.write("GET /chat HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 307 "));
    // The gateway of the demo speaks HTTP alone.
    let mut client = Peer::open(world.proxy()).await;
    client.write(handshake()).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
}
