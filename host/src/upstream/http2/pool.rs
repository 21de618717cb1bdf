//! One worker's connections of HTTP/2 to one gateway, and which of them takes a stream.

use super::connection::{Connection, MAX_STREAMS};
use crate::upstream::dial::DialError;
use crate::vitals::KeepAlive;
use portolan_core::config::{Reuse, Upstream};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Most connections to one gateway, those that are being opened included.
const MAX_CONNECTIONS: usize = 64;

/// To so many endpoints one worker has connections, although fewer would do.
const MAX_SPREAD: usize = 8;

/// The connections.
#[derive(Debug)]
pub(in crate::upstream) struct StreamPool {
    upstream: Upstream,
    connections: RefCell<Vec<Rc<Connection>>>,
    /// How many are being opened.
    opening: Cell<u32>,
    /// How many requests wait for one.
    waiting: Cell<u32>,
    /// How often none was opened, and why the last one was not.
    failures: Cell<u64>,
    failure: RefCell<Option<DialError>>,
    /// Streams that a connection takes, as the last one did.
    usual_streams: Cell<u32>,
    /// Whether a request has taken one since it was last looked after.
    is_busy: Cell<bool>,
    changed: Rc<Notify>,
}

/// A request that waits for a connection.
#[derive(Debug)]
pub(in crate::upstream) struct Waiter<'a> {
    pool: &'a StreamPool,
    failures: u64,
}

/// A connection that is being opened.
#[derive(Debug)]
pub(in crate::upstream) struct Opening(Rc<StreamPool>);

impl StreamPool {
    pub(in crate::upstream) fn new(upstream: Upstream) -> Rc<Self> {
        Rc::new(Self {
            upstream,
            connections: RefCell::default(),
            opening: Cell::new(0),
            waiting: Cell::new(0),
            failures: Cell::new(0),
            failure: RefCell::default(),
            usual_streams: Cell::new(MAX_STREAMS),
            is_busy: Cell::new(false),
            changed: Rc::default(),
        })
    }

    /// Told when a connection may take another stream, or takes none any more.
    pub(in crate::upstream) fn changed(&self) -> &Rc<Notify> {
        &self.changed
    }

    /// The connection with the fewest streams among those that take another one; not `but`, where there is a choice to be made.
    ///
    /// A request that cannot be repeated gets one that the gateway does not close soon, as far as is known.
    pub(in crate::upstream) fn take(
        &self,
        may_repeat: bool,
        but: Option<&Rc<Connection>>,
        gateway: &KeepAlive,
        now: Instant,
    ) -> Option<Rc<Connection>> {
        let limit = gateway.limit();
        let is_fit = |connection: &Rc<Connection>| {
            may_repeat
                || match self.upstream.reuse {
                    Reuse::Always => connection.is_safe(&limit, now),
                    Reuse::Safe => connection.streams() > 0 || !connection.is_used(),
                    Reuse::Never => false,
                }
        };
        let connections = self.connections.borrow();
        let usable = connections.iter().filter(|connection| {
            let has_room = connection.room(now).is_some_and(|room| room > 0);
            has_room && !but.is_some_and(|but| Rc::ptr_eq(but, connection)) && is_fit(connection)
        });
        self.is_busy.set(true);
        usable.min_by_key(|connection| connection.streams()).cloned()
    }

    /// A request begins to wait.
    pub(in crate::upstream) fn wait(&self) -> Waiter<'_> {
        self.waiting.set(self.waiting.get() + 1);
        Waiter {
            pool: self,
            failures: self.failures.get(),
        }
    }

    /// Begins to open another connection, if those that wait need more than are being opened.
    pub(in crate::upstream) fn open_another(self: &Rc<Self>) -> Option<Opening> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.is_over());
        // A gateway that takes no streams at all for now would be asked for ever more connections.
        if connections.iter().any(|connection| connection.takes_none()) {
            return None;
        }
        let opening = self.opening.get();
        let wanted = u64::from(self.waiting.get());
        let promised = u64::from(opening) * u64::from(self.usual_streams.get());
        let count = connections.len() + opening as usize;
        if wanted <= promised || count >= MAX_CONNECTIONS {
            return None;
        }
        self.opening.set(opening + 1);
        Some(Opening(Rc::clone(self)))
    }

    /// Begins to open a connection that nobody waits for, if requests came lately and the connections lead to fewer than so many
    /// endpoints: streams are spread over all of them. When no connection takes streams any more, the next request opens one: a gateway
    /// that ends each of them after few requests would be asked for twice as many otherwise.
    pub(in crate::upstream) fn open_spare(self: &Rc<Self>, endpoints: impl FnOnce() -> usize) -> Option<Opening> {
        let connections = self.connections.borrow();
        let mut reached: Vec<_> = connections.iter().filter(|it| !it.is_retired()).collect();
        if !self.is_busy.take() || reached.is_empty() || self.opening.get() > 0 {
            return None;
        }
        let count = reached.len();
        reached.sort_by_key(|connection| connection.endpoint().address());
        reached.dedup_by_key(|connection| connection.endpoint().address());
        let endpoints = endpoints().min(MAX_SPREAD);
        // New connections go where there are few, of all workers.
        if reached.len() >= endpoints || count >= 2 * endpoints {
            return None;
        }
        self.opening.set(1);
        Some(Opening(Rc::clone(self)))
    }

    /// Keeps a connection, which takes streams as long as it may.
    pub(in crate::upstream) fn add(&self, connection: Rc<Connection>) {
        self.usual_streams.set(connection.max_streams().max(1));
        self.connections.borrow_mut().push(connection);
        self.changed.notify_waiters();
    }

    /// Looks after a connection that takes no streams any more.
    pub(in crate::upstream) fn keep(&self, connection: Rc<Connection>) {
        self.connections.borrow_mut().push(connection);
    }

    /// Closes what has been idle for too long or is over. Gives the age of the oldest that is idle.
    pub(in crate::upstream) fn sweep(&self, now: Instant) -> Duration {
        let mut oldest = Duration::ZERO;
        // Those that retire tell those that wait, which run later.
        self.connections.borrow_mut().retain(|connection| {
            connection.tick(now);
            let idle = connection.idle_for(now);
            if connection.room(now).is_some() {
                if idle >= self.upstream.idle_timeout {
                    connection.retire();
                } else {
                    oldest = oldest.max(idle);
                }
            }
            !connection.is_over()
        });
        oldest
    }
}

impl Waiter<'_> {
    /// When something has changed.
    pub(in crate::upstream) fn changed(&self) -> Notified<'_> {
        self.pool.changed.notified()
    }

    /// Whether connections are being opened.
    pub(in crate::upstream) fn is_connecting(&self) -> bool {
        self.pool.opening.get() > 0
    }

    /// Why no connection was opened since it began to wait, when none is being opened any more.
    pub(in crate::upstream) fn failure(&self) -> Option<DialError> {
        let pool = self.pool;
        if pool.failures.get() == self.failures || pool.opening.get() > 0 {
            return None;
        }
        pool.failure.borrow().as_ref().map(DialError::again)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.pool.waiting.set(self.pool.waiting.get().saturating_sub(1));
        // What it was told may be for another one.
        self.pool.changed.notify_one();
    }
}

impl Opening {
    /// It failed.
    pub(in crate::upstream) fn failed(self, error: DialError) {
        let pool = &self.0;
        pool.failures.set(pool.failures.get() + 1);
        pool.failure.replace(Some(error));
    }

    /// It is open.
    pub(in crate::upstream) fn opened(self, connection: Rc<Connection>) {
        self.0.add(connection);
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.opening.set(self.0.opening.get().saturating_sub(1));
        self.0.changed.notify_waiters();
    }
}
