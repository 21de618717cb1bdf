//! A connection to a gateway that changed to another protocol.

use super::dial::Transport;
use super::in_flight::InFlight;
use super::link::Link;
use crate::vitals::TunnelEnd;
use bytes::Bytes;
use http::{HeaderMap, header};
use std::time::Duration;

/// A gateway's end of a tunnel.
#[derive(Debug)]
pub struct Tunnel {
    /// The connection.
    pub transport: Transport,
    /// What the gateway sent right after its 101.
    pub early: Bytes,
    /// The protocol that it changed to, as the gateway says.
    pub protocol: Box<str>,
    /// Its time bounds.
    pub limits: TunnelLimits,
    /// Counts it as long as it is open.
    pub count: TunnelCount,
}

/// Time bounds of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelLimits {
    /// Without a byte in either direction.
    pub idle: Duration,
    /// The same when one end has closed its side.
    pub half_closed: Duration,
}

/// An open tunnel, as its gateway's counters have it: in flight, and ended when this is dropped.
#[derive(Debug)]
pub struct TunnelCount {
    in_flight: InFlight,
    _link: Link,
    end: TunnelEnd,
}

impl Tunnel {
    pub(super) fn new(
        (transport, early, link): (Transport, Bytes, Link),
        in_flight: InFlight,
        protocol: &str,
        limits: TunnelLimits,
    ) -> Self {
        in_flight.tunnel_opened();
        Self {
            transport,
            early,
            protocol: protocol.into(),
            limits,
            count: TunnelCount {
                in_flight,
                _link: link,
                // Dropped before anything else ends it, its client is gone.
                end: TunnelEnd::ClientReset,
            },
        }
    }

    /// Whether it is one of WebSocket.
    pub fn is_websocket(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("websocket")
    }
}

impl TunnelCount {
    /// It carried this many bytes from the client, and to it.
    pub fn carried(&self, received: u64, sent: u64) {
        self.in_flight.tunnel_carried(received, sent);
    }

    /// It ends like this.
    pub fn ends(&mut self, end: TunnelEnd) {
        self.end = end;
    }
}

impl Drop for TunnelCount {
    fn drop(&mut self) {
        self.in_flight.tunnel_ended(self.end);
    }
}

/// The protocol that the head of a 101 names; `websocket` where the field was left out, which is so when the handshake is the proxy's own.
pub(super) fn protocol(headers: &HeaderMap) -> &str {
    let named = headers.get(header::UPGRADE).and_then(|it| it.to_str().ok());
    named.unwrap_or("websocket")
}
