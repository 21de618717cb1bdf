//! The downstream side: listeners, connections, and how they end.
//!
//! Everything here belongs to one worker: one thread with a runtime of its own. Connections are local tasks, so handlers
//! and bodies need not be `Send`, and nothing is shared with other workers.

mod connection;
mod drain;
mod listener;
mod roster;
mod socket;
#[cfg(test)]
mod tests;

pub use drain::{Drain, DrainSwitch, Phase, drain};
pub use listener::bind;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use roster::Roster;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Interval, sleep};

/// Who is at the other end of a downstream connection.
#[derive(Clone, Debug)]
pub struct Downstream {
    /// The client's end of the connection, or that of the proxy before us.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's address as `X-Forwarded-For` has it.
    pub peer_text: HeaderValue,
}

/// What connections of one worker may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. Those beyond are told 503 and closed.
    pub connections: usize,
    /// For the head of a request, from its first byte; on a new connection from the beginning.
    pub header_timeout: Duration,
    /// For the next request on a connection that is kept open.
    pub idle_timeout: Duration,
    /// For a client that does not take a byte of its response.
    pub write_timeout: Duration,
    /// For the head of a request in bytes, at least 8192.
    pub header_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16 * 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
            header_bytes: 64 * 1024,
        }
    }
}

/// How long idle connections are kept when a drain begins: a client that is about to send its next request gets its
/// answer, and is told to close, instead of running into a closed connection.
const DRAIN_LINGER: Duration = Duration::from_millis(250);

/// How often waiting connections are looked at. Timeouts are kept to this precision, and cost the request path nothing.
const TICK: Duration = Duration::from_millis(500);

/// What a connection over the limit is told.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Serves a listener until the drain is over. Must run on a local runtime.
///
/// The handler's future is dropped when its client goes away.
///
/// # Errors
/// When the listener cannot be used. Errors of connections are theirs alone.
pub async fn serve<H, F, B>(
    listener: std::net::TcpListener,
    limits: Limits,
    mut drain: Drain,
    handler: H,
) -> std::io::Result<()>
where
    H: Fn(Rc<Downstream>, Request<Incoming>) -> F + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: http_body::Body<Data = Bytes> + Default + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let listener = TcpListener::from_std(listener)?;
    let local = listener.local_addr()?;
    let handler = Rc::new(handler);
    let roster = Roster::new(limits);
    let open = |(stream, peer)| open(&roster, stream, peer, local, &handler);
    let mut tick = tokio::time::interval(TICK);
    {
        let mut drain_begun = pin!(drain.begun());
        loop {
            tokio::select! {
                accepted = listener::accept(&listener) => open(accepted),
                _ = tick.tick() => roster.tick(TICK),
                () = &mut drain_begun => break,
            }
        }
    }
    roster.begin_drain();
    listener::accept_waiting(&listener).for_each(open);
    drop(listener);
    tokio::select! {
        () = finish(&roster, tick) => {}
        () = drain.over() => {
            roster.end_all();
            roster.empty().await;
        }
    }
    Ok(())
}

/// Waits until the connections have finished what runs.
async fn finish(roster: &Roster, mut tick: Interval) {
    let mut linger = pin!(sleep(DRAIN_LINGER));
    let mut lingers = true;
    loop {
        tokio::select! {
            () = roster.empty() => return,
            () = &mut linger, if lingers => {
                lingers = false;
                roster.end_idle();
            }
            _ = tick.tick() => roster.tick(TICK),
        }
    }
}

fn open<H, F, B>(roster: &Rc<Roster>, stream: TcpStream, peer: SocketAddr, local: SocketAddr, handler: &Rc<H>)
where
    H: Fn(Rc<Downstream>, Request<Incoming>) -> F + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: http_body::Body<Data = Bytes> + Default + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let Some(seat) = roster.admit() else {
        // Into an empty socket buffer this goes at once; a client that is not told is closed all the same.
        let _ = stream.try_write(FULL);
        return;
    };
    let peer_text = HeaderValue::try_from(peer.ip().to_canonical().to_string());
    let downstream = Rc::new(Downstream {
        peer,
        local: stream.local_addr().unwrap_or(local),
        // An address as text is always a header value.
        peer_text: peer_text.unwrap_or(HeaderValue::from_static("unknown")),
    });
    tokio::task::spawn_local(connection::run(stream, downstream, seat, Rc::clone(handler)));
}
