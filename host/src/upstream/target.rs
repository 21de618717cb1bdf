//! A gateway as requests use it, prepared when the routing table is built.

use super::head::{Ends, Head};
use super::request::Outbound;
use super::rewrite::OwnName;
use crate::dns::{Name, Resolver};
use crate::tls::Origin;
use crate::vitals::Vitals;
use http::uri::Authority;
use http::{HeaderValue, header};
use portolan_core::config::{Gateway, GatewayHost, Protocol, Scheme, Service, Upstream};
use portolan_core::endpoint::EndpointLimits;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A prepared gateway. It owns its connections: a table that keeps the same target keeps its connections.
#[derive(Debug)]
pub struct GatewayTarget {
    /// Its counters and its endpoints.
    pub vitals: Arc<Vitals>,
    /// Its own authority, for Host.
    pub(super) authority: HeaderValue,
    /// The same for `:authority`.
    pub(super) uri_authority: Option<Authority>,
    /// Whether the client's Host is sent instead.
    pub(super) preserve_host: bool,
    /// How connections to it are used.
    pub(super) upstream: Upstream,
    /// TLS with it, where it is spoken to over TLS.
    tls: Option<Arc<Origin>>,
    /// Its own authority, to be found in responses.
    own_name: OwnName,
    name: Option<Arc<Name>>,
}

impl GatewayTarget {
    /// Prepares a gateway of a service. Resolving its name starts. `tls` is given for gateways that are spoken to over TLS.
    pub fn new(
        gateway: &Gateway,
        service: &Service,
        tls: Option<Arc<Origin>>,
        vitals: Arc<Vitals>,
        resolver: &Resolver,
    ) -> Arc<Self> {
        let name = match &gateway.address.host {
            GatewayHost::Ip(_) => None,
            GatewayHost::Name(name) => Some(resolver.watch(name)),
        };
        debug_assert_eq!(
            tls.is_some(),
            gateway.address.scheme == Scheme::Https,
            "TLS where it is meant"
        );
        let target = Arc::new(Self {
            vitals,
            // A name that is not a valid header value does not resolve either.
            authority: HeaderValue::try_from(gateway.address.authority()).unwrap_or(HeaderValue::from_static("")),
            uri_authority: Authority::try_from(gateway.address.authority()).ok(),
            preserve_host: service.preserve_host,
            upstream: service.upstream,
            tls,
            own_name: OwnName::of(&gateway.address),
            name,
        });
        target.judge_by(service);
        match &gateway.address.host {
            GatewayHost::Ip(address) => target.has(&[*address]),
            GatewayHost::Name(_) => target.follow(),
        }
        target
    }

    /// It has the addresses of its name, now and whenever they change, as long as it is used.
    fn follow(self: &Arc<Self>) {
        if let Some(name) = &self.name {
            let follower = Arc::downgrade(self);
            name.observe(move |addresses| {
                let target = follower.upgrade();
                target.inspect(|target| target.has(addresses)).is_some()
            });
        }
    }

    /// It has these addresses.
    fn has(&self, addresses: &[IpAddr]) {
        let port = self.vitals.key.address.port;
        let addresses = addresses.iter().map(|address| SocketAddr::new(*address, port));
        self.vitals.endpoints.set(&addresses.collect::<Vec<_>>());
    }

    /// Whether it is what [`new`](Self::new) would make of this service, but for what its endpoints are judged by. With other
    /// trusted authorities or another client certificate it is another one: connections that were opened with the earlier
    /// ones get no new requests.
    pub fn fits(&self, service: &Service, tls: Option<&Origin>) -> bool {
        self.preserve_host == service.preserve_host && self.upstream == service.upstream && self.tls.as_deref() == tls
    }

    /// TLS with it, where it is spoken to over TLS.
    pub fn tls(&self) -> Option<&Arc<Origin>> {
        self.tls.as_ref()
    }

    /// How many time-outs for connecting a connection may take: for TCP, for TLS, for HTTP/2.
    pub(super) fn connect_steps(&self) -> u32 {
        1 + u32::from(self.tls.is_some()) + u32::from(self.upstream.protocol != Protocol::Http1)
    }

    /// Its endpoints are judged, and its requests limited, as this service says from now on.
    pub fn judge_by(&self, service: &Service) {
        self.vitals.endpoints.judge_by(EndpointLimits::of(service));
        let slot = service.slot_of(&self.vitals.key.region);
        let gateway = slot.and_then(|slot| service.gateway(slot));
        self.vitals
            .load
            .limit_to(gateway.and_then(|gateway| gateway.max_requests));
    }

    /// Rewrites the head of a response for the client.
    #[inline]
    pub(super) fn rewrite(&self, head: &mut Head, request: &Outbound<'_>) {
        if head.is_rewritable {
            self.rewrite_fields(head, request);
        }
    }

    #[cold]
    fn rewrite_fields(&self, head: &mut Head, request: &Outbound<'_>) {
        // Trailers are dropped for clients that do not accept them, and there are none without chunks.
        if !request.accepts_trailers() || head.ends != Ends::Chunked {
            head.headers.remove(header::TRAILER);
        }
        if request.rewrites_responses() {
            self.own_name.replace(&mut head.headers, request.requested());
        }
    }

    /// Its name, where it has one.
    pub fn name(&self) -> Option<&Arc<Name>> {
        self.name.as_ref()
    }

    /// Waits for the first answer to its name, good or bad.
    pub async fn settled(&self) {
        if let Some(name) = &self.name {
            name.settled().await;
        }
    }
}
