//! Where the administration listens, and who may use it.

use super::compound::{At, NonEmpty, OneOrMore};
use super::document::Node;
use super::error::Mistakes;
use super::listeners::Address;
use super::section::section;
use super::settings::{Admin, AdminAddress, Peer};
use super::shape::{Shape, all, shown, wanted};
use super::tls::ClientCertificate;
use super::values::{FilePath, scalar};
use crate::tls::{ClientCertificates, ListenerTls, MinVersion, PairFiles};
use http::Uri;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// What the address of a Unix socket begins with.
const UNIX: &str = "unix:";

/// The longest path of a Unix socket, in bytes: `sun_path` of unix(7) with its final zero has 108.
const MAX_PATH: usize = 107;

/// The default address.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

/// The default permissions of a Unix socket's file: this user alone.
const OWNER_ONLY: u32 = 0o600;

section! {
    /// Where administration, metrics and the dashboard listen.
    AdminSection {
        /// The address and port, or unix: and the path of a Unix socket, which its permissions protect. Without token_file or
        /// required client certificates, every client that reaches an address may drain regions: loopback only. With port 0, the
        /// system chooses one.
        required address: At<AdminAddressShape>,
        /// With a Unix socket: the permissions of its file in octal, such as "0660". Default: "0600".
        optional socket_mode: At<Mode>,
        /// TLS 1.2 and 1.3, with certificates of files. Default: none.
        optional tls: AdminTlsSection,
        /// A file with a token of 16 characters or more, which clients send as Authorization: Bearer. It allows everything. Read for
        /// each request, so that it can be replaced. Required for an address beyond loopback, unless client certificates are.
        optional token_file: At<FilePath>,
        /// A file with a token that allows reading only, such as for scrapers of /metrics. Default: none.
        optional read_token_file: At<FilePath>,
        /// A second address that answers /livez, /readyz and /metrics only, for orchestrators and scrapers. Default: none.
        optional probes: At<Address>,
        /// Host names by which both may be asked, besides addresses and localhost. Default: none for probes and on loopback;
        /// any for reading an administration that others can reach.
        optional hosts: OneOrMore<At<String>>,
        /// Other instances, which the dashboard and `portolan regions` show beside this one, asked every 5 seconds. Default: none.
        optional peers: NonEmpty<PeerSection>,
    }
}

section! {
    /// Another instance.
    PeerSection {
        /// The URL of its administration, such as http://10.1.2.3:9900 or https://edge-weu.example.net:9900.
        required url: At<String>,
        /// What it is called here. Default: the host and port of url.
        optional name: String,
        /// A file with its token (its admin.read_token_file is enough), read for each question. Default: none is sent.
        optional token_file: FilePath,
        /// With https: certificate authorities in PEM that must have issued its certificate. Default: those of the system.
        optional ca: FilePath,
    }
}

section! {
    /// TLS of the administration. The files are watched for changes.
    AdminTlsSection {
        /// A certificate chain in PEM: the server's certificate, then the one that signed it, and so on.
        required certificate: FilePath,
        /// Its private key in PEM, without password: RSA with 2048 to 8192 bits, ECDSA P-256, P-384 or P-521, or Ed25519.
        required private_key: FilePath,
        /// Certificate authorities in PEM. Whoever has a certificate that one of them has issued may do everything.
        optional client_ca: FilePath,
        /// With client_ca: whether clients without a certificate are rejected. optional needs a token_file, for them. Default:
        /// required.
        optional client_certificate: At<ClientCertificate>,
    }
}

/// The administration of a configuration that does not mention it.
pub(super) fn default() -> Admin {
    Admin {
        address: AdminAddress::Tcp(DEFAULT_ADDRESS),
        socket_mode: OWNER_ONLY,
        tls: None,
        probes: None,
        hosts: Vec::new(),
        token_file: None,
        read_token_file: None,
    }
}

impl AdminSection {
    /// Its TCP addresses, to be compared with others.
    pub(super) fn addresses(&self) -> impl Iterator<Item = At<Address>> {
        let whole = self.address.as_ref().and_then(|address| match address.value {
            AdminAddressShape::Tcp(value) => Some(At {
                value: Address(value),
                id: address.id,
            }),
            AdminAddressShape::Unix(_) => None,
        });
        whole.into_iter().chain(self.probes)
    }

    /// The settings, when they could be read.
    pub(super) fn settings(&self, folder: &Path, mistakes: &mut Mistakes<'_>) -> Option<Admin> {
        let tls = match &self.tls {
            Some(section) => section.settings(self.token_file.is_some(), folder, mistakes).map(Some),
            None => Some(None),
        };
        let requires_certificates = tls.iter().flatten().any(requires_certificates);
        match self.address.as_ref().map(|address| (address.id, &address.value)) {
            Some((id, AdminAddressShape::Tcp(address))) => {
                // TLS that could not be read has been reported.
                if !address.ip().is_loopback() && self.token_file.is_none() && !requires_certificates && tls.is_some() {
                    let message = "whoever reaches this address may drain regions: give it a token_file or tls with client_ca, or \
                                   stay on loopback or a Unix socket and let probes and scrapers use admin.probes";
                    mistakes.at(id, message);
                }
                if let Some(mode) = &self.socket_mode {
                    mistakes.at(
                        mode.id,
                        "only the file of a Unix socket has permissions: address: unix:/PATH",
                    );
                }
            }
            Some((id, AdminAddressShape::Unix(path))) => {
                let path = path.within(folder);
                if path.as_os_str().len() > MAX_PATH {
                    let message = format!(
                        "the path of a Unix socket has at most {MAX_PATH} bytes: {}",
                        path.display()
                    );
                    mistakes.at(id, message);
                }
                if let Some(tls) = &self.tls {
                    let message = "a Unix socket has no TLS: its connections do not leave this machine";
                    mistakes.at_key(tls.at, message);
                }
                if let Some(mode) = self.socket_mode.as_ref().filter(|mode| mode.0 & 0o007 != 0)
                    && self.token_file.is_none()
                {
                    let message = "everybody on this machine may drain regions: end it with 0, or give a token_file";
                    mistakes.at(mode.id, message);
                }
            }
            None => {}
        }
        if let (Some(read), None) = (&self.read_token_file, &self.token_file) {
            mistakes.at(
                read.id,
                "it separates reading from orders only beside a token_file: give both",
            );
        }
        if let Some(token) = self.token_file.as_ref().filter(|_| requires_certificates) {
            let message = "never asked for: every client has a certificate, which allows everything; with client_certificate: \
                           optional, clients without one need the token";
            mistakes.warn(token.id, message);
        }
        let hosts = self.hosts(mistakes);
        Some(Admin {
            address: match &self.address.as_ref()?.value {
                AdminAddressShape::Tcp(address) => AdminAddress::Tcp(*address),
                AdminAddressShape::Unix(path) => AdminAddress::Unix(path.within(folder)),
            },
            socket_mode: self.socket_mode.as_ref().map_or(OWNER_ONLY, |mode| mode.0),
            tls: tls?,
            probes: self.probes.as_ref().map(|address| address.0),
            hosts: hosts?,
            token_file: self.token_file.as_ref().map(|file| file.within(folder)),
            read_token_file: self.read_token_file.as_ref().map(|file| file.within(folder)),
        })
    }

    /// The other instances.
    pub(super) fn peers(&self, folder: &Path, mistakes: &mut Mistakes<'_>) -> Option<Vec<Peer>> {
        let peers = self.peers.iter().flat_map(|peers| peers.iter());
        all(peers.map(|peer| {
            let text = peer.url.as_ref()?;
            let url = text.value.trim_end_matches('/').parse::<Uri>().ok();
            let url = url.filter(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.path() == "/");
            let Some((url, authority)) = url.and_then(|url| Some((url.clone(), url.authority()?.clone()))) else {
                let message = format!(
                    "wanted the URL of an administration, such as http://10.1.2.3:9900, got {}",
                    shown(&text.value)
                );
                mistakes.at(text.id, message);
                return None;
            };
            Some(Peer {
                name: peer.name.as_deref().unwrap_or(authority.as_str()).into(),
                url,
                token_file: peer.token_file.as_ref().map(|file| file.within(folder)),
                ca: peer.ca.as_ref().map(|file| file.within(folder)),
            })
        }))
    }

    fn hosts(&self, mistakes: &mut Mistakes<'_>) -> Option<Vec<Arc<str>>> {
        let hosts = self.hosts.iter().flat_map(|hosts| &hosts.0);
        all(hosts.map(|host| {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if !host.bytes().all(is_name) {
                let message = format!(
                    "{} is not a host name — without scheme, port and wildcards",
                    shown(host)
                );
                mistakes.at(host.id, message);
                return None;
            }
            Some(host.as_str().into())
        }))
    }
}

fn requires_certificates(tls: &ListenerTls) -> bool {
    tls.clients.as_ref().is_some_and(|clients| clients.required)
}

impl AdminTlsSection {
    fn settings(&self, has_token: bool, folder: &Path, mistakes: &mut Mistakes<'_>) -> Option<ListenerTls> {
        let asked = self.client_certificate.as_ref();
        let required = asked.map(|word| word.value) != Some(ClientCertificate::Optional);
        match (&self.client_ca, asked) {
            (None, Some(word)) => {
                mistakes.at(word.id, "only with client_ca are clients asked for a certificate");
            }
            (Some(_), Some(word)) if !required && !has_token => {
                let message = "without a token_file, clients without a certificate may do everything: give one, or make it required";
                mistakes.at(word.id, message);
            }
            _ => {}
        }
        Some(ListenerTls {
            certificates: vec![PairFiles {
                certificate: self.certificate.as_ref()?.within(folder),
                private_key: self.private_key.as_ref()?.within(folder),
            }],
            clients: self.client_ca.as_ref().map(|ca| ClientCertificates {
                ca: ca.within(folder),
                required,
                forward: false,
            }),
            min_version: MinVersion::Tls12,
            ticket_keys: None,
            offers_http2: false,
            hsts: None,
        })
    }
}

/// An address with a port, or `unix:` and the path of a Unix socket.
#[derive(Clone, Debug)]
pub(super) enum AdminAddressShape {
    Tcp(SocketAddr),
    Unix(FilePath),
}

impl Shape for AdminAddressShape {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let text = scalar(node);
        if let Some(path) = text
            .and_then(|text| text.strip_prefix(UNIX))
            .filter(|it| !it.is_empty())
        {
            return Some(Self::Unix(path.to_owned().into()));
        }
        match text.and_then(|text| text.parse().ok()) {
            Some(address) => Some(Self::Tcp(address)),
            None => wanted(
                node,
                "an address with a port, such as 127.0.0.1:9900, or a Unix socket, such as unix:/run/portolan/admin.sock",
                mistakes,
            ),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [Address::schema(), { "type": "string", "pattern": "^unix:." }] })
    }
}

/// The permissions of a file: three octal digits, perhaps after a zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode(u32);

impl Shape for Mode {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let digits = scalar(node).map(|text| text.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(text));
        let mode =
            digits.filter(|digits| digits.len() == 3 && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit)));
        match mode.and_then(|digits| u32::from_str_radix(digits, 8).ok()) {
            Some(mode) => Some(Self(mode)),
            None => wanted(node, "permissions in octal, such as \"0660\"", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "type": "string", "pattern": "^0?[0-7]{3}$" }, { "type": "integer", "minimum": 0, "maximum": 777 }] })
    }
}
