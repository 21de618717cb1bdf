//! Why TLS with a gateway fails.

use std::fmt;

/// A failed handshake with a gateway, or a gateway that rejects this proxy's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsFailure {
    /// The gateway's certificate leads to none of the trusted authorities, or its intermediate certificates are missing.
    UnknownIssuer,
    /// The gateway's certificate is for other names.
    NameMismatch,
    /// The gateway's certificate has expired, or is not valid yet.
    Expired,
    /// The gateway's certificate is invalid for another reason.
    InvalidCertificate,
    /// The gateway rejects this proxy's certificate, or requires one.
    ClientCertificate,
    /// The gateway does not agree to the version of HTTP that is asked for.
    Protocol,
    /// Anything else: no TLS on that port, no common version or algorithm, a connection that ended.
    Handshake,
}

impl TlsFailure {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 7] = [
        Self::UnknownIssuer,
        Self::NameMismatch,
        Self::Expired,
        Self::InvalidCertificate,
        Self::ClientCertificate,
        Self::Protocol,
        Self::Handshake,
    ];
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => {
                "its certificate is signed by no trusted authority, or it does not send its intermediate certificates"
            }
            Self::NameMismatch => "its certificate is for other names",
            Self::Expired => "its certificate has expired or is not valid yet",
            Self::InvalidCertificate => "its certificate is invalid",
            Self::ClientCertificate => "it requires a client certificate or rejects the one it got",
            Self::Protocol => "it does not agree to the version of HTTP that upstream.protocol asks for (ALPN)",
            Self::Handshake => "the TLS handshake failed",
        })
    }
}
