//! Backends in this process: one that echoes what it gets after an upgrade, and one that answers unary gRPC calls.

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

/// The path of the tunnel.
pub(crate) const TUNNEL: &str = "/tunnel";

/// The answer to an upgrade with the key of RFC 6455, section 1.3, which HAProxy checks.
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Their addresses.
#[derive(Debug)]
pub(crate) struct Backends {
    pub(crate) tunnel: SocketAddr,
    pub(crate) grpc: SocketAddr,
    /// How many calls were answered: a proxy's own answer looks like one to a client that does not read it.
    pub(crate) calls: Arc<AtomicU64>,
}

impl Backends {
    /// Starts them on free ports of loopback. They end with the process.
    pub(crate) fn start() -> Result<Self> {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (tunnel, grpc, calls) = (bind()?, bind()?, Arc::<AtomicU64>::default());
        let this = Self {
            tunnel: tunnel.local_addr()?,
            grpc: grpc.local_addr()?,
            calls: Arc::clone(&calls),
        };
        thread::spawn(move || {
            for stream in tunnel.incoming().flatten() {
                // A connection that breaks is the proxy's to notice.
                thread::spawn(move || echo(stream));
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        grpc.set_nonblocking(true)?;
        thread::spawn(move || {
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(grpc)?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    tokio::spawn(answer_calls(stream, Arc::clone(&calls)));
                }
                #[expect(unreachable_code, reason = "it tells the type of errors")]
                io::Result::Ok(())
            })
        });
        Ok(this)
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut room = vec![0; 64 * 1024];
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut room)? {
            0 => return Ok(()),
            count => head.extend_from_slice(&room[..count]),
        }
    }
    stream.write_all(SWITCHING)?;
    loop {
        match stream.read(&mut room)? {
            0 => return Ok(()),
            count => stream.write_all(&room[..count])?,
        }
    }
}

/// Answers every call with its own message.
async fn answer_calls(stream: tokio::net::TcpStream, calls: Arc<AtomicU64>) -> Result<()> {
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(1000)
        .handshake::<_, Bytes>(stream)
        .await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        let calls = Arc::clone(&calls);
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut message = Vec::new();
            while let Some(data) = body.data().await {
                let data = data?;
                body.flow_control().release_capacity(data.len())?;
                message.extend_from_slice(&data);
            }
            let head = Response::builder().header("content-type", "application/grpc");
            let mut stream = respond.send_response(head.body(())?, false)?;
            stream.send_data(message.into(), false)?;
            let trailers = HeaderMap::from_iter([("grpc-status".parse()?, HeaderValue::from_static("0"))]);
            stream.send_trailers(trailers)?;
            calls.fetch_add(1, Relaxed);
            anyhow::Ok(())
        });
    }
    Ok(())
}
