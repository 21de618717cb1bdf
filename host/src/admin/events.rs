//! `GET /api/v1/events`.

use super::answer::{Answer, Failure, json};
use super::backend::AdminBackend;
use super::query::parameters;
use super::view::events::EventList;
use http::StatusCode;
use std::time::Duration;

/// The longest that a request waits for events.
const LONGEST: Duration = Duration::from_secs(60);

/// The events after a number, waited for where that is asked.
pub(super) async fn events(instance: &dyn AdminBackend, query: &str) -> Answer {
    let (mut since, mut wait) = (0, None);
    for (key, value) in parameters(query) {
        match &*key {
            "since" => match value.parse() {
                Ok(number) => since = number,
                Err(_) => return wrong(&format!("since={value} is not the number of an event")),
            },
            "wait" => match humantime::parse_duration(&value) {
                Ok(time) => wait = Some(time.min(LONGEST)),
                Err(_) => return wrong(&format!("wait={value} is not a duration")),
            },
            other => {
                return Failure::new(format!("there is no parameter {other:?}"))
                    .known(["since", "wait"])
                    .answer(StatusCode::BAD_REQUEST);
            }
        }
    }
    let events = instance.events();
    let (events, latest) = match wait {
        None => events.since(since),
        Some(time) => events.wait_since(since, time).await,
    };
    json(&EventList { latest, events })
}

fn wrong(why: &str) -> Answer {
    Failure::new(why)
        .hint("ask for example /api/v1/events?since=120&wait=30s")
        .answer(StatusCode::BAD_REQUEST)
}
