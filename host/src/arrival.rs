//! Where a connection arrived, and over what: settled once per connection, read by each of its requests.

mod body;
mod interim;
mod limits;

pub use body::{BodyError, ClientBody, RequestStream, UnreadBodies};
pub use interim::{Interim, InterimQueue};
pub use limits::RequestLimits;

use crate::number;
use crate::tls::{Certificates, VerifiedClient};
use http::HeaderValue;
use portolan_core::identity::{ClientIdentity, IdentitySource};
use portolan_core::proxy_protocol::{Header, Origin};
use std::borrow::Borrow;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// What tells a listener from all others, before and after a reload: its name, or its address where it has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(Arc<str>);

impl ListenerId {
    /// By a name, or an address as text.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The text, for logs and metrics.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ListenerId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A downstream connection, as everything behind its acceptance knows it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The listener that accepted it. The table of a request holds the policy.
    pub listener: ListenerId,
    /// The other end: the client, or the proxy before us; where a PROXY protocol header names a client, that one. Never an IPv4
    /// address mapped into IPv6.
    pub peer: SocketAddr,
    /// Our end; what the client connected to, where a PROXY protocol header says so.
    pub local: SocketAddr,
    /// The PROXY protocol header that it began with.
    pub proxy_header: Option<Rc<Header>>,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// What its requests may be like.
    pub limits: RequestLimits,
    /// What its TLS handshake settled. `None` without TLS.
    pub tls: Option<Box<TlsFacts>>,
    /// The peer's address as `X-Forwarded-For` has it.
    pub peer_text: HeaderValue,
    /// Interim responses to be written. At most one exchange runs at a time in HTTP/1.1.
    pub interim: Rc<InterimQueue>,
}

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1, as each request says.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What a TLS handshake settled.
#[derive(Clone, Debug)]
pub struct TlsFacts {
    /// The name that the client asked for (SNI), in lower case.
    pub server_name: Option<Box<str>>,
    /// The certificates that there were to be chosen from.
    pub certificates: Arc<Certificates>,
    /// The client, where it has proved by a certificate who it is.
    pub client: Option<Box<VerifiedClient>>,
    /// Whether gateways are told of its certificate.
    pub forwards_client_certificate: bool,
}

impl TlsFacts {
    /// Whether requests for a host, without port and in either case, may be sent on this connection: it gets the certificate
    /// that the host would get. A client that asked for no name made no difference between hosts.
    pub fn is_for(&self, host: &str) -> bool {
        match &self.server_name {
            None => true,
            Some(name) if name.eq_ignore_ascii_case(host) => true,
            Some(name) => self.certificates.are_same(name, &host.to_ascii_lowercase()),
        }
    }
}

impl Arrival {
    /// A connection without TLS, on which HTTP/1.1 is spoken.
    pub fn plain(listener: ListenerId, peer: SocketAddr, local: SocketAddr) -> Self {
        let peer = canonical(peer);
        Self {
            listener,
            peer,
            local,
            proxy_header: None,
            protocol: Protocol::Http1,
            limits: RequestLimits::default(),
            tls: None,
            peer_text: text(peer),
            interim: Rc::default(),
        }
    }

    /// The same as the proxy describes it that passed it on.
    pub fn passed_on(mut self, header: Header) -> Self {
        if let Origin::Tcp { source, destination } = header.origin {
            self.peer = canonical(source);
            self.peer_text = text(self.peer);
            self.local = canonical(destination);
        }
        self.proxy_header = Some(Rc::new(header));
        self
    }

    /// The same with these limits.
    pub fn limited(mut self, limits: RequestLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same after a TLS handshake.
    pub fn secured(mut self, facts: TlsFacts) -> Self {
        self.tls = Some(Box::new(facts));
        self
    }

    /// The same when HTTP/2 is spoken on it.
    pub fn of_http2(mut self) -> Self {
        self.protocol = Protocol::Http2;
        self
    }

    /// The client, where it has proved by a certificate who it is.
    pub fn verified_client(&self) -> Option<&VerifiedClient> {
        self.tls.as_ref()?.client.as_deref()
    }

    /// The scheme of the requests on it, as the client sees it: `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        let passed_on = self.proxy_header.as_ref();
        let is_tls = self.tls.is_some() || passed_on.is_some_and(|header| header.extensions.tls.is_some());
        if is_tls { "https" } else { "http" }
    }

    /// The client, as long as nothing better is known: the peer.
    pub fn client(&self) -> ClientIdentity {
        let is_named = |header: &Rc<Header>| matches!(header.origin, Origin::Tcp { .. });
        ClientIdentity {
            addr: self.peer.ip(),
            source: match self.proxy_header.as_ref().is_some_and(is_named) {
                true => IdentitySource::ProxyProtocol,
                false => IdentitySource::Peer,
            },
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An address as `X-Forwarded-For` has it.
fn text(address: SocketAddr) -> HeaderValue {
    let mut text = Vec::with_capacity("255.255.255.255".len());
    number::address(&mut text, address.ip());
    // An address as text is always a header value.
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_is_canonical() {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let arrival = Arrival::plain(
            ListenerId::new("public"),
            addr("[::ffff:192.0.2.1]:4711"),
            addr("[::1]:80"),
        );
        assert_eq!(arrival.peer, addr("192.0.2.1:4711"));
        assert_eq!(arrival.peer_text, "192.0.2.1");
        assert_eq!(arrival.scheme(), "http");
    }
}
