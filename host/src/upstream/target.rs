//! A gateway as requests use it, prepared when the routing table is built.

use crate::dns::{Name, Resolver};
use crate::vitals::Vitals;
use http::HeaderValue;
use portolan_core::config::{Gateway, GatewayHost};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A prepared gateway. It owns its connections: a table that keeps the same target keeps its connections.
#[derive(Debug)]
pub struct GatewayTarget {
    /// Its counters.
    pub vitals: Arc<Vitals>,
    /// Its own authority, for Host.
    pub(super) authority: HeaderValue,
    /// Whether the client's Host is sent instead.
    pub(super) preserve_host: bool,
    host: Host,
    port: u16,
}

#[derive(Debug)]
enum Host {
    Address(IpAddr),
    Name(Arc<Name>),
}

impl GatewayTarget {
    /// Prepares a gateway. Resolving its name starts.
    pub fn new(gateway: &Gateway, preserve_host: bool, vitals: Arc<Vitals>, resolver: &Resolver) -> Self {
        Self {
            vitals,
            // A name that is not a valid header value does not resolve either.
            authority: HeaderValue::try_from(gateway.address.authority()).unwrap_or(HeaderValue::from_static("")),
            preserve_host,
            host: match &gateway.address.host {
                GatewayHost::Ip(address) => Host::Address(*address),
                GatewayHost::Name(name) => Host::Name(resolver.watch(name)),
            },
            port: gateway.address.port,
        }
    }

    /// Whether the client's Host is sent instead of its own.
    pub fn preserves_host(&self) -> bool {
        self.preserve_host
    }

    /// Its name, where it has one.
    pub fn name(&self) -> Option<&Arc<Name>> {
        match &self.host {
            Host::Address(_) => None,
            Host::Name(name) => Some(name),
        }
    }

    /// Waits for the first answer to its name, good or bad.
    pub async fn settled(&self) {
        if let Host::Name(name) = &self.host {
            name.settled().await;
        }
    }

    /// Its current addresses, best first. Empty while its name has not been resolved.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        match &self.host {
            Host::Address(address) => vec![SocketAddr::new(*address, self.port)],
            Host::Name(name) => name
                .current()
                .iter()
                .map(|address| SocketAddr::new(*address, self.port))
                .collect(),
        }
    }
}
