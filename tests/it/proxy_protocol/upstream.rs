//! The PROXY protocol towards gateways: every connection says whose it is.

use portolan_core::health::State;
use portolan_core::proxy_protocol::{self, Origin};
use portolan_tests::raw::Wire;
use portolan_tests::{Request, Setup, World, from};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a connection to the gateway began with, and the request lines that came on it.
type Seen = (Origin, Vec<String>);

/// A gateway whose connections must begin with a header.
struct Gateway {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Gateway {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&all);
                thread::spawn(move || serve(stream, &seen));
            }
        });
        Self { address, seen }
    }

    /// The connections on which this was asked for.
    fn with(&self, path: &str) -> Vec<Seen> {
        let seen = self.seen.lock().expect("not poisoned");
        let has = |lines: &[String]| lines.iter().any(|line| line.contains(&format!(" {path} ")));
        seen.iter().filter(|(_, lines)| has(lines)).cloned().collect()
    }
}

/// Answers every request of a connection, once it has begun as it must.
fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>) -> Option<()> {
    let mut bytes = Vec::new();
    let more = |bytes: &mut Vec<u8>, stream: &mut TcpStream| {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        Some(())
    };
    let header = loop {
        match proxy_protocol::parse(&bytes).expect("a header of the PROXY protocol") {
            Some((header, length)) => {
                bytes.drain(..length);
                break header;
            }
            None => more(&mut bytes, &mut stream)?,
        }
    };
    let place = {
        let mut seen = seen.lock().expect("not poisoned");
        seen.push((header.origin, Vec::new()));
        seen.len() - 1
    };
    loop {
        let end = loop {
            match bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => more(&mut bytes, &mut stream)?,
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
        while bytes.len() < end + length {
            more(&mut bytes, &mut stream)?;
        }
        bytes.drain(..end + length);
        let line = head.lines().next().unwrap_or_default().to_owned();
        seen.lock().expect("not poisoned")[place].1.push(line);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .ok()?;
    }
}

async fn world(gateway: &Gateway) -> World {
    let world = Setup::regions(&[])
        .other("westeurope", gateway.address)
        .service("health_check: { path: /healthz, interval: 100ms, timeout: 100ms }\nupstream: { proxy_protocol: v2 }")
        .start();
    world.until_state("westeurope", State::Healthy).await;
    world
}

#[tokio::test]
async fn gateways_are_told_who_the_client_is() {
    let gateway = Gateway::start();
    let world = world(&gateway).await;
    assert_eq!(world.send(Request::get("/get").from(from::BRITAIN)).await.status, 200);
    assert_eq!(
        world
            .send(Request::post("/post", "body").from("2001:db8::1"))
            .await
            .status,
        200
    );
    // What the client's header names has no port.
    let expected = |client: &str| {
        let destination = match client.parse().expect("an address") {
            IpAddr::V4(_) => world.proxy(),
            IpAddr::V6(_) => (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), world.proxy().port()).into(),
        };
        let source = SocketAddr::new(client.parse().expect("an address"), 0);
        Origin::Tcp { source, destination }
    };
    assert_eq!(gateway.with("/get")[0].0, expected(from::BRITAIN));
    assert_eq!(gateway.with("/post")[0].0, expected("2001:db8::1"));
    let checks = gateway.with("/healthz");
    assert!(checks.iter().all(|(origin, _)| *origin == Origin::Local), "{checks:?}");
}

#[tokio::test]
async fn a_connection_carries_the_requests_of_one_client() {
    let gateway = Gateway::start();
    let world = world(&gateway).await;
    let (mut one, mut other) = (Wire::open(world.proxy()), Wire::open(world.proxy()));
    for _ in 0..3 {
        for (path, wire) in [("/one", &mut one), ("/other", &mut other)] {
            wire.write(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
            assert_eq!(wire.response("GET").expect("an answer").status(), 200);
        }
    }
    let ports = ["/one", "/other"].map(|path| {
        let seen = gateway.with(path);
        assert_eq!(seen.len(), 3, "one request on each: {seen:?}");
        let sources = seen.into_iter().map(|(origin, lines)| match origin {
            Origin::Tcp { source, .. } if lines.len() == 1 => source,
            _ => panic!("{origin:?} {lines:?}"),
        });
        let sources: Vec<_> = sources.collect();
        assert!(sources.iter().all(|source| *source == sources[0]), "{sources:?}");
        sources[0]
    });
    assert_ne!(ports[0], ports[1], "the peer's own port is told");
}
