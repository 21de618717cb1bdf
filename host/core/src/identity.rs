//! Who the client is.
//!
//! Headers are believed only when the socket's peer is a trusted proxy. Then they are read from the right, the end
//! that the nearest proxy wrote: trusted addresses are skipped, the first other one is the client. What is left
//! of it may be made up and is never looked at. Nothing here allocates.

mod entry;
pub mod fields;

use crate::networks::Networks;
use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;

/// The client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Its address, canonical: a v4-mapped address is given as IPv4.
    pub addr: IpAddr,
    /// Its source.
    pub source: IdentitySource,
}

/// Where a request comes from. Decided once, by [`identify`]: everything that depends on it uses this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The client.
    pub client: ClientIdentity,
    /// Whether the peer is a trusted proxy, so that what it writes about its client is believed.
    pub is_trusted: bool,
}

/// The source of a client's address.
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

impl ClientIdentity {
    /// The socket's peer.
    pub fn peer(addr: IpAddr) -> Self {
        Self {
            addr,
            source: IdentitySource::Peer,
        }
    }
}

impl IdentitySource {
    /// The word for it in logs and explanations, as [`ClientHeader`] is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
            Self::AzureSocketIp => "x-azure-socketip",
            Self::ProxyProtocol => "proxy-protocol",
        }
    }
}

/// How a listener finds out who its clients are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientAddress {
    /// The peers whose headers are believed. None by default.
    pub trusted: Networks,
    /// Where they write the client's address.
    pub header: ClientHeader,
    /// Further fields about the client that these proxies write and gateways may see, in lower case.
    pub pass_headers: Box<[Box<str>]>,
}

/// Where trusted proxies write the client's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientHeader {
    /// Nowhere: the peer is the client.
    #[default]
    None,
    /// `X-Forwarded-For`, with or without ports (Application Gateway writes them).
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Azure-SocketIP`: the peer that Front Door saw. (`X-Azure-ClientIP` repeats what the client claims.)
    AzureSocketIp {
        /// The `X-Azure-FDID` that the request must carry: every tenant's Front Door has the same addresses, only
        /// this tells ours. `None`: any.
        front_door_id: Option<Box<str>>,
    },
}

/// How many entries are read at most. Longer chains of trusted proxies do not exist; longer headers do.
const MAX_ENTRIES: usize = 32;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_AZURE_SOCKET_IP: HeaderName = HeaderName::from_static("x-azure-socketip");
static X_AZURE_FDID: HeaderName = HeaderName::from_static("x-azure-fdid");

/// Where a request with these headers comes from that arrived from `peer`: the socket's, or the one that the connection's PROXY
/// protocol header names.
pub fn identify(peer: ClientIdentity, headers: &HeaderMap, policy: &ClientAddress) -> Provenance {
    let peer = ClientIdentity {
        addr: peer.addr.to_canonical(),
        ..peer
    };
    let is_trusted = is_trusted(peer.addr, headers, policy);
    let described = is_trusted.then(|| described(headers, policy)).flatten();
    Provenance {
        client: described.unwrap_or(peer),
        is_trusted,
    }
}

/// Whether what these headers say about the client's side was written by a trusted proxy.
fn is_trusted(peer: IpAddr, headers: &HeaderMap, policy: &ClientAddress) -> bool {
    let by_header = match &policy.header {
        ClientHeader::None => false,
        ClientHeader::XForwardedFor | ClientHeader::Forwarded => true,
        ClientHeader::AzureSocketIp { front_door_id } => {
            front_door_id.as_deref().is_none_or(|id| came_through(headers, id))
        }
    };
    by_header && policy.trusted.contains(peer)
}

/// The client as a trusted proxy describes it, if it does.
fn described(headers: &HeaderMap, policy: &ClientAddress) -> Option<ClientIdentity> {
    let trusted = &policy.trusted;
    let (addr, source) = match &policy.header {
        ClientHeader::None => return None,
        ClientHeader::XForwardedFor => {
            let entries = lines_from_the_right(headers, &X_FORWARDED_FOR).flat_map(entry::list_from_the_right);
            (walk(entries, entry::address, trusted)?, IdentitySource::XForwardedFor)
        }
        ClientHeader::Forwarded => {
            let entries = lines_from_the_right(headers, &FORWARDED).flat_map(entry::quoted_list_from_the_right);
            (walk(entries, entry::forwarded_for, trusted)?, IdentitySource::Forwarded)
        }
        ClientHeader::AzureSocketIp { .. } => {
            let value = only(headers, &X_AZURE_SOCKET_IP)?;
            (entry::address(value.as_bytes())?, IdentitySource::AzureSocketIp)
        }
    };
    Some(ClientIdentity { addr, source })
}

/// The first entry that is not trusted; the last one that could be read when all are trusted or one cannot be read.
fn walk<'a>(
    entries: impl Iterator<Item = &'a [u8]>,
    read: impl Fn(&[u8]) -> Option<IpAddr>,
    trusted: &Networks,
) -> Option<IpAddr> {
    let mut client = None;
    // A list may have empty elements (RFC 9110 section 5.6.1.2); they count towards the bound.
    for entry in entries.take(MAX_ENTRIES).filter(|entry| !entry.is_empty()) {
        let Some(addr) = read(entry) else { break };
        client = Some(addr);
        if !trusted.contains(addr) {
            break;
        }
    }
    client
}

/// All lines of a header are one list; the last line is its right end.
fn lines_from_the_right<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).into_iter().rev().map(HeaderValue::as_bytes)
}

/// The value of a header that must not come twice.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).into_iter();
    lines.next().filter(|_| lines.next().is_none())
}

fn came_through(headers: &HeaderMap, front_door_id: &str) -> bool {
    only(headers, &X_AZURE_FDID).is_some_and(|id| id.as_bytes().eq_ignore_ascii_case(front_door_id.as_bytes()))
}

#[cfg(test)]
mod tests;
