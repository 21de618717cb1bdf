//! TLS handshakes of one listener.

use super::log_limit::LogLimit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Why a TLS handshake with a client failed. A fixed set: a label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeFailure {
    /// It took too long.
    Timeout,
    /// The client closed the connection, as health checks of TCP do.
    Disconnected,
    /// HTTP without TLS.
    PlainHttp,
    /// A header of the PROXY protocol.
    ProxyHeader,
    /// Something else that is not TLS.
    NotTls,
    /// A name that is none (SNI).
    ServerName,
    /// No protocol in common (ALPN).
    Alpn,
    /// No version of TLS in common.
    Version,
    /// No cipher, group or signature in common.
    Parameters,
    /// A client certificate is required.
    NoClientCertificate,
    /// The client's certificate is not valid.
    ClientCertificate,
    /// The client does not accept the certificate, or ended the handshake for another reason.
    ClientAlert,
    /// Too many handshakes at a time.
    Overload,
    /// The listener ends.
    Draining,
    /// Anything else that is against the protocol.
    Protocol,
}

impl HandshakeFailure {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 15] = [
        Self::Timeout,
        Self::Disconnected,
        Self::PlainHttp,
        Self::ProxyHeader,
        Self::NotTls,
        Self::ServerName,
        Self::Alpn,
        Self::Version,
        Self::Parameters,
        Self::NoClientCertificate,
        Self::ClientCertificate,
        Self::ClientAlert,
        Self::Overload,
        Self::Draining,
        Self::Protocol,
    ];

    /// Its name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::PlainHttp => "plain_http",
            Self::ProxyHeader => "proxy_header",
            Self::NotTls => "not_tls",
            Self::ServerName => "server_name",
            Self::Alpn => "alpn",
            Self::Version => "version",
            Self::Parameters => "no_common_parameters",
            Self::NoClientCertificate => "client_certificate_missing",
            Self::ClientCertificate => "client_certificate_invalid",
            Self::ClientAlert => "client_alert",
            Self::Overload => "overload",
            Self::Draining => "draining",
            Self::Protocol => "protocol_error",
        }
    }

    /// What it means, for people.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Timeout => "the handshake timed out",
            Self::Disconnected => "the client closed the connection within the handshake",
            Self::PlainHttp => "plain HTTP on a TLS listener",
            Self::ProxyHeader => "a PROXY protocol header on a TLS listener without proxy_protocol",
            Self::NotTls => "the client does not speak TLS",
            Self::ServerName => "the name that the client asks for (SNI) is malformed",
            Self::Alpn => "the client offers no protocol of ours (ALPN): http/1.1 or, unless it is off, h2",
            Self::Version => "the client offers no version of TLS that is allowed",
            Self::Parameters => "no cipher, group or signature algorithm in common",
            Self::NoClientCertificate => "the client sent no certificate, and one is required",
            Self::ClientCertificate => "the client's certificate is not valid",
            Self::ClientAlert => "the client ended the handshake, perhaps as it does not trust the certificate",
            Self::Overload => "too many handshakes at a time",
            Self::Draining => "the listener is draining",
            Self::Protocol => "the client violates the protocol",
        }
    }

    /// Whether it is worth a line of the log: what operators or clients can mend. Scanners and health checks do the rest.
    pub fn is_notable(self) -> bool {
        !matches!(self, Self::Timeout | Self::Disconnected | Self::NotTls | Self::Draining)
    }
}

/// The version of a TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl TlsVersion {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// Handshakes of one listener, of all workers. Written once per connection.
#[derive(Debug)]
pub struct Handshakes {
    /// By version and whether the session was resumed.
    completed: [[AtomicU64; 2]; TlsVersion::ALL.len()],
    failed: [AtomicU64; HandshakeFailure::ALL.len()],
    log_limits: [LogLimit; HandshakeFailure::ALL.len()],
}

impl Default for Handshakes {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            completed: Default::default(),
            failed: Default::default(),
            log_limits: std::array::from_fn(|_| LogLimit::new(now)),
        }
    }
}

impl Handshakes {
    /// Counts one that was completed.
    pub fn completed(&self, version: TlsVersion, resumed: bool) {
        self.completed[version as usize][usize::from(resumed)].fetch_add(1, Relaxed);
    }

    /// Counts one that failed. Whether it is to be logged, with the number of those of its kind that were not since the last
    /// one that was.
    pub fn failed(&self, failure: HandshakeFailure, now: Instant) -> Option<u64> {
        let total = self.failed[failure as usize].fetch_add(1, Relaxed) + 1;
        self.log_limits[failure as usize].admit(total, now)
    }

    /// How many were completed: in this version, full or resumed.
    pub fn count(&self, version: TlsVersion, resumed: bool) -> u64 {
        self.completed[version as usize][usize::from(resumed)].load(Relaxed)
    }

    /// How many failed like this.
    pub fn failures(&self, failure: HandshakeFailure) -> u64 {
        self.failed[failure as usize].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_failure_has_a_name_of_its_own() {
        let names: BTreeSet<_> = HandshakeFailure::ALL.iter().map(|it| it.as_str()).collect();
        assert_eq!(names.len(), HandshakeFailure::ALL.len());
        for (index, failure) in HandshakeFailure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, index);
        }
    }

    #[test]
    fn handshakes_are_counted_by_kind() {
        let (handshakes, now) = (Handshakes::default(), Instant::now());
        handshakes.completed(TlsVersion::Tls13, true);
        assert_eq!(handshakes.failed(HandshakeFailure::Alpn, now), Some(0));
        assert_eq!(handshakes.failed(HandshakeFailure::Alpn, now), None);
        assert_eq!(handshakes.failed(HandshakeFailure::Version, now), Some(0));
        assert_eq!(handshakes.failures(HandshakeFailure::Alpn), 2);
        assert_eq!(handshakes.count(TlsVersion::Tls13, true), 1);
        assert_eq!(handshakes.count(TlsVersion::Tls13, false), 0);
    }
}
