//! Active health checks: what probes ask for, and which answers are healthy.

use super::Protocol;
use http::{HeaderMap, HeaderValue, Method};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Active health checks of a service's gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The kind of probe.
    pub probe: Probe,
    /// The port that probes connect to, at least 1. `None`: the gateway's own.
    pub port: Option<u16>,
    /// Whether connections begin with a PROXY protocol header, as those of requests do.
    pub proxy_protocol: bool,
    /// The version of HTTP, as that of requests.
    pub protocol: Protocol,
    /// Time from the beginning of one probe to the beginning of the next, which also waits for the end of the one before.
    pub interval: Duration,
    /// A probe without an answer fails after this time. It may be longer than the interval, as in Envoy and Kubernetes:
    /// a gateway has no more than one probe in flight.
    pub timeout: Duration,
    /// Successes in a row that make a gateway healthy, at least 1.
    pub healthy_threshold: u32,
    /// Failures in a row that make it unhealthy, at least 1.
    pub unhealthy_threshold: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            probe: Probe::Http(Box::default()),
            port: None,
            proxy_protocol: false,
            protocol: Protocol::Http1,
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(500),
            healthy_threshold: 2,
            unhealthy_threshold: 3,
        }
    }
}

/// The kind of probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// An HTTP request.
    Http(Box<HttpProbe>),
    /// An established TCP connection is healthy.
    Tcp,
    /// A call of the health service of gRPC.
    Grpc(Box<GrpcProbe>),
}

/// A call of `grpc.health.v1.Health/Check`, over HTTP/2. `SERVING` is healthy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcProbe {
    /// The service that is asked about. Empty: the server as a whole.
    pub service: String,
    /// The authority. `None`: the gateway's own.
    pub host: Option<HeaderValue>,
    /// Further fields of the request (metadata).
    pub fields: HeaderMap,
}

/// An HTTP request, and the responses that are healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProbe {
    /// The method.
    pub method: Method,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// The value of Host. `None`: the gateway's own authority.
    pub host: Option<HeaderValue>,
    /// Further fields. They replace the default ones of the same name.
    pub fields: HeaderMap,
    /// The statuses of healthy responses. Not empty.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Text in the body of healthy responses. `None`: any body is healthy.
    pub body: Option<String>,
}

impl Default for HttpProbe {
    fn default() -> Self {
        Self {
            method: Method::GET,
            path: "/healthz".into(),
            host: None,
            fields: HeaderMap::new(),
            statuses: vec![200..=299],
            body: None,
        }
    }
}

impl HttpProbe {
    /// Whether a status is healthy.
    pub fn expects(&self, status: u16) -> bool {
        self.statuses.iter().any(|statuses| statuses.contains(&status))
    }
}
