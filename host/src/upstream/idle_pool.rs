//! The idle connections to one gateway, and which of them a request may take.

use super::clock;
use super::http1::{Connection, Idle};
use crate::vitals::KeepAlive;
use portolan_core::config::{Reuse, Upstream};
use std::cell::RefCell;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// Idle connections kept to one gateway by one worker.
const MAX_IDLE: usize = 256;

/// Among how many of the latest a request that cannot be repeated chooses: earlier ones have been idle for longer.
const CHOICE: usize = 8;

/// The idle connections to one gateway.
#[derive(Debug)]
pub(super) struct IdlePool {
    upstream: Upstream,
    /// In the order in which they were given back.
    #[expect(
        clippy::vec_box,
        reason = "they are boxed wherever they go: the pool moves a pointer, not a connection"
    )]
    connections: RefCell<Vec<Box<Connection>>>,
}

impl IdlePool {
    pub(super) fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            connections: RefCell::default(),
        }
    }

    /// A connection that is open as far as is known. The one that was used last comes first.
    ///
    /// A request that cannot be repeated gets one that the gateway does not close soon, as far as is known.
    pub(super) fn take(&self, may_repeat: bool, gateway: &KeepAlive, now: Instant) -> Option<Box<Connection>> {
        loop {
            let mut connection = if may_repeat {
                self.connections.borrow_mut().pop()?
            } else {
                self.take_safe(gateway, now)?
            };
            if !connection.link.endpoint().is_in() {
                continue;
            }
            let idle = match connection.link.is_bodiless() {
                // A body may have come after a response that has none: a read without an event would not notice.
                true => connection.look(),
                // Afterwards no task is woken for this connection until it is polled again.
                false => connection.poll_idle(&mut Context::from_waker(Waker::noop())),
            };
            match idle {
                Idle::Open => return Some(connection),
                ended => note(&connection, ended, gateway, clock::now()),
            }
        }
    }

    fn take_safe(&self, gateway: &KeepAlive, now: Instant) -> Option<Box<Connection>> {
        if self.upstream.reuse != Reuse::Always {
            return None;
        }
        let limit = gateway.limit();
        let mut connections = self.connections.borrow_mut();
        let latest = connections.iter().enumerate().rev().take(CHOICE);
        let mut safe = latest.filter(|(_, connection)| connection.link.is_safe(&limit, now));
        let (place, _) = safe.next()?;
        Some(connections.remove(place))
    }

    /// Keeps a connection for further requests, when its last exchange left it clean, and as long as it may be used.
    pub(super) fn give_back(&self, mut connection: Box<Connection>, gateway: &KeepAlive) {
        let now = clock::now();
        let may_stay = connection.link.give_back(now) && self.upstream.reuse != Reuse::Never;
        let may_be_stray = connection.link.is_bodiless() && gateway.has_stray_bodies();
        let mut connections = self.connections.borrow_mut();
        if connection.is_clean() && may_stay && !may_be_stray && connections.len() < MAX_IDLE {
            connection.rest();
            connections.push(connection);
        }
    }

    /// Closes those that have been idle for too long or may not be used any more, and those that the gateway has closed: the
    /// context's task is woken when it closes one of the others. Gives the age of the oldest that is open.
    pub(super) fn sweep(&self, gateway: &KeepAlive, now: Instant, context: &mut Context<'_>) -> Duration {
        let mut oldest = Duration::ZERO;
        self.connections.borrow_mut().retain_mut(|connection| {
            let ended = connection.poll_idle(context);
            if ended != Idle::Open {
                note(connection, ended, gateway, now);
                return false;
            }
            let age = connection.link.idle_for(now);
            oldest = oldest.max(age);
            age < self.upstream.idle_timeout && connection.link.may_stay(now)
        });
        oldest
    }
}

/// Notes how an idle connection ended.
fn note(connection: &Connection, ended: Idle, gateway: &KeepAlive, now: Instant) {
    match ended {
        Idle::Open => {}
        Idle::Closed => gateway.closed(connection.link.idle_for(now), now),
        Idle::Spoilt if connection.link.is_bodiless() => gateway.stray_body(),
        Idle::Spoilt => {}
    }
}
