//! Front Door's health probes, answered from prepared answers: no plugin, no gateway, no counting.

use super::SnapshotCell;
use crate::config::{FrontDoorSettings, Settings};
use crate::respond::{self, Body};
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use portolan_azure::probe::{Answer, ProbeAnswers, Reason};
use portolan_core::id::{ServiceId, Slot};
use tokio::time::Instant;

/// The methods of probes.
const ALLOW: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// The answer before one has been prepared.
const UNKNOWN: Answer = Answer {
    healthy: true,
    reason: Reason::Unknown,
};

/// The answer to every probe while the program is about to stop.
const LEAVING: &str = "this instance is about to stop\n";

/// What a probe asks for, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Whether any region of the service is healthy.
    Service(ServiceId),
    /// Whether this one is.
    Region(ServiceId, Slot),
}

impl SnapshotCell {
    /// The answer to a request below the probe path, which is never sent on; `None` for every other request.
    #[inline]
    pub fn answer(&self, settings: &Settings, request: &Parts, path: &str) -> Option<Response<Body>> {
        let front_door = settings.front_door.as_deref()?;
        let below = below(front_door, path)?;
        Some(self.probe(settings, request, below))
    }

    #[cold]
    fn probe(&self, settings: &Settings, request: &Parts, below: &str) -> Response<Body> {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let mut refusal = respond::plain(StatusCode::METHOD_NOT_ALLOWED, "probes are GET or HEAD\n");
            refusal.headers_mut().insert(header::ALLOW, ALLOW);
            return refusal;
        }
        if self.is_leaving() {
            return respond::plain(StatusCode::SERVICE_UNAVAILABLE, LEAVING);
        }
        let (service, region) = match below.split_once('/') {
            Some((service, region)) => (service, Some(region)),
            None => (below, None),
        };
        let (now, snapshot) = (Instant::now(), self.load());
        let prepared = snapshot.as_deref().map(|snapshot| &*snapshot.answers);
        let Some((answers, asked)) = prepared.and_then(|answers| Some((answers, find(answers, service, region)?)))
        else {
            // A service that is new, of which nothing has been prepared yet.
            return if is_configured(settings, service, region) {
                response(UNKNOWN, &format!("{UNKNOWN}\n"))
            } else {
                respond::plain(StatusCode::NOT_FOUND, "no such service or region here\n")
            };
        };
        let (service, answer) = match asked {
            Asked::Service(service) => (service, answers.service(service, now)),
            Asked::Region(service, slot) => (service, answers.region(service, slot, now)),
        };
        let may_explain = settings.front_door.as_ref().is_some_and(|it| it.explains_probes);
        if may_explain && wants_explanation(request) {
            response(answer, &answers.explain(service, now))
        } else {
            response(answer, &format!("{answer}\n"))
        }
    }
}

/// What of a path follows the probe path and a slash; nothing after the probe path alone.
fn below<'a>(front_door: &FrontDoorSettings, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(&*front_door.path)?;
    rest.strip_prefix('/').or(rest.is_empty().then_some(rest))
}

fn find(answers: &ProbeAnswers, service: &str, region: Option<&str>) -> Option<Asked> {
    let service = answers.service_named(service)?;
    match region {
        Some(region) => Some(Asked::Region(service, answers.region_named(service, region)?)),
        None => Some(Asked::Service(service)),
    }
}

fn is_configured(settings: &Settings, service: &str, region: Option<&str>) -> bool {
    let services = settings.routing.services();
    let service = services.iter().find(|known| known.name.as_str() == service);
    service.is_some_and(|service| region.is_none_or(|region| service.slot_of(&region.into()).is_some()))
}

fn wants_explanation(request: &Parts) -> bool {
    let query = request.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "explain")
}

fn response(answer: Answer, text: &str) -> Response<Body> {
    let status = if answer.healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    respond::plain(status, text)
}

#[cfg(test)]
mod tests;
