//! Why requests go where they go: `GET /api/v1/explain` and `GET /api/v1/requests`.

use super::answer::{Answer, Failure, json};
use super::backend::{AdminBackend, ExplainError, Question, certificate};
use super::query::parameters;
use super::view::decisions::{LoggedRequest, LoggedRequests};
use super::view::explain::Explain;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// How many requests are listed at most, and without a limit.
const LISTED: (usize, usize) = (1000, 20);

/// The last requests whose decisions are kept.
pub(super) fn requests(instance: &dyn AdminBackend, query: &str) -> Answer {
    let (mut only_failed, mut limit) = (false, LISTED.1);
    for (key, value) in parameters(query) {
        match (&*key, &*value) {
            ("failed", "true" | "") => only_failed = true,
            ("failed", "false") => only_failed = false,
            ("limit", value)
                if value
                    .parse()
                    .is_ok_and(|number: usize| (1..=LISTED.0).contains(&number)) =>
            {
                limit = value.parse().unwrap_or(LISTED.1);
            }
            ("failed", value) => {
                return Failure::new(format!("failed={value} is neither true nor false"))
                    .answer(StatusCode::BAD_REQUEST);
            }
            ("limit", value) => {
                let failure = Failure::new(format!("limit={value} is not a number from 1 to {}", LISTED.0));
                return failure.answer(StatusCode::BAD_REQUEST);
            }
            (other, _) => {
                let failure = Failure::new(format!("there is no parameter {other:?}"));
                return failure.known(["failed", "limit"]).answer(StatusCode::BAD_REQUEST);
            }
        }
    }
    let last = instance.decisions().last(limit, only_failed);
    json(&LoggedRequests::of(last.iter().map(|logged| &**logged)))
}

/// A decision: of a request that was, or about a hypothetical one.
pub(super) fn explain(instance: &dyn AdminBackend, query: &str) -> Answer {
    if let Some((_, id)) = parameters(query).find(|(key, _)| key == "request") {
        return logged(instance, &id, query);
    }
    let (question, why_not) = match question(query) {
        Ok(question) => question,
        Err(failure) => {
            return failure
                .hint(
                    "ask for example /api/v1/explain?ip=81.2.69.142&host=shop.example.net&path=/&header=Cookie:%20a=b",
                )
                .answer(StatusCode::BAD_REQUEST);
        }
    };
    match instance.explain(&question) {
        Ok(explained) => {
            let explain = Explain::of(&question, &explained).with_drains(&instance.snapshot().drains);
            match why_not {
                None => json(&explain),
                Some(region) => why_not_answer(&region, explain.asked_why_not(&region)),
            }
        }
        Err(error @ ExplainError::NoRoute { .. }) => Failure::new(error)
            .hint("give host and path as a client would; /api/v1/config lists the routes")
            .answer(StatusCode::NOT_FOUND),
        Err(error @ ExplainError::Redirect { .. }) => Failure::new(error)
            .hint("a redirect leads to no service and no region")
            .answer(StatusCode::NOT_FOUND),
        Err(error @ ExplainError::Unable(_)) => Failure::new(error).answer(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The decision about a request that was.
fn logged(instance: &dyn AdminBackend, id: &str, query: &str) -> Answer {
    let mut why_not = None;
    for (key, value) in parameters(query) {
        match &*key {
            "request" => {}
            "why_not" => why_not = Some(value.into_owned()),
            other => {
                let failure = Failure::new(format!("there is no parameter {other:?} beside request"));
                return failure.known(["why_not"]).answer(StatusCode::BAD_REQUEST);
            }
        }
    }
    let Some(logged) = instance.decisions().find(id.trim()) else {
        return Failure::new(format!("request {id:?} is not in the decision log of this instance"))
            .hint(
                "kept are the last 4,096 of the requests that failed or were tried more than once, up to 50 a second, and the last 4,096 \
                 others, up to 25 a second, since the start; a request is there a second after its end. The access log has every \
                 request. With several instances, ask the one that served it. `portolan explain --recent` lists what is there; what \
                 would be decided now: `portolan explain --client ADDR --host HOST --path PATH`",
            )
            .answer(StatusCode::NOT_FOUND);
    };
    let request = LoggedRequest::of(&logged, &instance.snapshot().drains);
    match why_not {
        None => json(&request),
        Some(_) if request.decision.is_none() => {
            let why = request.error.as_deref().unwrap_or(&request.outcome);
            Failure::new(format!("request {id} was rejected before a region was chosen: {why}"))
                .answer(StatusCode::CONFLICT)
        }
        Some(region) => why_not_answer(&region, request.asked_why_not(&region)),
    }
}

fn why_not_answer(region: &str, asked: Result<impl serde::Serialize, Vec<String>>) -> Answer {
    match asked {
        Ok(explained) => json(&explained),
        Err(known) => Failure::new(format!("the service of this request has no region {region}"))
            .hint(format!("it has {}", known.join(", ")))
            .known(known)
            .answer(StatusCode::NOT_FOUND),
    }
}

/// The hypothetical request, and the region that it is asked about.
fn question(query: &str) -> Result<(Question, Option<String>), Failure> {
    let (mut ip, mut host, mut path, mut method) = (None, String::new(), "/".to_owned(), Method::GET);
    let mut headers = HeaderMap::new();
    let (mut subject, mut names, mut why_not) = (None, Vec::new(), None);
    for (key, value) in parameters(query) {
        match &*key {
            "ip" => {
                ip = Some(
                    value
                        .trim()
                        .parse()
                        .map_err(|_| Failure::new(format!("ip={value} is not an address")))?,
                )
            }
            "host" => host = value.into_owned(),
            "path" => path = value.into_owned(),
            "method" => {
                method = value
                    .parse()
                    .map_err(|_| Failure::new(format!("method={value} is not a method")))?;
            }
            "header" => {
                let (name, value) = read_header(&value)
                    .ok_or_else(|| Failure::new(format!("header={value} is not a header; write name: value")))?;
                headers.append(name, value);
            }
            "certificate_subject" => subject = Some(value),
            "certificate_san" => names.push(value),
            "why_not" => why_not = Some(value.into_owned()),
            other => {
                let known = [
                    "ip",
                    "host",
                    "path",
                    "method",
                    "header",
                    "certificate_subject",
                    "certificate_san",
                    "why_not",
                    "request",
                ];
                return Err(Failure::new(format!("there is no parameter {other:?}")).known(known));
            }
        }
    }
    let question = Question {
        ip: ip.ok_or_else(|| {
            Failure::new("ip, the client's address, is missing; or request, the id of a request that was")
        })?,
        host,
        path,
        method,
        headers,
        certificate: certificate(subject.as_deref(), names.iter().map(AsRef::as_ref)),
    };
    Ok((question, why_not))
}

fn read_header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}
