//! The open connections of a worker: how many there are, what each is doing, and which have waited too long.
//!
//! What a connection does is a byte that it writes and the worker's tick reads, so that timeouts cost no timer per
//! request.

use super::Limits;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;
use tokio::sync::Notify;

/// All connections of one worker.
#[derive(Debug)]
pub(super) struct Roster {
    pub(super) limits: Limits,
    seats: RefCell<BTreeMap<u64, Rc<Activity>>>,
    next: Cell<u64>,
    draining: Cell<bool>,
    left: Notify,
}

/// What one connection is doing.
#[derive(Debug)]
pub(super) struct Activity {
    phase: Cell<Phase>,
    /// How long it has waited for its client, as far as ticks tell.
    waited: Cell<Duration>,
    ending: Cell<Ending>,
    task: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing came yet.
    New,
    /// A part of a request's head came.
    Head,
    /// A request is being answered.
    Busy,
    /// A request was answered, and nothing came since.
    Idle,
}

/// Whether a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It goes on.
    No,
    /// It ends unless a request came meanwhile.
    IfIdle,
    /// It ends now.
    Now,
}

/// A connection's place in the roster, given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    roster: Rc<Roster>,
    number: u64,
    pub(super) activity: Rc<Activity>,
}

impl Roster {
    pub(super) fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            limits,
            seats: RefCell::default(),
            next: Cell::new(0),
            draining: Cell::new(false),
            left: Notify::new(),
        })
    }

    /// A place for a new connection; `None` when all are taken.
    pub(super) fn admit(self: &Rc<Self>) -> Option<Seat> {
        let mut seats = self.seats.borrow_mut();
        if seats.len() >= self.limits.connections {
            return None;
        }
        let number = self.next.replace(self.next.get() + 1);
        let activity = Rc::new(Activity {
            phase: Cell::new(Phase::New),
            waited: Cell::new(Duration::ZERO),
            ending: Cell::new(Ending::No),
            task: RefCell::default(),
        });
        seats.insert(number, Rc::clone(&activity));
        Some(Seat {
            roster: Rc::clone(self),
            number,
            activity,
        })
    }

    /// Time passed: ends the connections whose clients have kept them waiting too long.
    pub(super) fn tick(&self, passed: Duration) {
        for activity in self.seats.borrow().values() {
            let limit = match activity.phase.get() {
                Phase::Busy => continue,
                Phase::New | Phase::Head => self.limits.header_timeout,
                Phase::Idle => self.limits.idle_timeout,
            };
            // The first tick may come right after the wait began, so one tick is not counted.
            if activity.waited.get() >= limit {
                activity.end(Ending::IfIdle);
            }
            activity.waited.set(activity.waited.get() + passed);
        }
    }

    /// From now on every response tells its client to close.
    pub(super) fn begin_drain(&self) {
        self.draining.set(true);
    }

    /// Ends the connections on which no request has begun.
    pub(super) fn end_idle(&self) {
        let seats = self.seats.borrow();
        let idle = |activity: &&Rc<Activity>| matches!(activity.phase.get(), Phase::New | Phase::Idle);
        seats
            .values()
            .filter(idle)
            .for_each(|activity| activity.end(Ending::IfIdle));
    }

    /// Ends all connections, whatever they do.
    pub(super) fn end_all(&self) {
        self.seats
            .borrow()
            .values()
            .for_each(|activity| activity.end(Ending::Now));
    }

    /// Waits until there are no connections.
    pub(super) async fn empty(&self) {
        while !self.seats.borrow().is_empty() {
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
    pub(super) fn heard(&self) {
        if matches!(self.phase.get(), Phase::New | Phase::Idle) {
            self.phase.set(Phase::Head);
            self.waited.set(Duration::ZERO);
        }
    }

    /// A request's head is whole.
    pub(super) fn begin(&self) {
        self.phase.set(Phase::Busy);
    }

    /// The response is finished.
    pub(super) fn finish(&self) {
        self.phase.set(Phase::Idle);
        self.waited.set(Duration::ZERO);
    }

    /// Whether the connection is to end now.
    pub(super) fn is_over(&self) -> bool {
        match self.ending.get() {
            Ending::No => false,
            Ending::Now => true,
            Ending::IfIdle => {
                // A request that came at the last moment is answered.
                let busy = self.phase.get() == Phase::Busy;
                if busy {
                    self.ending.set(Ending::No);
                }
                !busy
            }
        }
    }

    fn end(&self, ending: Ending) {
        self.ending.set(ending);
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }
}

impl Seat {
    /// What the worker allows its connections.
    pub(super) fn limits(&self) -> &Limits {
        &self.roster.limits
    }

    /// Whether responses are to tell their clients to close.
    pub(super) fn is_draining(&self) -> bool {
        self.roster.draining.get()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.roster.seats.borrow_mut().remove(&self.number);
        self.roster.left.notify_one();
    }
}
