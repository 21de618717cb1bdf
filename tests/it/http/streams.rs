//! Requests and responses that are under way at the same time.

use super::PLAIN;
use portolan_tests::raw::Wire;
use portolan_tests::{Setup, World};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const IDLE: Duration = Duration::from_millis(300);

/// The proxy in front of a gateway that the test plays.
fn world() -> (World, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let service = format!("{PLAIN}\ntimeouts: {{ idle: {}ms }}", IDLE.as_millis());
    let setup = Setup::regions(&[]).service(&service).other("westeurope", address);
    (setup.start(), listener)
}

/// A gateway that has begun to answer and still reads the request is not idle.
#[test]
fn a_long_upload_does_not_cut_the_answer_that_has_begun() {
    let (world, listener) = world();
    let mut client = Wire::open(world.proxy());
    client.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n");
    let (mut gateway, _) = listener.accept().expect("a connection");
    read_until(&mut gateway, b"\r\n1\r\na\r\n");
    gateway
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
        .expect("written");
    let chunk = format!("800\r\n{}z\r\n", "x".repeat(0x7ff));
    let begun = Instant::now();
    while begun.elapsed() < 3 * IDLE {
        client.write(&chunk);
        read_until(&mut gateway, b"z\r\n");
    }
    client.write("0\r\n\r\n");
    read_until(&mut gateway, b"0\r\n\r\n");
    gateway.write_all(b"k").expect("written");
    let answer = client.response("POST").expect("an answer");
    assert_eq!(
        (answer.status(), &*answer.body, answer.is_whole),
        (200, &b"ok"[..], true)
    );
}

/// One that neither reads nor writes is idle.
#[test]
fn an_idle_answer_is_cut() {
    let (world, listener) = world();
    let mut client = Wire::open(world.proxy());
    client.write(super::GET);
    let (mut gateway, _) = listener.accept().expect("a connection");
    read_until(&mut gateway, b"\r\n\r\n");
    gateway
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
        .expect("written");
    let answer = client.response("GET").expect("the head of an answer");
    assert_eq!((&*answer.body, answer.is_whole), (&b"o"[..], false));
}

fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let (mut read, mut bytes) = (Vec::new(), [0; 4096]);
    while !read.ends_with(end) {
        let count = stream.read(&mut bytes).expect("an open connection");
        assert_ne!(count, 0, "it ended after {}", read.escape_ascii());
        read.extend_from_slice(&bytes[..count]);
    }
}
