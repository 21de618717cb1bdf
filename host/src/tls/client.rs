//! The certificate of a client, as routes, plugins and gateways are told of it.

use super::certificate::Certificate;
use crate::hex;
use http::HeaderValue;
use portolan_core::certificate::{AltName, ClientCertificate};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// A client that has proved by a certificate who it is. Prepared once for each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedClient {
    /// What the certificate says.
    pub certificate: ClientCertificate,
    /// The value of `X-Forwarded-Client-Cert`.
    pub forwarded: HeaderValue,
}

impl VerifiedClient {
    /// The owner of a certificate that was verified in a handshake. `None` when it cannot be parsed.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = Certificate::parse(certificate)?;
        let hash = hex::digits(&Sha256::digest(certificate));
        Self::with_hash(
            Some(&hash),
            ClientCertificate {
                subject: parsed.distinguished_name().into(),
                names: parsed.alt_names().into(),
            },
        )
    }

    /// The owner of a hypothetical certificate.
    pub fn hypothetical(certificate: ClientCertificate) -> Option<Self> {
        Self::with_hash(None, certificate)
    }

    fn with_hash(hash: Option<&str>, certificate: ClientCertificate) -> Option<Self> {
        let forwarded = forwarded(hash, &certificate)?;
        Some(Self { certificate, forwarded })
    }
}

/// Whom a certificate is for, such as `CN=ops`. `None` when it cannot be parsed.
pub fn certificate_subject(certificate: &CertificateDer<'_>) -> Option<String> {
    Certificate::parse(certificate).map(|parsed| parsed.distinguished_name())
}

/// The value of `X-Forwarded-Client-Cert` for a certificate: its SHA-256, subject, and the URIs and names of its
/// subjectAltName, in the form of Envoy.
fn forwarded(hash: Option<&str>, certificate: &ClientCertificate) -> Option<HeaderValue> {
    let mut value = hash.map(|hash| format!("Hash={hash};")).unwrap_or_default();
    let mut add = |key: &str, text: &str| {
        // Whatever could end an element is within quotes.
        let _ = write!(value, "{key}=\"");
        for character in text.chars() {
            match character {
                '"' | '\\' => value.extend(['\\', character]),
                ' '..='~' => value.push(character),
                other => {
                    let mut bytes = [0; 4];
                    for byte in other.encode_utf8(&mut bytes).bytes() {
                        let _ = write!(value, "%{byte:02X}");
                    }
                }
            }
        }
        value.push_str("\";");
    };
    add("Subject", &certificate.subject);
    for name in &certificate.names {
        if let AltName::Uri(uri) = name {
            add("URI", uri);
        }
    }
    for name in &certificate.names {
        if let AltName::Dns(name) = name {
            add("DNS", name);
        }
    }
    value.pop();
    HeaderValue::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    fn subject(attributes: &[(DnType, &str)]) -> Box<str> {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in attributes {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let certificate = params
            .self_signed(&KeyPair::generate().expect("a key"))
            .expect("signed");
        VerifiedClient::of(certificate.der())
            .expect("a certificate")
            .certificate
            .subject
    }

    #[test]
    fn no_value_of_a_subject_looks_like_another_attribute() {
        use DnType::{CommonName, OrganizationName};
        for (attributes, expected) in [
            (
                &[(OrganizationName, "Example"), (CommonName, "ops")][..],
                "O=Example, CN=ops",
            ),
            (&[(OrganizationName, "Example, CN=ops")], r"O=Example\, CN=ops"),
            (&[(CommonName, "a + CN=ops")], r"CN=a \+ CN=ops"),
            (&[(CommonName, r"a\, CN=ops")], r"CN=a\\\, CN=ops"),
            (&[(CommonName, " #a ")], r"CN=\ #a\ "),
            (&[(CommonName, "#a")], r"CN=\#a"),
            (&[(CommonName, "Ärzte \"1\"")], r#"CN=Ärzte \"1\""#),
        ] {
            assert_eq!(&*subject(attributes), expected);
        }
    }
}
