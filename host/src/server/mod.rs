//! The downstream side: listeners, connections, and how they end.
//!
//! A [`ListenerSet`] holds the sockets of all workers and changes with the configuration. Everything else belongs to one
//! worker: one thread with a runtime of its own. Connections are local tasks, so handlers and bodies need not be `Send`.
//!
//! A connection passes these stages: `listener` accepts a socket, `proxy_header` receives what a trusted proxy says of it,
//! `accepted` makes a stream of it and settles where it arrived, `handshake` makes one of TLS of that where the listener has it,
//! `connection` or, for HTTP/2, `http2` reads requests from the stream and gives them to the [`Handler`]. After a response that changes
//! to another protocol, `tunnel` carries the bytes.

mod accepted;
mod connection;
mod drain;
mod full;
mod handshake;
mod http2;
mod listener;
mod listeners;
mod lock;
mod proxy_header;
mod registry;
mod serve;
#[cfg(test)]
mod tests;
mod tls_stream;
mod tunnel;

pub use drain::{Drain, DrainSwitch, Phase, drain};
pub use handshake::{HandshakeError, accept_tls};
pub use listeners::{Assignments, InheritedSockets, ListenError, ListenerSet, Prepared};
pub use lock::Holder;
pub use serve::run;
pub use tunnel::TunnelRecord;

use crate::arrival::{Arrival, ClientBody, ListenerId, RequestLimits};
use crate::lines::Lines;
use crate::message::Unreadable;
use crate::tls::ServerTls;
use crate::upstream::Tunnel;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::error::Error;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What answers the requests of one worker.
pub trait Handler: 'static {
    /// The body of its responses. The default one goes with the response to a request that panicked.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Default + Unpin + 'static;

    /// What records a tunnel.
    type Record: TunnelRecord;

    /// Answers a request. A response to a client of HTTP/1.1 may have [`lines`](Self::lines) in its body. The future is dropped when the client goes away.
    fn answer(
        self: Rc<Self>,
        arrival: Rc<Arrival>,
        request: Request<ClientBody>,
    ) -> impl Future<Output = Response<Self::Body>> + 'static;

    /// Takes the fields of a response's head that are written as they came, out of its body.
    fn lines(&self, body: &mut Self::Body) -> Option<Lines>;

    /// Takes the tunnel that follows a response out of its body: one to 101, or to an extended CONNECT that succeeds.
    fn tunnel(&self, body: &mut Self::Body) -> Option<(Tunnel, Self::Record)>;

    /// Answers a request whose head could not be read. Nothing follows on its connection, but in HTTP/2. `is_call`: whether it is
    /// one of gRPC, as far as that can be told.
    fn unreadable(&self, arrival: &Arrival, why: Unreadable, is_call: bool) -> Response<Self::Body>;

    /// Learns of a request whose head did not come within its time. It is not answered.
    fn head_timed_out(&self, arrival: &Arrival);

    /// How long a client's connection to a listener may wait for its next request. `None`: as before, since the listener is gone.
    fn keep_alive_timeout(&self, listener: &ListenerId) -> Option<Duration>;

    /// What a new connection of a listener is accepted by, from this address.
    fn terms(&self, listener: &ListenerId, peer: IpAddr) -> ListenerTerms;
}

/// What a new connection is accepted by.
#[derive(Clone, Debug)]
pub struct ListenerTerms {
    /// How many connections the listener may have open, over all workers.
    pub max_connections: u32,
    /// How many of them the peer may have open. `None`: any number.
    pub max_connections_of_peer: Option<u32>,
    /// Whether it must begin with a PROXY protocol header.
    pub begins_with_proxy_header: bool,
    /// Its TLS. `None` for a listener without.
    pub tls: Option<Arc<ServerTls>>,
    /// What its requests may be like.
    pub limits: RequestLimits,
    /// HTTP/2, when TLS agrees on it or, without TLS, when clients may know it beforehand. `None`: it is not served.
    pub http2: Option<Http2Settings>,
}

/// What clients of HTTP/2 are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Settings {
    /// How many streams a connection may have open, at least 1.
    pub max_streams: u32,
    /// How many bytes of a request's body may come before they are read, at least 65535.
    pub stream_window: u32,
}

/// The time that a connection may take.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Limits {
    /// For a TLS handshake, from the beginning of the connection.
    handshake_timeout: Duration,
    /// For the head of a request, from its first byte; on a new connection from the beginning.
    header_timeout: Duration,
    /// For the next request on a connection that is kept open, until the handler says otherwise.
    idle_timeout: Duration,
    /// For a client that does not read a byte of its response.
    write_timeout: Duration,
    /// For a response to a client that has closed its side: without a byte written, it is taken to be gone.
    half_closed_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
            half_closed_timeout: Duration::from_secs(5),
        }
    }
}
