//! Limits of a listener on the requests of HTTP/2: those of HTTP/1.1 are in `limits/requests.rs`.

use super::{LISTENER, Scene, request};
use http::request::Builder;

/// A listener with these keys.
fn scene(keys: &str) -> Scene {
    Scene::made(|setup| setup.listeners(&format!("{LISTENER}\n  {keys}")))
}

/// A request whose header list has so many bytes (RFC 9113, section 6.5.2).
fn of_size(bytes: usize) -> Builder {
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "shop.example"),
        (":path", "/"),
        ("x-long", ""),
    ];
    let rest: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    request("GET", "/").header("x-long", "a".repeat(bytes - rest))
}

fn of_count(fields: usize) -> Builder {
    (0..fields).fold(request("GET", "/"), |get, number| {
        get.header(format!("x-{number}"), "1")
    })
}

fn of_target(bytes: usize) -> Builder {
    request("GET", &format!("/?{}", "q".repeat(bytes - 2)))
}

/// For each limit: its key, the request at a size, its status beyond. Only its stream ends.
#[tokio::test]
async fn a_request_may_be_as_large_as_its_listener_allows() {
    type Made = fn(usize) -> Builder;
    let (size, count, target): (Made, Made, Made) = (of_size, of_count, of_target);
    let cases = [
        ("max_request_header_size: 64KiB", 64 << 10, size, 431),
        ("max_request_header_size: 8KiB", 8 << 10, size, 431),
        ("max_request_header_size: 100KiB", 100 << 10, size, 431),
        ("max_request_header_count: 256", 256, count, 431),
        ("max_request_header_count: 10", 10, count, 431),
        ("max_request_header_count: 1000", 1000, count, 431),
        ("max_request_target_size: 16KiB", 16 << 10, target, 414),
        ("max_request_target_size: 256B", 256, target, 414),
    ];
    for (keys, bound, made, status) in cases {
        let scene = scene(keys);
        let mut client = scene.client().await;
        let mut passed = 0;
        for (number, status) in [(bound, 200), (bound + 1, status), (bound, 200)] {
            let answer = client.ask(made(number), None).await.expect("an answer");
            assert_eq!(answer.status, status, "{keys} at {number}");
            passed += usize::from(status == 200);
        }
        assert_eq!(scene.gateway.seen().len(), passed, "{keys}");
    }
}

/// The last ones that are allowed are answered, and the connection ends with GOAWAY and no error.
#[tokio::test]
async fn a_connection_has_as_many_streams_as_its_listener_allows() {
    let scene = scene("max_requests_per_connection: 3");
    let mut client = scene.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.expect("an answer").status, 200);
    }
    client.end().await.expect("an orderly end");

    // At once.
    let client = scene.client().await;
    let asked = (0..3).map(|_| {
        let mut requests = client.requests.clone();
        async move {
            let sent = requests.send_request(request("GET", "/").body(()).expect("a request"), true);
            super::read(sent.expect("sent").0.await?).await
        }
    });
    let asked: Vec<_> = asked.map(tokio::spawn).collect();
    for answer in asked {
        assert_eq!(answer.await.expect("no panic").expect("an answer").status, 200);
    }
    client.end().await.expect("an orderly end");
    assert_eq!(scene.gateway.seen().len(), 6);
}
