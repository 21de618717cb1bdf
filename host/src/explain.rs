//! Explaining: the decision about a hypothetical request, by the same function that decides requests.

use crate::chance::Chance;
use crate::decide::{Inquiry, decide, denied, plugin_reason};
use crate::geo::describe::Described;
use crate::plugin::{PluginWorker, VisibleFields};
use crate::record::SeenBy;
use crate::steer::Steered;
use crate::table::RoutingTable;
use crate::tls::VerifiedClient;
use http::{HeaderMap, Method, Request, Version};
use portolan_core::access::Denied;
use portolan_core::admission::{Limits, Priority};
use portolan_core::certificate::{AltName, ClientCertificate};
use portolan_core::config::{Retry, RoutePolicies, Service, Timeouts};
use portolan_core::decision::{Decision, Explanation};
use portolan_core::id::Slot;
use portolan_core::identity::{ClientIdentity, IdentitySource};
use portolan_core::learned::Known;
use portolan_core::route::Asked;
use std::net::IpAddr;
use std::time::Instant;
use thiserror::Error;

/// A hypothetical request.
#[derive(Clone, Debug)]
pub struct Question {
    /// The client's address.
    pub ip: IpAddr,
    /// The host that is asked for.
    pub host: String,
    /// The path that is asked for, perhaps with a query.
    pub path: String,
    /// The method.
    pub method: Method,
    /// The headers.
    pub headers: HeaderMap,
    /// What the client's certificate says, where it has one.
    pub certificate: Option<ClientCertificate>,
}

/// A hypothetical certificate with a subject and names. `None` without either.
pub fn certificate<'a>(subject: Option<&str>, names: impl IntoIterator<Item = &'a str>) -> Option<ClientCertificate> {
    let names: Box<[_]> = names.into_iter().map(AltName::guess).collect();
    (subject.is_some() || !names.is_empty()).then(|| ClientCertificate {
        subject: subject.unwrap_or_default().into(),
        names,
    })
}

/// The decision about a [`Question`].
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The decision.
    pub decision: Decision,
    /// The decision with every region of the service.
    pub explanation: Explanation,
    /// Where the client is, and how that is known.
    pub place: Described,
    /// Why the route denies the client; `None` when it does not.
    pub denied: Option<Denied>,
    /// The path and query that gateways see, where they are not the client's.
    pub rewritten: Option<String>,
    /// What applies on the way.
    pub applied: Applied,
    /// What connections from the client's prefix measured, by region. None where round trips are not learned.
    pub learned: Vec<Known>,
    /// How the client is sent to a region directly; `None` where its service does not do that.
    pub steered: Option<Steered>,
    /// What is special about the client.
    pub seen_by: SeenBy,
}

/// What applies to a request on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// How failures are retried.
    pub retry: Retry,
    /// Whether that is not as for the service.
    pub has_own_retry: bool,
    /// Time bounds.
    pub timeouts: Timeouts,
    /// Whether they are not those of the service.
    pub has_own_timeouts: bool,
    /// The limits of the route.
    pub limits: Limits,
    /// The order in which overload sheds.
    pub priority: Priority,
}

impl Applied {
    /// What applies on the way to a service by a route that has these policies of its own, if any.
    pub fn of(service: &Service, own: Option<&RoutePolicies>) -> Self {
        let (retry, timeouts) = own.map_or((&service.retry, &service.timeouts), |own| (&own.retry, &own.timeouts));
        Self {
            retry: retry.clone(),
            has_own_retry: *retry != service.retry,
            timeouts: timeouts.clone(),
            has_own_timeouts: *timeouts != service.timeouts,
            limits: own.map(|own| own.limits).unwrap_or_default(),
            priority: own.map(|own| own.priority).unwrap_or_default(),
        }
    }
}

/// Why there is no decision.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ExplainError {
    /// No route leads anywhere.
    #[error("no route is for host {host:?} and path {path:?}")]
    NoRoute {
        /// The host.
        host: String,
        /// The path.
        path: String,
    },
    /// The route redirects.
    #[error("the route for host {host:?} and path {path:?} redirects with {status} to {location}")]
    Redirect {
        /// The host.
        host: String,
        /// The path.
        path: String,
        /// The status.
        status: u16,
        /// Where to, for a request without TLS.
        location: String,
    },
    /// The instance cannot decide.
    #[error("{0}")]
    Unable(String),
}

/// Decides about a hypothetical request.
///
/// # Errors
/// When no route is for it.
pub fn explain(
    table: &RoutingTable,
    question: &Question,
    plugins: &mut PluginWorker,
) -> Result<Explained, ExplainError> {
    let Question {
        ip,
        host,
        path,
        method,
        headers,
        certificate,
    } = question;
    let client = certificate.clone().and_then(VerifiedClient::hypothetical);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let asked = Asked {
        method,
        headers,
        query,
        certificate: certificate.as_ref(),
        trust: None,
    };
    let routed = table
        .route(host, path, &asked)
        .map(|routed| routed.seen_by(question.ip));
    let routed = routed.ok_or_else(|| {
        let (host, path, asked_for) = (host.clone(), path.to_owned(), &question.path);
        let route = table.redirect(&host, &path, &asked);
        match route.and_then(|route| route.redirected("http", &host, asked_for)) {
            Some((status, location)) => ExplainError::Redirect {
                host,
                path,
                status: status.as_u16(),
                location,
            },
            None => ExplainError::NoRoute { host, path },
        }
    })?;
    let inquiry = Inquiry {
        client: ClientIdentity {
            addr: ip.to_canonical(),
            source: IdentitySource::Peer,
        },
        location: table.geo.locate(ip.to_canonical()),
        method,
        version: Version::HTTP_11,
        authority: host,
        path,
        query,
        arrival: None,
        fields: VisibleFields {
            client: client.as_ref(),
            ..VisibleFields::all(headers)
        },
        session: routed
            .entry
            .affinity
            .as_ref()
            .and_then(|affinity| affinity.session(headers, Chance::new().roll())),
        roll: Chance::new().roll(),
        now: Instant::now(),
        time: None,
    };
    let decision = decide(table, routed, &inquiry, plugins).decision;
    let round_trips = portolan_geo::azure::round_trips();
    let reason = plugin_reason(&decision, routed);
    let measured = |slot| routed.entry.gateway(slot)?.vitals.round_trip.measured(inquiry.now);
    let round_trips: (_, &dyn Fn(Slot) -> _) = (round_trips, &measured);
    let explanation = decision.explain(table.config(), routed.service, routed.health, round_trips, reason);
    let mut place = table.geo.describe(ip.to_canonical(), &table.settings.geo.networks);
    if decision.location.place.point.is_none() && table.config().fallback().is_some() {
        place.place += "; assumed to be where this instance is";
    }
    let steered = routed.entry.steering.as_ref().and_then(|steering| {
        let mut request = Request::new(());
        *request.method_mut() = method.clone();
        *request.uri_mut() = question.path.parse().ok()?;
        *request.headers_mut() = headers.clone();
        Some(steering.explain(&decision, &request.into_parts().0, host))
    });
    Ok(Explained {
        decision,
        explanation,
        place,
        denied: denied(table, routed, ip.to_canonical()).map(|(why, _)| why),
        rewritten: routed.route.rewritten(&question.path),
        applied: Applied::of(routed.service, routed.own),
        learned: Vec::new(),
        steered,
        seen_by: table.special_of(routed.id, ip.to_canonical()),
    })
}
