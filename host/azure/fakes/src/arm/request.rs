//! The steps of a request: authentication, rate limit, validation, action, answer.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::super::contract::{Match, NoOperation};
use super::super::http::{Answer, Received};
use super::super::journal::Recorded;
use super::super::locked;
use super::errors::ArmError;
use super::kind::{self, Request};
use super::operations::{self, Poll};
use super::throttle::{Kind as Bucket, Rejected};
use super::{Kind, Shared, State, classic};

/// The resources that a token may be for.
const AUDIENCES: [&str; 2] = ["https://management.azure.com", "https://management.core.windows.net"];

impl Shared {
    pub(super) fn answer(&self, received: Received) -> Answer {
        let now = self.clock.now();
        let mut violations = Vec::new();
        let fault = self.faults.meet(&received);
        let mut reply = || match self.reply(&received, now, &mut violations) {
            Ok(response) => response,
            Err(error) => error.response(),
        };
        let answer = match fault {
            None => Answer::Whole(reply()),
            Some(fault) => fault.apply(reply, |status, code| {
                ArmError::new(status, code, "This fault was injected.").response()
            }),
        };
        self.journal.record(Recorded {
            at: now,
            listener: received.listener.to_string(),
            method: received.head.method.clone(),
            path: received.head.uri.path().to_owned(),
            api_version: api_version(&query(&received)).map(str::to_owned),
            body: String::from_utf8_lossy(&received.body).into_owned(),
            status: answer.status(),
            violations,
        });
        answer
    }

    fn reply(
        &self,
        received: &Received,
        now: SystemTime,
        violations: &mut Vec<String>,
    ) -> Result<Response<Bytes>, ArmError> {
        let head = &received.head;
        let grant = self
            .tokens
            .check(&head.headers, &AUDIENCES)
            .map_err(|rejection| ArmError::unauthorized(&rejection))?;
        let mut state = locked(&self.state);
        state.settle(now);
        let bucket = Bucket::of(&head.method);
        let left = state
            .throttle
            .take(&grant.client_id, bucket, now)
            .map_err(|Rejected { retry_after_s }| ArmError::too_many_requests(retry_after_s, bucket.remaining()))?;
        let mut response = match operations::poll(head.uri.path()) {
            Some(poll) => state.poll(poll, received, &grant.client_id)?,
            None => self.act(&mut state, received, &grant.client_id, now, violations)?,
        };
        response.headers_mut().insert(bucket.remaining(), left.into());
        Ok(response)
    }

    fn act(
        &self,
        state: &mut State,
        received: &Received,
        client: &str,
        now: SystemTime,
        violations: &mut Vec<String>,
    ) -> Result<Response<Bytes>, ArmError> {
        let head = &received.head;
        let path = head.uri.path().trim_end_matches('/');
        let query = query(received);
        let version = api_version(&query).ok_or_else(ArmError::no_api_version)?;
        let found = self
            .contract
            .find(&head.method, path, version)
            .map_err(|no| reject(&no, violations))?;
        let (kind, verb) = kind::wanted(&found.operation.id).ok_or_else(|| {
            let message = format!("This fake does not implement {}.", found.operation.id);
            ArmError::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
        })?;
        state.allow(client, &format!("{}/{}", kind.resource_type(), verb.action()), path)?;
        let key = path.to_ascii_lowercase();
        let body = body(received, violations)?;
        self.check(state, &found, kind, &key, &query, body.as_ref(), violations)?;
        let base = self.base(received)?;
        let request = Request {
            kind,
            verb,
            found: &found,
            key,
            body: body.as_ref(),
            base: &base,
            now,
        };
        let response = state.carry_out(&request)?;
        // The fake keeps the contract, too.
        let sent: Option<Value> = serde_json::from_slice(response.body()).ok();
        let own = self
            .contract
            .check_answer(found.operation, response.status().as_u16(), sent.as_ref());
        violations.extend(own.iter().map(|violation| format!("answer: {violation}")));
        Ok(response)
    }

    #[expect(clippy::too_many_arguments, reason = "they are the parts of one request")]
    fn check(
        &self,
        state: &State,
        found: &Match<'_>,
        kind: Kind,
        key: &str,
        query: &[(String, String)],
        body: Option<&Value>,
        violations: &mut Vec<String>,
    ) -> Result<(), ArmError> {
        let mut problems = self.contract.check_request(found, query, body);
        if let (Kind::ClassicFrontDoor, Some(body)) = (kind, body) {
            classic::forgive_unchanged(&mut problems, state.world.view(key).as_ref(), body);
        }
        violations.extend(problems.iter().map(ToString::to_string));
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ArmError::bad_request(violations.join("; ")))
        }
    }

    /// The root of this server as the client named it.
    fn base(&self, received: &Received) -> Result<Url, ArmError> {
        let host = received
            .head
            .headers
            .get(header::HOST)
            .and_then(|value| value.to_str().ok());
        let url = host.and_then(|host| Url::parse(&format!("{}://{host}/", self.scheme)).ok());
        url.ok_or_else(|| ArmError::bad_request("The Host header is missing."))
    }
}

impl State {
    fn poll(&self, poll: Poll<'_>, received: &Received, client: &str) -> Result<Response<Bytes>, ArmError> {
        api_version(&query(received)).ok_or_else(ArmError::no_api_version)?;
        if received.head.method != http::Method::GET {
            return Err(method_not_allowed());
        }
        self.allow(client, poll.action, poll.scope)?;
        self.operations.answer(poll, &self.world, &self.script)
    }

    fn allow(&self, client: &str, action: &str, scope: &str) -> Result<(), ArmError> {
        let (wanted, script) = (action.to_ascii_lowercase(), &self.script);
        let allowed = script.allowed.as_ref().is_none_or(|allowed| allowed.contains(&wanted));
        if script.denied.contains(&wanted) || !allowed {
            Err(ArmError::forbidden(client, action, scope))
        } else {
            Ok(())
        }
    }
}

fn reject(no: &NoOperation, violations: &mut Vec<String>) -> ArmError {
    violations.push(no.to_string());
    match no {
        NoOperation::Path(_) => ArmError::new(StatusCode::NOT_FOUND, "InvalidResourceType", no.to_string()),
        NoOperation::Version { .. } => {
            ArmError::new(StatusCode::BAD_REQUEST, "NoRegisteredProviderFound", no.to_string())
        }
        NoOperation::Method(_) => method_not_allowed(),
    }
}

fn method_not_allowed() -> ArmError {
    ArmError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "The method is not allowed here.",
    )
}

/// The body, if there is one: JSON with its content type.
fn body(received: &Received, violations: &mut Vec<String>) -> Result<Option<Value>, ArmError> {
    if received.body.is_empty() {
        return Ok(None);
    }
    let kind = received
        .head
        .headers
        .get(header::CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let media_type = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    let mut reject = |text: String| {
        violations.push(text.clone());
        ArmError::new(StatusCode::BAD_REQUEST, "InvalidRequestContent", text)
    };
    if !media_type.trim_ascii().eq_ignore_ascii_case(b"application/json") {
        return Err(reject("content-type is not application/json".to_owned()));
    }
    serde_json::from_slice(&received.body)
        .map(Some)
        .map_err(|error| reject(format!("body is not JSON: {error}")))
}

fn query(received: &Received) -> Vec<(String, String)> {
    form_urlencoded::parse(received.head.uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

fn api_version(query: &[(String, String)]) -> Option<&str> {
    query
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("api-version"))
        .map(|(_, version)| version.as_str())
}
