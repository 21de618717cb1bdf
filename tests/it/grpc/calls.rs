//! Calls of every kind, and what passes with them.

use super::client::{finish, message, next, send};
use super::{PLAIN, Scene, TIMEOUT};
use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

#[tokio::test]
async fn a_unary_call_keeps_its_message_and_its_fields() {
    let scene = Scene::new(1, "");
    let caller = scene.caller().await;
    let ended = caller
        .call(
            "Collect",
            b"hello",
            &[("x-key", "a"), ("grpc-timeout", "5S"), ("grpc-encoding", "gzip")],
        )
        .await
        .expect("an end");
    assert_eq!((ended.status, ended.grpc_status()), (200, "0"));
    assert_eq!(ended.head["content-type"], "application/grpc");
    assert_eq!(ended.body, message(b"hello"));
    let seen = scene.servers[0].seen();
    let [seen] = &seen[..] else { panic!("{seen:#?}") };
    assert_eq!((&*seen.method, &seen.body[..]), ("Collect", &message(b"hello")[..]));
    for (name, value) in [
        ("te", "trailers"),
        ("content-type", "application/grpc+proto"),
        ("x-key", "a"),
        ("grpc-timeout", "5S"),
        ("grpc-encoding", "gzip"),
    ] {
        assert_eq!(seen.head[name], value, "{name}");
    }
    scene.until_counted("westeurope", "ok", 1).await;
    let line = &scene.log(1).await[0];
    assert_eq!((&line["grpc_status"], &line["outcome"]), (&"ok".into(), &"2xx".into()));
}

/// Each waits for the other before it goes on: with anything held back in between, neither would.
#[tokio::test]
async fn messages_go_both_ways_at_once() {
    let scene = Scene::new(
        2,
        "retry: { hold_back_body: 1MiB, max_replay_body: 1MiB, non_idempotent: true, hedge_after: 10ms }",
    );
    let caller = scene.caller().await;
    let (response, mut sender) = caller.begin("Echo", &[]).await;
    // The head comes before the client has sent anything.
    let response = tokio::time::timeout(TIMEOUT, response).await.expect("in time");
    let mut response = response.expect("a head");
    for number in 0..50_u8 {
        let sent = message(&[number; 100]);
        send(&mut sender, sent.clone(), false).await.expect("sent");
        let mut echoed = BytesMut::new();
        while echoed.len() < sent.len() {
            echoed.extend_from_slice(&next(response.body_mut()).await.expect("more"));
        }
        assert_eq!(echoed, sent);
    }
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-own"), HeaderValue::from_static("1"))]);
    sender.send_trailers(trailers).expect("sent");
    let ended = finish(response).await.expect("an end");
    assert_eq!((ended.grpc_status(), ended.end("x-trailed")), ("0", "1"));
    assert!(scene.servers[1].seen().is_empty(), "it was sent twice");
}

#[tokio::test]
async fn a_stream_that_is_silent_in_one_direction_lives() {
    let limits = "timeouts: { idle: 100ms, stream_idle: 2s, request: 10s }";
    let scene = Scene::new(1, limits);
    let caller = scene.caller().await;
    // The client says nothing more, and has not ended.
    let (response, mut sender) = caller.begin("Echo", &[]).await;
    let mut response = response.await.expect("a head");
    tokio::time::sleep(Duration::from_millis(400)).await;
    send(&mut sender, message(b"there"), false).await.expect("sent");
    assert_eq!(next(response.body_mut()).await, Some(message(b"there")));
    // The server says something every now and then.
    let ended = caller.call("Tick/250x6", b"", &[]).await.expect("an end");
    assert_eq!((ended.grpc_status(), &ended.body[5..9]), ("0", &b"tick"[..]));
}

#[tokio::test]
async fn large_messages_pass() {
    let scene = Scene::new(1, "");
    let caller = scene.caller().await;
    for megabytes in [4, 20] {
        let content: Vec<u8> = (0..megabytes << 20).map(|index| (index % 251) as u8).collect();
        let ended = caller.call("Collect", &content, &[]).await.expect("an end");
        assert_eq!(ended.grpc_status(), "0");
        assert!(ended.body == message(&content), "{megabytes} MB are not the same");
    }
}

#[tokio::test]
async fn a_client_that_cancels_cancels_the_call_at_the_gateway() {
    let scene = Scene::new(1, "");
    let caller = scene.caller().await;
    for (method, answers) in [("Hang", false), ("Stall", true)] {
        let (response, mut sender) = caller.begin(method, &[]).await;
        let number = scene.servers[0].seen().len();
        send(&mut sender, message(b""), true).await.expect("sent");
        let mut body = None;
        if answers {
            let mut response = response.await.expect("a head");
            next(response.body_mut()).await.expect("a message");
            body = Some(response);
        } else {
            scene
                .world
                .poll("the gateway has it", || scene.servers[0].seen().len() > number)
                .await;
        }
        sender.send_reset(h2::Reason::CANCEL);
        drop(body);
        let is_reset = || scene.servers[0].seen().last().is_some_and(|seen| seen.reset.is_some());
        scene.world.poll("the gateway sees it", is_reset).await;
    }
    // What a client did not wait for has no status, and shows nothing of the gateway.
    let lines = scene.log(2).await;
    assert!(lines.iter().all(|line| line["outcome"] == "client_gone"), "{lines:#?}");
    assert_eq!(scene.counted("westeurope", "missing").await, 0);
}

/// Where the client has seen nothing yet, another region may answer.
#[tokio::test]
async fn a_status_alone_is_retried_where_retry_on_names_it() {
    let scene = Scene::new(2, "retry: { retry_on: [unavailable, resource-exhausted] }");
    let caller = scene.caller().await;
    let [first, second] = &scene.servers[..] else {
        panic!("two")
    };
    for status in ["14", "8"] {
        first.answers(&format!("Only/{status}"));
        let ended = caller.call("Collect", b"hello", &[]).await.expect("an end");
        assert_eq!((ended.grpc_status(), &ended.body[..]), ("0", &message(b"hello")[..]));
        let both = [first, second].map(|server| server.seen().last().expect("a call").body.clone());
        assert_eq!(both, [message(b"hello"), message(b"hello")]);
    }
    // Others are the client's, and so is what comes after a message.
    for method in ["Only/13", "Only/3", "Then/14"] {
        first.answers(method);
        let count = second.seen().len();
        let ended = caller.call("Collect", b"", &[]).await.expect("an end");
        assert_eq!(ended.grpc_status(), method.rsplit_once('/').expect("a status").1);
        assert_eq!(second.seen().len(), count, "{method}");
    }
    let attempts = &scene.log(1).await[0]["attempts"];
    assert_eq!(attempts[0]["outcome"], "gateway_error", "{attempts}");
}

#[tokio::test]
async fn nothing_is_retried_unless_it_is_named() {
    let scene = Scene::new(2, "");
    let caller = scene.caller().await;
    scene.servers[0].answers("Only/14");
    let ended = caller.call("Collect", b"", &[]).await.expect("an end");
    assert_eq!((ended.grpc_status(), ended.end("grpc-message")), ("14", "as asked"));
    assert!(ended.is_trailers_only && scene.servers[1].seen().is_empty());
}

/// The gateways get what the client has sent so far, and the rest as it comes.
#[tokio::test]
async fn a_streaming_call_is_retried_with_all_that_was_kept() {
    let scene = Scene::new(2, "retry: { retry_on: [unavailable], max_replay_body: 1KiB }");
    let caller = scene.caller().await;
    let [first, second] = &scene.servers[..] else {
        panic!("two")
    };
    first.answers("Early/14");
    for (kept, expected) in [(100, "0"), (4000, "14")] {
        let (response, mut sender) = caller.begin("Collect", &[]).await;
        let count = first.seen().len();
        let sent = message(&vec![7; kept]);
        // What comes before the status of the first region is kept.
        send(&mut sender, sent.clone(), false).await.expect("sent");
        scene
            .world
            .poll("the first region has it", || first.seen().len() >= count)
            .await;
        let rest = message(b"rest");
        let response = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            // The stream of a call that has ended takes no more.
            let _ = send(&mut sender, rest.clone(), true).await;
            finish(response.await.expect("a head")).await.expect("an end")
        };
        let ended = tokio::time::timeout(TIMEOUT, response).await.expect("in time");
        if expected == "0" {
            assert_eq!(ended.grpc_status(), expected);
            assert_eq!(second.seen()[0].body, [sent, rest].concat());
        } else {
            // It depends on what came first: the bytes that are too many, or the status.
            assert!(["0", "14"].contains(&ended.grpc_status()), "{ended:?}");
        }
    }
}

#[tokio::test]
async fn a_region_that_answers_no_call_is_ejected() {
    for (method, is_ejected) in [
        ("Only/14", true),
        ("Then/13", true),
        ("Then/2", true),
        ("Unsaid", true),
        ("Only/3", false),
        ("Only/12", false),
        ("Then/5", false),
        ("Only/4", false),
        ("Then/1", false),
    ] {
        let scene = Scene::new(2, "outlier_detection: { consecutive_failures: 5, failure_percent: 0 }");
        let caller = scene.caller().await;
        scene.servers[0].answers(method);
        if is_ejected {
            // A call that its client gives up is no failure: five are enough only when all of them end.
            let ejected = scene
                .world
                .until_state("westeurope", portolan_core::health::State::Unhealthy);
            let calls = async {
                loop {
                    // Some end in a reset.
                    let _ = caller.call("Collect", b"", &[]).await;
                }
            };
            tokio::select! {
                () = ejected => {}
                () = calls => {}
            }
            assert!(scene.servers[0].seen().len() >= 5, "{method}");
            assert_eq!(caller.status("Collect", &[]).await, "0", "{method}");
        } else {
            for _ in 0..15 {
                let _ = caller.call("Collect", b"", &[]).await;
            }
            assert_eq!(scene.servers[0].seen().len(), 15, "{method}");
        }
    }
    assert!(PLAIN.contains("health_check: off"), "probes would have a word in it");
}
