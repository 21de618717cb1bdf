//! One worker's connections to the gateways, and the exchanges over them.

use super::clock;
use super::connecting::Opened;
use super::dial::Dialer;
use super::error::ExchangeError;
use super::exchange::{AttemptError, Exchange};
use super::head::Head;
use super::http1::Persistence;
use super::http2::StreamPool;
use super::idle_pool::IdlePool;
use super::in_flight::{Pool, Spoken};
use super::load_report;
use super::multiplexed::{Errand, Reached};
use super::replay::ReplayBody;
use super::request::Outbound;
use super::target::GatewayTarget;
use super::terms::Terms;
use super::timers::Timers;
use super::waiting::Waiting;
use crate::chance::Chance;
use crate::vitals::{Stale, Vitals};
use portolan_core::config::Reuse;
use portolan_core::reuse::SHORTEST;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::task::unconstrained;
use tokio::time::interval;

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// All upstream connections of one worker. Nothing in it is shared.
#[derive(Debug)]
pub struct Connections {
    worker: usize,
    dialer: Dialer,
    /// For the jitter of connections' limits.
    chance: Rc<Chance>,
    timers: Timers,
    /// By the address of the target. The pool holds the target, so that the address is not reused.
    pools: RefCell<BTreeMap<*const GatewayTarget, Rc<Pool>>>,
}

impl Connections {
    /// None yet; they are opened by `dialer`. Must be called on the worker's local runtime. `worker` is its number, from
    /// 0.
    pub fn new(worker: usize, dialer: Dialer) -> Rc<Self> {
        let connections = Rc::new(Self {
            worker,
            dialer,
            chance: Rc::default(),
            timers: Timers::default(),
            pools: RefCell::default(),
        });
        let swept = Rc::downgrade(&connections);
        let mut tick = interval(SWEEP);
        let sweep = poll_fn(move |context| {
            let Some(connections) = swept.upgrade() else {
                return Poll::Ready(());
            };
            // Woken by the clock, or by gateways that close connections.
            while tick.poll_tick(context).is_ready() {}
            connections.sweep(clock::now(), context);
            Poll::Pending
        });
        // With a budget, reads of many connections would be put off as if nothing had come.
        tokio::task::spawn_local(unconstrained(sweep));
        connections
    }

    /// The worker's number.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// The timers of its attempts.
    pub(super) fn timers(&self) -> &Timers {
        &self.timers
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
                idle: IdlePool::new(target.upstream),
                streams: StreamPool::new(target.upstream),
                spoken: Cell::new(Spoken::at_first(target)),
                deciding: RefCell::default(),
                chance: Rc::clone(&self.chance),
                turn: Cell::new(self.worker),
                waiting: Cell::new(0),
            })
        });
        Rc::clone(pool)
    }

    /// Closes what has been idle for too long, what gateways have closed, and what belongs to gateways that no table
    /// has any more.
    fn sweep(&self, now: Instant, context: &mut Context<'_>) {
        self.pools.borrow_mut().retain(|_, pool| {
            let Vitals {
                keep_alive, endpoints, ..
            } = &*pool.vitals;
            let oldest = pool.idle.sweep(keep_alive, now, context).max(pool.streams.sweep(now));
            if oldest >= SHORTEST {
                keep_alive.open(oldest, now);
            }
            endpoints.handle_timeout(now);
            pool.spread();
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
        // The region had room when the request was decided: a retry comes later, and other workers count for themselves.
        if self.vitals.is_over_limit() {
            return Err(AttemptError::Full);
        }
        // A request without Host gets the gateway's own.
        let host = (!target.preserve_host || !request.has_host()).then_some(&target.authority);
        // One of which the beginning may be lost cannot be repeated either.
        let may_repeat = terms.may_repeat && body.stays_replayable();
        if !may_repeat {
            // Process closed connections first: whether a request on one of those arrived would be unknown.
            tokio::task::yield_now().await;
        }
        let mut waiting = Waiting::new(in_flight, request.method(), terms.began, terms.progress);
        let errand = Errand {
            target,
            request,
            body,
            terms: &terms,
            may_repeat,
        };
        let mut fresh = None;
        if self.spoken.get() != Spoken::Http1 && request.upgrade().is_none() {
            match Box::pin(self.over_http2(errand, None, &mut waiting)).await? {
                Reached::Head(head) => return Ok(self.answered(target, request, waiting, *head, terms.idle)),
                Reached::Http1(connection) => fresh = connection,
            }
        }
        let mut closed_after = None;
        if fresh.is_none()
            && let Some(connection) = self.idle.take(may_repeat, &self.vitals.keep_alive, terms.began)
        {
            let exchange = waiting
                .on(connection)
                .exchange(request, host, Persistence::Usual, body.reader());
            // Encoded when it is polled for the first time, which is now.
            request.attempted_in(terms.progress.slot);
            match exchange.await {
                Ok(head) => {
                    self.vitals.keep_alive.reused(terms.began);
                    return Ok(self.answered(target, request, waiting, head, terms.idle));
                }
                Err(error) => closed_after = self.stale(&waiting, error, body, &terms)?,
            }
        }
        let connection = match fresh {
            Some(connection) => connection,
            // Rare and large: boxed, so that it does not enlarge the future of every request.
            None => match Box::pin(self.open_one(errand)).await? {
                Opened::Http1(connection) => connection,
                // The gateway speaks HTTP/2 from now on.
                Opened::Http2(connection) => {
                    let reached = Box::pin(self.over_http2(errand, Some(connection), &mut waiting)).await?;
                    return match reached {
                        Reached::Head(head) => Ok(self.answered(target, request, waiting, *head, terms.idle)),
                        Reached::Http1(_) => Err(ExchangeError::Unsent.into()),
                    };
                }
            },
        };
        let persistence = match target.upstream.reuse {
            Reuse::Never => Persistence::Close,
            Reuse::Always | Reuse::Safe => Persistence::Ask,
        };
        let exchange = waiting
            .on(connection)
            .exchange(request, host, persistence, body.reader());
        request.attempted_in(terms.progress.slot);
        let head = exchange.await.map_err(|error| waiting.failed(error))?;
        if let Some(age) = closed_after {
            self.vitals.keep_alive.closed(age, clock::now());
        }
        Ok(self.answered(target, request, waiting, head, terms.idle))
    }

    /// The head of a response came.
    #[inline]
    fn answered(
        &self,
        target: &GatewayTarget,
        request: &Outbound<'_>,
        waiting: Waiting<'_>,
        mut head: Head,
        idle: Duration,
    ) -> Exchange {
        if target.upstream.load_report {
            load_report::read(&mut head.headers, &self.vitals);
        }
        target.rewrite(&mut head, request);
        waiting.answered(head, idle, request.is_call())
    }

    /// An exchange failed over a connection that had been used before. When it was closed or spoilt before, and the request
    /// may be sent again, gives for how long it had been idle, if it was closed.
    fn stale(
        &self,
        waiting: &Waiting<'_>,
        error: ExchangeError,
        body: &ReplayBody,
        terms: &Terms<'_>,
    ) -> Result<Option<Duration>, AttemptError> {
        let is_spoilt = matches!(&error, ExchangeError::Malformed(malformed) if malformed.is_no_status_line());
        let is_closed = matches!(&error, ExchangeError::Unsent | ExchangeError::Unanswered(_));
        let Some(link) = waiting.link().filter(|_| is_spoilt || is_closed) else {
            return Err(waiting.failed(error));
        };
        let Vitals { keep_alive, .. } = &*self.vitals;
        if is_spoilt && link.is_bodiless() {
            keep_alive.stray_body();
        }
        let age = is_closed.then(|| link.idle_for(terms.began));
        let is_unsent = matches!(&error, ExchangeError::Unsent);
        if body.is_replayable() && (terms.may_repeat || is_unsent) {
            self.vitals.stale(self.worker, Stale::Retried);
            return Ok(age);
        }
        self.vitals.stale(self.worker, Stale::Failed);
        if let Some(age) = age {
            keep_alive.closed(age, clock::now());
        }
        Err(match is_unsent {
            // Not a failure of the gateway, but the part of the body that was read is lost.
            true => AttemptError::Stale,
            false => AttemptError::Spoilt(error),
        })
    }
}

#[cfg(test)]
mod tests;
