//! Long-running operations: queued per profile, ending by the clock, reported at a status URL and a result URL.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;
use url::Url;

use super::errors::{ArmError, empty_response, json_response};
use super::world::{Change, World, scope};
use super::{Ending, Kind, Script};

/// Where the status URL is named.
pub(super) const ASYNC_OPERATION: HeaderName = HeaderName::from_static("azure-asyncoperation");

/// An accepted change and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// The number in its URLs.
    pub id: u64,
    /// The resource that it changes, in lower case.
    pub resource: String,
    /// When it ends by itself; `None` if it waits for [`finish_operations`](super::FakeArm::finish_operations).
    pub ends: Option<SystemTime>,
    /// How it will end, or has ended.
    pub ending: Ending,
    /// Whether it has ended.
    pub ended: bool,
}

#[derive(Debug, Default)]
pub(super) struct Operations(Vec<Operation>);

/// A GET of one of an operation's URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Poll<'p> {
    pub(super) id: u64,
    /// The result URL rather than the status URL.
    pub(super) result: bool,
    /// The action that a client must be allowed.
    pub(super) action: &'static str,
    pub(super) scope: &'p str,
}

impl Operations {
    pub(super) fn all(&self) -> &[Operation] {
        &self.0
    }

    /// Accepts a change. It begins when those before it in the same profile have ended.
    pub(super) fn begin(
        &mut self,
        kind: Kind,
        key: &str,
        change: Change,
        script: &Script,
        now: SystemTime,
        world: &mut World,
    ) -> u64 {
        let id = self.0.len() as u64 + 1;
        let before = self.0.iter().rfind(|o| !o.ended && scope(&o.resource) == scope(key));
        let begins = before.map_or(Some(now), |o| o.ends);
        let ends = begins.zip(script.operations_last).map(|(begins, last)| begins + last);
        world.accept(kind, key, id, change);
        self.0.push(Operation {
            id,
            resource: key.to_owned(),
            ends,
            ending: script.ending.clone(),
            ended: false,
        });
        id
    }

    pub(super) fn is_busy(&self, key: &str) -> bool {
        self.0.iter().any(|o| !o.ended && scope(&o.resource) == scope(key))
    }

    /// Ends what is due, in order.
    pub(super) fn settle(&mut self, world: &mut World, propagation: Duration, now: SystemTime) {
        for operation in self.0.iter_mut().filter(|o| !o.ended) {
            let Some(ends) = operation.ends.filter(|ends| *ends <= now) else {
                continue;
            };
            operation.ended = true;
            let succeeded = operation.ending == Ending::Succeeded;
            world.settle(&operation.resource, operation.id, succeeded, ends, propagation);
        }
    }

    /// Makes one operation end now, before those that wait.
    pub(super) fn finish_one(&mut self, id: u64, now: SystemTime) {
        self.0.iter_mut().filter(|o| o.id == id).for_each(|o| {
            o.ends = Some(now);
            o.ending = Ending::Succeeded;
        });
    }

    /// Makes everything that runs end now.
    pub(super) fn finish(&mut self, now: SystemTime) {
        self.0.iter_mut().filter(|o| !o.ended).for_each(|o| o.ends = Some(now));
    }

    pub(super) fn next_end(&self) -> Option<SystemTime> {
        self.0.iter().filter(|o| !o.ended).filter_map(|o| o.ends).min()
    }

    /// The headers of an answer 202.
    pub(super) fn headers(
        &self,
        id: u64,
        base: &Url,
        version: &str,
        script: &Script,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let Some(operation) = self.find(id) else {
            return Vec::new();
        };
        let mut headers = Vec::new();
        let mut add = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.push((name, value));
            }
        };
        let base = script.poll_at.as_ref().unwrap_or(base);
        if script.writes != super::Writes::LocationOnly {
            add(ASYNC_OPERATION, operation.url(base, false, version));
        }
        add(header::LOCATION, operation.url(base, true, version));
        if let Some(seconds) = script.retry_after {
            add(header::RETRY_AFTER, seconds.to_string());
        }
        headers
    }

    /// Answers a poll.
    pub(super) fn answer(&self, poll: Poll<'_>, world: &World, script: &Script) -> Result<Response<Bytes>, ArmError> {
        let operation = self.find(poll.id).ok_or_else(|| {
            ArmError::new(
                StatusCode::NOT_FOUND,
                "NotFound",
                format!("There is no operation {}.", poll.id),
            )
        })?;
        let mut response = if poll.result {
            operation.result(world)?
        } else {
            operation.status(script)
        };
        if let (false, Some(seconds)) = (operation.ended, script.retry_after) {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        Ok(response)
    }

    fn find(&self, id: u64) -> Option<&Operation> {
        self.0.iter().find(|operation| operation.id == id)
    }
}

impl Operation {
    fn status(&self, script: &Script) -> Response<Bytes> {
        let body = match &self.ending {
            _ if !self.ended => json!({"status": script.running_status}),
            Ending::Succeeded => json!({"status": "Succeeded"}),
            Ending::Failed { code, message } => {
                json!({"status": "Failed", "error": {"code": code, "message": message}})
            }
            Ending::Canceled => {
                let error = json!({"code": "OperationCanceled", "message": "The operation was canceled."});
                json!({"status": "Canceled", "error": error})
            }
        };
        json_response(StatusCode::OK, &body)
    }

    fn result(&self, world: &World) -> Result<Response<Bytes>, ArmError> {
        match &self.ending {
            _ if !self.ended => Ok(empty_response(StatusCode::ACCEPTED)),
            Ending::Succeeded => Ok(match world.view(&self.resource) {
                Some(resource) => json_response(StatusCode::OK, &resource),
                None => empty_response(StatusCode::NO_CONTENT),
            }),
            Ending::Failed { code, message } => Err(ArmError::new(StatusCode::BAD_REQUEST, code, message)),
            Ending::Canceled => Err(ArmError::new(
                StatusCode::CONFLICT,
                "OperationCanceled",
                "The operation was canceled.",
            )),
        }
    }

    /// The status or the result URL, at resource-group level as in the specification's examples.
    fn url(&self, base: &Url, result: bool, version: &str) -> String {
        let mut segments = self.resource.trim_start_matches('/').split('/');
        let group = segments.by_ref().take(5).collect::<Vec<_>>().join("/");
        let namespace = segments.next().unwrap_or_default();
        let path = match (namespace, result) {
            ("microsoft.network", false) => "Microsoft.Network/frontdooroperationresults",
            ("microsoft.network", true) => "Microsoft.Network/frontdoorresults",
            (_, false) => "Microsoft.Cdn/operationresults",
            (_, true) => "Microsoft.Cdn/operationresults/profileresults",
        };
        format!("{}{group}/{path}/{}?api-version={version}", base.as_str(), self.id)
    }
}

/// Reads a path as that of an operation's URL.
pub(super) fn poll(path: &str) -> Option<Poll<'_>> {
    let lower = path.to_ascii_lowercase();
    let (start, id) = lower.rsplit_once('/')?;
    let (_, place) = start.split_once("/providers/")?;
    let (result, action) = match place {
        "microsoft.cdn/operationresults" => (false, "Microsoft.Cdn/operationresults/read"),
        "microsoft.cdn/operationresults/profileresults" => (true, "Microsoft.Cdn/operationresults/profileresults/read"),
        "microsoft.network/frontdooroperationresults" => (false, "Microsoft.Network/frontdooroperationresults/read"),
        "microsoft.network/frontdoorresults" => (true, "Microsoft.Network/frontdoorresults/read"),
        _ => return None,
    };
    // An id that is no number belongs to no operation; none has the number 0.
    Some(Poll {
        id: id.parse().unwrap_or(0),
        result,
        action,
        scope: &path[..start.len()],
    })
}
