//! Listeners, and the client's address.

use super::compound::{At, NonEmpty, OrOff, is_name};
use super::document::Node;
use super::error::Mistakes;
use super::quantities::{H, MIB, S, Size, Time};
use super::section::section;
use super::settings::{Http2, Listener};
use super::shape::{Shape, all, shown, wanted};
use super::tls::{Redirect, TlsSection};
use super::values::{FilePath, Whole, scalar, word, words};
use crate::arrival::{ListenerId, RequestLimits};
use crate::tls::ListenerTls;
use http::HeaderName;
use ipnet::IpNet;
use portolan_core::identity::fields::{self, FieldKind};
use portolan_core::identity::{ClientAddress, ClientHeader};
use portolan_core::networks::Networks;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

section! {
    /// An address that accepts connections of clients: HTTP/1.1 and HTTP/2, with or without TLS.
    ListenerSection {
        /// The address and port, such as 0.0.0.0:8080. With port 0, the system chooses one.
        required address: At<Address>,
        /// A name for logs and metrics. Connections keep the policy of the listener of this name over reloads. Default: the
        /// address.
        optional name: At<String>,
        /// TLS, with certificates of files. Default: none.
        optional tls: TlsSection,
        /// `https`, or `https` and a port such as https:8443: every request is redirected there. Default: none is.
        optional redirect: At<Redirect>,
        /// The PROXY protocol, versions 1 and 2. Default: none.
        optional proxy_protocol: ProxyProtocolSection,
        /// The client's address. Default: the peer's.
        optional client_address: ClientAddressSection,
        /// Whether responses have X-Portolan-Region and X-Portolan-Reason. Default: false.
        optional debug_headers: bool,
        /// How many connections may be open at a time. Those beyond are answered with 503. Default: 32768.
        optional max_connections: Whole<1, 10_000_000>,
        /// How many of them each client may have open: an IPv4 address, or the /64 of an IPv6 address. Those beyond are answered with
        /// 503. Not for trusted_proxies, whose connections are of many clients; with the PROXY protocol for the client that it names.
        /// Default: no limit.
        optional max_connections_per_client: Whole<1, 10_000_000>,
        /// How long an idle connection of a client is kept for its next request. A load balancer in front should give up its
        /// connections earlier, or it sends requests on some that are just being closed. Default: 620s, 20 s more than those that
        /// wait longest.
        optional keep_alive_timeout: Time<{ S }, { 24 * H }>,
        /// The longest head of a request, which is its first line and its header fields. A longer one is answered with 431. HTTP/2
        /// counts 32 bytes more for each field. Default: 64KiB.
        optional max_request_header_size: Size<8192, { MIB }>,
        /// How many header fields a request may have. More are answered with 431. Default: 256.
        optional max_request_header_count: Whole<10, 1000>,
        /// The longest path and query of a request, in bytes. A longer one is answered with 414. Default: 16KiB.
        optional max_request_target_size: At<Size<256, { 60 * 1024 }>>,
        /// How much of a request's body a client has to send within the service's timeouts.idle. With less, it times out and is
        /// answered with 408. Calls of gRPC may send as little as they like. Default: 1KiB.
        optional min_request_body_progress: Size<1, { 64 * 1024 }>,
        /// How many requests a connection may have, less up to a fifth by chance: the last response asks the client to close
        /// (Connection: close; GOAWAY in HTTP/2). `off`: any number. Some clients lose requests that they send meanwhile. Default: off.
        optional max_requests_per_connection: OrOff<Whole<1, 4_000_000_000>>,
        /// HTTP/2: `auto`, with clients that offer it by ALPN, over TLS; `prior-knowledge`, without TLS, with clients that begin
        /// with its preface; or `off`. Default: auto.
        optional http2: At<Http2Shape>,
        /// How many streams a connection of HTTP/2 may have open. Default: 128.
        optional http2_max_streams: Whole<1, 10_000>,
        /// How many bytes of a request's body may come over HTTP/2 before they are read. Large uploads over long distances are
        /// faster with more; a connection may take as much memory as all its streams together. Default: 256KiB.
        optional http2_stream_window: Size<65_536, { 16 * 1024 * 1024 }>,
    }
}

section! {
    /// The PROXY protocol: a header that proxies before this one begin every connection with. It replaces the peer.
    ProxyProtocolSection {
        /// The addresses and networks of the proxies that send a header. Their connections must begin with one; those of others
        /// must not.
        required trusted: At<NonEmpty<Network>>,
    }
}

section! {
    /// The client's address behind proxies.
    ClientAddressSection {
        /// The addresses and networks of the proxies whose headers are trusted.
        optional trusted_proxies: Option<At<NonEmpty<Network>>>,
        /// The header that these proxies write the client's address to.
        required header: ClientHeaderShape,
        /// With x-azure-socketip: the X-Azure-FDID of your Front Door. Without it, any tenant's Front Door is trusted.
        optional front_door_id: At<String>,
        /// With x-azure-socketip: Microsoft's file of service tags (ServiceTags_Public_….json). The addresses of its
        /// AzureFrontDoor.Backend are trusted; trusted_proxies may be left out then. Watched for changes.
        optional service_tags: At<FilePath>,
        /// Further fields about the client that these proxies write and gateways may see, such as X-Real-IP. Without this,
        /// they are dropped. They pass from these proxies only; X-Forwarded-* and the field in header need not be listed.
        optional pass_headers: Vec<FieldName>,
    }
}

words! {
    /// The header that carries the client's address.
    Header {
        /// `X-Forwarded-For`.
        XForwardedFor = "x-forwarded-for",
        /// `Forwarded` (RFC 7239).
        Forwarded = "forwarded",
        /// `X-Azure-SocketIP`.
        XAzureSocketIp = "x-azure-socketip",
    }
}

/// The default limit of open connections of a listener.
const DEFAULT_MAX_CONNECTIONS: u32 = 32 * 1024;

/// The default time for which idle connections of clients are kept. Google's load balancers keep theirs for 600 s, Azure's for
/// 240 s and Front Door for 90 s, AWS's for 60 s.
const DEFAULT_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(620);

/// The default limit of open streams. nginx has 128, most others 100.
const DEFAULT_MAX_STREAMS: u32 = 128;

/// The default window of a stream.
const DEFAULT_STREAM_WINDOW: u32 = 256 * 1024;

/// The listeners; no two of one address or name, and none of an address of the administration.
pub(super) fn settings(
    sections: &[ListenerSection],
    admin: impl IntoIterator<Item = At<Address>>,
    folder: &Path,
    mistakes: &mut Mistakes<'_>,
) -> Option<Vec<Listener>> {
    let mut taken = HashMap::new();
    let addresses = sections.iter().filter_map(|section| section.address);
    let addresses = addresses.chain(admin);
    for address in addresses.filter(|address| address.0.port() != 0) {
        if let Some(first) = taken.insert(address.0, address.id) {
            mistakes.at(
                address.id,
                format!("{} is already used on {}", address.0, mistakes.line(first)),
            );
        }
    }
    let mut ids = HashMap::new();
    for section in sections {
        let (id, at) = match (&section.name, &section.address) {
            (Some(name), _) => (name.value.clone(), name.id),
            (None, Some(address)) if address.0.port() == 0 => (address.0.to_string(), address.id),
            _ => continue,
        };
        if let Some(first) = ids.insert(id.clone(), at) {
            let line = mistakes.line(first);
            let message = match section.name {
                Some(_) => format!("the listener on {line} has this name"),
                None => {
                    format!("the listener on {line} has port 0 of this address as well: give one of them a name")
                }
            };
            mistakes.at(at, message);
        }
    }
    all(sections.iter().map(|section| section.settings(folder, mistakes)))
}

/// The name in `Via`.
pub(super) fn pseudonym(name: Option<&At<String>>, mistakes: &mut Mistakes<'_>) -> Option<Option<Arc<str>>> {
    let Some(name) = name else { return Some(None) };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if name.len() > 63 || !name.bytes().all(fits) {
        mistakes.at(name.id, "a name in Via has 1 to 63 letters, digits, -, . and _");
        return None;
    }
    Some(Some(name.as_str().into()))
}

impl ListenerSection {
    fn settings(&self, folder: &Path, mistakes: &mut Mistakes<'_>) -> Option<Listener> {
        let http2 = self.http2.as_ref().map_or(Http2::Auto, |word| word.0);
        let tls = match &self.tls {
            Some(section) => section.settings(folder, mistakes).map(|tls| {
                Some(ListenerTls {
                    offers_http2: http2 == Http2::Auto,
                    ..tls
                })
            }),
            None => Some(None),
        };
        if let Some(word) = self
            .http2
            .as_ref()
            .filter(|it| it.0 == Http2::PriorKnowledge && self.tls.is_some())
        {
            mistakes.at(
                word.id,
                "this listener has TLS, which agrees on HTTP/2 with each client: write auto",
            );
        }
        if let Some(redirect) = self.redirect.as_ref().filter(|_| self.tls.is_some()) {
            mistakes.at(
                redirect.id,
                "this listener has TLS: only one without can redirect to it",
            );
        }
        let client_address = match &self.client_address {
            Some(section) => section.settings(mistakes),
            None => Some(ClientAddress::default()),
        };
        if let Some(name) = self.name.as_ref().filter(|name| !is_name(name)) {
            mistakes.at(
                name.id,
                "a name has 1 to 63 letters, digits, - and _ and begins with a letter or digit",
            );
        }
        let proxies = match &self.proxy_protocol {
            Some(section) => section.settings(mistakes),
            None => Some(Networks::default()),
        };
        let requests = self.requests(mistakes);
        let address = self.address.as_ref()?.0;
        Some(Listener {
            requests,
            id: match &self.name {
                Some(name) => ListenerId::new(name.as_str()),
                None => ListenerId::new(address.to_string()),
            },
            address,
            proxies: proxies?,
            tls: tls?,
            redirect: self.redirect.as_ref().map(|redirect| redirect.0),
            client_address: client_address?,
            service_tags: self
                .client_address
                .as_ref()
                .and_then(|section| Some(section.service_tags.as_ref()?.within(folder))),
            debug_headers: self.debug_headers.unwrap_or(false),
            max_connections: self
                .max_connections
                .map_or(DEFAULT_MAX_CONNECTIONS, |count| count.0 as u32),
            max_connections_per_client: self.max_connections_per_client.map(|count| count.0 as u32),
            keep_alive_timeout: self
                .keep_alive_timeout
                .map_or(DEFAULT_KEEP_ALIVE_TIMEOUT, |time| time.0),
            http2,
            http2_max_streams: self
                .http2_max_streams
                .map_or(DEFAULT_MAX_STREAMS, |count| count.0 as u32),
            http2_stream_window: self
                .http2_stream_window
                .map_or(DEFAULT_STREAM_WINDOW, |bytes| bytes.0 as u32),
        })
    }
}

impl ListenerSection {
    fn requests(&self, mistakes: &mut Mistakes<'_>) -> RequestLimits {
        let default = RequestLimits::default();
        let header_bytes = self
            .max_request_header_size
            .map_or(default.header_bytes, |size| size.0 as u32);
        if let Some(target) = self
            .max_request_target_size
            .as_ref()
            .filter(|it| it.value.0 > u64::from(header_bytes))
        {
            mistakes.at(
                target.id,
                "a request with so long a target is longer than max_request_header_size",
            );
        }
        RequestLimits {
            header_bytes,
            header_count: self
                .max_request_header_count
                .map_or(default.header_count, |count| count.0 as u32),
            target_bytes: self
                .max_request_target_size
                .as_ref()
                .map_or(default.target_bytes, |size| size.value.0 as u32),
            body_progress: self
                .min_request_body_progress
                .map_or(default.body_progress, |size| size.0 as u32),
            per_connection: match &self.max_requests_per_connection {
                Some(OrOff::On(count)) => Some(count.0 as u32),
                Some(OrOff::Off) | None => None,
            },
        }
    }
}

impl ProxyProtocolSection {
    fn settings(&self, mistakes: &mut Mistakes<'_>) -> Option<Networks> {
        trusted(self.trusted.as_ref(), mistakes)
    }
}

/// The networks of proxies that are trusted.
fn trusted(proxies: Option<&At<NonEmpty<Network>>>, mistakes: &mut Mistakes<'_>) -> Option<Networks> {
    let proxies = proxies?;
    if proxies.iter().any(|network| network.0.prefix_len() == 0) {
        mistakes.warn(proxies.id, "everybody is trusted: every client can claim any address");
    }
    Some(proxies.iter().map(|network| network.0).collect())
}

impl ClientAddressSection {
    fn settings(&self, mistakes: &mut Mistakes<'_>) -> Option<ClientAddress> {
        let trusted = match (&self.trusted_proxies, &self.service_tags) {
            (None, None) => {
                mistakes.at(self.at, "trusted_proxies is missing");
                None
            }
            (None, Some(_)) => Some(Networks::default()),
            (Some(proxies), _) => trusted(proxies.as_ref(), mistakes),
        };
        let header = self.header.as_ref()?;
        let front_door = self.front_door_id.as_ref();
        let azure_only = [front_door.map(|it| it.id), self.service_tags.as_ref().map(|it| it.id)];
        for id in azure_only
            .into_iter()
            .flatten()
            .filter(|_| header.0 != Header::XAzureSocketIp)
        {
            mistakes.at(id, "only header: x-azure-socketip has a use for this");
        }
        let header = match header.0 {
            Header::XForwardedFor => ClientHeader::XForwardedFor,
            Header::Forwarded => ClientHeader::Forwarded,
            Header::XAzureSocketIp => {
                if let Some(tags) = self.service_tags.as_ref().filter(|_| front_door.is_none()) {
                    let message = "front_door_id is missing: the addresses are those of every tenant's Front Door";
                    mistakes.at(tags.id, message);
                } else if front_door.is_none() {
                    mistakes.warn(self.at, "without front_door_id, any tenant's Front Door is trusted");
                }
                ClientHeader::AzureSocketIp {
                    front_door_id: front_door.map(|id| id.as_str().into()),
                }
            }
        };
        let passed = self.pass_headers.iter().flatten();
        Some(ClientAddress {
            trusted: trusted?,
            header,
            pass_headers: passed.map(|name| name.0.as_str().into()).collect(),
        })
    }
}

/// The header that carries the client's address; other headers are not supported.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientHeaderShape(Header);

impl Shape for ClientHeaderShape {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        if scalar(node) == Some("proxy-protocol") {
            let message = "the PROXY protocol has no header field: list the proxies in the listener's proxy_protocol";
            mistakes.at(node.id(), message);
            return None;
        }
        Header::read(node, mistakes).map(Self)
    }

    fn schema() -> Value {
        Header::schema()
    }
}

/// `auto`, `prior-knowledge` or `off`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Http2Shape(Http2);

impl Shape for Http2Shape {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let words = [
            ("auto", Http2::Auto),
            ("prior-knowledge", Http2::PriorKnowledge),
            ("off", Http2::Off),
            ("false", Http2::Off),
        ];
        word(node, &words, "one of auto, prior-knowledge, off", mistakes).map(Self)
    }

    fn schema() -> Value {
        json!({ "enum": ["auto", "prior-knowledge", "off", false] })
    }
}

/// An address with a port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address(pub(super) SocketAddr);

impl Shape for Address {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match scalar(node).and_then(|text| text.parse().ok()) {
            Some(address) => Some(Self(address)),
            None => wanted(
                node,
                "an address with a port, such as 0.0.0.0:8080 or \"[::]:8080\"",
                mistakes,
            ),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$" })
    }
}

/// The port of a name server that is written without one.
const DNS: u16 = 53;

/// A name server: an address, with a port where it is not 53.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameServer(pub(super) SocketAddr);

impl Shape for NameServer {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let server = scalar(node).and_then(|text| {
            let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS));
            address.or_else(|_| text.parse()).ok()
        });
        match server.filter(|server| server.port() != 0 && !server.ip().is_unspecified()) {
            Some(server) => Some(Self(server)),
            None => wanted(
                node,
                "the address of a name server, such as 10.0.0.10, 10.0.0.10:5353 or \"[fd00::53]:53\"",
                mistakes,
            ),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": r"^([0-9.]+(:[0-9]{1,5})?|[0-9A-Fa-f:.]+|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5})$" })
    }
}

/// A network such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network(pub(super) IpNet);

impl Shape for Network {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let text = scalar(node).unwrap_or_default();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self(address.into()));
        }
        match text.parse::<IpNet>() {
            Ok(network) if network.addr() == network.network() => Some(Self(network)),
            Ok(network) => {
                let whole = network.trunc();
                mistakes.at(
                    node.id(),
                    format!("{} is one address of a network — did you mean {whole}?", shown(text)),
                );
                None
            }
            Err(_) => wanted(node, "a network such as 10.0.0.0/8, or an address", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$" })
    }
}

/// The name of a field that is dropped unless it is listed, in lower case.
#[derive(Clone, Debug)]
pub(super) struct FieldName(String);

impl Shape for FieldName {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let text = scalar(node).unwrap_or_default();
        let Ok(name) = HeaderName::try_from(text) else {
            return wanted(node, "the name of a field, such as X-Real-IP", mistakes);
        };
        match fields::kind(name.as_str()).0 {
            FieldKind::Framing => {
                let message = format!("{text} is never passed on: gateways might take it for the length of the body");
                mistakes.at(node.id(), message);
            }
            FieldKind::Other => {
                mistakes.warn(
                    node.id(),
                    format!("{text} is not about the client and is passed on anyway"),
                );
            }
            FieldKind::XForwarded
            | FieldKind::Forwarded
            | FieldKind::Azure
            | FieldKind::Portolan
            | FieldKind::Identity => {}
        }
        Some(Self(name.as_str().to_owned()))
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" })
    }
}
