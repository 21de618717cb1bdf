//! Why a request is rejected.

use portolan_core::access::Denied;
use portolan_core::admission::{Priority, Shed};

/// Why Portolan answers a request itself, with an error, or cannot read it. A fixed set: a label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request line has no method.
    Method,
    /// The method is longer than any.
    LongMethod,
    /// The request target is neither a path nor an http URL.
    Target,
    /// The request target is longer than allowed.
    LongTarget,
    /// A version of HTTP that is not served.
    Version,
    /// HTTP/2 where it is not served.
    Http2,
    /// TLS on a listener without.
    Tls,
    /// The PROXY protocol where it is not expected.
    ProxyProtocol,
    /// A field that is not a name, a colon and a value.
    Field,
    /// The head is larger, or has more fields, than allowed.
    LargeHead,
    /// The head did not come within its time.
    HeadTimeout,
    /// No Host, several, or one that is not a host.
    Host,
    /// A length that a body cannot have.
    ContentLength,
    /// A transfer coding other than `chunked`, once.
    TransferEncoding,
    /// An expectation other than `100-continue`.
    Expect,
    /// Max-Forwards that is not one number.
    MaxForwards,
    /// CONNECT.
    Connect,
    /// Extended CONNECT for another protocol than WebSocket.
    ConnectProtocol,
    /// TRACE.
    Trace,
    /// The request has passed this instance before.
    Loop,
    /// No route for the host and path.
    NoRoute,
    /// The route denies the client's address.
    DeniedNetwork,
    /// The route denies the client's country.
    DeniedCountry,
    /// The route denies the client's autonomous system.
    DeniedSystem,
    /// The route allows others only.
    NotAllowed,
    /// The request's host has another certificate than the one of its connection.
    Misdirected,
    /// The request's body is longer than its route allows.
    LargeBody,
    /// The client sends more requests than its route allows.
    RateLimited,
    /// The plugin of its service rejects the request.
    Plugin,
    /// The instance works on as many requests as it may for those of low priority.
    OverloadLow,
    /// The same of normal priority.
    OverloadNormal,
    /// The same of high priority.
    OverloadHigh,
    /// The route has as many concurrent requests as it may.
    RouteFull,
    /// Residency leaves no region.
    Residency,
    /// The regions that are left are draining.
    Draining,
    /// The regions that are left have as many requests as they may.
    Full,
    /// The regions that are left are unhealthy.
    Unhealthy,
    /// The request's body broke off or is malformed.
    ClientBody,
    /// The request's body did not come within its time.
    ClientBodyTimeout,
    /// No region answered in time.
    UpstreamTimeout,
    /// No region could be connected to.
    UpstreamUnreachable,
    /// The last region's answer broke off or is malformed.
    UpstreamReset,
    /// No region has answered lately, and none answered this request.
    UpstreamUnresponsive,
    /// An internal error of Portolan.
    Internal,
}

impl Reason {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 44] = [
        Self::Method,
        Self::LongMethod,
        Self::Target,
        Self::LongTarget,
        Self::Version,
        Self::Http2,
        Self::Tls,
        Self::ProxyProtocol,
        Self::Field,
        Self::LargeHead,
        Self::HeadTimeout,
        Self::Host,
        Self::ContentLength,
        Self::TransferEncoding,
        Self::Expect,
        Self::MaxForwards,
        Self::Connect,
        Self::ConnectProtocol,
        Self::Trace,
        Self::Loop,
        Self::NoRoute,
        Self::DeniedNetwork,
        Self::DeniedCountry,
        Self::DeniedSystem,
        Self::NotAllowed,
        Self::Misdirected,
        Self::LargeBody,
        Self::RateLimited,
        Self::Plugin,
        Self::OverloadLow,
        Self::OverloadNormal,
        Self::OverloadHigh,
        Self::RouteFull,
        Self::Residency,
        Self::Draining,
        Self::Full,
        Self::Unhealthy,
        Self::ClientBody,
        Self::ClientBodyTimeout,
        Self::UpstreamTimeout,
        Self::UpstreamUnreachable,
        Self::UpstreamReset,
        Self::UpstreamUnresponsive,
        Self::Internal,
    ];

    /// Its name in metrics, logs and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::LongMethod => "method_too_long",
            Self::Target => "target",
            Self::LongTarget => "target_too_long",
            Self::Version => "version",
            Self::Http2 => "http2",
            Self::Tls => "tls",
            Self::ProxyProtocol => "proxy_protocol",
            Self::Field => "field",
            Self::LargeHead => "head_too_large",
            Self::HeadTimeout => "head_timeout",
            Self::Host => "host",
            Self::ContentLength => "content_length",
            Self::TransferEncoding => "transfer_encoding",
            Self::Expect => "expect",
            Self::MaxForwards => "max_forwards",
            Self::Connect => "connect",
            Self::ConnectProtocol => "connect_protocol",
            Self::Trace => "trace",
            Self::Loop => "loop",
            Self::NoRoute => "no_route",
            Self::DeniedNetwork => Denied::Network.as_str(),
            Self::DeniedCountry => Denied::Country.as_str(),
            Self::DeniedSystem => Denied::System.as_str(),
            Self::NotAllowed => Denied::NotAllowed.as_str(),
            Self::Misdirected => "misdirected",
            Self::LargeBody => "body_too_large",
            Self::RateLimited => "rate_limited",
            Self::Plugin => "plugin",
            Self::OverloadLow => "overload_low",
            Self::OverloadNormal => "overload_normal",
            Self::OverloadHigh => "overload_high",
            Self::RouteFull => "route_full",
            Self::Residency => "residency",
            Self::Draining => "draining",
            Self::Full => "full",
            Self::Unhealthy => "unhealthy",
            Self::ClientBody => "client_body",
            Self::ClientBodyTimeout => "client_body_timeout",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamUnresponsive => "upstream_unresponsive",
            Self::Internal => "internal",
        }
    }
}

impl From<Denied> for Reason {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Network => Self::DeniedNetwork,
            Denied::Country => Self::DeniedCountry,
            Denied::System => Self::DeniedSystem,
            Denied::NotAllowed => Self::NotAllowed,
        }
    }
}

impl From<Shed> for Reason {
    fn from(shed: Shed) -> Self {
        match shed {
            Shed::Overload(Priority::Low) => Self::OverloadLow,
            Shed::Overload(Priority::Normal) => Self::OverloadNormal,
            Shed::Overload(Priority::High) => Self::OverloadHigh,
            Shed::RouteFull => Self::RouteFull,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_its_place_and_its_word() {
        let mut words = HashSet::new();
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            assert!(words.insert(reason.as_str()), "{reason:?}");
        }
    }
}
