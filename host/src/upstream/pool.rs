//! One worker's connections to the gateways, and the exchanges over them.

use super::clock;
use super::dial::Dialer;
use super::exchange::{AttemptError, Exchange};
use super::http1::{Connection, ExchangeError};
use super::in_flight::Pool;
use super::overtaken::{Overtaken, Waiting};
use super::replay::ReplayBody;
use super::request::Outbound;
use super::target::GatewayTarget;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a connection is kept idle. Gateways and middleboxes usually close it later; one that is closed
/// earlier is noticed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// All upstream connections of one worker. Nothing in it is shared.
#[derive(Debug)]
pub struct Connections {
    worker: usize,
    dialer: Dialer,
    /// By the address of the target. The pool holds the target, so that the address is not reused.
    pools: RefCell<BTreeMap<*const GatewayTarget, Rc<Pool>>>,
}

/// The terms of an exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    /// When the attempt began.
    pub(super) began: Instant,
    /// The deadline for connecting.
    pub(super) deadline: Instant,
    /// Time for each address to accept a connection.
    pub(super) connect: Duration,
    /// Time without a byte of the response's body.
    pub(super) idle: Duration,
    /// Whether the request may be sent again although it may have arrived.
    pub(super) may_repeat: bool,
    /// Whether another region has answered meanwhile.
    pub(super) overtaken: Overtaken<'a>,
}

impl Connections {
    /// None yet; they are opened by `dialer`. Must be called on the worker's local runtime. `worker` is its number, from
    /// 0.
    pub fn new(worker: usize, dialer: Dialer) -> Rc<Self> {
        let connections = Rc::new(Self {
            worker,
            dialer,
            pools: RefCell::default(),
        });
        let swept = Rc::downgrade(&connections);
        tokio::task::spawn_local(async move {
            let mut tick = tokio::time::interval(SWEEP);
            loop {
                tick.tick().await;
                let Some(connections) = swept.upgrade() else { return };
                connections.sweep(clock::now());
            }
        });
        connections
    }

    /// The worker's number.
    pub(super) fn worker(&self) -> usize {
        self.worker
    }

    /// The connections to a gateway.
    pub(super) fn pool(&self, target: &Arc<GatewayTarget>) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(Arc::as_ptr(target)).or_insert_with(|| {
            Rc::new(Pool {
                target: Arc::downgrade(target),
                vitals: Arc::clone(&target.vitals),
                worker: self.worker,
                dialer: self.dialer.clone(),
                idle: RefCell::default(),
                preferred: Cell::new(0),
                overtaken: Cell::new(0),
            })
        });
        Rc::clone(pool)
    }

    /// Closes what has been idle for too long, what gateways have closed, and what belongs to gateways that no table
    /// has any more.
    fn sweep(&self, now: Instant) {
        self.pools.borrow_mut().retain(|_, pool| {
            pool.idle.borrow_mut().retain_mut(|connection| {
                now.saturating_duration_since(connection.idle_since) < IDLE_TIMEOUT && connection.is_usable()
            });
            pool.target.strong_count() > 0 || Rc::strong_count(pool) > 1
        });
    }
}

impl Pool {
    /// Sends a request to the pool's gateway and waits for the head of its response: over an idle connection, or over a
    /// new one when there is none, or when the idle one turns out to be closed.
    ///
    /// Dropping the future closes the connection, unless the request was [overtaken](super::overtaken).
    pub(super) async fn exchange(
        self: Rc<Self>,
        target: &GatewayTarget,
        request: &Outbound<'_>,
        body: &ReplayBody,
        terms: Terms<'_>,
    ) -> Result<Exchange, AttemptError> {
        let in_flight = self.enter();
        // A request without Host gets the gateway's own.
        let host = (!target.preserve_host || !request.has_host()).then_some(&target.authority);
        if !terms.may_repeat {
            // Process closed connections first: whether a request on one of those arrived would be unknown.
            tokio::task::yield_now().await;
        }
        let mut waiting = Waiting::new(in_flight, request.method(), terms.began, terms.overtaken);
        if let Some(connection) = self.idle() {
            match waiting.on(connection).exchange(request, host, body.reader()).await {
                Ok(head) => return Ok(waiting.answered(head, terms.idle)),
                // Closed while it was idle: try a new one.
                Err(ExchangeError::Unsent) if body.is_replayable() => {}
                // Not a failure of the gateway, but the part of the body that was read is lost.
                Err(ExchangeError::Unsent) => return Err(AttemptError::Stale),
                // Closed as well, perhaps before the request was read.
                Err(ExchangeError::Unanswered(_)) if terms.may_repeat && body.is_replayable() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let limit = terms.deadline.saturating_duration_since(clock::now());
        // Rare and large: boxed, so that it does not enlarge the future of every request.
        let connection = Box::pin(self.connect(target, limit.min(terms.connect))).await?;
        let head = waiting.on(connection).exchange(request, host, body.reader()).await?;
        Ok(waiting.answered(head, terms.idle))
    }

    /// A new connection. The gateway's addresses are tried in turn, each within `limit`.
    async fn connect(&self, target: &GatewayTarget, limit: Duration) -> Result<Box<Connection>, AttemptError> {
        let mut addresses = target.addresses();
        if addresses.is_empty() {
            // Until the first answer nothing is known of the gateway. The attempt has a time limit.
            target.settled().await;
            addresses = target.addresses();
        }
        let dialed = self.dialer.dial_any(&addresses, self.preferred.get(), limit);
        let (index, transport) = dialed.await?;
        self.preferred.set(index);
        Ok(Box::new(Connection::new(transport)))
    }
}
