//! What can be made to go wrong, and for which requests.

use std::sync::Mutex;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};

use super::http::{Answer, Received};
use super::locked;

/// A way for a request to go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The request is not carried out and never answered.
    Hang,
    /// The request is not carried out; the connection is reset.
    Reset,
    /// The request is not carried out; the answer is 200 with bytes that are neither JSON nor XML.
    Garbage,
    /// The request is carried out, but its answer breaks off half way; one without a body does not come at all.
    Cut,
    /// The request is rejected with this status and error code.
    Reject {
        /// HTTP status, such as 500.
        status: u16,
        /// The error code in the body, such as `InternalServerError`.
        code: String,
    },
    /// The request is rejected with 429.
    TooManyRequests {
        /// The `Retry-After` that goes with it, in seconds; none if `None`.
        retry_after: Option<u32>,
    },
}

/// Which requests a fault is for; every condition given must hold.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    listener: Option<String>,
    method: Option<Method>,
    path: Option<String>,
}

impl Requests {
    /// Every request.
    pub fn all() -> Requests {
        Requests::default()
    }

    /// Those that come in by this listener.
    pub fn by_listener(self, label: &str) -> Requests {
        Requests {
            listener: Some(label.to_owned()),
            ..self
        }
    }

    /// Those with this method.
    pub fn with_method(self, method: Method) -> Requests {
        Requests {
            method: Some(method),
            ..self
        }
    }

    /// Those whose path contains this text, without regard to case.
    pub fn with_path(self, part: &str) -> Requests {
        Requests {
            path: Some(part.to_ascii_lowercase()),
            ..self
        }
    }

    fn include(&self, received: &Received) -> bool {
        let path = received.head.uri.path().to_ascii_lowercase();
        self.listener
            .as_deref()
            .is_none_or(|listener| listener == &*received.listener)
            && self.method.as_ref().is_none_or(|method| method == received.head.method)
            && self.path.as_ref().is_none_or(|part| path.contains(part))
    }
}

/// The faults injected at present.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Rule>>);

#[derive(Debug)]
struct Rule {
    requests: Requests,
    fault: Fault,
    /// `None`: until cleared.
    times: Option<u32>,
}

impl Faults {
    pub(super) fn add(&self, requests: Requests, fault: Fault, times: Option<u32>) {
        locked(&self.0).push(Rule { requests, fault, times });
    }

    /// Ends the faults of one listener, or all of them.
    pub(super) fn clear(&self, listener: Option<&str>) {
        locked(&self.0).retain(|rule| listener.is_some() && rule.requests.listener.as_deref() != listener);
    }

    /// The fault that a request meets; of several, the one added last.
    pub(super) fn meet(&self, received: &Received) -> Option<Fault> {
        let mut rules = locked(&self.0);
        let index = rules.iter().rposition(|rule| rule.requests.include(received))?;
        let rule = &mut rules[index];
        let fault = rule.fault.clone();
        if let Some(times) = &mut rule.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                rules.remove(index);
            }
        }
        Some(fault)
    }
}

impl Fault {
    /// Applies the fault. `answer` is what the service would say; `rejection` makes its error of status and code.
    pub(super) fn apply(
        self,
        answer: impl FnOnce() -> Response<Bytes>,
        rejection: impl FnOnce(StatusCode, &str) -> Response<Bytes>,
    ) -> Answer {
        match self {
            Fault::Hang => Answer::Hang,
            Fault::Reset => Answer::Reset,
            Fault::Cut => match answer() {
                bodiless if bodiless.body().is_empty() => Answer::Reset,
                whole => Answer::Cut(whole),
            },
            Fault::Garbage => Answer::Whole(Response::new(Bytes::from_static(b"\xff\xfe<<{[not what you asked for"))),
            Fault::Reject { status, code } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Answer::Whole(rejection(status, &code))
            }
            Fault::TooManyRequests { retry_after } => {
                let mut response = rejection(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests");
                if let Some(seconds) = retry_after {
                    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
                }
                Answer::Whole(response)
            }
        }
    }
}
