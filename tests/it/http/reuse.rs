//! Connections that carry more than one message.

use super::{GET, OK, Scene};
use portolan_tests::raw::Reply;

const POST: &str = "POST /order HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";

fn posts(scene: &Scene) -> usize {
    let seen = scene.gateway.seen();
    seen.iter().filter(|it| it.line().starts_with("POST ")).count()
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.gateway.says(OK);
    scene
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let scene = self::scene();
    let mut client = scene.client();
    client.write(format!("{GET}{POST}\r\n{GET}"));
    for method in ["GET", "POST", "GET"] {
        assert_eq!(client.response(method).expect("an answer").body, b"ok");
    }
    let seen = scene.gateway.seen();
    let lines: Vec<_> = seen.iter().map(|it| it.line()).collect();
    assert_eq!(lines, ["GET / HTTP/1.1", "POST /order HTTP/1.1", "GET / HTTP/1.1"]);
    assert_eq!(scene.gateway.connections(), 1);
}

#[test]
fn a_connection_lasts_as_long_as_both_sides_want() {
    let scene = self::scene();
    for (what, request, closes) in [
        ("1.1", "GET / HTTP/1.1\r\nhost: a\r\n\r\n", false),
        (
            "1.1, close",
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            true,
        ),
        (
            "1.1, close among others",
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: x, Close\r\n\r\n",
            true,
        ),
        (
            "1.1, close and keep-alive",
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: close, keep-alive\r\n\r\n",
            true,
        ),
        ("1.0", "GET / HTTP/1.0\r\nhost: a\r\n\r\n", true),
        (
            "1.0, keep-alive",
            "GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n",
            false,
        ),
    ] {
        let mut client = scene.client();
        client.write(request);
        assert_eq!(client.response("GET").expect("an answer").body, b"ok", "{what}");
        if closes {
            assert!(client.is_closed(), "{what}");
        } else {
            client.write(request);
            assert_eq!(client.response("GET").expect("another").body, b"ok", "{what}");
        }
    }
}

#[test]
fn a_gateways_connection_is_used_again_when_it_may_be() {
    for (what, answer, connections) in [
        ("a length", OK, 1),
        (
            "chunks",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            1,
        ),
        (
            "1.0, keep-alive",
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
            1,
        ),
        ("1.0", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 3),
        (
            "close",
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
            3,
        ),
        (
            "close behind",
            "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\nconnection: x, close\r\ncontent-length: 2\r\n\r\nok",
            3,
        ),
    ] {
        let scene = self::scene();
        scene.gateway.says(answer);
        let mut client = scene.client();
        for _ in 0..3 {
            client.write(GET);
            assert_eq!(client.response("GET").expect("an answer").body, b"ok", "{what}");
        }
        assert_eq!(scene.gateway.connections(), connections, "{what}");
    }
}

/// The gateway closed the connection while it was idle.
#[test]
fn a_connection_that_was_closed_is_not_used() {
    let scene = self::scene();
    let mut client = scene.client();
    for (closed, request) in [GET, POST, GET, POST].iter().enumerate() {
        scene.gateway.replies([Reply::SayAndClose(OK.into())]);
        client.write(request);
        assert_eq!(client.response("GET").expect("an answer").body, b"ok");
        scene.gateway.until_closed(closed + 1);
    }
    assert_eq!(posts(&scene), 2);
}

/// The gateway closes just while the next request is sent. Whether it was processed is unknown.
#[test]
fn a_get_survives_a_connection_that_is_being_closed() {
    let scene = self::scene();
    let mut client = scene.client();
    scene
        .gateway
        .replies([Reply::Say(OK.into()), Reply::Close, Reply::Say(OK.into())]);
    for _ in 0..2 {
        client.write(GET);
        assert_eq!(client.response("GET").expect("an answer").body, b"ok");
    }
    assert_eq!(scene.gateway.connections(), 2);
}

#[test]
fn a_post_on_a_connection_that_is_being_closed_is_not_sent_twice() {
    let scene = self::scene();
    let mut client = scene.client();
    scene
        .gateway
        .replies([Reply::Say(OK.into()), Reply::Close, Reply::Say(OK.into())]);
    client.write(GET);
    assert_eq!(client.response("GET").expect("an answer").body, b"ok");
    client.write(POST);
    assert_eq!(client.response("POST").expect("an answer").status(), 502);
    assert_eq!(posts(&scene), 1);
    client.write(POST);
    assert_eq!(
        client.response("POST").expect("the client's connection stays").status(),
        200
    );
}

#[test]
fn a_client_that_disconnects_cancels_its_request() {
    let scene = self::scene();
    scene.gateway.replies([Reply::SayEarly(
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello".to_vec(),
    )]);
    let mut client = scene.client();
    client.write(GET);
    assert_eq!(client.head().map(|head| head.starts_with("HTTP/1.1 200")), Some(true));
    drop(client);
    scene.gateway.until_closed(1);
}

const HEAD: &str = "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n";

/// The head of an answer whose body comes as well, later, although a response to HEAD has none.
fn stray() -> Reply {
    let (head, body) = OK.split_at(OK.len() - 2);
    Reply::SayStray(head.into(), body.into())
}

/// What stands where the status line should is the rest of the exchange before.
#[tokio::test]
async fn a_body_after_head_costs_the_next_request_nothing() {
    let scene = self::scene();
    scene.gateway.replies([stray(), Reply::Say(OK.into())]);
    let mut client = scene.client();
    client.write(HEAD);
    assert_eq!(client.response("HEAD").expect("an answer").status(), 200);
    client.write(GET);
    assert_eq!(client.response("GET").expect("an answer").body, b"ok");
    assert_eq!(scene.gateway.connections(), 2);
    scene.until_observed(2, 0).await;
    // It did so once: connections are not kept after HEAD.
    scene.gateway.seen();
    scene.gateway.replies([stray(), Reply::Say(OK.into())]);
    for (method, request) in [("HEAD", HEAD), ("POST", POST)] {
        client.write(request);
        assert_eq!(client.response(method).expect("an answer").status(), 200);
    }
    assert_eq!((posts(&scene), scene.gateway.connections()), (1, 3));
    scene.until_observed(4, 0).await;
}

/// A body may follow a little later: what cannot be repeated does not take the connection at once.
#[test]
fn a_post_does_not_take_a_connection_right_after_head() {
    let scene = self::scene();
    scene.gateway.replies([stray(), Reply::Say(OK.into())]);
    let mut client = scene.client();
    for (method, request) in [("HEAD", HEAD), ("POST", POST)] {
        client.write(request);
        assert_eq!(client.response(method).expect("an answer").status(), 200);
    }
    assert_eq!(posts(&scene), 1);
}

/// The connection may have been idle for too long: nothing is known of the gateway's health.
#[tokio::test]
async fn a_post_that_is_lost_on_a_used_connection_is_no_evidence() {
    let scene = self::scene();
    scene.gateway.replies([Reply::Say(OK.into()), Reply::Close]);
    let mut client = scene.client();
    client.write(GET);
    assert_eq!(client.response("GET").expect("an answer").body, b"ok");
    client.write(POST);
    assert_eq!(client.response("POST").expect("an answer").status(), 502);
    scene.until_observed(1, 0).await;
    // On a new one it is.
    scene.gateway.replies([Reply::Close]);
    client.write(POST);
    assert_eq!(client.response("POST").expect("an answer").status(), 502);
    scene.until_observed(1, 1).await;
}
