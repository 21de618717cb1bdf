//! Which requests go to which service.

use super::access::AccessSection;
use super::compound::{At, ByName, Named, OneOrMore};
use super::conditions::{self, CertificateSection, MethodWord, WantedValue};
use super::error::Mistakes;
use super::header_changes::{Direction, HeaderChangesSection};
use super::host::Host;
use super::limits::{LimitsSection, PriorityWord};
use super::policies::{self, RetrySection, TimeoutsSection};
use super::prefix::Prefix;
use super::redirect::RedirectSection;
use super::section::section;
use super::services::ServiceSection;
use super::shape::{all, shown};
use super::suggest::did_you_mean;
use super::values::Whole;
use portolan_core::admission::Priority;
use portolan_core::config::RoutePolicies;
use portolan_core::id::ServiceId;
use portolan_core::route::{HostPattern, PoliciesId, Route, RouteKey, Routes, Rules};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

section! {
    /// Which requests go to a service.
    RouteSection {
        /// A host such as shop.example.net, *.example.net for all hosts below, or * for every host. Default: *.
        optional host: At<Host>,
        /// A prefix of whole path segments: /api is for /api and /api/x, not for /apix. Default: /.
        optional path: At<Prefix>,
        /// Methods, such as GET or [POST, PUT]. Default: all.
        optional methods: OneOrMore<MethodWord>,
        /// Fields that a request must have, and their values; "*" is any value. Fields about the client count only from peers that
        /// may write them.
        optional headers: ByName<WantedValue>,
        /// Parameters that the query must have, and their values; "*" is any value.
        optional query: ByName<WantedValue>,
        /// The client certificate that a request must come with. Needs a listener with tls.client_ca.
        optional client_certificate: CertificateSection,
        /// The service, by its name in services. Required, unless there is a redirect.
        optional service: Option<At<String>>,
        /// Where clients are sent instead of a service.
        optional redirect: RedirectSection,
        /// What gateways see instead of path: with path: /api and prefix_rewrite: /, /api/x becomes /x.
        optional prefix_rewrite: At<Prefix>,
        /// Statuses from 400 to 599 with which the service's plugin may answer requests, such as [403, 429]. Another status is a
        /// fault of the plugin, and the request is sent on. Default: none.
        optional plugin_statuses: At<OneOrMore<Whole<400, 599>>>,
        /// Changes of the fields of requests, after the fields for the connection are removed and Portolan's own are added.
        optional request_headers: HeaderChangesSection,
        /// Changes of the fields of responses, of Portolan's own answers to requests of this route too.
        optional response_headers: HeaderChangesSection,
        /// Who may use the route. Others get 403. Default: everybody.
        optional access: AccessSection,
        /// How failures are retried; what is left out is as for the service, whose budget it is.
        optional retry: RetrySection,
        /// Time bounds of a request; what is left out is as for the service.
        optional timeouts: TimeoutsSection,
        /// Limits on its requests.
        optional limits: LimitsSection,
        /// The order in which overload sheds: low first, then normal, then high. Default: normal.
        optional priority: At<PriorityWord>,
    }
}

/// What routes need elsewhere in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assumed {
    /// Whether the autonomous systems of clients are looked up.
    pub(super) has_systems: bool,
    /// Whether requests are shed by priority.
    pub(super) has_overload: bool,
    /// Whether a listener asks clients for certificates.
    pub(super) has_certificates: bool,
}

/// The routes; each can be reached.
pub(super) fn settings(
    sections: &[RouteSection],
    services: Option<&At<Named<ServiceSection>>>,
    assumed: Assumed,
    mistakes: &mut Mistakes<'_>,
) -> Option<(Routes, Vec<RoutePolicies>)> {
    let names: Vec<_> = services.iter().flat_map(|services| services.names()).collect();
    let ids: HashMap<_, _> = names.iter().copied().zip((0..).map(ServiceId)).collect();
    let mut owned = Vec::new();
    let mut used = HashSet::new();
    let mut seen = HashMap::new();
    let routes = all(sections.iter().map(|section| {
        let host = section.host.as_ref().map_or(HostPattern::Any, |host| host.0.clone());
        let path = section.path.as_ref().map_or("/", |path| path.as_str());
        let conditions = conditions::settings(
            section.methods.as_ref(),
            section.headers.as_ref(),
            section.query.as_ref(),
            section.client_certificate.as_ref(),
            mistakes,
        );
        if let Some(certificate) = section
            .client_certificate
            .as_ref()
            .filter(|_| !assumed.has_certificates)
        {
            mistakes.at_key(certificate.at, "never reached: no listener has tls.client_ca");
        }
        let access = section.access.as_ref();
        let access = access.map(|access| access.settings(assumed.has_systems, mistakes));
        let key = conditions.map(|conditions| RouteKey {
            host,
            path: path.into(),
            conditions,
        });
        if let Some(key) = &key
            && let Some(first) = seen.insert(key.clone(), section.at)
        {
            let line = mistakes.line(first);
            let requests = if key.conditions.is_empty() {
                "host and path"
            } else {
                "requests"
            };
            let message = format!("never reached: {line} has a route for the same {requests}");
            mistakes.at(section.at, message);
        }
        if let Some(priority) = section.priority.as_ref().filter(|_| !assumed.has_overload) {
            mistakes.warn(priority.id, "has no effect without overload.concurrent_requests");
        }
        if let Some(redirect) = &section.redirect {
            section.check_redirect(mistakes);
            let redirect = redirect.settings(mistakes);
            let RouteKey { host, path, conditions } = key?;
            return Some(Route {
                host,
                path,
                conditions,
                service: ServiceId::NONE,
                rules: Rules {
                    redirect: Some(redirect?),
                    ..Rules::default()
                },
            });
        }
        let changes = |changes: &Option<HeaderChangesSection>, direction, mistakes: &mut Mistakes<'_>| match changes {
            Some(changes) => changes.settings(direction, mistakes).map(Some),
            None => Some(None),
        };
        let request_headers = changes(&section.request_headers, Direction::Request, mistakes);
        let response_headers = changes(&section.response_headers, Direction::Response, mistakes);
        if section.service.is_none() {
            mistakes.at(section.at, "service is missing");
        }
        let name = section.service.as_ref()?.as_ref()?;
        let Some(service) = ids.get(name.as_str()) else {
            let meant = did_you_mean(name, names.iter().copied());
            mistakes.at(name.id, format!("unknown service {}{meant}", shown(name)));
            return None;
        };
        used.insert(*service);
        let leads = services.and_then(|services| services.0.get(service.index())?.1.as_ref());
        if let Some(statuses) = section
            .plugin_statuses
            .as_ref()
            .filter(|_| leads.is_some_and(|leads| !leads.has_plugin()))
        {
            mistakes.warn(statuses.id, format!("has no effect: {} has no plugin", shown(name)));
        }
        let key = key?;
        let own = leads.and_then(|leads| section.policies(&key, leads, mistakes));
        let id = own.map(|own| {
            owned.push(own);
            PoliciesId(owned.len() as u32 - 1)
        });
        let RouteKey { host, path, conditions } = key;
        Some(Route {
            host,
            path,
            conditions,
            service: *service,
            rules: Rules {
                access,
                plugin_statuses: section.plugin_statuses(),
                prefix_rewrite: section.prefix_rewrite.as_ref().map(|prefix| prefix.as_str().into()),
                policies: id,
                request_headers: request_headers?,
                response_headers: response_headers?.map(Arc::new),
                redirect: None,
            },
        })
    }));
    for (index, (name, _)) in (0..).zip(services.iter().flat_map(|services| &services.0)) {
        if !used.contains(&ServiceId(index)) {
            mistakes.warn(name.id, "no route leads to this service");
        }
    }
    Some((Routes::new(routes?), owned))
}

impl RouteSection {
    /// The statuses with which a plugin may reject its requests.
    fn plugin_statuses(&self) -> Box<[u16]> {
        let statuses = self.plugin_statuses.iter().flat_map(|statuses| &statuses.value.0);
        statuses.map(|status| status.0 as u16).collect()
    }

    /// Reports what has no effect beside a redirect.
    fn check_redirect(&self, mistakes: &mut Mistakes<'_>) {
        let sections = [
            self.access.as_ref().map(|it| it.at),
            self.retry.as_ref().map(|it| it.at),
            self.timeouts.as_ref().map(|it| it.at),
            self.limits.as_ref().map(|it| it.at),
            self.request_headers.as_ref().map(|it| it.at),
            self.response_headers.as_ref().map(|it| it.at),
            self.service.as_ref().and_then(Option::as_ref).map(|it| it.id),
            self.priority.as_ref().map(|it| it.id),
            self.plugin_statuses.as_ref().map(|it| it.id),
            self.prefix_rewrite.as_ref().map(|it| it.id),
        ];
        for id in sections.into_iter().flatten() {
            mistakes.at_key(id, "has no effect beside redirect: remove one");
        }
    }

    /// Its own policies on the way to a service.
    fn policies(
        &self,
        route: &RouteKey,
        service: &ServiceSection,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<RoutePolicies> {
        let times = self.retry.as_ref().map(|it| it.at);
        let times = times.or(self.timeouts.as_ref().map(|it| it.at));
        if times.is_none() && self.limits.is_none() && self.priority.is_none() {
            return None;
        }
        if let Some(budget) = self.retry.as_ref().and_then(|retry| retry.budget.as_ref()) {
            mistakes.at_key(budget.at, "the retry budget is that of the service");
        }
        let (retry, timeouts) = service.times();
        let retry = policies::retry(self.retry.as_ref(), retry);
        let timeouts = policies::timeouts(self.timeouts.as_ref(), timeouts);
        if times.is_some() {
            policies::check_times((&retry, &timeouts), self.retry.as_ref(), times, mistakes);
        }
        Some(RoutePolicies {
            route: route.clone(),
            retry,
            timeouts,
            limits: self
                .limits
                .as_ref()
                .map(|limits| limits.settings(mistakes))
                .unwrap_or_default(),
            priority: self
                .priority
                .as_ref()
                .map_or_else(Priority::default, |word| word.value.into()),
        })
    }
}
