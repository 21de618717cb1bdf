//! How calls end: with the gateway's status, with one of our own, or with a reset.

use super::Scene;
use super::client::{finish, message, next, reset};
use h2::Reason;

#[tokio::test]
async fn the_status_of_the_gateway_is_seen_and_counted() {
    let scene = Scene::new(1, "");
    let caller = scene.caller().await;
    for (method, status, word) in [
        ("Only/7", "7", "permission_denied"),
        ("Then/9", "9", "failed_precondition"),
        ("Empty/0", "0", "ok"),
        ("Empty/16", "16", "unauthenticated"),
        ("Then/77", "77", "unknown"),
    ] {
        let ended = caller.call(method, b"", &[]).await.expect("an end");
        assert_eq!(
            (ended.status, ended.head["content-type"].as_bytes()),
            (200, &b"application/grpc"[..])
        );
        let said = ended
            .head
            .get("grpc-status")
            .map_or(ended.grpc_status(), |it| it.to_str().expect("text"));
        assert_eq!(said, status, "{method}");
        scene.until_counted("westeurope", word, 1).await;
    }
}

/// It would look complete.
#[tokio::test]
async fn a_call_without_a_status_ends_in_a_reset() {
    let scene = Scene::new(1, "");
    let caller = scene.caller().await;
    for (number, method) in (1..).zip(["Unsaid", "Other", "Reset", "Page/200"]) {
        let error = caller.call(method, b"", &[]).await.expect_err(method);
        assert_eq!(reset(&error), Some(Reason::INTERNAL_ERROR), "{method}: {error}");
        scene.until_counted("westeurope", "missing", number).await;
        let lines = scene.log(number as usize).await;
        let line = lines.last().expect("a line");
        assert_eq!(line["outcome"], "cut_short", "{method}: {line}");
        assert!(line.get("grpc_status").is_none(), "{line}");
    }
    // The connection goes on.
    assert_eq!(caller.status("Then/0", &[]).await, "0");
}

/// A client of any library derives a status from that of HTTP.
#[tokio::test]
async fn a_page_of_a_gateway_is_left_as_it_is() {
    let scene = Scene::new(1, "");
    let caller = scene.caller().await;
    let ended = caller.call("Page/403", b"", &[]).await.expect("an end");
    assert_eq!((ended.status, &ended.body[..]), (403, &b"<html>"[..]));
}

#[tokio::test]
async fn nothing_at_all_is_an_error_of_the_gateway() {
    let scene = Scene::new(1, "");
    let caller = scene.caller().await;
    let ended = caller.call("Nothing", b"", &[]).await.expect("an end");
    assert!(ended.is_trailers_only);
    assert_eq!(ended.grpc_status(), "14");
    assert!(ended.end("grpc-message").contains("request id"), "{ended:?}");
    scene.until_counted("", "unavailable", 1).await;
}

/// Whoever answers: a client of gRPC gets a status of gRPC, and it is counted.
#[tokio::test]
async fn our_own_answers_have_a_status() {
    let scene = Scene::made(1, "timeouts: { request: 300ms }", |setup| {
        setup.routes(
            "- { path: /Small, service: shop, limits: { request_body: 64B } }\n\
             - { path: /Closed, service: shop, access: { deny: [127.0.0.0/8] } }\n\
             - { path: /Rated, service: shop, limits: { rate: { requests: 1, per: 1m } } }",
        )
    });
    let caller = scene.caller().await;
    let large = [7; 100];
    let length = ("content-length", "105");
    // The first of a minute.
    scene.servers[0].answers("Only/0");
    assert_eq!(caller.status("Rated", &[]).await, "0");
    scene.servers[0].answers("Hang");
    for (method, content, fields, status) in [
        ("Small", &large[..], &[length][..], "8"),
        ("Small", &large[..], &[], "8"),
        ("Closed", b"", &[], "7"),
        ("Rated", b"", &[], "14"),
        ("Hang", b"", &[], "4"),
        ("Any", b"", &[("expect", "magic")], "2"),
    ] {
        let ended = caller.call(method, content, fields).await.expect("an end");
        assert!(ended.is_trailers_only, "{method}: {ended:?}");
        assert_eq!((ended.status, ended.grpc_status()), (200, status), "{method}");
        assert!(ended.end("grpc-message").contains("request id"), "{method}: {ended:?}");
    }
    let many: Vec<_> = (0..300).map(|number| format!("x-{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (&**name, "1")).collect();
    assert_eq!(caller.status("Any", &many).await, "8", "too many fields");
    scene.until_counted("", "permission_denied", 1).await;
    scene.until_counted("", "unavailable", 1).await;
}

#[tokio::test]
async fn a_dead_region_is_unavailable() {
    let mut scene = Scene::new(2, "");
    let caller = scene.caller().await;
    assert_eq!(caller.status("Only/0", &[]).await, "0");
    // Nothing was sent to the first one, so the second one gets it, although it is a POST.
    scene.servers.remove(0);
    for _ in 0..20 {
        let status = caller.status("Only/0", &[]).await;
        assert!(["0", "14"].contains(&&*status), "{status}");
    }
    assert_eq!(caller.status("Only/0", &[]).await, "0");
    scene.servers.clear();
    let mut last = String::new();
    for _ in 0..5 {
        last = caller.status("Only/0", &[]).await;
    }
    assert_eq!(last, "14");
}

/// A region dies in the middle of streams: what has begun is broken, and looks so.
#[tokio::test]
async fn a_stream_of_a_region_that_dies_is_reset() {
    let mut scene = Scene::new(1, "");
    let caller = scene.caller().await;
    let (response, _sender) = caller.begin("Stall", &[]).await;
    let mut response = response.await.expect("a head");
    assert_eq!(next(response.body_mut()).await.expect("a message"), message(b"one"));
    scene.servers.clear();
    let error = finish(response).await.expect_err("broken");
    assert!(reset(&error).is_some(), "{error}");
}
