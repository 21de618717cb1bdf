//! The open connections of a listener on one worker: how many exchanges each runs, and which have waited too long.
//!
//! What a connection does is a count and a byte that it writes and the worker's tick reads, so that timeouts cost no
//! timer per request. An exchange is one request and its response: at most one at a time in HTTP/1.1, many in protocols
//! with streams.

use super::Limits;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a connection whose handshake ended during a drain may take until its first request comes.
const LATECOMER: Duration = Duration::from_secs(1);

/// How long a connection waits for its next request before it rests.
const REST_AFTER: Duration = Duration::from_secs(1);

/// How many bytes of a head are read at a time.
const SCRATCH: usize = 16 * 1024;

/// All connections of one listener on one worker.
#[derive(Debug)]
pub(super) struct ConnectionRegistry {
    pub(super) limits: Limits,
    connections: RefCell<BTreeMap<u64, Rc<Activity>>>,
    next: Cell<u64>,
    idle_timeout: Cell<Duration>,
    draining: Cell<bool>,
    /// Whether connections end as soon as they are idle.
    ends_idle: Cell<bool>,
    left: Notify,
    /// Where heads are read to, one at a time.
    scratch: Rc<RefCell<Box<[u8]>>>,
}

/// What one connection is doing.
#[derive(Debug)]
pub(super) struct Activity {
    /// Exchanges that run.
    exchanges: Cell<u32>,
    /// What it waits for while none runs.
    waits_for: Cell<Wait>,
    /// How long it has waited for its client, to the precision of ticks.
    waited: Cell<Duration>,
    /// How long it has been since the client closed its side, or since the last byte was written after that. `None` while the
    /// client's side is open.
    half_closed: Cell<Option<Duration>>,
    close_mode: Cell<CloseMode>,
    /// Whether its client is to open no more streams.
    goes_away: Cell<bool>,
    tunnels: Tunnels,
    task: RefCell<Option<Waker>>,
}

/// The tunnels of one connection: one in HTTP/1.1, one for a stream in HTTP/2.
#[derive(Debug, Default)]
struct Tunnels {
    /// Their tasks, by numbers.
    open: RefCell<BTreeMap<u32, Option<Waker>>>,
    next: Cell<u32>,
    /// Whether they are to end.
    are_leaving: Cell<bool>,
}

/// What a tunnel is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TunnelPhase {
    /// It goes on.
    Open,
    /// It is to end politely.
    Leaving,
}

/// A tunnel's place among those of its connection, until dropped.
#[derive(Debug)]
pub(super) struct TunnelPlace {
    activity: Rc<Activity>,
    number: u32,
}

/// What a connection without a running exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The end of a TLS handshake.
    Handshake,
    /// The first byte.
    First,
    /// The rest of a request's head.
    Head,
    /// The end of the last response to be written, which has a time limit of its own.
    Flush,
    /// The next request.
    Next,
    /// The next request, without anything that only a request needs.
    Rest,
    /// The end of the client's data, which is ignored. It has a time limit of its own.
    End,
}

/// Whether a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CloseMode {
    /// It goes on.
    No,
    /// It ends unless an exchange began meanwhile.
    IfIdle,
    /// It ends now.
    Now,
}

/// A connection's entry in the registry, removed when dropped.
#[derive(Debug)]
pub(super) struct Entry {
    registry: Rc<ConnectionRegistry>,
    number: u64,
    pub(super) activity: Rc<Activity>,
}

/// A running exchange of a connection, ended when dropped.
#[derive(Debug)]
pub(super) struct Exchange(Rc<Activity>);

impl ConnectionRegistry {
    pub(super) fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            idle_timeout: Cell::new(limits.idle_timeout),
            limits,
            connections: RefCell::default(),
            next: Cell::new(0),
            draining: Cell::new(false),
            ends_idle: Cell::new(false),
            left: Notify::new(),
            scratch: Rc::new(RefCell::new(vec![0; SCRATCH].into())),
        })
    }

    /// An entry for a new connection.
    pub(super) fn enter(self: &Rc<Self>) -> Entry {
        let number = self.next.replace(self.next.get() + 1);
        let activity = Rc::new(Activity {
            exchanges: Cell::new(0),
            waits_for: Cell::new(Wait::First),
            waited: Cell::new(Duration::ZERO),
            half_closed: Cell::new(None),
            close_mode: Cell::new(CloseMode::No),
            goes_away: Cell::new(false),
            tunnels: Tunnels::default(),
            task: RefCell::default(),
        });
        self.connections.borrow_mut().insert(number, Rc::clone(&activity));
        Entry {
            registry: Rc::clone(self),
            number,
            activity,
        }
    }

    /// Sets how long a connection may wait for its next request.
    pub(super) fn set_idle_timeout(&self, timeout: Duration) {
        self.idle_timeout.set(timeout);
    }

    /// Time passed: ends the connections whose clients have kept them waiting too long.
    pub(super) fn tick(&self, passed: Duration) {
        for activity in self.connections.borrow().values() {
            if activity.runs_exchanges() {
                activity.tick_half_closed(passed, self.limits.half_closed_timeout);
                continue;
            }
            let limit = match activity.waits_for.get() {
                Wait::Handshake => self.limits.handshake_timeout,
                // One that came up after the idle ones were ended.
                Wait::First if self.draining.get() => LATECOMER,
                Wait::First | Wait::Head => self.limits.header_timeout,
                Wait::Next | Wait::Rest => self.idle_timeout.get(),
                Wait::Flush | Wait::End => continue,
            };
            // The first tick may come right after the wait began, so one tick is not counted.
            if activity.waited.get() >= limit {
                activity.end(CloseMode::IfIdle);
            }
            activity.waited.set(activity.waited.get() + passed);
            activity.rest();
        }
    }

    /// From now on every response asks its client to close.
    pub(super) fn begin_drain(&self) {
        self.draining.set(true);
    }

    /// Ends the connections on which no request has begun. From now on, those with streams end when the last one does.
    pub(super) fn end_idle(&self) {
        self.ends_idle.set(true);
        for activity in self.connections.borrow().values() {
            let waits = matches!(activity.waits_for.get(), Wait::Handshake | Wait::Head | Wait::Flush);
            if !activity.runs_exchanges() && !waits {
                activity.end(CloseMode::IfIdle);
            }
        }
    }

    /// Tells the clients of connections with streams to open no more of them.
    pub(super) fn announce_end(&self) {
        for activity in self.connections.borrow().values() {
            activity.announce_end();
        }
    }

    /// Ends tunnels politely: those of one of `parts` of the connections that have some, at least of one. Their clients come back together
    /// otherwise.
    pub(super) fn leave_tunnels(&self, parts: usize) {
        let connections = self.connections.borrow();
        let joined = || connections.values().filter(|activity| activity.tunnels.can_leave());
        let count = joined().count().div_ceil(parts.max(1));
        joined().take(count).for_each(|activity| activity.tunnels.leave());
    }

    /// Ends all connections, whatever they do.
    pub(super) fn end_all(&self) {
        for activity in self.connections.borrow().values() {
            activity.end(CloseMode::Now);
        }
    }

    /// Waits until there are no connections.
    pub(super) async fn empty(&self) {
        while !self.connections.borrow().is_empty() {
            self.left.notified().await;
        }
    }
}

impl Activity {
    /// Remembers the connection's task, to be woken when it is to end.
    pub(super) fn belongs_to(&self, task: &Waker) {
        *self.task.borrow_mut() = Some(task.clone());
    }

    /// Bytes came.
    pub(super) fn received(&self) {
        // During a flush it is the rest of a body that was not asked for.
        if !self.runs_exchanges() && !matches!(self.waits_for.get(), Wait::Head | Wait::Flush) {
            self.waits_for.set(Wait::Head);
            self.waited.set(Duration::ZERO);
        }
    }

    /// Bytes came on a connection with streams, and no head has begun and not ended. `is_open`: they are the first ones that show
    /// the protocol, and the first request may take its time.
    pub(super) fn has_no_head(&self, is_open: bool) {
        if is_open || self.waits_for.get() == Wait::Head {
            self.waits_for.set(Wait::Next);
            self.waited.set(Duration::ZERO);
        }
    }

    /// Whether the client of a connection with streams is to open no more of them.
    pub(super) fn goes_away(&self) -> bool {
        self.goes_away.get()
    }

    /// Tells the client of a connection with streams to open no more of them.
    pub(super) fn announce_end(&self) {
        self.goes_away.set(true);
        self.wake();
    }

    /// Whether it ends now, whatever runs.
    pub(super) fn is_cut(&self) -> bool {
        self.close_mode.get() == CloseMode::Now
    }

    /// A TLS handshake comes before the first request.
    pub(super) fn begin_handshake(&self) {
        self.waits_for.set(Wait::Handshake);
    }

    /// The handshake is done; the first request has its time from now on.
    pub(super) fn end_handshake(&self) {
        self.waits_for.set(Wait::First);
        self.waited.set(Duration::ZERO);
    }

    /// Whether it ends because a handshake took too long.
    pub(super) fn is_late_handshake(&self) -> bool {
        self.waits_for.get() == Wait::Handshake && self.close_mode.get() == CloseMode::IfIdle
    }

    /// Whether the connection waits for its next request only, and may let go of what it does not need for that.
    pub(super) fn rests(&self) -> bool {
        self.waits_for.get() == Wait::Rest && !self.runs_exchanges()
    }

    fn rest(&self) {
        let is_long = self.waited.get() > REST_AFTER;
        if is_long && self.waits_for.get() == Wait::Next {
            self.waits_for.set(Wait::Rest);
            self.wake();
        }
    }

    /// The client has closed its side while an exchange runs: it may only have sent its last request, or be gone.
    pub(super) fn half_closed(&self) {
        if self.half_closed.get().is_none() {
            self.half_closed.set(Some(Duration::ZERO));
        }
    }

    /// Bytes were written.
    #[inline]
    pub(super) fn wrote(&self) {
        if self.half_closed.get().is_some() {
            self.half_closed.set(Some(Duration::ZERO));
        }
    }

    fn tick_half_closed(&self, passed: Duration, limit: Duration) {
        let Some(waited) = self.half_closed.get() else { return };
        if waited >= limit {
            self.end(CloseMode::Now);
        } else {
            self.half_closed.set(Some(waited + passed));
            // So that a reset is noticed.
            self.wake();
        }
    }

    /// The rest of what the client sends is ignored.
    pub(super) fn lingers(&self) {
        self.waits_for.set(Wait::End);
    }

    /// A request's head is whole.
    pub(super) fn begin(self: &Rc<Self>) -> Exchange {
        self.exchanges.set(self.exchanges.get() + 1);
        Exchange(Rc::clone(self))
    }

    pub(super) fn runs_exchanges(&self) -> bool {
        self.exchanges.get() > 0
    }

    /// A tunnel begins. Its client may close its side as long before the end as it likes.
    pub(super) fn begin_tunnel(self: &Rc<Self>) -> TunnelPlace {
        self.half_closed.set(None);
        let Tunnels { open, next, .. } = &self.tunnels;
        let number = next.replace(next.get().wrapping_add(1));
        open.borrow_mut().insert(number, None);
        TunnelPlace {
            activity: Rc::clone(self),
            number,
        }
    }

    /// Everything that was to be written has been.
    #[inline]
    pub(super) fn flushed(&self) {
        if self.waits_for.get() == Wait::Flush {
            self.waits_for.set(Wait::Next);
            self.waited.set(Duration::ZERO);
        }
    }

    /// Whether the connection is to end now.
    pub(super) fn is_over(&self) -> bool {
        match self.close_mode.get() {
            CloseMode::No => false,
            CloseMode::Now => true,
            CloseMode::IfIdle => {
                // A request that came at the last moment is answered.
                let runs = self.runs_exchanges();
                if runs {
                    self.close_mode.set(CloseMode::No);
                }
                !runs
            }
        }
    }

    /// Whether it ends because a part of a request's head came and the rest did not in time.
    pub(super) fn is_late_head(&self) -> bool {
        !self.runs_exchanges() && self.waits_for.get() == Wait::Head && self.close_mode.get() == CloseMode::IfIdle
    }

    fn end(&self, close_mode: CloseMode) {
        self.close_mode.set(close_mode);
        self.wake();
        if close_mode == CloseMode::Now {
            self.tunnels.wake();
        }
    }

    /// Has the connection's task look at it.
    pub(super) fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }
}

impl Tunnels {
    /// Whether there are some that have not been told to end.
    fn can_leave(&self) -> bool {
        !self.are_leaving.get() && !self.open.borrow().is_empty()
    }

    fn leave(&self) {
        self.are_leaving.set(true);
        self.wake();
    }

    fn wake(&self) {
        self.open.borrow().values().flatten().for_each(Waker::wake_by_ref);
    }
}

impl TunnelPlace {
    /// What it is to do. The context's task is woken when that changes.
    pub(super) fn phase(&self, context: &mut Context<'_>) -> TunnelPhase {
        let Tunnels { open, are_leaving, .. } = &self.activity.tunnels;
        if let Some(task) = open.borrow_mut().get_mut(&self.number)
            && task.as_ref().is_none_or(|task| !task.will_wake(context.waker()))
        {
            *task = Some(context.waker().clone());
        }
        match are_leaving.get() {
            true => TunnelPhase::Leaving,
            false => TunnelPhase::Open,
        }
    }

    /// Whether its connection ends now.
    pub(super) fn is_cut(&self) -> bool {
        self.activity.is_cut()
    }
}

impl Drop for TunnelPlace {
    fn drop(&mut self) {
        self.activity.tunnels.open.borrow_mut().remove(&self.number);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Self(activity) = self;
        activity.exchanges.set(activity.exchanges.get() - 1);
        if !activity.runs_exchanges() {
            activity.waits_for.set(Wait::Flush);
        }
    }
}

impl Entry {
    /// What the listener allows its connections.
    pub(super) fn limits(&self) -> &Limits {
        &self.registry.limits
    }

    /// Where heads are read to.
    pub(super) fn scratch(&self) -> Rc<RefCell<Box<[u8]>>> {
        Rc::clone(&self.registry.scratch)
    }

    /// Whether a connection with streams ends when no exchange runs.
    pub(super) fn ends_idle(&self) -> bool {
        self.registry.ends_idle.get()
    }

    /// Whether responses ask their clients to close.
    pub(super) fn is_draining(&self) -> bool {
        self.registry.draining.get()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.connections.borrow_mut().remove(&self.number);
        self.registry.left.notify_one();
    }
}
