//! TLS of a listener as it is configured.

use http::HeaderValue;
use std::path::PathBuf;

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// The certificates with their keys, at least one. The first one is for clients that ask for no name, or for one that no
    /// certificate has.
    pub certificates: Vec<PairFiles>,
    /// Whether clients are asked for a certificate. `None`: they are not.
    pub clients: Option<ClientCertificates>,
    /// The oldest version.
    pub min_version: MinVersion,
    /// Keys of session tickets, shared by several instances. `None`: random ones of this process.
    pub ticket_keys: Option<PathBuf>,
    /// Whether HTTP/2 is offered.
    pub offers_http2: bool,
    /// `Strict-Transport-Security` of every response. `None`: what gateways send.
    pub hsts: Option<HeaderValue>,
}

/// The files of a certificate chain and its key, which may be the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PairFiles {
    /// The chain.
    pub certificate: PathBuf,
    /// The key.
    pub private_key: PathBuf,
}

/// Certificates of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The certificate authorities.
    pub ca: PathBuf,
    /// Whether a client without a certificate is rejected. One with a certificate that is not valid always is.
    pub required: bool,
    /// Whether gateways are told of them in `X-Forwarded-Client-Cert`.
    pub forward: bool,
}

/// The oldest version of TLS that is spoken. TLS 1.3 is always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl ListenerTls {
    /// All files that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let pairs = self.certificates.iter();
        let pairs = pairs.flat_map(|files| [&files.certificate, &files.private_key]);
        let ca = self.clients.as_ref().map(|clients| &clients.ca);
        pairs.chain(ca).chain(&self.ticket_keys)
    }
}
