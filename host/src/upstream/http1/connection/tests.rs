//! What a connection keeps.

use super::*;
use crate::upstream::replay::Framing;
use crate::upstream::request::Forwarding;
use http::Request;
use portolan_core::identity::ClientAddress;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

const LARGE: usize = 1024 * 1024;

#[tokio::test]
async fn an_idle_connection_keeps_little_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let stream = TcpStream::connect(listener.local_addr().expect("an address")).await;
    let mut connection = Connection::new(Transport::Tcp(stream.expect("connected")));
    let (mut gateway, _) = listener.accept().await.expect("accepted");

    let long = "a".repeat(40_000);
    let request = Request::get("/").header("host", "a").header("long", long).body(());
    let parts = request.expect("a request").into_parts().0;
    let peer = HeaderValue::from_static("192.0.2.1");
    let policy = ClientAddress::default();
    let forwarding = Forwarding {
        peer: &peer,
        scheme: "http",
        is_trusted: false,
        policy: &policy,
        chance: [1; 3],
    };
    let outbound = Outbound::new(&parts, "a", forwarding, Framing::None);
    let answer = async {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
        gateway.write_all(head.as_bytes()).await.expect("written");
        gateway.write_all(&vec![b'x'; LARGE]).await.expect("written");
    };
    let ((), read) = tokio::join!(answer, async {
        connection
            .exchange(&outbound, None, RequestBody::Empty)
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
    assert!(connection.is_usable());
    drop(gateway);
    let Transport::Tcp(stream) = &connection.stream else {
        panic!("a TCP connection")
    };
    stream.readable().await.expect("the news of its end");
    assert!(!connection.is_usable());
}
