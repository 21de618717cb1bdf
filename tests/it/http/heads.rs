//! Request heads that are rejected: what their clients, the log and the metrics get. Which ones are is in `corpus`.

use super::{GET, OK, Scene};
use crate::listeners::rejected;
use portolan_tests::Setup;
use portolan_tests::raw::Wire;

/// The beginning of what `openssl s_client` sends first.
const TLS_HELLO: &[u8] = b"\x16\x03\x01\x01\x26\x01\0\x01\x22\x03\x03 a random number of 32 bytes";

#[tokio::test]
async fn a_rejected_head_is_logged_and_counted_with_its_reason() {
    let world = Setup::regions(&["westeurope"])
        .service("health_check: off")
        .logging()
        .start();
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {}\r\n\r\n", "c".repeat(70_000));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "b: c\r\n".repeat(300));
    let target = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(16 * 1024));
    let cases: &[(&str, u16, &[u8])] = &[
        // By the parser.
        ("head_too_large", 431, large.as_bytes()),
        ("head_too_large", 431, many.as_bytes()),
        ("field", 400, b"GET / HTTP/1.1\r\nhost: a\r\nbad field: x\r\n\r\n"),
        ("target", 400, b"GET ://a HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("version", 400, b"GET / HTTP/3.7\r\nhost: a\r\n\r\n"),
        (
            "content_length",
            400,
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        ),
        (
            "transfer_encoding",
            400,
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
        ),
        ("http2", 505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        // What is meant for another listener.
        ("tls", 400, TLS_HELLO),
        (
            "proxy_protocol",
            400,
            b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        (
            "proxy_protocol",
            400,
            b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        // By us.
        ("host", 400, b"GET / HTTP/1.1\r\n\r\n"),
        ("target_too_long", 414, target.as_bytes()),
        ("connect", 405, b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("trace", 405, b"TRACE / HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("expect", 417, b"GET / HTTP/1.1\r\nhost: a\r\nexpect: wonders\r\n\r\n"),
        (
            "max_forwards",
            400,
            b"OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: x\r\n\r\n",
        ),
        (
            "transfer_encoding",
            501,
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        ),
    ];
    for (index, (reason, status, request)) in cases.iter().enumerate() {
        let before = rejected(&world, reason).await;
        let mut client = Wire::open(world.proxy());
        client.write(request);
        let answer = client.response("GET").unwrap_or_else(|| panic!("{reason}: no answer"));
        assert_eq!(answer.status(), *status, "{reason}: {}", answer.head);
        assert!(answer.is_whole && answer.closes(), "{reason}: {}", answer.head);
        assert!(client.is_closed(), "{reason}");
        // Not ended on either side, the connection would wait for its client.
        drop(client);
        let lines = world.until_logged(index + 1).await;
        let line = &lines[index];
        assert_eq!(line["error"], *reason, "{line}");
        assert_eq!(line["status"], *status, "{line}");
        assert_eq!(line["outcome"], "rejected", "{line}");
        assert_eq!(line["client"], "127.0.0.1", "{line}");
        let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("a problem");
        let status_line = answer.line().split_once(' ').expect("a status").1;
        let (_, title) = status_line.split_once(' ').expect("a title");
        assert_eq!(
            (&body["title"], &body["status"]),
            (&title.into(), &(*status).into()),
            "{body}"
        );
        assert_eq!(
            (&body["reason"], &body["request_id"]),
            (&line["error"], &line["request_id"]),
            "{body}"
        );
        assert!(
            body["detail"].as_str().is_some_and(|detail| !detail.is_empty()),
            "{body}"
        );
        for (name, value) in [
            ("content-type", "application/problem+json"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.field(name), Some(value), "{reason}: {}", answer.head);
        }
        assert_eq!(answer.fields("date").count(), 1, "{reason}: {}", answer.head);
        assert_eq!(rejected(&world, reason).await, before + 1, "{reason}");
    }
}

/// It is answered when the response before has been written to its end.
#[test]
fn an_unreadable_head_after_another_request_is_answered_after_it() {
    let scene = Scene::new();
    let body = "x".repeat(3_000_000);
    let replies = [
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()),
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ),
        OK.to_owned(),
    ];
    for reply in replies {
        scene.gateway.says(reply);
        for request in [GET, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello"] {
            let mut client = scene.client();
            client.write(format!("{request}GET / HTTP/1.1\r\nbad field: x\r\n\r\n"));
            // The response waits in buffers while the next head is there already.
            scene.gateway.until_seen(1);
            let whole = client.response("GET").expect("an answer");
            assert_eq!((whole.status(), whole.is_whole), (200, true), "{}", whole.head);
            assert!(matches!(whole.body.len(), 2 | 3_000_000), "{}", whole.body.len());
            let rejected = client.response("GET").expect("another");
            assert_eq!((rejected.status(), rejected.is_whole), (400, true), "{}", rejected.head);
            assert_eq!(
                rejected.field("content-type"),
                Some("application/problem+json"),
                "{}",
                rejected.head
            );
            assert!(client.is_closed());
            scene.seen();
        }
    }
}

#[test]
fn an_unreadable_head_of_head_is_answered_without_content() {
    let scene = Scene::new();
    let mut client = scene.client();
    client.write("HEAD / HTTP/1.1\r\nbad field: x\r\n\r\n");
    let answer = client.response("HEAD").expect("an answer");
    assert_eq!(answer.status(), 400, "{}", answer.head);
    assert_ne!(answer.field("content-length"), Some("0"), "as long as that of GET");
    assert!(client.is_closed());
}
