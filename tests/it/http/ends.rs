//! How clients' connections end: half-closed ones, uploads that are rejected early, bodies that end with the connection.

use super::{GET, OK, PLAIN, Scene};
use portolan_tests::Setup;
use portolan_tests::raw::{Reply, Wire};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

#[test]
fn a_half_closed_client_gets_its_answer() {
    let scene = Scene::new();
    scene.gateway.says(OK);
    for request in [
        GET.to_owned(),
        "GET / HTTP/1.0\r\nhost: a\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello".to_owned(),
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
    ] {
        let mut client = scene.client();
        client.write(&request);
        client.end();
        let answer = client
            .response("GET")
            .unwrap_or_else(|| panic!("no answer to {request}"));
        assert_eq!((answer.status(), &*answer.body), (200, &b"ok"[..]), "{request}");
        assert!(client.is_closed(), "{request}");
    }
    // All of them, when it has sent several.
    let mut client = scene.client();
    client.write(format!("{GET}{GET}{GET}"));
    client.end();
    for _ in 0..3 {
        assert_eq!(client.response("GET").expect("an answer").body, b"ok");
    }
    assert!(client.is_closed());
}

/// The gateway answers some time after the client closed its side.
#[test]
fn a_half_closed_client_waits_for_a_slow_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let world = Setup::regions(&[]).service(PLAIN).other("westeurope", address).start();
    let mut client = Wire::open(world.proxy());
    client.write(GET);
    client.end();
    let (mut gateway, _) = listener.accept().expect("a connection");
    let mut bytes = [0; 4096];
    let count = gateway.read(&mut bytes).expect("a request");
    assert!(bytes[..count].ends_with(b"\r\n\r\n"));
    // Longer than a tick of the worker, so that it has seen the close.
    std::thread::sleep(Duration::from_millis(1200));
    let large = "x".repeat(3_000_000);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", large.len());
    gateway.write_all(head.as_bytes()).expect("written");
    gateway.write_all(large.as_bytes()).expect("written");
    let answer = client.response("GET").expect("an answer");
    assert_eq!(
        (answer.status(), answer.body.len(), answer.is_whole),
        (200, large.len(), true)
    );
}

/// A client that is gone looks like a half-closed one until something is written to it, or until its time is over.
#[test]
fn a_client_that_closes_while_it_waits_cancels_its_request() {
    let scene = Scene::of(&format!("{PLAIN}\nretry: {{ hedge_after: off }}"));
    scene.gateway.replies([Reply::SayEarly(Vec::new())]);
    let mut client = scene.client();
    client.write(GET);
    drop(client);
    let begun = Instant::now();
    scene.gateway.until_closed(1);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

/// One that resets its connection, here by closing it with bytes unread, is gone.
#[tokio::test]
async fn a_client_that_resets_its_connection_cancels_its_request_at_once() {
    let scene = Scene::of(&format!("{PLAIN}\nretry: {{ hedge_after: off }}"));
    scene
        .gateway
        .replies([Reply::Say(OK.into()), Reply::SayEarly(Vec::new())]);
    let mut client = TcpStream::connect(scene.world.proxy()).expect("connected");
    client.write_all(GET.as_bytes()).expect("written");
    assert_ne!(client.peek(&mut [0]).expect("an answer"), 0);
    client.write_all(GET.as_bytes()).expect("written");
    scene.world.until_in_flight("westeurope", 1).await;
    let begun = Instant::now();
    drop(client);
    scene.gateway.until_closed(1);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// It sends all of its upload before it reads, for longer than a moment, and gets the answer that came early.
#[test]
fn a_slow_upload_that_is_rejected_early_is_read() {
    let scene = Scene::new();
    let early = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nno!";
    scene.gateway.replies([Reply::SayEarly(early.into())]);
    let mut client = TcpStream::connect(scene.world.proxy()).expect("connected");
    client
        .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4000000\r\n\r\n")
        .expect("written");
    for _ in 0..35 {
        client.write_all(&[b'x'; 100_000]).expect("the connection is read");
        std::thread::sleep(Duration::from_millis(100));
    }
    client.write_all(&[b'x'; 500_000]).expect("the connection is read");
    client.shutdown(Shutdown::Write).expect("still open");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("the answer is not lost");
    assert!(
        answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("no!"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_connection_whose_upload_is_ignored_is_counted_and_yields_to_a_drain() {
    let items = "- { address: \"127.0.0.1:0\", name: public, max_connections: 1 }";
    let setup = Setup::regions(&["westeurope"]).service("health_check: off");
    let world = setup.listeners(items).start();
    let mut client = Wire::open(world.proxy());
    client.write("POST / HTTP/1.1\r\nhost: a, b\r\ncontent-length: 4000000\r\n\r\nhello");
    assert_eq!(client.response("POST").expect("an answer").status(), 400);
    let mut other = Wire::open(world.proxy());
    other.write(GET);
    assert_eq!(
        other.response("GET").expect("an answer").status(),
        503,
        "as many as allowed are open"
    );
    let begun = Instant::now();
    world.restart().expect("it drains, and starts again");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// HTTP/1.0 has no chunks: the end of the body is that of the connection, whatever the client asked for.
#[test]
fn a_body_without_a_length_ends_with_the_connection_of_an_old_client() {
    let scene = Scene::new();
    scene
        .gateway
        .says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    for fields in ["", "connection: keep-alive\r\n"] {
        let mut client = scene.client();
        client.write(format!("GET / HTTP/1.0\r\nhost: a\r\n{fields}\r\n"));
        let answer = client.response("GET").expect("an answer");
        assert_eq!((&*answer.body, answer.is_whole), (&b"hello"[..], true));
        assert_eq!(answer.field("connection"), Some("close"), "{}", answer.head);
        assert_eq!(answer.field("transfer-encoding"), None);
        assert!(client.is_closed());
    }
}
