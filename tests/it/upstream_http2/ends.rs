//! Connections that end, streams that are refused, and which requests are sent again.

use super::client::request;
use super::gateway::{Gateway, Order, Settings};
use super::{EAST, SERVICE, Scene, WEST, until};
use h2::Reason;
use http::StatusCode;
use portolan::vitals::UpstreamError;

#[tokio::test]
async fn a_connection_that_goes_away_takes_no_new_stream_and_loses_none() {
    let gateway = Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move {
            came.read().await;
            if came.path() == "/slow" {
                let gateway = came.gateway.clone();
                until("the others are answered", move || gateway.seen().len() == 12).await;
            }
            came.say("ok", None);
        })
    })
    .await;
    let scene = Scene::of(&gateway).await;
    scene.client.get("/").await.expect("an answer");
    let client = scene.client.clone();
    let slow = tokio::spawn(async move { client.post("/slow").await });
    until("the slow one is there", || gateway.seen().len() == 2).await;
    gateway.order(Order::Drain);
    for _ in 0..10 {
        assert_eq!(scene.client.post("/").await.expect("an answer").status, StatusCode::OK);
    }
    assert_eq!(slow.await.expect("no panic").expect("an answer").status, StatusCode::OK);
    let seen = gateway.seen();
    assert_eq!(seen.len(), 12, "each was carried out once");
    until("the first one is closed", || gateway.connections() == (2, 1)).await;
    assert_eq!(scene.metric("portolan_upstream_http2_events_total", "go_away").await, 1);
    // None is held against the gateway.
    assert_eq!(scene.world.vitals(WEST).errors().iter().sum::<u64>(), 0);
}

/// Refused streams were not processed: they are sent again, whatever the method, once.
#[tokio::test]
async fn a_refused_stream_is_sent_again_once() {
    let gateway = Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move {
            match came.connection {
                0 if came.path() == "/refused" => came.answer.send_reset(Reason::REFUSED_STREAM),
                _ => came.ok().await,
            }
        })
    })
    .await;
    let scene = Scene::of(&gateway).await;
    scene.client.get("/").await.expect("an answer");
    let answer = scene.client.post("/refused").await.expect("an answer");
    assert_eq!(answer.body, b"ok");
    assert_eq!((gateway.came(), gateway.seen().len()), (3, 2));
    assert_eq!(scene.world.vitals(WEST).errors().iter().sum::<u64>(), 0);
}

/// ... and then go to another region.
#[tokio::test]
async fn a_gateway_that_refuses_all_streams_is_left_after_two() {
    let refusing = Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move { came.answer.send_reset(Reason::REFUSED_STREAM) })
    })
    .await;
    let second = Gateway::start().await;
    let scene = Scene::with(SERVICE, &[(WEST, &refusing), (EAST, &second)]).await;
    let answer = scene.client.post("/").await.expect("an answer");
    assert_eq!(answer.body, b"ok");
    assert_eq!((refusing.came(), second.seen().len()), (2, 1));
    let errors = scene.world.vitals(WEST).errors();
    assert_eq!(errors[UpstreamError::StreamRefused as usize], 1);
    assert_eq!(
        scene
            .metric("portolan_upstream_http2_events_total", "stream_refused")
            .await,
        2
    );
    assert!(refusing.connections().0 <= 2);
}

/// A stream that was reset otherwise may have been processed.
#[tokio::test]
async fn a_reset_stream_is_sent_again_only_if_it_can_be_repeated() {
    for reason in [Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::NO_ERROR] {
        let failing = Gateway::scripted(Settings::default(), move |mut came| {
            Box::pin(async move {
                came.read().await;
                came.answer.send_reset(reason);
            })
        })
        .await;
        let second = Gateway::start().await;
        let scene = Scene::with(SERVICE, &[(WEST, &failing), (EAST, &second)]).await;
        assert_eq!(scene.client.get("/").await.expect("an answer").status, StatusCode::OK);
        let answer = scene.client.post("/").await.expect("an answer");
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{reason:?}");
        assert_eq!(second.seen().len(), 1, "the GET alone");
        assert_eq!(scene.world.vitals(WEST).errors()[UpstreamError::Reset as usize], 2);
        assert_eq!(failing.connections(), (1, 1));
    }
}

/// A connection that is cut proves nothing about its streams.
#[tokio::test]
async fn a_cut_connection_fails_what_cannot_be_repeated() {
    let gateway = Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move {
            came.read().await;
            match came.path().as_str() {
                "/wait" if came.connection == 0 => std::future::pending().await,
                _ => came.say("ok", None),
            }
        })
    })
    .await;
    let scene = Scene::of(&gateway).await;
    scene.client.get("/").await.expect("an answer");
    let (get, post) = (scene.client.clone(), scene.client.clone());
    let get = tokio::spawn(async move { get.get("/wait").await });
    let post = tokio::spawn(async move { post.post("/wait").await });
    until("both are there", || gateway.seen().len() == 3).await;
    gateway.order(Order::Cut);
    let (get, post) = (get.await.expect("no panic"), post.await.expect("no panic"));
    assert_eq!(get.expect("an answer").status, StatusCode::OK);
    assert_eq!(post.expect("an answer").status, StatusCode::BAD_GATEWAY);
    let posts = gateway.seen().iter().filter(|seen| seen.method == "POST").count();
    assert_eq!(posts, 1);
}

/// A response that is cut in its body is cut for the client.
#[tokio::test]
async fn a_response_that_is_cut_looks_cut() {
    let gateway = Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move {
            let mut stream = came.answer.send_response(http::Response::new(()), false).expect("open");
            let _ = stream.send_data("half".into(), false);
            tokio::task::yield_now().await;
            match came.path().as_str() {
                "/cut" => came.gateway.order(Order::Cut),
                _ => stream.send_reset(Reason::NO_ERROR),
            }
            std::future::pending().await
        })
    })
    .await;
    let scene = Scene::of(&gateway).await;
    for path in ["/reset", "/cut"] {
        let answer = scene.client.get(path).await;
        assert!(answer.is_err(), "{path}: {answer:?}");
    }
    assert_eq!(scene.world.vitals(WEST).errors()[UpstreamError::Cut as usize], 2);
}

/// A client that goes away resets its stream, and no more.
#[tokio::test]
async fn a_cancelled_request_resets_its_stream_alone() {
    let gateway = Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move {
            match came.path().as_str() {
                "/wait" => came.until_reset().await,
                _ => came.ok().await,
            }
        })
    })
    .await;
    let scene = Scene::of(&gateway).await;
    let (response, upload) = scene.client.begin(request("GET", "/wait"), true).await;
    until("it is there", || gateway.came() == 1).await;
    drop((response, upload));
    until("its stream is reset", || gateway.resets() == [Reason::CANCEL]).await;
    scene.client.get("/").await.expect("an answer");
    assert_eq!(gateway.connections(), (1, 1));
}

/// GOAWAY with an error: streams that were processed are failures of the gateway, the next request finds a new connection.
#[tokio::test]
async fn a_connection_that_is_aborted_is_replaced() {
    let gateway = Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move {
            came.read().await;
            match came.path().as_str() {
                "/wait" if came.connection == 0 => std::future::pending().await,
                _ => came.say("ok", None),
            }
        })
    })
    .await;
    let scene = Scene::of(&gateway).await;
    scene.client.get("/").await.expect("an answer");
    let client = scene.client.clone();
    let post = tokio::spawn(async move { client.post("/wait").await });
    until("it is there", || gateway.seen().len() == 2).await;
    gateway.order(Order::Abort(Reason::ENHANCE_YOUR_CALM));
    let post = post.await.expect("no panic").expect("an answer");
    assert_eq!(post.status, StatusCode::BAD_GATEWAY);
    assert_eq!(scene.client.post("/").await.expect("an answer").status, StatusCode::OK);
    assert_eq!(gateway.connections().0, 2);
}
