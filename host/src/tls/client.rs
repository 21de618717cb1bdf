//! The certificate of a client, as gateways are told of it.

use super::certificate::Certificate;
use crate::hex;
use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Whom a certificate is for, such as `CN=ops`. `None` when it cannot be parsed.
pub fn certificate_subject(certificate: &CertificateDer<'_>) -> Option<String> {
    Certificate::parse(certificate).map(|parsed| parsed.subject())
}

/// The value of `X-Forwarded-Client-Cert` for a certificate: its SHA-256, subject, and the names and URIs of its
/// subjectAltName, in the form of Envoy. `None` when it cannot be parsed.
pub fn forwarded_client_certificate(certificate: &CertificateDer<'_>) -> Option<HeaderValue> {
    let parsed = Certificate::parse(certificate)?;
    let mut value = format!("Hash={}", hex::digits(&Sha256::digest(certificate)));
    let (names, uris) = (parsed.names().0, parsed.uris());
    let mut add = |key: &str, text: &str| {
        // Whatever could end an element is within quotes.
        let _ = write!(value, ";{key}=\"");
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
        value.push('"');
    };
    add("Subject", &parsed.subject());
    uris.iter().for_each(|uri| add("URI", uri));
    names.iter().for_each(|name| add("DNS", name));
    HeaderValue::try_from(value).ok()
}
