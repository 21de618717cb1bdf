//! What a connection keeps.

use super::*;
use crate::upstream::replay::Framing;
use crate::upstream::request::tests::untrusted;
use crate::vitals::Vitals;
use http::Request;
use portolan_core::config::Upstream;
use std::task::Waker;
use std::time::Instant;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

const LARGE: usize = 1024 * 1024;

/// Of a gateway that nothing else is known of.
fn link() -> Link {
    let vitals = Vitals::in_region("westeurope");
    vitals.endpoints.set(&[([192, 0, 2, 1], 80).into()]);
    let endpoint = vitals.endpoints.candidates(0, Instant::now()).remove(0);
    Link::new(endpoint, 0, &Upstream::default(), 0, Instant::now())
}

/// What a gateway sends before it is asked again is noticed without an event.
#[tokio::test]
async fn a_look_finds_what_has_just_come() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let stream = TcpStream::connect(listener.local_addr().expect("an address")).await;
    let mut connection = Connection::new(Transport::Tcp(stream.expect("connected")), link());
    let (gateway, _) = listener.accept().await.expect("accepted");
    assert_eq!(connection.look(), Idle::Open);
    // Both without the runtime, which therefore has not seen any event.
    let gateway = gateway.into_std().expect("a socket");
    std::io::Write::write_all(&mut &gateway, b"ok").expect("written");
    assert_eq!(connection.look(), Idle::Spoilt);
}

#[tokio::test]
async fn an_idle_connection_keeps_little_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let stream = TcpStream::connect(listener.local_addr().expect("an address")).await;
    let mut connection = Connection::new(Transport::Tcp(stream.expect("connected")), link());
    let (mut gateway, _) = listener.accept().await.expect("accepted");

    let long = "a".repeat(40_000);
    let request = Request::get("/").header("host", "a").header("long", long).body(());
    let parts = request.expect("a request").into_parts().0;
    let outbound = Outbound::new(&parts, "a", untrusted(), Framing::None);
    let answer = async {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
        gateway.write_all(head.as_bytes()).await.expect("written");
        gateway.write_all(&vec![b'x'; LARGE]).await.expect("written");
    };
    let ((), read) = tokio::join!(answer, async {
        connection
            .exchange(&outbound, None, Persistence::Usual, RequestBody::Empty)
            .await
            .expect("an answer");
        let mut read = 0;
        while let Some(frame) = poll_fn(|context| connection.poll_body(context)).await {
            read += frame.expect("sound").data_ref().map_or(0, Bytes::len);
        }
        read
    });
    assert!(read == LARGE && connection.is_sent() && connection.has_sent_more() && !connection.has_sent_more());
    assert!(connection.is_clean() && connection.read_size == READ_BYTES.1);
    connection.rest();
    assert_eq!((connection.read_size, connection.read.capacity()), (READ_BYTES.0, 0));
    assert!(connection.upload.memory() <= 4 * 1024, "{}", connection.upload.memory());
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(
        (connection.poll_idle(&mut context), connection.look()),
        (Idle::Open, Idle::Open)
    );
    drop(gateway);
    let Transport::Tcp(stream) = &connection.stream else {
        panic!("a TCP connection")
    };
    stream.readable().await.expect("the news of its end");
    assert_eq!(
        (connection.poll_idle(&mut context), connection.look()),
        (Idle::Closed, Idle::Closed)
    );
}
