//! One worker's connections to one gateway, and the exchanges in flight over them.

use super::clock;
use super::dial::Dialer;
use super::http2::StreamPool;
use super::idle_pool::IdlePool;
use super::incoming::Incoming;
use super::target::GatewayTarget;
use crate::chance::Chance;
use crate::vitals::{Endpoint, TunnelEnd, UpstreamError, Vitals};
use portolan_core::endpoint::EndpointFailure;
use portolan_core::health::Evidence;
use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// The version of HTTP that a gateway speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// The first connection will show it.
    Unknown,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// The connections to one gateway.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) target: Weak<GatewayTarget>,
    pub(super) vitals: Arc<Vitals>,
    pub(super) worker: usize,
    pub(super) dialer: Dialer,
    pub(super) idle: IdlePool,
    /// Connections of HTTP/2.
    pub(super) streams: Rc<StreamPool>,
    /// The version of HTTP that the gateway speaks.
    pub(super) spoken: Cell<Spoken>,
    /// Told when the first connection shows it.
    pub(super) deciding: RefCell<Option<Rc<Notify>>>,
    /// For the jitter of connections' limits.
    pub(super) chance: Rc<Chance>,
    /// Counts new connections: equally loaded endpoints take turns.
    pub(super) turn: Cell<usize>,
    /// Requests that are over and still wait for a response.
    pub(super) waiting: Cell<usize>,
}

/// An exchange that is in flight: counted as such until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Rc<Pool>);

impl Pool {
    pub(super) fn enter(self: &Rc<Self>) -> InFlight {
        self.vitals.enter(self.worker);
        InFlight(Rc::clone(self))
    }
}

impl InFlight {
    /// Counts an observation of the gateway, made at one of its endpoints.
    pub(super) fn observe(&self, evidence: Evidence) {
        self.0.vitals.observe(self.0.worker, evidence);
    }

    /// Counts an error and logs it.
    pub(super) fn report(&self, kind: UpstreamError, error: &dyn StdError) {
        report(&self.0.vitals, self.0.worker, kind, error);
    }

    /// Counts the time until the head of the response.
    pub(super) fn answered(&self, after: Duration) {
        self.0.vitals.answered(self.0.worker, after);
    }

    /// An exchange with an endpoint failed.
    pub(super) fn failed(&self, endpoint: &Endpoint) {
        let endpoints = &self.0.vitals.endpoints;
        endpoints.failed(endpoint.id(), EndpointFailure::Exchange, clock::now());
    }

    /// An exchange with an endpoint that was failing succeeded.
    pub(super) fn succeeded(&self, endpoint: &Endpoint) {
        self.0.vitals.endpoints.succeeded(endpoint);
    }

    /// An overtaken request was not answered by this endpoint.
    pub(super) fn unanswered(&self, endpoint: &Endpoint) {
        if !endpoint.is_removed() {
            self.failed(endpoint);
            self.0.vitals.unanswered(self.0.worker);
        }
    }

    /// A request was answered after it had been given up.
    pub(super) fn answered_late(&self, endpoint: &Endpoint, after: Duration) {
        if !endpoint.is_removed() {
            self.0.vitals.late(self.0.worker, after);
        }
    }

    /// Its connection changed to another protocol.
    pub(super) fn tunnel_opened(&self) {
        self.0.vitals.tunnel_opened(self.0.worker);
    }

    /// The tunnel carried this many bytes from its client, and to it.
    pub(super) fn tunnel_carried(&self, received: u64, sent: u64) {
        self.0.vitals.tunnel_carried(self.0.worker, received, sent);
    }

    /// The tunnel ended.
    pub(super) fn tunnel_ended(&self, end: TunnelEnd) {
        self.0.vitals.tunnel_ended(self.0.worker, end);
    }

    /// The number of requests to this gateway that are over and still wait for a response.
    pub(super) fn waiting(&self) -> &Cell<usize> {
        &self.0.waiting
    }

    /// Keeps a connection for the next request, if it may be used again.
    pub(super) fn give_back(&self, connection: Incoming) {
        match connection {
            Incoming::Http1(connection) => self.0.idle.give_back(connection, &self.0.vitals.keep_alive),
            // The connection was never taken away: only the stream is over.
            Incoming::Http2(stream) => drop(stream),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.vitals.leave(self.0.worker);
    }
}

/// Counts an error of a gateway, and logs it with its causes, rate-limited for each gateway and kind.
pub(super) fn report(vitals: &Vitals, worker: usize, kind: UpstreamError, error: &dyn StdError) {
    let Some(suppressed) = vitals.failed(worker, kind, clock::now()) else {
        return;
    };
    let (service, region, gateway) = (&vitals.key.service, &vitals.key.region, vitals.key.address.authority());
    tracing::warn!(%service, %region, %gateway, kind = kind.as_str(), error = %Chain(error), suppressed, "upstream error");
}

/// An error with its causes, each once.
struct Chain<'a>(&'a dyn StdError);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
