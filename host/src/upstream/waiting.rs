//! Attempts that are over before their answer: overtaken by another region's, or given up because all regions are unresponsive.
//!
//! Their connections are closed, as for every cancelled request. But closing cannot distinguish a slow gateway from one that
//! lost the request. So the connections of some are kept open a little longer. Overtaken requests that are still not answered
//! then are counted as unanswered, separately from failures and latency. Given up ones that are answered show that the gateway
//! is slow and not unresponsive: were they not waited for, it would be called unresponsive for as long as it is slow.

use super::body::UpstreamBody;
use super::clock;
use super::ending;
use super::error::ExchangeError;
use super::exchange::{AttemptError, Exchange};
use super::head::Head;
use super::http1::Connection;
use super::http2::Stream;
use super::in_flight::InFlight;
use super::incoming::Incoming;
use super::link::Link;
use super::progress::AttemptProgress;
use http::{Method, Response};
use portolan_core::health::Evidence;
use std::future::poll_fn;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long an overtaken request is waited for, at least.
const GRACE: Duration = Duration::from_secs(1);

/// ... and at least this many times as long as it had been running.
const GRACE_RATIO: u32 = 2;

/// How long a request that was given up is waited for: as long as requests wait by default.
const LATE: Duration = Duration::from_secs(15);

/// Most such requests that one worker waits for at a time, for each gateway.
const MAX_WAITING: usize = 32;

/// A request that waits for its response.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    /// `None` after the response.
    in_flight: Option<InFlight>,
    /// `None` before there is a connection.
    connection: Option<Incoming>,
    method: &'a Method,
    began: Instant,
    progress: AttemptProgress<'a>,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(in_flight: InFlight, method: &'a Method, began: Instant, progress: AttemptProgress<'a>) -> Self {
        Self {
            in_flight: Some(in_flight),
            connection: None,
            method,
            began,
            progress,
        }
    }

    /// Sends it over this connection; a previous one is closed.
    pub(super) fn on(&mut self, connection: Box<Connection>) -> &mut Connection {
        self.progress.sent_to(connection.link.endpoint().id());
        match self.connection.insert(Incoming::Http1(connection)) {
            Incoming::Http1(connection) => connection,
            Incoming::Http2(_) => unreachable!("it was inserted as one of HTTP/1.1"),
        }
    }

    /// Sends it over this stream, and waits for the head of its response; a previous one is reset.
    pub(super) async fn over(&mut self, stream: Stream) -> Result<Head, ExchangeError> {
        self.progress.sent_to(stream.endpoint().id());
        let method = self.method;
        let stream = self.connection.insert(Incoming::Http2(Box::new(stream)));
        poll_fn(|context| stream.poll_head(method, context)).await
    }

    /// The connection of HTTP/1.1 apart from its protocol.
    pub(super) fn link(&self) -> Option<&Link> {
        match &self.connection {
            Some(Incoming::Http1(connection)) => Some(&connection.link),
            _ => None,
        }
    }

    /// The exchange over it failed.
    pub(super) fn failed(&self, error: ExchangeError) -> AttemptError {
        if let (Some(connection), Some(in_flight), Some(_)) = (&self.connection, &self.in_flight, error.kind()) {
            in_flight.failed(connection.endpoint());
        }
        error.into()
    }

    /// The head of its response arrived.
    pub(super) fn answered(mut self, head: Head, idle: Duration, is_call: bool) -> Exchange {
        // Both are there: the head came over this connection.
        let (mut connection, in_flight) = (self.connection.take(), self.in_flight.take());
        if let (Some(in_flight), Some(connection)) = (&in_flight, &mut connection) {
            let now = clock::now();
            let after = now.saturating_duration_since(self.began);
            in_flight.answered(after);
            connection.answered(now, after, &head);
            let endpoint = connection.endpoint();
            match ending::evidence_of_head(&head, is_call) {
                Some(Evidence::GatewayError) => in_flight.failed(endpoint),
                Some(_) if endpoint.is_failing() => in_flight.succeeded(endpoint),
                _ => {}
            }
        }
        let mut response = Box::new(Response::new(UpstreamBody::new(connection, in_flight, idle)));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        response.body_mut().lines = head.lines;
        if let Some(reason) = head.reason {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let (Some(connection), Some(in_flight)) = (self.connection.take(), self.in_flight.take()) else {
            return;
        };
        let over = match (self.progress.is_overtaken(), self.progress.is_given_up()) {
            (true, _) => Over::Overtaken,
            (_, true) => Over::GivenUp,
            _ => return,
        };
        connection.doubt();
        let waiting = in_flight.waiting().get();
        if connection.is_sent() && waiting < MAX_WAITING {
            in_flight.waiting().set(waiting + 1);
            tokio::task::spawn_local(wait(connection, in_flight, self.method.clone(), self.began, over));
        }
    }
}

/// Why an attempt is over before its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// Another region answered.
    Overtaken,
    /// All regions are unresponsive.
    GivenUp,
}

/// Waits for a response that is discarded.
async fn wait(mut connection: Incoming, in_flight: InFlight, method: Method, began: Instant, over: Over) {
    let so_far = clock::now().saturating_duration_since(began);
    let grace = match over {
        Over::Overtaken => GRACE.max(so_far.saturating_mul(GRACE_RATIO)),
        Over::GivenUp => LATE,
    };
    let head = timeout(grace, poll_fn(|context| connection.poll_head(&method, context))).await;
    let endpoint = connection.endpoint();
    match (over, head) {
        (Over::Overtaken, Err(_)) => in_flight.unanswered(endpoint),
        (Over::GivenUp, Ok(Ok(_))) => in_flight.answered_late(endpoint, clock::now().saturating_duration_since(began)),
        _ => {}
    }
    let waiting = in_flight.waiting();
    waiting.set(waiting.get().saturating_sub(1));
}
