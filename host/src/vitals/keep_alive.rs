//! How a gateway treats idle connections, as all workers have observed it.

use portolan_core::reuse::{IdleAges, IdleLimit};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How a gateway treats idle connections.
#[derive(Debug)]
pub struct KeepAlive {
    ages: Mutex<IdleAges>,
    /// The limit again, in nanoseconds, for workers to read: closed, where `u64::MAX` means never, and open.
    closed: AtomicU64,
    open: AtomicU64,
    /// Whether a second request was answered on a connection.
    reused: AtomicBool,
    has_stray_bodies: AtomicBool,
}

impl KeepAlive {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ages: Mutex::new(IdleAges::new(now)),
            closed: AtomicU64::new(u64::MAX),
            open: AtomicU64::new(0),
            reused: AtomicBool::new(false),
            has_stray_bodies: AtomicBool::new(false),
        }
    }

    /// The gateway closed a connection that had been idle for this long.
    pub fn closed(&self, age: Duration, now: Instant) {
        self.observe(|ages| ages.closed(age, now));
    }

    /// A connection was open after it had been idle for this long.
    pub fn open(&self, age: Duration, now: Instant) {
        self.observe(|ages| ages.open(age, now));
    }

    /// A second request was answered on a connection.
    pub fn reused(&self, now: Instant) {
        if !self.reused.load(Relaxed) {
            self.observe(|ages| ages.reused(now));
        }
    }

    /// How old idle connections may become, as far as is known.
    pub fn limit(&self) -> IdleLimit {
        let closed = Some(self.closed.load(Relaxed)).filter(|nanos| *nanos != u64::MAX);
        IdleLimit {
            closed: closed.map(Duration::from_nanos),
            open: Duration::from_nanos(self.open.load(Relaxed)),
        }
    }

    /// The gateway has sent a body after a response that has none.
    pub fn stray_body(&self) {
        self.has_stray_bodies.store(true, Relaxed);
    }

    /// Whether it has done so.
    pub fn has_stray_bodies(&self) -> bool {
        self.has_stray_bodies.load(Relaxed)
    }

    fn observe(&self, observe: impl FnOnce(&mut IdleAges)) {
        let mut ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        observe(&mut ages);
        let limit = ages.limit();
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.closed.store(limit.closed.map_or(u64::MAX, nanos), Relaxed);
        self.open.store(nanos(limit.open), Relaxed);
        self.reused.store(ages.is_reused(), Relaxed);
    }
}
