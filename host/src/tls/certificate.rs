//! What a certificate says (RFC 5280), as far as serving it matters.
//!
//! rustls checks certificates of others, and tells neither names nor times of one's own: hence a parser beside it.

use crate::hex;
use portolan_core::certificate::AltName;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::oid_registry as oid;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Version};

/// The kind of a public key, and its size where that varies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, with the bits of its modulus.
    Rsa(usize),
    /// RSA for PSS signatures only.
    RsaPss,
    /// ECDSA, with the curve.
    Ecdsa(Box<str>),
    /// Ed25519.
    Ed25519,
    /// Another one, by its object identifier.
    Other(Box<str>),
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA with {bits} bits"),
            Self::RsaPss => f.write_str("RSA-PSS"),
            Self::Ecdsa(curve) => write!(f, "ECDSA {curve}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(oid) => write!(f, "of the kind {oid}"),
        }
    }
}

/// A parsed certificate.
#[derive(Debug)]
pub(super) struct Certificate<'a>(X509Certificate<'a>);

impl<'a> Certificate<'a> {
    /// `None` when it is not a certificate.
    pub(super) fn parse(der: &'a [u8]) -> Option<Self> {
        match X509Certificate::from_der(der) {
            Ok(([], certificate)) => Some(Self(certificate)),
            _ => None,
        }
    }

    /// Whether it has the one version that is in use, 3.
    pub(super) fn is_version_3(&self) -> bool {
        self.0.version() == X509Version::V3
    }

    /// Whom it is for, for people.
    pub(super) fn subject(&self) -> String {
        self.0.subject().to_string()
    }

    /// The same so that different subjects are different texts: values are escaped as in RFC 4514 (section 2.4), their order is that of
    /// the certificate. What is no text is in hexadecimal after `#`.
    pub(super) fn distinguished_name(&self) -> String {
        let mut text = String::new();
        for (index, name) in self.0.subject().iter_rdn().enumerate() {
            for (part, attribute) in name.iter().enumerate() {
                text.push_str(match (index, part) {
                    (0, 0) => "",
                    (_, 0) => ", ",
                    _ => " + ",
                });
                let kind = attribute.attr_type();
                match oid2abbrev(kind, oid_registry()) {
                    Ok(name) => text.push_str(name),
                    Err(_) => text.push_str(&kind.to_id_string()),
                }
                text.push('=');
                match attribute.as_str() {
                    Ok(value) => escape(value, &mut text),
                    Err(_) => {
                        text.push('#');
                        text.push_str(&hex::digits(attribute.as_slice()));
                    }
                }
            }
        }
        text
    }

    /// Who signed it, for people.
    pub(super) fn issuer(&self) -> String {
        self.0.issuer().to_string()
    }

    /// From when until when it is valid.
    pub(super) fn validity(&self) -> (SystemTime, SystemTime) {
        let time = |seconds: i64| match u64::try_from(seconds) {
            Ok(seconds) => SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            Err(_) => SystemTime::UNIX_EPOCH,
        };
        let validity = self.0.validity();
        (
            time(validity.not_before.timestamp()),
            time(validity.not_after.timestamp()),
        )
    }

    /// The host names and addresses in its subjectAltName. Names are in lower case and may begin with `*.`.
    pub(super) fn names(&self) -> (Vec<Box<str>>, Vec<IpAddr>) {
        let (mut hosts, mut addresses) = (Vec::new(), Vec::new());
        let Ok(Some(names)) = self.0.subject_alternative_name() else {
            return (hosts, addresses);
        };
        for name in &names.value.general_names {
            match name {
                GeneralName::DNSName(name) => hosts.push(name.to_ascii_lowercase().into()),
                GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                _ => {}
            }
        }
        (hosts, addresses)
    }

    /// All names in its subjectAltName that routes can ask for.
    pub(super) fn alt_names(&self) -> Vec<AltName> {
        let Ok(Some(names)) = self.0.subject_alternative_name() else {
            return Vec::new();
        };
        let names = names.value.general_names.iter();
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(AltName::Dns(name.to_ascii_lowercase().into())),
            GeneralName::URI(uri) => Some(AltName::Uri((*uri).into())),
            GeneralName::RFC822Name(address) => Some(AltName::Address((*address).into())),
            GeneralName::IPAddress(bytes) => Some(AltName::Address(address(bytes)?.to_string().into())),
            _ => None,
        });
        names.collect()
    }

    /// The common name of its subject, in lower case.
    pub(super) fn common_name(&self) -> Option<Box<str>> {
        let mut names = self.0.subject().iter_common_name();
        names.next()?.as_str().ok().map(|name| name.to_ascii_lowercase().into())
    }

    /// Whether it may be used by servers: no extended key usage, or one that includes servers.
    pub(super) fn is_for_servers(&self) -> bool {
        match self.0.extended_key_usage() {
            Ok(Some(usage)) => usage.value.server_auth,
            _ => true,
        }
    }

    /// Whether it may sign other certificates.
    pub(super) fn is_authority(&self) -> bool {
        self.0.is_ca()
    }

    /// Whether it is signed with SHA-1, which clients reject.
    pub(super) fn is_signed_with_sha1(&self) -> bool {
        let algorithm = &self.0.signature_algorithm.algorithm;
        const ECDSA_WITH_SHA1: &str = "1.2.840.10045.4.1";
        [oid::OID_PKCS1_SHA1WITHRSA, oid::OID_SHA1_WITH_RSA].contains(algorithm)
            || algorithm.to_id_string() == ECDSA_WITH_SHA1
    }

    /// Whether it is its own issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        self.0.subject().as_raw() == self.0.issuer().as_raw()
    }

    /// Whether another certificate signed this one. A signature of an algorithm that cannot be checked is believed.
    pub(super) fn is_issued_by(&self, issuer: &Self) -> bool {
        self.0.issuer().as_raw() == issuer.0.subject().as_raw()
            && !matches!(
                self.0.verify_signature(Some(issuer.0.public_key())),
                Err(X509Error::SignatureVerificationError)
            )
    }

    /// The kind of its key.
    pub(super) fn key(&self) -> KeyKind {
        kind(self.0.public_key())
    }
}

fn escape(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        let is_special = match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => true,
            '#' => index == 0,
            ' ' => index == 0 || index == last,
            _ => false,
        };
        if is_special {
            text.push('\\');
        }
        text.push(character);
    }
}

/// An address as a certificate has it.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn kind(key: &SubjectPublicKeyInfo<'_>) -> KeyKind {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == oid::OID_PKCS1_RSASSAPSS {
        return KeyKind::RsaPss;
    }
    if *algorithm == oid::OID_SIG_ED25519 {
        return KeyKind::Ed25519;
    }
    match key.parsed() {
        Ok(PublicKey::RSA(key)) => KeyKind::Rsa(key.key_size()),
        Ok(PublicKey::EC(_)) => {
            let curve = key.algorithm.parameters.as_ref().and_then(|it| it.as_oid().ok());
            let name = match curve {
                Some(curve) if curve == oid::OID_EC_P256 => "P-256".into(),
                Some(curve) if curve == oid::OID_NIST_EC_P384 => "P-384".into(),
                Some(curve) if curve == oid::OID_NIST_EC_P521 => "P-521".into(),
                Some(curve) => format!("with the curve {curve}").into(),
                None => "with explicit parameters".into(),
            };
            KeyKind::Ecdsa(name)
        }
        _ => KeyKind::Other(algorithm.to_string().into()),
    }
}
