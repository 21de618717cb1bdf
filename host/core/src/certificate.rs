//! What a client's verified certificate says.

use std::net::IpAddr;

/// What a client's verified certificate says of its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its subject, such as `CN=ops, O=Example`: as in the `Subject` of `X-Forwarded-Client-Cert`.
    pub subject: Box<str>,
    /// Its subjectAltName (RFC 5280, section 4.2.1.6).
    pub names: Box<[AltName]>,
}

/// A name of a subjectAltName.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AltName {
    /// A DNS name, in lower case.
    Dns(Box<str>),
    /// A URI, such as one of SPIFFE.
    Uri(Box<str>),
    /// An e-mail or IP address.
    Address(Box<str>),
}

impl AltName {
    /// A name of which only the text is known.
    pub fn guess(text: &str) -> Self {
        if text.contains('@') || text.parse::<IpAddr>().is_ok() {
            Self::Address(text.into())
        } else if text.contains(':') {
            Self::Uri(text.into())
        } else {
            Self::Dns(text.to_ascii_lowercase().into())
        }
    }

    /// Whether it is this one. The case of DNS names makes no difference.
    pub fn is(&self, text: &str) -> bool {
        match self {
            Self::Dns(name) => name.eq_ignore_ascii_case(text),
            Self::Uri(name) | Self::Address(name) => **name == *text,
        }
    }
}
