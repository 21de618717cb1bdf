//! What a whole request costs on loopback: straight to a gateway, through the proxy, and through the proxy with a plugin.
//! The difference is the proxy: two more passes through the kernel, and what Portolan does in between.
//!
//! `cargo bench -p portolan-benches --bench request`

use criterion::{Criterion, criterion_group, criterion_main};
use portolan_tests::{Setup, World};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::str;

/// From London, as a trusted proxy says.
const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: shop.example.net\r\nX-Forwarded-For: 81.2.69.142\r\nAccept: */*\r\n\r\n";

/// A client that keeps its connection.
struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: vec![0; 64 * 1024],
        })
    }

    /// Sends the request and reads the whole answer. Gives its size in bytes.
    fn ask(&mut self) -> io::Result<usize> {
        self.stream.write_all(REQUEST)?;
        let mut filled = 0;
        loop {
            let count = self.stream.read(&mut self.read[filled..])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += count;
            if whole(&self.read[..filled])? {
                return Ok(filled);
            }
        }
    }
}

/// Whether a good answer is all there, by its length.
fn whole(read: &[u8]) -> io::Result<bool> {
    let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    let head = str::from_utf8(&read[..end]).map_err(io::Error::other)?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(io::Error::other(head.to_owned()));
    }
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, value)| value.parse::<usize>().ok());
    let length = length.ok_or_else(|| io::Error::other("an answer without a length"))?;
    Ok(read.len() >= end + 4 + length)
}

fn request(criterion: &mut Criterion) {
    let plain = World::start();
    let plugin = Setup::three_regions()
        .service("policy: { plugin: nearest }\nhealth_check: { path: /healthz, interval: 100ms, timeout: 100ms }")
        .with("plugins: { nearest: { source: \"embedded:nearest\" } }")
        .start();
    for (name, address) in [
        ("request/to the gateway", plain.gateway("westeurope").address()),
        ("request/through portolan", plain.proxy()),
        ("request/through portolan with a plugin", plugin.proxy()),
    ] {
        let mut client = Client::open(address).expect("it listens");
        criterion.bench_function(name, |bench| bench.iter(|| client.ask().expect("a whole answer")));
    }
}

criterion_group!(benches, request);
criterion_main!(benches);
