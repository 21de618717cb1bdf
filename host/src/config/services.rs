//! Services.

use super::affinity::AffinitySection;
use super::compound::{At, Named, NonEmpty, OrOff};
use super::error::Mistakes;
use super::failback::FailbackSection;
use super::health_checks::{self, HealthCheckSection};
use super::ordering::PolicyShape;
use super::plugins::{PluginSection, is_embedded};
use super::policies::{self, OutlierDetectionSection, RetrySection, TimeoutsSection};
use super::quantities::{H, Time};
use super::regions::{Places, RegionSection};
use super::residency::{self, ResidencySection};
use super::section::section;
use super::settings::UpstreamTls;
use super::shape::{all, shown};
use super::steer::{self, SteerShape};
use super::suggest::did_you_mean;
use super::upstream::{self, UpstreamSection};
use super::values::words;
use http::HeaderValue;
use portolan_core::config::{Gateway, LatencyFrom, Policy, Probe, Retry, Service, ServiceParts, Spillover, Timeouts};
use portolan_core::id::{ServiceId, ServiceName};
use portolan_core::route::Routes;
use portolan_core::slots::Slots;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;

section! {
    /// A service: its regions, and the policies to choose among them.
    ServiceSection {
        /// The regions, with a gateway each; 1 to 64.
        required regions: At<NonEmpty<RegionSection>>,
        /// How eligible regions are ordered: latency, distance, priority, weighted, or a plugin; or { latency: { from: here } }.
        /// Default: latency.
        optional policy: At<PolicyShape>,
        /// Whether clients are sent to the regions' public endpoints: proxy (they are not), redirect (GET and HEAD, with 307), or
        /// alt-svc (answers advertise them, RFC 7838). Default: proxy.
        optional steer: At<SteerShape>,
        /// Active health checks of every region, or off: then only outlier detection decides.
        optional health_check: OrOff<HealthCheckSection>,
        /// Outlier detection: health from traffic.
        optional outlier_detection: OutlierDetectionSection,
        /// How failures are retried, always in another region.
        optional retry: RetrySection,
        /// Time bounds of a request.
        optional timeouts: TimeoutsSection,
        /// Connections to the gateways.
        optional upstream: UpstreamSection,
        /// Slow start: how long a returning region's share of traffic grows. Default: 10s.
        optional slow_start: Time<0, { H }>,
        /// What a region that was unhealthy waits for before it gets traffic again. Default: nothing.
        optional failback: FailbackSection,
        /// Whether gateways see the client's Host instead of their own name. Default: false.
        optional preserve_host: At<bool>,
        /// Whether Location, Content-Location, Refresh and cookie domains that name the gateway name what the client requested
        /// instead. Default: true, unless preserve_host is.
        optional rewrite_responses: bool,
        /// Whether interim responses such as 103 (Early Hints) are passed to clients of HTTP/1.1. Some clients take one for the
        /// response. Default: false.
        optional pass_interim_responses: bool,
        /// Where requests go whose region is not available or full, as far as regions have max_requests. headroom: to all others of
        /// the same failover level, in proportion to what each has left. nearest: to the next one until that is full. Default:
        /// headroom.
        optional spillover: SpilloverWord,
        /// Session affinity. Default: every request is decided by itself.
        optional affinity: AffinitySection,
        /// Which regions may serve clients of which countries.
        optional residency: Vec<ResidencySection>,
    }
}

words! {
    /// Where requests go whose region is not available or full.
    SpilloverWord {
        /// To all others in proportion to what they have left.
        Headroom = "headroom",
        /// To the next one.
        Nearest = "nearest",
    }
}

/// Where the regions of all services are.
pub(super) fn places(sections: Option<&At<Named<ServiceSection>>>, mistakes: &mut Mistakes<'_>) -> Places {
    let services = sections
        .into_iter()
        .flat_map(|sections| &sections.0)
        .filter_map(|(_, service)| service.as_ref());
    Places::of(
        services
            .filter_map(|service| service.regions.as_ref())
            .flat_map(|regions| regions.iter()),
        mistakes,
    )
}

/// The services in the order of the file.
pub(super) fn settings(
    sections: &At<Named<ServiceSection>>,
    plugins: Option<&Named<PluginSection>>,
    places: &Places,
    mistakes: &mut Mistakes<'_>,
) -> Option<Vec<Service>> {
    const MOST: usize = u16::MAX as usize;
    match sections.0.len() {
        0 => mistakes.at(sections.id, "at least one service is needed"),
        1..=MOST => {}
        count => mistakes.at(sections.id, format!("{count} services, {MOST} are possible")),
    }
    all(sections
        .0
        .iter()
        .map(|(name, section)| section.as_ref()?.service(name, plugins, places, mistakes)))
}

/// Where gateways see the client's Host, probes ask for it too: for the host of the service's routes, when there is one. When
/// there is none, or several, the configuration has to name it.
pub(super) fn set_probe_hosts(
    services: &mut [Service],
    sections: &Named<ServiceSection>,
    routes: &Routes,
    mistakes: &mut Mistakes<'_>,
) {
    // All sections became services.
    for ((service, (_, section)), id) in services.iter_mut().zip(&sections.0).zip((0..).map(ServiceId)) {
        let preserve_host = section.as_ref().and_then(|section| section.preserve_host);
        let own = match service.health_check.as_mut().map(|check| &mut check.probe) {
            Some(Probe::Http(probe)) => &mut probe.host,
            Some(Probe::Grpc(probe)) => &mut probe.host,
            Some(Probe::Tcp) | None => continue,
        };
        let Some(preserve_host) = preserve_host.filter(|it| it.value && own.is_none()) else {
            continue;
        };
        let hosts: Vec<_> = routes.hosts(id).collect();
        let seen = match hosts[..] {
            [host] => {
                *own = HeaderValue::try_from(host).ok();
                continue;
            }
            [] if routes.services().all(|leads| leads != id) => continue,
            [] => "no route names one host of this service".to_owned(),
            ref several => format!("routes name {} hosts of this service", several.len()),
        };
        mistakes.warn(
            preserve_host.id,
            format!(
                "{seen}, so probes ask for the gateway's own name and not for the one that requests have: set \
                 health_check.host"
            ),
        );
    }
}

/// Clients that are sent to regions directly must not come back.
pub(super) fn check_steering(
    sections: &Named<ServiceSection>,
    routes: &Routes,
    listeners: &[SocketAddr],
    mistakes: &mut Mistakes<'_>,
) {
    for ((_, section), id) in sections.0.iter().zip((0..).map(ServiceId)) {
        let section = section
            .as_ref()
            .and_then(|it| Some((it.steer.as_ref()?, it.regions.as_ref()?)));
        if let Some((steer, regions)) = section {
            steer::check_routes((id, steer), regions, (routes, listeners), mistakes);
        }
    }
}

/// TLS with the gateways of the services that have https gateways, and with the gates that are asked over TLS.
pub(super) fn upstream_tls(
    services: &[Service],
    sections: &Named<ServiceSection>,
    folder: &Path,
    mistakes: &mut Mistakes<'_>,
) -> BTreeMap<ServiceName, UpstreamTls> {
    // All sections became services.
    let services = services.iter().zip(&sections.0);
    let tls = services.filter_map(|(service, (_, section))| {
        let upstream = section.as_ref().and_then(|section| section.upstream.as_ref());
        let failback = section.as_ref().and_then(|section| section.failback.as_ref());
        let gateways = upstream::tls(upstream, service, folder, mistakes);
        let gate_ca = failback.and_then(|section| section.gate_ca(folder, mistakes));
        if gateways.is_none() && !service.failback.is_asked_over_tls() {
            return None;
        }
        let tls = UpstreamTls {
            gate_ca,
            ..gateways.unwrap_or_default()
        };
        Some((service.name.clone(), tls))
    });
    tls.collect()
}

impl ServiceSection {
    /// The plugin its policy names.
    pub(super) fn plugin(&self) -> Option<&str> {
        self.policy.as_ref()?.plugin().map(|name| name.as_str())
    }

    fn service(
        &self,
        name: &str,
        plugins: Option<&Named<PluginSection>>,
        places: &Places,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<Service> {
        let policy = self.policy(plugins, mistakes);
        let gateways = self.gateways(policy.as_ref(), places, mistakes);
        let regions = self.regions.as_ref().map_or(&[][..], |regions| &regions.value);
        if let Some(steer) = &self.steer {
            let is_checked = !matches!(self.health_check, Some(OrOff::Off));
            steer::check_regions(steer, is_checked, regions, mistakes);
        }
        let residency = residency::settings(self.residency.as_deref().unwrap_or_default(), regions, places, mistakes);
        let mut parts = ServiceParts::new(name, Vec::new());
        parts.health_check = health_checks::settings(self.health_check.as_ref(), mistakes);
        parts.outlier_detection = policies::outlier_detection(self.outlier_detection.as_ref(), mistakes);
        (parts.retry, parts.timeouts) = self.times();
        if let Some(when) = self.affinity.as_ref().and_then(AffinitySection::waits_for_plugin)
            && !self.has_plugin()
        {
            mistakes.at(
                when,
                "affinity would apply to no request: the service has no plugin that turns it on",
            );
        }
        let affinity = match &self.affinity {
            Some(section) => section.settings(mistakes).map(Some),
            None => Some(None),
        };
        policies::check_times((&parts.retry, &parts.timeouts), self.retry.as_ref(), None, mistakes);
        parts.upstream = upstream::upstream(self.upstream.as_ref(), mistakes);
        if let Some(check) = &mut parts.health_check {
            check.proxy_protocol = parts.upstream.proxy_protocol;
            check.protocol = parts.upstream.protocol;
        }
        parts.slow_start = self.slow_start.map_or(parts.slow_start, |time| time.0);
        parts.failback = self
            .failback
            .as_ref()
            .map(FailbackSection::settings)
            .unwrap_or_default();
        parts.preserve_host = self.preserve_host.map_or(parts.preserve_host, |it| it.value);
        parts.pass_interim_responses = self.pass_interim_responses.unwrap_or(parts.pass_interim_responses);
        parts.rewrite_responses = self.rewrite_responses.unwrap_or(!parts.preserve_host);
        parts.spillover = match self.spillover {
            Some(SpilloverWord::Nearest) => Spillover::Nearest,
            Some(SpilloverWord::Headroom) | None => Spillover::Headroom,
        };
        if let Some(at) = self.upstream.as_ref().and_then(UpstreamSection::reads_load)
            && regions.iter().all(|region| region.max_requests.is_none())
        {
            let message = "without max_requests of a region, what gateways report changes nothing";
            mistakes.warn(at, message);
        }
        parts.affinity = affinity?;
        parts.latency_from = self.policy.as_ref().map(|it| it.built_in().1).unwrap_or_default();
        if let Some(policy) = self.policy.as_ref().filter(|_| parts.latency_from == LatencyFrom::Here)
            && parts.health_check.is_none()
        {
            let message = "from: here with health_check: off: only regions that get traffic are measured";
            mistakes.warn(policy.id, message);
        }
        parts.steer = self.steer.as_ref().map(|it| it.0.clone()).unwrap_or_default();
        parts.policy = policy?;
        parts.gateways = gateways?;
        parts.residency = residency?;
        // The number of gateways was checked.
        Service::new(parts).ok()
    }

    /// Whether a plugin orders its regions.
    pub(super) fn has_plugin(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.plugin().is_some())
    }

    /// How failures are retried, and the time bounds.
    pub(super) fn times(&self) -> (Retry, Timeouts) {
        let retry = policies::retry(self.retry.as_ref(), Retry::default());
        (retry, policies::timeouts(self.timeouts.as_ref(), Timeouts::default()))
    }

    fn policy(&self, plugins: Option<&Named<PluginSection>>, mistakes: &mut Mistakes<'_>) -> Option<Policy> {
        let Some(shape) = &self.policy else {
            return Some(Policy::Latency);
        };
        if let (Some(policy), _) = shape.built_in() {
            return Some(policy);
        }
        let name = shape.plugin()?;
        let known: Vec<_> = plugins.iter().flat_map(|plugins| plugins.names()).collect();
        if known.contains(&name.as_str()) {
            return Some(Policy::Plugin(name.as_str().into()));
        }
        let advice = match did_you_mean(name, known) {
            none if none.is_empty() && is_embedded(name) => {
                format!(
                    " — define it: plugins: {{ {0}: {{ source: \"embedded:{0}\" }} }}",
                    name.value
                )
            }
            none if none.is_empty() => " — define it under plugins".into(),
            meant => meant,
        };
        mistakes.at(name.id, format!("unknown plugin {}{advice}", shown(name)));
        None
    }

    fn gateways(&self, policy: Option<&Policy>, places: &Places, mistakes: &mut Mistakes<'_>) -> Option<Vec<Gateway>> {
        let regions = self.regions.as_ref()?;
        if regions.len() > Slots::MAX {
            mistakes.at(
                regions.id,
                format!("{} regions, {} are possible", regions.len(), Slots::MAX),
            );
        }
        let (mut names, mut addresses) = (HashMap::new(), HashMap::new());
        for section in regions.iter() {
            if let Some(name) = &section.region
                && let Some(first) = names.insert(name.as_str(), name.id)
            {
                let line = mistakes.line(first);
                mistakes.at(
                    name.id,
                    format!("{} is already a region of this service, on {line}", shown(name)),
                );
            }
            if let Some(gateway) = &section.gateway
                && let Some(first) = addresses.insert(&gateway.0, gateway.id)
            {
                let line = mistakes.line(first);
                mistakes.warn(
                    gateway.id,
                    format!("the same gateway as on {line}: they will fail together"),
                );
            }
        }
        let gateways = all(regions.iter().map(|section| section.gateway(places, mistakes)))?;
        if policy == Some(&Policy::Weighted) && gateways.iter().all(|gateway| gateway.weight == 0) {
            mistakes.at(
                regions.id,
                "with policy: weighted, at least one region needs a weight above 0",
            );
        }
        Some(gateways)
    }
}
