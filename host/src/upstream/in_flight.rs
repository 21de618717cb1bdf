//! One worker's connections to one gateway, and the exchanges in flight over them.

use super::clock;
use super::dial::Dialer;
use super::http1::Connection;
use super::target::GatewayTarget;
use crate::vitals::{UpstreamError, Vitals};
use portolan_core::health::Evidence;
use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Idle connections kept to one gateway by one worker.
const MAX_IDLE: usize = 256;

/// The connections to one gateway.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) target: Weak<GatewayTarget>,
    pub(super) vitals: Arc<Vitals>,
    pub(super) worker: usize,
    pub(super) dialer: Dialer,
    /// The one used last is at the end, and is used first.
    #[expect(
        clippy::vec_box,
        reason = "they are boxed wherever they go: the pool moves a pointer, not a connection"
    )]
    pub(super) idle: RefCell<Vec<Box<Connection>>>,
    /// Which of several addresses last worked.
    pub(super) preferred: Cell<usize>,
    /// Overtaken requests that still wait for a response.
    pub(super) overtaken: Cell<usize>,
}

/// An exchange that is in flight: counted as such until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Rc<Pool>);

impl Pool {
    pub(super) fn enter(self: &Rc<Self>) -> InFlight {
        self.vitals.enter(self.worker);
        InFlight(Rc::clone(self))
    }

    /// An idle connection that is open as far as is known.
    pub(super) fn idle(&self) -> Option<Box<Connection>> {
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop()).find_map(|mut connection| connection.is_usable().then_some(connection))
    }
}

impl InFlight {
    /// Counts an observation of the gateway.
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

    /// An overtaken request was not answered.
    pub(super) fn unanswered(&self) {
        self.0.vitals.unanswered(self.0.worker);
    }

    /// The number of overtaken requests to this gateway that still wait for a response.
    pub(super) fn overtaken(&self) -> &Cell<usize> {
        &self.0.overtaken
    }

    /// Keeps a connection for the next request, when its last exchange left it clean.
    pub(super) fn give_back(&self, mut connection: Box<Connection>) {
        let mut idle = self.0.idle.borrow_mut();
        if connection.is_clean() && idle.len() < MAX_IDLE {
            connection.idle_since = clock::now();
            connection.rest();
            idle.push(connection);
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
