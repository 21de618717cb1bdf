//! Connections to the gateways of a service.

use super::compound::{At, OrOff};
use super::document::NodeId;
use super::error::Mistakes;
use super::quantities::{H, S, Time};
use super::section::section;
use super::settings::UpstreamTls;
use super::shape::shown;
use super::values::{FilePath, Whole, words};
use crate::tls::{PairFiles, is_server_name};
use portolan_core::config::{Protocol, Reuse, Scheme, Service, Upstream};
use std::path::Path;

section! {
    /// Connections to the gateways.
    UpstreamSection {
        /// The version of HTTP. h1: HTTP/1.1. h2: HTTP/2, over TLS by ALPN and without it by prior knowledge; a gateway that does
        /// not speak it is a failed connection. auto: what an https gateway chooses by ALPN; HTTP/1.1 for http gateways. gRPC
        /// needs HTTP/2. Default: h1.
        optional protocol: At<ProtocolWord>,
        /// Which requests are sent over connections that were used before (HAProxy: http-reuse). always: all, but those that
        /// cannot be repeated only while the gateway is known not to close the connection soon. safe: only those that can be
        /// repeated. never: none. Default: always.
        optional reuse: At<ReuseWord>,
        /// A connection is closed when it has been idle for this long. Gateways usually close it earlier. Default: 60s.
        optional idle_timeout: Time<{ S }, { 24 * H }>,
        /// A connection carries no new request after this time, less up to a fifth of it by chance; off: no limit. Default:
        /// 10m.
        optional max_connection_age: OrOff<Time<{ S }, { 24 * H }>>,
        /// A connection carries no more requests than this, less up to a fifth of them by chance; off: no limit. Default: off.
        optional max_requests_per_connection: OrOff<Whole<1, 4_000_000_000>>,
        /// v2: every connection begins with a header of version 2 of the PROXY protocol that names the client, and carries one
        /// request. Default: off.
        optional proxy_protocol: OrOff<ProxyVersion>,
        /// orca: responses say how busy the gateway is, in the fields endpoint-load-metrics or endpoint-load-metrics-bin, as Envoy
        /// reads them; clients do not get to see those. A region's max_requests is used in proportion to what it reports, where
        /// that is more than the requests in flight from this instance. Default: off.
        optional load_report: OrOff<At<LoadReportWord>>,
        /// TLS with https gateways. Their certificates are always verified.
        optional tls: TlsSection,
    }
}

section! {
    /// TLS with https gateways. Their certificates are always verified.
    TlsSection {
        /// A file of the certificate authorities that are trusted, in PEM, instead of the system's. Watched for changes.
        optional ca: FilePath,
        /// The name, or the address, that the gateways' certificates must be for and that is sent as SNI. Default: the host of each gateway.
        optional server_name: At<String>,
        /// A file with the certificate that gateways get that ask for one, and its intermediate certificates, in PEM. Watched
        /// for changes.
        optional client_certificate: At<FilePath>,
        /// A file with the private key of that certificate, in PEM. Watched for changes.
        optional client_private_key: At<FilePath>,
    }
}

words! {
    /// The version of HTTP.
    ProtocolWord {
        /// What a gateway chooses.
        Auto = "auto",
        /// HTTP/1.1.
        Http1 = "h1",
        /// HTTP/2.
        Http2 = "h2",
    }
}

words! {
    /// Which requests are sent over connections that were used before.
    ReuseWord {
        /// All.
        Always = "always",
        /// Those that can be repeated.
        Safe = "safe",
        /// None.
        Never = "never",
    }
}

words! {
    /// A version of the PROXY protocol.
    ProxyVersion {
        /// The binary one.
        V2 = "v2",
    }
}

words! {
    /// How gateways say how busy they are.
    LoadReportWord {
        /// The Open Request Cost Aggregation.
        Orca = "orca",
    }
}

impl UpstreamSection {
    /// Where it says that gateways report their load.
    pub(super) fn reads_load(&self) -> Option<NodeId> {
        match &self.load_report {
            Some(OrOff::On(word)) => Some(word.id),
            Some(OrOff::Off) | None => None,
        }
    }
}

pub(super) fn upstream(section: Option<&UpstreamSection>, mistakes: &mut Mistakes<'_>) -> Upstream {
    let default = Upstream::default();
    let Some(section) = section else { return default };
    let proxy_protocol = matches!(section.proxy_protocol, Some(OrOff::On(ProxyVersion::V2)));
    let reuse = section.reuse.filter(|word| word.value != ReuseWord::Never);
    if let Some(reuse) = reuse.filter(|_| proxy_protocol) {
        let message =
            "with proxy_protocol a connection is one client's and carries one request: only never is possible";
        mistakes.at(reuse.id, message);
    }
    let protocol = section.protocol.filter(|word| word.value != ProtocolWord::Http1);
    if let Some(protocol) = protocol.filter(|_| proxy_protocol) {
        let message = "with proxy_protocol a connection is one client's and carries one request: only h1 is possible";
        mistakes.at(protocol.id, message);
    }
    let usual = if proxy_protocol { Reuse::Never } else { default.reuse };
    Upstream {
        protocol: section.protocol.map_or(default.protocol, |word| match word.value {
            ProtocolWord::Auto => Protocol::Auto,
            ProtocolWord::Http1 => Protocol::Http1,
            ProtocolWord::Http2 => Protocol::Http2,
        }),
        proxy_protocol,
        load_report: section.reads_load().is_some(),
        reuse: section.reuse.map_or(usual, |word| match word.value {
            ReuseWord::Always => Reuse::Always,
            ReuseWord::Safe => Reuse::Safe,
            ReuseWord::Never => Reuse::Never,
        }),
        idle_timeout: section.idle_timeout.map_or(default.idle_timeout, |time| time.0),
        max_connection_age: match &section.max_connection_age {
            Some(OrOff::Off) => None,
            Some(OrOff::On(age)) => Some(age.0),
            None => default.max_connection_age,
        },
        max_requests_per_connection: match &section.max_requests_per_connection {
            Some(OrOff::On(count)) => Some(count.0 as u32),
            Some(OrOff::Off) => None,
            None => default.max_requests_per_connection,
        },
    }
}

/// TLS with the gateways of a service; `None` for one that has no https gateways.
pub(super) fn tls(
    section: Option<&UpstreamSection>,
    service: &Service,
    folder: &Path,
    mistakes: &mut Mistakes<'_>,
) -> Option<UpstreamTls> {
    let section = section.and_then(|section| section.tls.as_ref());
    let tls = section.map_or_else(UpstreamTls::default, |section| section.settings(folder, mistakes));
    let mut gateways = service.gateways().iter();
    let is_used = gateways.any(|gateway| gateway.address.scheme == Scheme::Https);
    if let Some(section) = section.filter(|_| !is_used) {
        mistakes.warn(section.at, "no gateway of this service is an https:// URL");
    }
    is_used.then_some(tls)
}

impl TlsSection {
    fn settings(&self, folder: &Path, mistakes: &mut Mistakes<'_>) -> UpstreamTls {
        if let Some(name) = self.server_name.as_ref().filter(|name| !is_server_name(name)) {
            mistakes.at(
                name.id,
                format!(
                    "wanted a name or an address, without a port, brackets or wildcards, got {}",
                    shown(name)
                ),
            );
        }
        let client = match (&self.client_certificate, &self.client_private_key) {
            (Some(certificate), Some(private_key)) => Some(PairFiles {
                certificate: certificate.within(folder),
                private_key: private_key.within(folder),
            }),
            (Some(alone), None) => {
                mistakes.at(alone.id, "client_private_key is missing, the key of this certificate");
                None
            }
            (None, Some(alone)) => {
                mistakes.at(alone.id, "client_certificate is missing, the certificate of this key");
                None
            }
            (None, None) => None,
        };
        UpstreamTls {
            ca: self.ca.as_ref().map(|path| path.within(folder)),
            server_name: self.server_name.as_ref().map(|name| name.as_str().into()),
            client,
            gate_ca: None,
        }
    }
}
