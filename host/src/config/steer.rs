//! Whether clients are sent to the regions' own endpoints.

use super::compound::{At, NonEmpty};
use super::document::{Content, Node, NodeId};
use super::error::Mistakes;
use super::quantities::{H, S, Time, written_time};
use super::regions::RegionSection;
use super::schema::Section;
use super::section::section;
use super::shape::{Fields, Shape, wanted};
use super::values::{word, words};
use portolan_core::config::{AlpnId, AltSvc, GatewayAddress, GatewayHost, Scheme, Steer};
use portolan_core::id::ServiceId;
use portolan_core::route::{HostPattern, RouteEntry, Routes};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// `proxy`, `redirect`, `alt-svc`, or `{ alt-svc: { … } }`.
#[derive(Debug)]
pub(super) struct SteerShape(pub(super) Steer);

section! {
    /// How regions' own endpoints are advertised (RFC 7838).
    AltSvcSection {
        /// For how long clients may use one without asking here again; whole seconds. Default: 10s.
        optional max_age: At<Time<{ S }, { 24 * H }>>,
        /// What it speaks: h3, h2, http/1.1. Default: [h2].
        optional protocols: NonEmpty<Protocol>,
    }
}

words! {
    /// A protocol of an alternative service.
    Protocol {
        /// HTTP/3.
        H3 = "h3",
        /// HTTP/2.
        H2 = "h2",
        /// HTTP/1.1.
        Http11 = "http/1.1",
    }
}

const KEY: &str = "alt-svc";

impl Shape for SteerShape {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        if let Content::Map(entries) = node.content() {
            if entries.is_empty() {
                return wanted(node, "{ alt-svc: { … } }", mistakes);
            }
            let mut fields = Fields::of(node, &[KEY], mistakes)?;
            let section: AltSvcSection = fields.optional(KEY, mistakes)?;
            return Some(Self(Steer::AltSvc(section.settings(mistakes))));
        }
        let words = [("proxy", 0), ("redirect", 1), (KEY, 2)];
        let steer = match word(node, &words, "proxy, redirect, alt-svc or { alt-svc: { … } }", mistakes)? {
            0 => Steer::Proxy,
            1 => Steer::Redirect,
            _ => Steer::AltSvc(AltSvc::default()),
        };
        Some(Self(steer))
    }

    fn schema() -> Value {
        let section =
            Section::new("As an alternative service.").required::<AltSvcSection>(KEY, "How it is advertised.");
        json!({ "anyOf": [{ "enum": ["proxy", "redirect", KEY] }, section.done()] })
    }
}

impl AltSvcSection {
    fn settings(&self, mistakes: &mut Mistakes<'_>) -> AltSvc {
        let default = AltSvc::default();
        if let Some(age) = self.max_age.filter(|age| age.0.subsec_nanos() != 0) {
            mistakes.at(
                age.id,
                format!("whole seconds are possible, got {}", written_time(age.0)),
            );
        }
        let protocol = |protocol: &Protocol| match protocol {
            Protocol::H3 => AlpnId::H3,
            Protocol::H2 => AlpnId::H2,
            Protocol::Http11 => AlpnId::Http11,
        };
        AltSvc {
            max_age: self
                .max_age
                .map_or(default.max_age, |age| Duration::from_secs(age.0.as_secs())),
            protocols: self
                .protocols
                .as_ref()
                .map_or(default.protocols, |protocols| protocols.iter().map(protocol).collect()),
        }
    }
}

/// Every region that clients are sent to needs a public endpoint that they can be sent to.
pub(super) fn check_regions(
    steer: &At<SteerShape>,
    is_checked: bool,
    regions: &[RegionSection],
    mistakes: &mut Mistakes<'_>,
) {
    for region in regions {
        match (&steer.0, &region.public) {
            (Steer::Redirect, None) => mistakes.at(
                region.at,
                "public is missing: with steer: redirect, clients are sent there, such as public: \"https://weu.example.net\"",
            ),
            (Steer::AltSvc(_), None) => mistakes.warn(
                region.at,
                "public is missing: with steer: alt-svc, its answers tell clients to come back to this proxy",
            ),
            (Steer::AltSvc(_), Some(public)) if public.0.scheme == Scheme::Http => {
                mistakes.at(public.id, "an alternative service is reached over TLS: wanted https://");
            }
            _ => {}
        }
    }
    if steer.0 != Steer::Proxy && !is_checked {
        mistakes.warn(
            steer.id,
            "with health_check: off, nothing is known of a region that clients reach directly: they are sent there when it is down",
        );
    }
}

/// What routes and listeners say of a service's public endpoints: clients that are sent there must not come back here.
pub(super) fn check_routes(
    (id, steer): (ServiceId, &At<SteerShape>),
    regions: &[RegionSection],
    (routes, listeners): (&Routes, &[SocketAddr]),
    mistakes: &mut Mistakes<'_>,
) {
    if steer.0 == Steer::Proxy {
        return;
    }
    for public in regions.iter().filter_map(|region| region.public.as_ref()) {
        check_loop(&public.0, public.id, routes, listeners, mistakes);
    }
    if let (Steer::AltSvc(_), Some(host)) = (&steer.0, shared_host(id, routes)) {
        let message = format!(
            "an alternative service is for all paths of a host, and {host} has routes to other services: the regions' public \
             endpoints must serve those too"
        );
        mistakes.warn(steer.id, message);
    }
    let mut own = routes.entries().filter(|(_, entry)| entry.service() == id);
    if steer.0 == Steer::Redirect && own.any(|(_, entry)| entry.prefix_rewrite().is_some()) {
        let message = "a route to this service has prefix_rewrite: redirected clients ask for the path as it was";
        mistakes.warn(steer.id, message);
    }
}

/// A public endpoint that leads here again.
fn check_loop(
    public: &GatewayAddress,
    at: NodeId,
    routes: &Routes,
    listeners: &[SocketAddr],
    mistakes: &mut Mistakes<'_>,
) {
    let host = match &public.host {
        GatewayHost::Ip(ip) => {
            let ours = listeners.iter().any(|it| it.ip() == *ip && it.port() == public.port);
            if ours {
                mistakes.at(
                    at,
                    "this is a listener of this proxy: clients would be sent to it again",
                );
            }
            return;
        }
        GatewayHost::Name(name) => name.strip_suffix('.').unwrap_or(name),
    };
    for pattern in routes.host_patterns() {
        match pattern {
            HostPattern::Exact(name) if *name == *host => {
                mistakes.at(
                    at,
                    format!("a route is for {host}: clients would be sent to this proxy again"),
                );
            }
            HostPattern::Below(suffix) if host.strip_suffix(&*suffix).is_some_and(|rest| rest.ends_with('.')) => {
                mistakes.warn(
                    at,
                    format!(
                        "a route is for *.{suffix}: if {host} leads to this proxy, its requests are served through it"
                    ),
                );
            }
            _ => {}
        }
    }
}

/// A host of a service that has routes to others too.
fn shared_host(id: ServiceId, routes: &Routes) -> Option<HostPattern> {
    let leads = |(_, entry): &(HostPattern, &RouteEntry)| entry.service() == id;
    let hosts: Vec<_> = routes.entries().filter(leads).map(|(host, _)| host).collect();
    let mut others = routes.entries().filter(|route| !leads(route)).map(|(host, _)| host);
    others.find(|host| hosts.contains(host))
}
