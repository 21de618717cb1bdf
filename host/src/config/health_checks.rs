//! Active health checks of a service.

mod request;

use super::compound::{At, NonEmpty, OrOff};
use super::error::Mistakes;
use super::quantities::{H, MS, Time};
use super::section::section;
use super::values::{Whole, words};
use http::Method;
use portolan_core::config::{GrpcProbe, HealthCheck, HttpProbe, Probe, Protocol};
use request::{GrpcService, ProbeFields, ProbeHost, ProbePath, Statuses};

section! {
    /// Active health checks of every region.
    HealthCheckSection {
        /// What is asked: http sends a request and checks the response, grpc calls the health service of gRPC over HTTP/2
        /// (grpc.health.v1.Health/Check), tcp only connects. Default: http.
        optional probe: At<ProbeWord>,
        /// The path that is asked for. Default: /healthz.
        optional path: At<ProbePath>,
        /// The method. Default: GET.
        optional method: At<MethodWord>,
        /// The host that is asked for, with a port or without. Default: the gateway's own name; with preserve_host, the host
        /// of the routes that lead to this service, when there is only one.
        optional host: At<ProbeHost>,
        /// Further fields of the request, by name, such as { x-forwarded-proto: https }.
        optional headers: At<ProbeFields>,
        /// With probe: grpc, the service that is asked about. Default: "", the server as a whole.
        optional grpc_service: At<GrpcService>,
        /// The port that probes connect to. Default: the gateway's own.
        optional port: Whole<1, 65_535>,
        /// Which responses are healthy.
        optional expect: ExpectSection,
        /// Time from one check to the next, which also waits for the end of the one before. Default: 1s.
        optional interval: Time<{ 10 * MS }, { H }>,
        /// When a check has failed; may be longer than the interval. Default: 500ms, or the interval when that is shorter.
        optional timeout: Time<{ MS }, { H }>,
        /// Successes in a row that make a region healthy. Default: 2.
        optional healthy_threshold: Whole<1, 100>,
        /// Failures in a row that make it unhealthy. Default: 3.
        optional unhealthy_threshold: Whole<1, 100>,
    }
}

section! {
    /// Which responses to a health check are healthy.
    ExpectSection {
        /// Their statuses: numbers such as 200, ranges such as 200-399, classes such as 2xx. Default: [2xx].
        optional statuses: NonEmpty<Statuses>,
        /// Text in the first 64 KiB of their bodies. Default: any body.
        optional body: At<String>,
    }
}

words! {
    /// What a health check asks.
    ProbeWord {
        /// A request.
        Http = "http",
        /// A call of the health service.
        Grpc = "grpc",
        /// A connection.
        Tcp = "tcp",
    }
}

words! {
    /// The method of a health check.
    MethodWord {
        /// `GET`.
        Get = "GET",
        /// `HEAD`.
        Head = "HEAD",
        /// `OPTIONS`.
        Options = "OPTIONS",
        /// `POST`, without content.
        Post = "POST",
    }
}

/// `None` when active health checks are off.
pub(super) fn settings(
    section: Option<&OrOff<HealthCheckSection>>,
    mistakes: &mut Mistakes<'_>,
) -> Option<HealthCheck> {
    let default = HealthCheck::default();
    let section = match section {
        None => return Some(default),
        Some(OrOff::Off) => return None,
        Some(OrOff::On(section)) => section,
    };
    let interval = section.interval.map_or(default.interval, |interval| interval.0);
    Some(HealthCheck {
        // As the connections of requests do: set with them.
        proxy_protocol: false,
        protocol: Protocol::Http1,
        probe: section.probe(mistakes),
        port: section.port.map(|port| port.0 as u16),
        interval,
        timeout: section
            .timeout
            .map_or(default.timeout.min(interval), |timeout| timeout.0),
        healthy_threshold: section
            .healthy_threshold
            .map_or(default.healthy_threshold, |count| count.0 as u32),
        unhealthy_threshold: section
            .unhealthy_threshold
            .map_or(default.unhealthy_threshold, |count| count.0 as u32),
    })
}

impl HealthCheckSection {
    fn probe(&self, mistakes: &mut Mistakes<'_>) -> Probe {
        let kind = self.probe.map_or(ProbeWord::Http, |probe| probe.value);
        let keys = [
            ("path", self.path.as_ref().map(|path| path.id), &[ProbeWord::Http][..]),
            ("method", self.method.map(|method| method.id), &[ProbeWord::Http]),
            (
                "host",
                self.host.as_ref().map(|host| host.id),
                &[ProbeWord::Http, ProbeWord::Grpc],
            ),
            (
                "header",
                self.headers.as_ref().map(|headers| headers.id),
                &[ProbeWord::Http, ProbeWord::Grpc],
            ),
            (
                "service of gRPC",
                self.grpc_service.as_ref().map(|service| service.id),
                &[ProbeWord::Grpc],
            ),
            (
                "response",
                self.expect.as_ref().map(|expect| expect.at),
                &[ProbeWord::Http],
            ),
        ];
        for (what, id, kinds) in keys {
            if let Some(id) = id.filter(|_| !kinds.contains(&kind)) {
                let (article, kind) = match kind {
                    ProbeWord::Http => ("an", "http"),
                    ProbeWord::Grpc => ("a", "grpc"),
                    ProbeWord::Tcp => ("a", "tcp"),
                };
                let message = format!("{article} {kind} probe asks for no {what}: remove this key or the probe");
                mistakes.at(id, message);
            }
        }
        let host = self.host.as_ref().map(|host| host.0.clone());
        let fields = self.headers.as_ref().map(|fields| fields.0.clone()).unwrap_or_default();
        match kind {
            ProbeWord::Http => {}
            ProbeWord::Grpc => {
                return Probe::Grpc(Box::new(GrpcProbe {
                    service: self
                        .grpc_service
                        .as_ref()
                        .map(|service| service.0.clone())
                        .unwrap_or_default(),
                    host,
                    fields,
                }));
            }
            ProbeWord::Tcp => return Probe::Tcp,
        }
        let body = self.expect.as_ref().and_then(|expect| expect.body.as_ref());
        if let Some(body) = body.filter(|_| self.method.is_some_and(|method| *method == MethodWord::Head)) {
            mistakes.at(body.id, "a response to HEAD has no body: use another method");
        }
        let default = HttpProbe::default();
        let statuses = self.expect.as_ref().and_then(|expect| expect.statuses.as_ref());
        Probe::Http(Box::new(HttpProbe {
            method: self.method.map_or(default.method, |method| method.method()),
            path: self.path.as_ref().map_or(default.path, |path| path.0.clone()),
            host,
            fields,
            statuses: statuses.map_or(default.statuses, |all| all.iter().map(|it| it.0.clone()).collect()),
            body: body.map(|body| body.value.clone()),
        }))
    }
}

impl MethodWord {
    fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Head => Method::HEAD,
            Self::Options => Method::OPTIONS,
            Self::Post => Method::POST,
        }
    }
}
