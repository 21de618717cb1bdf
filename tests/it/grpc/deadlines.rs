//! How long calls may take.

use super::client::{finish, message, next, send};
use super::{Scene, TIMEOUT};
use portolan_core::health::Evidence;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// Nobody waits for longer.
#[tokio::test]
async fn a_clients_deadline_ends_its_call() {
    let scene = Scene::new(2, "retry: { non_idempotent: true, hedge_after: off }");
    let caller = scene.caller().await;
    scene.servers[0].answers("Hang");
    for (value, limit) in [("200m", 200), ("1S", 1000), ("150000u", 150)] {
        let begun = Instant::now();
        let ended = caller
            .call("Hang", b"", &[("grpc-timeout", value)])
            .await
            .expect("an end");
        assert!(ended.is_trailers_only);
        assert_eq!(ended.grpc_status(), "4", "{ended:?}");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(limit), "{value}: {took:?}");
        assert!(took < Duration::from_millis(limit) + TIMEOUT / 4, "{value}: {took:?}");
        let seen = scene.servers[0].seen();
        assert_eq!(seen.last().expect("a call").head["grpc-timeout"], value);
        let is_reset = || scene.servers[0].seen().last().is_some_and(|seen| seen.reset.is_some());
        scene.world.poll("the gateway sees it", is_reset).await;
    }
    // The client chose the moment: it shows nothing of the gateway.
    let totals = scene.world.vitals("westeurope").totals();
    assert_eq!(totals.of(Evidence::TimedOut), 0);
}

#[tokio::test]
async fn what_is_no_deadline_is_left_to_the_server() {
    let scene = Scene::new(1, "");
    let caller = scene.caller().await;
    for value in ["5s", "123456789n", "0", "-1m"] {
        assert_eq!(
            caller.status("Tick/50x1", &[("grpc-timeout", value)]).await,
            "0",
            "{value}"
        );
        assert_eq!(
            scene.servers[0].seen().last().expect("a call").head["grpc-timeout"],
            value
        );
    }
}

/// A stream ends with a status, so that its client knows why.
#[tokio::test]
async fn a_stream_ends_at_its_deadline() {
    for (lines, fields) in [
        ("", &[("grpc-timeout", "300m")][..]),
        ("timeouts: { total: 300ms }", &[]),
    ] {
        let scene = Scene::new(1, lines);
        let caller = scene.caller().await;
        let (response, mut sender) = caller.begin("Stall", fields).await;
        send(&mut sender, message(b""), true).await.expect("sent");
        let mut response = response.await.expect("a head");
        next(response.body_mut()).await.expect("a message");
        let ended = tokio::time::timeout(TIMEOUT, finish(response)).await.expect("in time");
        let ended = ended.expect("an end");
        assert_eq!(ended.grpc_status(), "4", "{lines}: {ended:?}");
        let is_reset = || scene.servers[0].seen()[0].reset.is_some();
        scene.world.poll("the gateway sees it", is_reset).await;
        // Neither for the gateway nor against it.
        let totals = scene.world.vitals("westeurope").totals();
        assert_eq!((totals.of(Evidence::Cancelled), totals.of(Evidence::Success)), (1, 0));
        scene.until_counted("westeurope", "deadline_exceeded", 1).await;
    }
}

#[tokio::test]
async fn a_stream_on_which_nothing_is_sent_ends() {
    let scene = Scene::new(1, "timeouts: { stream_idle: 300ms }");
    let caller = scene.caller().await;
    let (response, _sender) = caller.begin("Stall", &[]).await;
    let mut response = response.await.expect("a head");
    next(response.body_mut()).await.expect("a message");
    let ended = tokio::time::timeout(TIMEOUT, finish(response)).await.expect("in time");
    assert_eq!(ended.expect("an end").grpc_status(), "14");
    assert_eq!(scene.world.vitals("westeurope").totals().of(Evidence::TimedOut), 0);
    // Before there is a head, too.
    let (response, _sender) = caller.begin("Collect", &[]).await;
    let response = tokio::time::timeout(TIMEOUT, response).await.expect("in time");
    let ended = finish(response.expect("a head")).await.expect("an end");
    assert_eq!(ended.grpc_status(), "14", "{ended:?}");
}

/// Without gRPC, it is cut.
#[tokio::test]
async fn timeouts_total_is_for_every_response() {
    use portolan_tests::raw::{RawGateway, Reply, Wire};
    let gateway = RawGateway::start();
    let world = portolan_tests::Setup::regions(&[])
        .other("westeurope", gateway.address())
        .service("health_check: off\ntimeouts: { total: 300ms }")
        .start();
    gateway.replies([Reply::SayEarly(
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec(),
    )]);
    let mut client = std::net::TcpStream::connect(world.proxy()).expect("connected");
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("written");
    let mut read = Vec::new();
    // It may be reset.
    let _ = client.read_to_end(&mut read);
    let read = String::from_utf8(read).expect("text");
    assert!(
        read.starts_with("HTTP/1.1 200") && read.ends_with("\r\n\r\nhalf"),
        "{read}"
    );
    assert_eq!(world.vitals("westeurope").totals().of(Evidence::Cancelled), 1);
    // A response that never begins.
    gateway.replies([Reply::Hang]);
    let mut wire = Wire::open(world.proxy());
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(wire.response("GET").expect("an answer").status(), 504);
}
