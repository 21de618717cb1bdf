//! Load of messages through upgraded connections: each is sent when the one before has come back.

use crate::backends::TUNNEL;
use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Tunnels at a time.
const TUNNELS: usize = 8;

/// The header of a client's frame with 1 KiB of binary data (RFC 6455, section 5.2). The mask is of no matter to proxies.
const HEADER: [u8; 8] = [0x82, 0xfe, 0x04, 0x00, 0, 0, 0, 0];

/// The length of a message with its header.
const MESSAGE: usize = HEADER.len() + 1024;

/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends messages for some time. Returns how long each took to come back.
pub(crate) fn run(address: SocketAddr, time: Duration) -> Result<Vec<Duration>> {
    let end = Instant::now() + time;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..TUNNELS)
            .map(|_| scope.spawn(move || client(address, end)))
            .collect();
        let mut took = Vec::new();
        for client in clients {
            match client.join() {
                Ok(times) => took.extend(times?),
                Err(_) => bail!("a client panicked"),
            }
        }
        Ok(took)
    })
}

fn client(address: SocketAddr, end: Instant) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!(
        "GET {TUNNEL} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).context("no answer to an upgrade")?;
        head.push(byte[0]);
    }
    ensure!(
        head.starts_with(b"HTTP/1.1 101 "),
        "no upgrade: {}",
        String::from_utf8_lossy(&head)
    );
    let (mut sent, mut came) = ([b'm'; MESSAGE], [0; MESSAGE]);
    sent[..HEADER.len()].copy_from_slice(&HEADER);
    let mut took = Vec::new();
    while Instant::now() < end {
        let begun = Instant::now();
        stream.write_all(&sent)?;
        stream.read_exact(&mut came)?;
        took.push(begun.elapsed());
    }
    Ok(took)
}
