//! Active health checks of a service.

mod request;

use super::compound::{At, NonEmpty, OrOff};
use super::error::Mistakes;
use super::quantities::{H, MS, Time};
use super::section::section;
use super::values::{Whole, words};
use http::Method;
use portolan_core::config::{HealthCheck, HttpProbe, Probe, Protocol};
use request::{ProbeFields, ProbeHost, ProbePath, Statuses};

section! {
    /// Active health checks of every region.
    HealthCheckSection {
        /// What is asked: http sends a request and checks the response, tcp only connects. Default: http.
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
        let is_tcp = self.probe.is_some_and(|probe| *probe == ProbeWord::Tcp);
        let body = self.expect.as_ref().and_then(|expect| expect.body.as_ref());
        if is_tcp {
            let keys = [
                ("path", self.path.as_ref().map(|path| path.id)),
                ("method", self.method.map(|method| method.id)),
                ("host", self.host.as_ref().map(|host| host.id)),
                ("header", self.headers.as_ref().map(|headers| headers.id)),
                ("response", self.expect.as_ref().map(|expect| expect.at)),
            ];
            for (what, id) in keys {
                if let Some(id) = id {
                    mistakes.at(
                        id,
                        format!("a tcp probe asks for no {what}: remove this key or the probe"),
                    );
                }
            }
            return Probe::Tcp;
        }
        if let Some(body) = body.filter(|_| self.method.is_some_and(|method| *method == MethodWord::Head)) {
            mistakes.at(body.id, "a response to HEAD has no body: use another method");
        }
        let default = HttpProbe::default();
        let statuses = self.expect.as_ref().and_then(|expect| expect.statuses.as_ref());
        Probe::Http(Box::new(HttpProbe {
            method: self.method.map_or(default.method, |method| method.method()),
            path: self.path.as_ref().map_or(default.path, |path| path.0.clone()),
            host: self.host.as_ref().map(|host| host.0.clone()),
            fields: self.headers.as_ref().map_or(default.fields, |fields| fields.0.clone()),
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
