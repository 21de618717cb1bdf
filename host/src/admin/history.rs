//! What has been: `GET /api/v1/history` and `GET /api/v1/traffic`.

use super::answer::{Answer, Failure, compact_json};
use super::backend::{AdminBackend, StatusSnapshot};
use super::query::parameters;
use super::view::history::HistoryView;
use super::view::traffic::TrafficView;
use http::StatusCode;
use std::time::Instant;

/// The intervals after a number.
pub(super) fn history(instance: &dyn AdminBackend, query: &str) -> Answer {
    let mut since = 0;
    for (key, value) in parameters(query) {
        match (&*key, value.parse()) {
            ("since", Ok(number)) => since = number,
            ("since", Err(_)) => {
                return Failure::new(format!("since={value} is not the number of an interval"))
                    .hint("ask for example /api/v1/history?since=120")
                    .answer(StatusCode::BAD_REQUEST);
            }
            (other, _) => {
                return Failure::new(format!("there is no parameter {other:?}"))
                    .known(["since"])
                    .answer(StatusCode::BAD_REQUEST);
            }
        }
    }
    compact_json(&HistoryView::of(&instance.history().since(since), since))
}

/// Where the requests of a service came from and went.
pub(super) fn traffic(instance: &dyn AdminBackend, query: &str) -> Answer {
    let snapshot = instance.snapshot();
    let service = parameters(query).find(|(key, _)| key == "service");
    let service = service.as_ref().map(|(_, value)| value.as_ref());
    match TrafficView::of(&snapshot, &instance.traffic().collected(Instant::now()), service) {
        Some(traffic) => compact_json(&traffic),
        None => no_service(&snapshot, service),
    }
}

/// There is no such service.
pub(super) fn no_service(snapshot: &StatusSnapshot, service: Option<&str>) -> Answer {
    Failure::new(format!("there is no service {:?}", service.unwrap_or_default()))
        .known(snapshot.config.services().iter().map(|service| &service.name))
        .answer(StatusCode::NOT_FOUND)
}
