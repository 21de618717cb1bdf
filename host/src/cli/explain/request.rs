//! `portolan explain` about requests that were: `--request ID` and `--recent`.

use super::{Arguments, regions, why_not};
use crate::admin::view::candidates::Tried;
use crate::admin::view::decisions::{LoggedLine, LoggedRequest, LoggedRequests};
use crate::cli::{admin_client, output};
use form_urlencoded::Serializer;
use http::Method;
use std::fmt::Write as _;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut query = Serializer::new(String::new());
    let Some(id) = &arguments.request else {
        query.append_pair("failed", if arguments.failed { "true" } else { "false" });
        let path = format!("/api/v1/requests?{}", query.finish());
        let list: LoggedRequests = admin_client::parse(&arguments.instance.ask(Method::GET, &path)?)?;
        if arguments.json {
            return output::print_json(&list);
        }
        output::print(&listed(&list.requests))?;
        return Ok(());
    };
    query.append_pair("request", id);
    if let Some(region) = &arguments.why_not {
        query.append_pair("why_not", region);
    }
    let path = format!("/api/v1/explain?{}", query.finish());
    let request: LoggedRequest = admin_client::parse(&arguments.instance.ask(Method::GET, &path)?)?;
    if arguments.json {
        return output::print_json(&request);
    }
    output::print(&text(&request))?;
    Ok(())
}

fn listed(requests: &[LoggedLine]) -> String {
    if requests.is_empty() {
        return "no requests yet: one is listed about a second after its end\n".to_owned();
    }
    let mut text =
        String::from("at                        request                           client            answer\n");
    for line in requests {
        let status = line.status.map_or(String::new(), |status| format!("{status} "));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<25} {:<33} {:<17} {status}{} {}",
            line.at,
            line.request_id,
            line.client,
            line.outcome,
            attempts(&line.attempts)
        );
    }
    text
}

fn text(request: &LoggedRequest) -> String {
    let mut text = request.why_not.as_ref().map_or(String::new(), why_not);
    let country = request.country.as_deref().unwrap_or("unknown country");
    let place = request.location.map_or("no location".to_owned(), |it| {
        format!("{:.1}, {:.1}", it.latitude, it.longitude)
    });
    let status = request.status.map_or(String::new(), |status| format!("{status} "));
    let error = request
        .error
        .as_ref()
        .map_or(String::new(), |error| format!(" ({error})"));
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "request   {}, ended {}, kept as {}",
        request.request_id, request.at, request.kept
    );
    let _ = writeln!(
        text,
        "client    {} ({country}, {place}) from {}",
        request.client, request.client_from
    );
    let first_byte = request
        .first_byte_ms
        .map_or(String::new(), |ms| format!(", first byte after {ms:.1} ms"));
    let _ = writeln!(
        text,
        "answer    {status}{}{error}{first_byte}, all after {:.1} ms",
        request.outcome, request.total_ms
    );
    let _ = writeln!(
        text,
        "by        {}",
        request.answered_by.as_deref().unwrap_or("no region")
    );
    let _ = writeln!(
        text,
        "attempts  {}",
        match attempts(&request.attempts) {
            none if none.is_empty() => "none".to_owned(),
            attempts => attempts,
        }
    );
    if let Some(why) = &request.no_retry {
        let _ = writeln!(text, "no retry  {why}");
    }
    let Some(decision) = &request.decision else {
        text.push_str("decision  none: it was rejected before\n");
        return text;
    };
    let _ = writeln!(
        text,
        "service   {} ({}), routing table {}, decided in {:.3} ms",
        decision.service, decision.policy, decision.generation, decision.decide_ms
    );
    if decision.canary {
        text.push_str("plugin    the version that is being rolled out decided\n");
    }
    if decision.drill {
        text.push_str("drill     its client took part in a drill\n");
    }
    let _ = writeln!(text, "reason    {}", decision.reason);
    text.push_str(&regions(&decision.regions));
    text
}

fn attempts(attempts: &[Tried]) -> String {
    let attempts = attempts
        .iter()
        .map(|tried| format!("{} {}", tried.region, tried.outcome));
    attempts.collect::<Vec<_>>().join(", then ")
}
