//! TLS of listeners, and redirections to it.

use super::compound::{At, NonEmpty};
use super::document::Node;
use super::error::Mistakes;
use super::quantities::{H, Time};
use super::section::section;
use super::shape::{Shape, all, wanted};
use super::values::{FilePath, scalar, words};
use crate::tls::{ClientCertificates, ListenerTls, MinVersion, PairFiles};
use http::HeaderValue;
use serde_json::{Value, json};
use std::path::Path;

section! {
    /// TLS 1.2 and 1.3 towards clients. The files are watched for changes.
    TlsSection {
        /// A certificate chain in PEM: the server's certificate, then the one that signed it, and so on.
        optional certificate: FilePath,
        /// Its private key in PEM, without password: RSA with 2048 to 8192 bits, ECDSA P-256, P-384 or P-521, or Ed25519.
        optional private_key: FilePath,
        /// Several chains with their keys, chosen by the name that a client asks for (SNI). The first one is for clients
        /// that ask for no name, or for one that no certificate has.
        optional certificates: NonEmpty<PairSection>,
        /// The oldest version. Default: "1.2".
        optional min_version: Version,
        /// Certificate authorities in PEM. Clients are asked for a certificate that one of them has issued.
        optional client_ca: At<FilePath>,
        /// With client_ca: whether clients without a certificate are rejected. Default: required.
        optional client_certificate: At<ClientCertificate>,
        /// With client_ca: whether gateways get X-Forwarded-Client-Cert. Default: false.
        optional forward_client_certificate: At<bool>,
        /// Keys of session tickets, shared by instances that stand for one another: a line for each, of 32 random bytes in
        /// base64. The first one encrypts, all decrypt. Default: random keys of this process.
        optional ticket_keys: FilePath,
        /// Strict-Transport-Security in every response. Default: what gateways send.
        optional hsts: HstsSection,
    }
}

section! {
    /// A certificate chain with its key.
    PairSection {
        /// The chain in PEM.
        required certificate: FilePath,
        /// The private key in PEM.
        required private_key: FilePath,
    }
}

section! {
    /// Strict-Transport-Security (RFC 6797): browsers use HTTPS only, for as long as this.
    HstsSection {
        /// For how long, such as 365d. With 0s, browsers forget it.
        required max_age: Time<0, { 10 * 365 * 24 * H }>,
        /// Whether all hosts below are included. Default: false.
        optional include_subdomains: bool,
        /// Whether the host may be put on the browsers' own list. Default: false.
        optional preload: bool,
    }
}

words! {
    /// What is asked of clients.
    ClientCertificate {
        /// A certificate.
        Required = "required",
        /// A certificate, or none.
        Optional = "optional",
    }
}

impl TlsSection {
    /// The settings, when they could be read.
    pub(super) fn settings(&self, folder: &Path, mistakes: &mut Mistakes<'_>) -> Option<ListenerTls> {
        let files = |certificate: &FilePath, private_key: &FilePath| PairFiles {
            certificate: certificate.within(folder),
            private_key: private_key.within(folder),
        };
        let certificates = match (&self.certificate, &self.private_key, &self.certificates) {
            (Some(certificate), Some(private_key), None) => Some(vec![files(certificate, private_key)]),
            (None, None, Some(pairs)) => all(pairs
                .iter()
                .map(|pair| Some(files(pair.certificate.as_ref()?, pair.private_key.as_ref()?)))),
            _ => {
                mistakes.at_key(
                    self.at,
                    "either certificate and private_key are needed, or certificates, a list of both",
                );
                None
            }
        };
        let clients = match &self.client_ca {
            Some(ca) => Some(ClientCertificates {
                ca: ca.within(folder),
                required: self.client_certificate.as_ref().map(|word| word.value) != Some(ClientCertificate::Optional),
                forward: self
                    .forward_client_certificate
                    .as_ref()
                    .is_some_and(|forward| forward.value),
            }),
            None => {
                let word = self.client_certificate.as_ref().map(|word| word.id);
                for id in word
                    .into_iter()
                    .chain(self.forward_client_certificate.as_ref().map(|it| it.id))
                {
                    mistakes.at(id, "only with client_ca are clients asked for a certificate");
                }
                None
            }
        };
        Some(ListenerTls {
            certificates: certificates?,
            clients,
            min_version: self.min_version.map_or(MinVersion::Tls12, |version| version.0),
            ticket_keys: self.ticket_keys.as_ref().map(|path| path.within(folder)),
            offers_http2: false,
            hsts: self.hsts.as_ref().and_then(HstsSection::value),
        })
    }
}

impl HstsSection {
    fn value(&self) -> Option<HeaderValue> {
        let mut value = format!("max-age={}", self.max_age?.0.as_secs());
        for (set, directive) in [
            (self.include_subdomains, "includeSubDomains"),
            (self.preload, "preload"),
        ] {
            if set == Some(true) {
                value.push_str("; ");
                value.push_str(directive);
            }
        }
        HeaderValue::try_from(value).ok()
    }
}

/// A version of TLS, in quotes or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version(MinVersion);

impl Shape for Version {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match scalar(node) {
            Some("1.2") => Some(Self(MinVersion::Tls12)),
            Some("1.3") => Some(Self(MinVersion::Tls13)),
            _ => wanted(node, "\"1.2\" or \"1.3\"", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "enum": ["1.2", "1.3", 1.2, 1.3] })
    }
}

/// The port of HTTPS.
const HTTPS: u16 = 443;

/// Where requests are redirected to: `https`, or `https:PORT`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Redirect(pub(super) u16);

impl Shape for Redirect {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let port = match scalar(node) {
            Some("https") => Some(HTTPS),
            Some(text) => text.strip_prefix("https:").and_then(|port| port.parse().ok()),
            None => None,
        };
        match port.filter(|port| *port != 0) {
            Some(port) => Some(Self(port)),
            None => wanted(node, "https, or https and a port, such as https:8443", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^https(:[0-9]{1,5})?$" })
    }
}
