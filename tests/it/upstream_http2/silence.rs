//! Connections on which nothing comes any more, and gateways that do not answer.

use super::gateway::{Gateway, Order, Settings};
use super::{EAST, SERVICE, Scene, WEST, until};
use http::StatusCode;
use std::time::{Duration, Instant};

/// One that answers all but `/wait` on its first connection.
async fn waiting() -> Gateway {
    Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move {
            came.read().await;
            match came.path().as_str() {
                "/wait" if came.connection == 0 => std::future::pending().await,
                _ => came.say("ok", None),
            }
        })
    })
    .await
}

/// A connection on which a stream timed out and nothing came takes no new streams, until it answers.
#[tokio::test]
async fn a_dead_connection_does_not_swallow_later_requests() {
    let gateway = waiting().await;
    let service = format!("{SERVICE}\ntimeouts: {{ request: 600ms }}");
    let scene = Scene::with(&service, &[(WEST, &gateway)]).await;
    scene.client.get("/").await.expect("an answer");
    gateway.order(Order::Hang);
    let answer = scene.client.get("/").await.expect("an answer");
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    for _ in 0..5 {
        let begun = Instant::now();
        assert_eq!(scene.client.post("/").await.expect("an answer").status, StatusCode::OK);
        assert!(begun.elapsed() < Duration::from_millis(600), "{:?}", begun.elapsed());
    }
    assert_eq!(gateway.connections().0, 2);
    let given_up = async {
        while scene
            .metric("portolan_upstream_http2_events_total", "ping_timeout")
            .await
            == 0
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(super::TIMEOUT, given_up).await.expect("given up");
}

/// A slow stream alone is no sign of a dead connection: it answers PING.
#[tokio::test]
async fn a_slow_gateway_keeps_its_connection() {
    let gateway = waiting().await;
    let service = format!("{SERVICE}\ntimeouts: {{ request: 600ms }}");
    let scene = Scene::with(&service, &[(WEST, &gateway)]).await;
    for _ in 0..3 {
        let answer = scene.client.get("/wait").await.expect("an answer");
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
        // As soon as the PING is answered.
        let answer = scene.client.get("/").await.expect("an answer");
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert!(gateway.connections().0 <= 2, "{:?}", gateway.connections());
    assert_eq!(
        scene
            .metric("portolan_upstream_http2_events_total", "ping_timeout")
            .await,
        0
    );
}

#[tokio::test]
async fn streams_of_a_silent_connection_fail_and_those_that_can_be_are_sent_again() {
    let gateway = waiting().await;
    let scene = Scene::of(&gateway).await;
    scene.client.get("/").await.expect("an answer");
    let (get, post) = (scene.client.clone(), scene.client.clone());
    let get = tokio::spawn(async move { get.get("/wait").await });
    let post = tokio::spawn(async move { post.post("/wait").await });
    until("both are there", || gateway.seen().len() == 3).await;
    gateway.order(Order::Hang);
    let (get, post) = (get.await.expect("no panic"), post.await.expect("no panic"));
    assert_eq!(get.expect("an answer").status, StatusCode::OK);
    assert_eq!(post.expect("an answer").status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        scene
            .metric("portolan_upstream_http2_events_total", "ping_timeout")
            .await,
        1
    );
}

/// A process that hangs accepts connections: what is not answered there goes elsewhere, whatever its method.
#[tokio::test]
async fn a_gateway_that_hangs_from_the_start_is_a_failed_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let second = Gateway::start().await;
    let setup = portolan_tests::Setup::regions(&[])
        .service(SERVICE)
        .listeners(super::LISTENER);
    let setup = setup
        .other(WEST, listener.local_addr().expect("an address"))
        .other(EAST, second.address());
    let scene = Scene::start(setup).await;
    let begun = Instant::now();
    assert_eq!(scene.client.post("/").await.expect("an answer").status, StatusCode::OK);
    assert!(begun.elapsed() >= Duration::from_millis(400), "the time for connecting");
    assert_eq!(second.seen().len(), 1);
}

/// A slow stream is hedged in another region, and reset when that has answered.
#[tokio::test]
async fn a_slow_stream_is_hedged_and_reset() {
    let slow = Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move {
            match came.path().as_str() {
                "/slow" => came.until_reset().await,
                _ => came.ok().await,
            }
        })
    })
    .await;
    let second = Gateway::start().await;
    let service = SERVICE.replace("hedge_after: off", "hedge_after: 50ms");
    let scene = Scene::with(&service, &[(WEST, &slow), (EAST, &second)]).await;
    scene.client.get("/").await.expect("an answer");
    let answer = scene.client.get("/slow").await.expect("an answer");
    assert_eq!((answer.status, second.seen().len()), (StatusCode::OK, 1));
    until("the slow one is reset", || slow.resets() == [h2::Reason::CANCEL]).await;
    scene.client.get("/").await.expect("an answer");
    assert_eq!(slow.connections(), (1, 1));
}

/// A gateway that dies: what can be repeated is answered by the other region, and nothing is carried out twice.
#[tokio::test]
async fn a_gateway_that_dies_loses_no_get() {
    let first = waiting().await;
    let second = Gateway::start().await;
    let scene = Scene::with(SERVICE, &[(WEST, &first), (EAST, &second)]).await;
    scene.client.get("/").await.expect("an answer");
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let client = scene.client.clone();
        running.spawn(async move { client.get("/wait").await.expect("an answer").status });
    }
    until("all are there", || first.seen().len() == 21).await;
    first.die();
    assert!(running.join_all().await.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(second.seen().len(), 20);
    assert_eq!(scene.client.post("/").await.expect("an answer").status, StatusCode::OK);
}
