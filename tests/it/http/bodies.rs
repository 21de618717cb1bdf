//! Request bodies.

use super::{OK, PLAIN, Scene};
use portolan_core::health::Evidence;
use portolan_tests::raw::{RawGateway, Reply, Wire};
use portolan_tests::{Behaviour, Request, Setup, from};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn post(fields: &str, body: &str) -> String {
    format!("POST /order HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n{body}")
}

/// The client's errors are answered with 4xx, and do not count as failures of the gateway.
#[tokio::test]
async fn a_broken_body_is_the_clients_fault() {
    let scene = Scene::new();
    let cases = [
        ("too short for its length", post("content-length: 10", "hello")),
        ("nothing of its length", post("content-length: 10", "")),
        ("no last chunk", post("transfer-encoding: chunked", "5\r\nhello\r\n")),
        ("half a chunk", post("transfer-encoding: chunked", "5\r\nhel")),
        (
            "an invalid size",
            post("transfer-encoding: chunked", "x\r\nhello\r\n0\r\n\r\n"),
        ),
    ];
    for (what, request) in &cases {
        let mut client = scene.client();
        client.write(request);
        client.end();
        let answer = client.response("POST").unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(
            (answer.status(), answer.closes()),
            (400, true),
            "{what}: {}",
            answer.head
        );
        assert!(client.is_closed(), "{what}");
    }
    assert!(
        scene.gateway.seen().iter().all(|it| !it.is_whole),
        "an incomplete request looked complete"
    );
    scene.gateway.says(OK);
    assert_eq!(scene.ask(super::GET).status(), 200);
    scene.until_observed(1, 0).await;
}

#[test]
fn the_proxy_answers_expect_100_continue() {
    let scene = Scene::new();
    let mut client = scene.client();
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-Continue\r\n\r\n");
    assert_eq!(client.head().as_deref(), Some("HTTP/1.1 100 Continue\r\n"));
    client.write("hello");
    assert_eq!(client.response("POST").expect("an answer").status(), 200);
    let seen = scene.seen();
    assert_eq!((&*seen.body, seen.field("expect")), (&b"hello"[..], None));
}

/// A gateway may answer before it has the whole request. Then neither its connection nor the client's is reused with an
/// incomplete request on it.
#[test]
fn an_early_answer_is_forwarded() {
    let scene = Scene::new();
    let early = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nno!";
    scene.gateway.replies([Reply::SayEarly(early.into())]);
    for body in ["", "hello", &"x".repeat(300_000)] {
        let mut client = scene.client();
        client.write(post("content-length: 100000000", body));
        let answer = client.response("POST").expect("an answer");
        assert_eq!((answer.status(), &*answer.body), (413, &b"no!"[..]));
        assert_eq!(answer.field("connection"), Some("close"));
        client.write("GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n");
        client.end();
        assert!(client.is_closed());
    }
    assert!(
        scene
            .gateway
            .seen()
            .iter()
            .all(|it| it.line() == "POST /order HTTP/1.1")
    );
    scene.gateway.until_closed(3);
    // A region's next request has a connection to itself.
    scene.gateway.says(OK);
    assert_eq!(scene.ask(super::GET).status(), 200);
    assert_eq!(scene.gateway.connections(), 4);
}

/// A retryable answer came before the client had sent everything: the next region gets the body from its beginning.
#[test]
fn a_retry_after_an_early_503_has_the_whole_body() {
    let (near, far) = (RawGateway::start(), RawGateway::start());
    let setup = Setup::regions(&[]).with("here: westeurope").service(PLAIN);
    let setup = setup
        .other("westeurope", near.address())
        .other("eastus2", far.address());
    let world = setup.start();
    near.replies([Reply::SayEarly(
        b"HTTP/1.1 503 Full\r\ncontent-length: 0\r\n\r\n".to_vec(),
    )]);
    let mut client = Wire::open(world.proxy());
    client.write("PUT /order HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello");
    // Its connection is closed, since the request on it is incomplete.
    near.until_closed(1);
    client.write("world");
    assert_eq!(client.response("PUT").expect("an answer").status(), 200);
    assert_eq!((near.seen().len(), &*far.seen()[0].body), (1, &b"helloworld"[..]));
}

/// A body without a reader does not time out: connecting has a timeout of its own, and nothing was sent.
#[tokio::test]
async fn a_body_waits_for_a_connection() {
    let times = format!("{PLAIN}\ntimeouts: {{ connect: 800ms, idle: 300ms }}");
    let world = Setup::three_regions().service(&times).start();
    world.behave("westeurope", Behaviour::Swallow);
    let address = world.gateway("westeurope").address();
    // Until the accept queue is full.
    while TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_ok() {}
    let answer = world.send(Request::post("/order", "hello").from(from::BRITAIN)).await;
    assert_eq!(
        (answer.status.as_u16(), &*answer.region()),
        (200, "eastus2"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.json()["body_bytes"], 5);
}

/// The client times out, not the gateway.
#[tokio::test]
async fn a_client_that_stops_sending_gets_408() {
    let scene = Scene::of(&format!("{PLAIN}\ntimeouts: {{ idle: 50ms }}"));
    let mut client = scene.client();
    client.write(post("content-length: 10", "hello"));
    let answer = client.response("POST").expect("an answer");
    assert_eq!((answer.status(), answer.closes()), (408, true), "{}", answer.head);
    scene.until_observed(0, 0).await;
}

/// The timeout counts from when the gateway has the whole request.
#[tokio::test]
async fn a_gateway_times_out_after_it_has_the_whole_request() {
    let scene = Scene::of(&format!(
        "{PLAIN}\nretry: {{ per_try_timeout: 100ms, hedge_after: off }}"
    ));
    scene.gateway.replies([Reply::SayEarly(Vec::new())]);
    let begun = Instant::now();
    assert_eq!(scene.ask(post("content-length: 5", "hello")).status(), 504);
    // The whole request would have 15 s.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    scene.until_counted(&[(Evidence::TimedOut, 1)]).await;
}

#[test]
fn a_large_body_arrives_whole() {
    let scene = Scene::new();
    let body: String = (0..300_000).map(|number| format!("{number:07}\n")).collect();
    assert_eq!(
        scene
            .ask(post(&format!("content-length: {}", body.len()), &body))
            .status(),
        200
    );
    assert!(scene.seen().body == body.as_bytes());
    let chunks: String = body.as_bytes().chunks(70_001).fold(String::new(), |text, chunk| {
        format!("{text}{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk))
    });
    assert_eq!(
        scene
            .ask(post("transfer-encoding: chunked", &format!("{chunks}0\r\n\r\n")))
            .status(),
        200
    );
    assert!(scene.seen().body == body.as_bytes());
}
