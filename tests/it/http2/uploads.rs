//! Bodies of requests: flow control, early answers, and lengths that are not kept.

use super::{Client, Scene, TIMEOUT, request, reset, until};
use bytes::Bytes;
use h2::{Reason, SendStream};
use portolan_tests::Setup;
use portolan_tests::raw::http2::{Frames, Outcome, block, frame, kind};
use portolan_tests::raw::{RawGateway, Reply};
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Sends this many bytes as fast as the windows allow, or as many as fit before the stream ends.
async fn upload(sender: &mut SendStream<Bytes>, mut left: usize) -> Result<usize, h2::Error> {
    let all = left;
    while left > 0 {
        sender.reserve_capacity(left.min(16 * 1024));
        let room = match poll_fn(|context| sender.poll_capacity(context)).await {
            Some(room) => room?,
            None => break,
        };
        let count = room.min(left);
        left -= count;
        sender.send_data(Bytes::from(vec![b'x'; count]), left == 0)?;
    }
    Ok(all - left)
}

/// A gateway that reads nothing of requests to /stuck but their heads, and all of the others.
fn half_stuck() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            let mut byte = [0; 12];
            stream.peek(&mut byte).expect("a request");
            if byte.starts_with(b"POST /stuck") {
                kept.push(stream);
            } else {
                std::thread::spawn(move || answer(stream));
            }
        }
    });
    address
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let (mut read, mut bytes) = (Vec::new(), [0; 64 * 1024]);
    loop {
        let count = stream.read(&mut bytes)?;
        read.extend_from_slice(&bytes[..count]);
        if count == 0 {
            return Ok(());
        }
        if read.ends_with(b"\r\n0\r\n\r\n") {
            read.clear();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        }
    }
}

/// Windows of streams together are no larger than the connection's.
#[tokio::test]
async fn uploads_that_nobody_reads_do_not_stop_the_others() {
    const STUCK: usize = 12;
    let world = Setup::regions(&[])
        .other("westeurope", half_stuck())
        .service(super::PLAIN)
        .listeners(super::LISTENER)
        .start();
    let mut client = Client::connect(world.proxy()).await;
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        let post = request("POST", "/stuck").body(()).expect("a request");
        let mut requests = client.requests.clone().ready().await.expect("open");
        let (answer, mut sender) = requests.send_request(post, false).expect("sent");
        let sent = tokio::time::timeout(Duration::from_secs(1), upload(&mut sender, 64 << 20));
        assert!(sent.await.is_err(), "64 MiB went somewhere");
        stuck.push((answer, sender));
    }
    for _ in 0..3 {
        let body = vec![b'y'; 2 << 20];
        let answer = client.ask(request("POST", "/"), Some((&body, None))).await;
        assert_eq!(answer.expect("an answer").body, b"ok");
    }
}

/// Clients see the response, and the stream ends: curl and httpx lose a response with which the stream is reset.
#[tokio::test]
async fn a_response_before_the_end_of_an_upload_is_seen() {
    let scene = Scene::made(|setup| {
        setup.routes(
            "- { host: \"*\", path: /small, service: shop, limits: { request_body: 64KiB } }\n\
             - { host: \"*\", path: /closed, service: shop, access: { deny: [127.0.0.0/8] } }",
        )
    });
    let early = b"HTTP/1.1 409 Conflict\r\ncontent-length: 4\r\n\r\nseen".to_vec();
    scene.gateway.replies([Reply::Hang]);
    let mut client = scene.client().await;
    for (path, length, status) in [
        ("/small", Some("20000000"), 413),
        ("/small", None, 413),
        ("/closed", None, 403),
        ("/early", None, 409),
    ] {
        if path == "/early" {
            scene.gateway.replies([Reply::SayEarly(early.clone())]);
        }
        let begun = Instant::now();
        let post = request("POST", path);
        let post = length
            .into_iter()
            .fold(post, |post, length| post.header("content-length", length));
        let mut requests = client.requests.clone().ready().await.expect("open");
        let (answer, mut sender) = requests
            .send_request(post.body(()).expect("a request"), false)
            .expect("sent");
        let (answer, sent) = tokio::join!(answer, async {
            let sent = upload(&mut sender, 20_000_000).await;
            (sent, poll_fn(|context| sender.poll_reset(context)).await)
        });
        let answer = super::read(answer.expect("a response")).await.expect("all of it");
        assert_eq!(answer.status, status, "{path}");
        assert!(!answer.body.is_empty(), "{path}");
        let (_, reason) = sent;
        assert_eq!(reason.expect("a reset"), Reason::NO_ERROR, "{path}");
        assert!(
            begun.elapsed() >= Duration::from_millis(900),
            "{path}: no time to read the response"
        );
    }
    scene.gateway.says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.get("/").await.expect("the connection goes on").status, 200);
}

/// A length that is not kept is no whole request.
#[tokio::test]
async fn a_body_of_another_length_is_never_forwarded_as_complete() {
    let gateway = RawGateway::start();
    let setup = Setup::regions(&[]).other("westeurope", gateway.address());
    let world = setup.service(super::PLAIN).listeners(super::LISTENER).start();
    let post = |length: &str| {
        let fields = block(&[
            (":method", b"POST"),
            (":scheme", b"http"),
            (":authority", b"a"),
            (":path", b"/"),
            ("content-length", length.as_bytes()),
        ]);
        frame(kind::HEADERS, kind::END_HEADERS, 1, &fields)
    };
    for (length, data, flags) in [
        ("9", &b"short"[..], kind::END_STREAM),
        ("3", b"too long", kind::END_STREAM),
        ("3", b"too long", 0),
        ("9", b"", kind::END_STREAM),
    ] {
        let mut client = Frames::open(world.proxy(), &[]);
        client.write([post(length), frame(kind::DATA, flags, 1, data)].concat());
        let outcome = client.outcome(1);
        assert!(
            matches!(outcome, Outcome::Reset(1) | Outcome::Status(400)),
            "{length} {data:?}: {outcome:?}"
        );
        drop(client);
        let closed = async { until("closed", || gateway.open() == 0).await };
        tokio::time::timeout(TIMEOUT, closed).await.expect("closed");
        for seen in gateway.seen() {
            assert!(!seen.is_whole, "{length} {data:?}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_resets_its_upload_cuts_it_at_the_gateway() {
    let scene = Scene::new();
    let client = scene.client().await;
    let mut requests = client.requests.clone().ready().await.expect("open");
    let post = request("POST", "/").body(()).expect("a request");
    let (answer, mut sender) = requests.send_request(post, false).expect("sent");
    sender.send_data(Bytes::from_static(b"half"), false).expect("sent");
    until("the gateway has a connection", || scene.gateway.open() == 1).await;
    sender.send_reset(Reason::CANCEL);
    let error = answer.await.expect_err("no answer");
    assert_eq!(reset(&error), None, "it is the client's own");
    until("its connection is closed", || scene.gateway.open() == 0).await;
    assert!(scene.gateway.seen().iter().all(|seen| !seen.is_whole));
}
