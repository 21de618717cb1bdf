//! The endpoint of a service in one region, and its address.

use crate::geo::Point;
use crate::id::RegionName;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// The endpoint of a service in one region.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its region, unique in its service.
    pub region: RegionName,
    /// Where that region is.
    pub point: Point,
    /// Where to connect.
    pub address: GatewayAddress,
    /// The endpoint that clients reach directly, where [`Service::steer`](super::Service::steer) sends them.
    pub public: Option<GatewayAddress>,
    /// Failover level, 0 first.
    pub priority: u8,
    /// Weight within its priority under [`Policy::Weighted`](super::Policy::Weighted), 0 to 65535. A weight of 0 makes it a fallback only.
    pub weight: u32,
    /// Most concurrent requests from one instance of this proxy. At this number the region is not eligible. Lower priorities of routes
    /// may use a part of it: see [`capacity`](crate::capacity).
    pub max_requests: Option<u32>,
    /// What plugins are told of the region.
    pub labels: RegionLabels,
}

impl Gateway {
    /// The weight of a region that is given none.
    pub const DEFAULT_WEIGHT: u32 = 100;

    /// A gateway with everything else at its default.
    pub fn new(region: RegionName, point: Point, address: GatewayAddress) -> Self {
        Self {
            region,
            point,
            address,
            public: None,
            priority: 0,
            weight: Self::DEFAULT_WEIGHT,
            max_requests: None,
            labels: RegionLabels::default(),
        }
    }
}

/// What operators say of a region for plugins; routing does not read it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegionLabels {
    /// What it costs, in a unit of the operator's choice, 0 or more.
    pub cost: Option<f32>,
    /// Words, such as `eu` or `gpu`.
    pub tags: Box<[Box<str>]>,
}

/// Where a gateway listens, and whether it speaks TLS there. Which HTTP, [`Protocol`](super::Protocol) says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GatewayAddress {
    /// Plain or over TLS.
    pub scheme: Scheme,
    /// A DNS name or an IP address.
    pub host: GatewayHost,
    /// The TCP port.
    pub port: u16,
}

impl GatewayAddress {
    /// An address without TLS.
    pub fn http(host: impl Into<GatewayHost>, port: u16) -> Self {
        Self {
            scheme: Scheme::Http,
            host: host.into(),
            port,
        }
    }

    /// As a URL, without a path.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority())
    }

    /// The value of the Host header: the port only when it is not that of the scheme, and without the final dot of a name.
    pub fn authority(&self) -> String {
        let host = match &self.host {
            GatewayHost::Name(name) => name.strip_suffix('.').unwrap_or(name).to_owned(),
            GatewayHost::Ip(IpAddr::V4(ip)) => ip.to_string(),
            GatewayHost::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
        };
        if self.port == self.scheme.default_port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

/// How a gateway is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain TCP.
    #[default]
    Http,
    /// TLS over TCP.
    Https,
}

impl Scheme {
    /// As URLs have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of URLs that name none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The host of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GatewayHost {
    /// A DNS name in lower case. With a final dot, it is looked up as it is written.
    Name(Arc<str>),
    /// An address.
    Ip(IpAddr),
}

impl From<&str> for GatewayHost {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl From<Ipv4Addr> for GatewayHost {
    fn from(ip: Ipv4Addr) -> Self {
        Self::Ip(ip.into())
    }
}
