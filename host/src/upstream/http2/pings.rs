//! Whether a connection on which nothing comes is still there.
//!
//! Servers count PING frames against their peers: grpcio ends a connection at the third one that comes within five minutes
//! without an answer to any request in between. So a silent connection is asked once, and then no more than that.

use super::io::Wire;
use h2::{Ping, PingPong};
use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// How long a connection with streams may be silent before it is asked.
const SILENCE: Duration = Duration::from_secs(2);

/// How long the answer may take. Anything that comes is an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Time between two that no response came between (gRPC: GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS).
const APART: Duration = Duration::from_secs(300);

/// The PING frames of a connection.
#[derive(Debug)]
pub(super) struct Pings {
    handle: RefCell<Option<Handle>>,
    /// When the one was sent that has not been answered.
    unanswered: Cell<Option<Instant>>,
    last: Cell<Option<Instant>>,
    /// Whether something of a response came since then.
    has_responses: Cell<bool>,
    /// Since when the connection gets no new streams, until something comes.
    suspected: Cell<Option<Instant>>,
    is_given_up: Cell<bool>,
    driver: RefCell<Waker>,
}

/// Has no `Debug` of its own.
struct Handle(PingPong);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PingPong")
    }
}

impl Pings {
    pub(super) fn new(handle: Option<PingPong>) -> Self {
        Self {
            handle: RefCell::new(handle.map(Handle)),
            unanswered: Cell::new(None),
            last: Cell::new(None),
            has_responses: Cell::new(false),
            suspected: Cell::new(None),
            is_given_up: Cell::new(false),
            driver: RefCell::new(Waker::noop().clone()),
        }
    }

    /// Something of a response came.
    pub(super) fn responded(&self) {
        self.has_responses.set(true);
    }

    /// A stream waited for long, and nothing came on the connection.
    pub(super) fn suspect(&self, now: Instant) {
        if self.ask(now) {
            self.suspected.set(Some(now));
        }
    }

    /// Whether the connection may be dead, as far as is known.
    pub(super) fn is_suspected(&self, wire: &Wire) -> bool {
        let Some(since) = self.suspected.get() else {
            return false;
        };
        let is_silent = is_silent(wire, since);
        if !is_silent {
            self.suspected.set(None);
        }
        is_silent
    }

    /// Whether it was asked and has not answered in time.
    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up.get()
    }

    /// Looks at a connection that has had streams since `busy_since`. Returns whether it is given up just now.
    pub(super) fn tick(&self, wire: &Wire, busy_since: Option<Instant>, now: Instant) -> bool {
        if let Some(asked) = self.unanswered.get() {
            let is_over = now.saturating_duration_since(asked) >= PATIENCE && is_silent(wire, asked);
            if is_over && !self.is_given_up.replace(true) {
                self.driver.borrow().wake_by_ref();
                return true;
            }
        }
        if let Some(busy) = busy_since {
            let silent_since = wire.received_at().map_or(busy, |at| at.max(busy));
            if now.saturating_duration_since(silent_since) >= SILENCE {
                self.ask(now);
            }
        }
        false
    }

    /// Called whenever the connection is driven: receives answers.
    pub(super) fn poll(&self, context: &mut Context<'_>) {
        if let Some(Handle(handle)) = &mut *self.handle.borrow_mut()
            && handle.poll_pong(context).is_ready()
        {
            self.unanswered.set(None);
        }
        let mut driver = self.driver.borrow_mut();
        if !driver.will_wake(context.waker()) {
            driver.clone_from(context.waker());
        }
    }

    /// Sends a PING, if one may be sent. Returns whether one is on its way.
    fn ask(&self, now: Instant) -> bool {
        if self.unanswered.get().is_some() {
            return true;
        }
        let last = self.last.get();
        let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= APART);
        if !is_due && !self.has_responses.get() {
            return false;
        }
        let is_sent = match &mut *self.handle.borrow_mut() {
            Some(Handle(handle)) => handle.send_ping(Ping::opaque()).is_ok(),
            None => false,
        };
        if is_sent {
            self.unanswered.set(Some(now));
            self.last.set(Some(now));
            self.has_responses.set(false);
        }
        is_sent
    }
}

fn is_silent(wire: &Wire, since: Instant) -> bool {
    wire.received_at().is_none_or(|at| at <= since)
}
