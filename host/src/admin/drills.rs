//! Drills: beginning one, following it, ending it.

use super::Caller;
use super::answer::{Answer, Failure, json};
use super::backend::AdminBackend;
use super::query::parameters;
use crate::config;
use crate::control::drills::{DrillReport, Terms};
use http::StatusCode;
use portolan_core::drill::Condition;
use std::time::Duration;

/// How long its clients are counted before and after, when nothing is said.
const BASELINE: Duration = Duration::from_secs(10);

/// The longest drill.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

const EXAMPLE: &str =
    "ask for example for /api/v1/drill?lose=westeurope&share=10%25&for=5m&abort_if=error_rate%20%3E%201%25";

/// Begins one.
pub(super) fn begin(instance: &dyn AdminBackend, caller: &Caller, query: &str) -> Answer {
    let terms = match terms(query) {
        Ok(terms) => terms,
        Err(failure) => return failure.hint(EXAMPLE).answer(StatusCode::BAD_REQUEST),
    };
    match instance.begin_drill(terms, &caller.name) {
        Ok(report) => json(&report),
        Err(error) => Failure::new(error).answer(StatusCode::CONFLICT),
    }
}

/// The one that runs, or the last one.
pub(super) fn shown(report: Option<DrillReport>) -> Answer {
    match report {
        Some(report) => json(&report),
        None => Failure::new("there was no drill since the start").answer(StatusCode::NOT_FOUND),
    }
}

/// Ends the one that runs.
pub(super) fn stop(instance: &dyn AdminBackend) -> Answer {
    match instance.stop_drill() {
        true => shown(instance.drill(false)),
        false => Failure::new("no drill runs").answer(StatusCode::CONFLICT),
    }
}

fn terms(query: &str) -> Result<Terms, Failure> {
    let (mut region, mut share, mut lasts, mut baseline, mut abort_if, mut min_regions) =
        (None, None, None, BASELINE, None, 1);
    for (key, value) in parameters(query) {
        let wrong = |wanted: &str| Failure::new(format!("{key}={value} is not {wanted}"));
        let time = || {
            let time = humantime::parse_duration(&value).ok();
            time.filter(|time| *time <= LONGEST)
                .ok_or_else(|| wrong("a duration of at most a day; write 5m"))
        };
        match &*key {
            "lose" => region = Some(value.as_ref().into()),
            "share" => share = Some(config::share(&value).ok_or_else(|| wrong("a share; write 10%"))?),
            "for" => lasts = Some(time()?),
            "baseline" => baseline = time()?,
            "abort_if" => abort_if = Some(value.parse::<Condition>().map_err(Failure::new)?),
            "min_regions" => {
                let least = value.parse().ok().filter(|least| *least >= 1);
                min_regions = least.ok_or_else(|| wrong("a number from 1"))?;
            }
            "reason" | "author" => {}
            other => {
                let known = [
                    "lose",
                    "share",
                    "for",
                    "baseline",
                    "abort_if",
                    "min_regions",
                    "reason",
                    "author",
                ];
                return Err(Failure::new(format!("there is no parameter {other:?}")).known(known));
            }
        }
    }
    let missing = |what: &str| Failure::new(format!("{what} is missing"));
    Ok(Terms {
        region: region.ok_or_else(|| missing("lose, the region"))?,
        share: share.ok_or_else(|| missing("share, of the clients"))?,
        lasts: lasts.ok_or_else(|| missing("for, how long"))?,
        baseline,
        abort_if,
        min_regions,
    })
}
