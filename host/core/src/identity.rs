//! Who the client is.

use std::net::IpAddr;

/// The client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Its address, canonical: a v4-mapped address is given as IPv4.
    pub addr: IpAddr,
    /// What said so.
    pub source: IdentitySource,
}

/// What a client's address was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdentitySource {
    /// The socket's peer.
    Peer,
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Azure-SocketIP`.
    AzureSocketIp,
    /// The PROXY protocol header of the connection.
    ProxyProtocol,
}
