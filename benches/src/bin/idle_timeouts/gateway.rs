//! Gateways that close idle connections, behind a way.

use portolan_core::chance::spread;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// A kind of gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Which servers are like it.
    pub(crate) name: &'static str,
    /// It closes idle connections after a time between these, by chance.
    pub(crate) after: (Duration, Duration),
    /// What it says of that.
    says: &'static str,
}

const fn kind(name: &'static str, from: u64, to: u64, says: &'static str) -> Kind {
    let after = (Duration::from_millis(from), Duration::from_millis(to));
    Kind { name, after, says }
}

/// The kinds, by measured servers.
pub(crate) const KINDS: [Kind; 8] = [
    kind("Starman", 1_000, 1_000, ""),
    kind("gunicorn gthread", 2_000, 2_010, ""),
    kind("actix-web", 4_600, 4_600, ""),
    kind("uvicorn, Varnish, Hypercorn", 5_000, 5_040, ""),
    kind("Apache", 5_030, 5_030, "Keep-Alive: timeout=5, max=100\r\n"),
    kind("Node", 6_000, 6_030, "Keep-Alive: timeout=5\r\n"),
    kind("much jitter", 2_000, 4_000, ""),
    kind(
        "a middlebox before a server with 72 s",
        3_000,
        3_100,
        "Keep-Alive: timeout=72\r\n",
    ),
];

static ROLLS: AtomicU64 = AtomicU64::new(0);

/// A time between two, by chance.
pub(crate) fn between((from, to): (Duration, Duration)) -> Duration {
    let roll = spread(ROLLS.fetch_add(1, Relaxed), 0);
    from + (to - from).mul_f64(roll as f64 / u64::MAX as f64)
}

/// Starts one, until the program ends. Gives where its way begins.
pub(crate) async fn start(kind: Kind, way: Duration) -> io::Result<SocketAddr> {
    let far = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let near = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (there, here) = (far.local_addr()?, near.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = far.accept().await {
            tokio::spawn(serve(stream, kind));
        }
    });
    tokio::spawn(async move {
        while let Ok((near, _)) = near.accept().await {
            tokio::spawn(async move {
                let far = TcpStream::connect(there).await?;
                near.set_nodelay(true)?;
                far.set_nodelay(true)?;
                let ((from_proxy, to_proxy), (from_gateway, to_gateway)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(from_proxy, to_gateway, way));
                tokio::spawn(carry(from_gateway, to_proxy, way));
                io::Result::Ok(())
            });
        }
    });
    Ok(here)
}

async fn serve(mut stream: TcpStream, kind: Kind) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let answer = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 2\r\n\r\nok", kind.says);
    let mut read = Vec::new();
    loop {
        let head = async {
            // The requests have no body.
            while !read.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut read).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
            }
            Ok(())
        };
        timeout(between(kind.after), head).await??;
        read.clear();
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// Carries bytes, and their end, to the other side, where they arrive later.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Duration) {
    let (sent, mut under_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((at, bytes)) = under_way.recv().await {
            sleep_until(at).await;
            if bytes.is_empty() || to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    loop {
        let mut bytes = Vec::new();
        let count = from.read_buf(&mut bytes).await.unwrap_or(0);
        if sent.send((Instant::now() + way, bytes)).is_err() || count == 0 {
            return;
        }
    }
}
