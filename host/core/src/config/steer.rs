//! How clients reach the region that was chosen for them.

use std::time::Duration;

/// How clients reach the region that was chosen for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Steer {
    /// Through this proxy.
    #[default]
    Proxy,
    /// They are redirected to its own endpoint, where that can be done: see [`redirected_to`](crate::steer::redirected_to).
    Redirect,
    /// Through this proxy, which advertises the region's own endpoint as an alternative service (RFC 7838).
    AltSvc(AltSvc),
}

/// How an alternative service is advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AltSvc {
    /// For how long a client may use it without asking here again (`ma`), in whole seconds.
    pub max_age: Duration,
    /// The protocols that it speaks, by preference.
    pub protocols: Vec<AlpnId>,
}

impl Default for AltSvc {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(10),
            protocols: vec![AlpnId::H2],
        }
    }
}

/// A protocol by its ALPN identification sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlpnId {
    /// HTTP/3 over QUIC.
    H3,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/1.1 over TLS.
    Http11,
}

impl AlpnId {
    /// As `Alt-Svc` has it: octets that are not allowed in a token are percent-encoded (RFC 7838, section 3).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::H3 => "h3",
            Self::H2 => "h2",
            Self::Http11 => "http%2F1.1",
        }
    }
}
