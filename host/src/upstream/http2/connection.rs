//! One connection of HTTP/2 to a gateway.

use super::io::Wire;
use super::pings::Pings;
use crate::upstream::clock;
use crate::upstream::link::Link;
use crate::vitals::{Endpoint, Http2Event, Vitals};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{PingPong, SendStream};
use http::Request;
use portolan_core::reuse::IdleLimit;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Most streams of one connection at a time, whatever its gateway allows.
pub(super) const MAX_STREAMS: u32 = 128;

/// What a connection belongs to.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct Terms {
    pub(in crate::upstream) vitals: Arc<Vitals>,
    pub(in crate::upstream) worker: usize,
    /// Told when it may take another stream, or takes none any more.
    pub(in crate::upstream) changed: Rc<Notify>,
}

/// A connection.
#[derive(Debug)]
pub(in crate::upstream) struct Connection {
    /// `None` when it takes no new streams.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    link: RefCell<Link>,
    endpoint: Arc<Endpoint>,
    wire: Rc<Wire>,
    pings: Pings,
    /// Its streams now.
    streams: Cell<u32>,
    /// Since when it has had any.
    busy_since: Cell<Option<Instant>>,
    /// Whether a request was answered on it.
    is_used: Cell<bool>,
    terms: Terms,
}

impl Connection {
    /// One that the gateway has begun to speak on.
    pub(super) fn new(
        sender: SendRequest<Bytes>,
        pings: Option<PingPong>,
        wire: Rc<Wire>,
        (endpoint, link): (Arc<Endpoint>, Link),
        terms: Terms,
    ) -> Rc<Self> {
        terms.vitals.http2.opened_connection(terms.worker);
        Rc::new(Self {
            sender: RefCell::new(Some(sender)),
            link: RefCell::new(link),
            endpoint,
            wire,
            pings: Pings::new(pings),
            streams: Cell::new(0),
            busy_since: Cell::new(None),
            is_used: Cell::new(false),
            terms,
        })
    }

    /// The other end.
    pub(in crate::upstream) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Whether a request was answered on it.
    pub(in crate::upstream) fn is_used(&self) -> bool {
        self.is_used.get()
    }

    /// Its streams now.
    pub(super) fn streams(&self) -> u32 {
        self.streams.get()
    }

    /// Most streams at a time, as its gateway says now.
    pub(super) fn max_streams(&self) -> u32 {
        let sender = self.sender.borrow();
        let max = sender.as_ref().map_or(0, SendRequest::current_max_send_streams);
        u32::try_from(max).unwrap_or(u32::MAX).min(MAX_STREAMS)
    }

    /// Whether its gateway allows no streams now, and may later.
    pub(super) fn takes_none(&self) -> bool {
        self.sender.borrow().is_some() && self.max_streams() == 0
    }

    /// How many more streams it may carry now. `None`: none any more.
    pub(super) fn room(&self, now: Instant) -> Option<u32> {
        if self.is_retired() {
            return None;
        }
        if !self.link.borrow().may_stay(now) {
            self.retire();
            return None;
        }
        match self.pings.is_suspected(&self.wire) {
            true => Some(0),
            false => Some(self.max_streams().saturating_sub(self.streams())),
        }
    }

    /// Whether the gateway does not close it soon, as far as is known: it has streams, or has not been idle for long.
    pub(super) fn is_safe(&self, limit: &IdleLimit, now: Instant) -> bool {
        self.streams() > 0 || self.link.borrow().is_safe(limit, now)
    }

    /// For how long it has had no streams.
    pub(super) fn idle_for(&self, now: Instant) -> Duration {
        match self.streams() {
            0 => self.link.borrow().idle_for(now),
            _ => Duration::ZERO,
        }
    }

    /// It takes no new streams. It ends when the last one is over.
    pub(in crate::upstream) fn retire(&self) {
        if self.sender.take().is_some() {
            self.terms.changed.notify_waiters();
        }
    }

    /// Whether it takes no new streams.
    pub(super) fn is_retired(&self) -> bool {
        self.sender.borrow().is_none()
    }

    /// Whether it takes no new streams and has none.
    pub(super) fn is_over(&self) -> bool {
        self.streams() == 0 && self.is_retired()
    }

    /// Looks whether it is still there, once a second.
    pub(super) fn tick(&self, now: Instant) {
        if self.pings.tick(&self.wire, self.busy_since.get(), now) {
            self.event(Http2Event::PingTimeout);
            self.retire();
        }
    }

    /// Called whenever it was driven. Ready when it is to be driven no more.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.pings.poll(context);
        if self.pings.is_given_up() {
            return Poll::Ready(());
        }
        self.retire_if_gone(context);
        Poll::Pending
    }

    /// Takes no new streams after the first GOAWAY of an end in good order (RFC 9113, section 6.8), or after an error. Returns whether
    /// the gateway has announced the end.
    fn retire_if_gone(&self, context: &mut Context<'_>) -> bool {
        let error = match &mut *self.sender.borrow_mut() {
            Some(sender) => match sender.poll_ready(context) {
                Poll::Ready(Err(error)) => error,
                _ => return false,
            },
            None => return false,
        };
        let is_announced = error.is_go_away() && error.is_remote();
        if is_announced {
            self.event(Http2Event::GoAway);
        }
        self.retire();
        is_announced
    }

    /// It has ended, by itself or given up.
    pub(super) fn ended(&self, result: Option<Result<(), h2::Error>>) {
        let error = result.and_then(Result::err);
        if error.is_some_and(|error| error.is_library()) {
            self.event(Http2Event::ProtocolError);
        }
        let was_idle = !self.is_retired() && self.streams() == 0;
        let is_announced = self.retire_if_gone(&mut Context::from_waker(Waker::noop()));
        self.sender.take();
        if was_idle && !is_announced {
            // Without GOAWAY: a request that was on its way would be lost.
            let now = clock::now();
            self.terms.vitals.keep_alive.closed(self.idle_for(now), now);
        }
        self.terms.changed.notify_waiters();
    }

    /// Counts something that a gateway did.
    pub(in crate::upstream) fn event(&self, event: Http2Event) {
        self.terms.vitals.http2.event(self.terms.worker, event);
    }

    /// Begins a stream. The error is that of the connection, which takes none any more.
    pub(super) fn begin(&self, request: Request<()>, is_all: bool) -> Result<Begun, h2::Error> {
        // A handle of its own: it would be blocked by a stream of its that waits to be opened.
        let sender = self.sender.borrow().clone();
        let Some(mut sender) = sender else {
            return Err(h2::Reason::REFUSED_STREAM.into());
        };
        let written = self.wire.written();
        match sender.send_request(request, is_all) {
            Ok((response, upload)) => {
                let now = clock::now();
                if self.streams.replace(self.streams() + 1) == 0 {
                    self.busy_since.set(Some(now));
                }
                self.terms.vitals.http2.opened_stream(self.terms.worker);
                if !self.link.borrow_mut().carries_another() {
                    self.retire();
                }
                Ok(Begun {
                    response,
                    upload,
                    written,
                    at: now,
                })
            }
            Err(error) => {
                self.retire();
                Err(error)
            }
        }
    }

    /// Whether nothing was written since so much had been.
    pub(super) fn has_written_nothing_since(&self, written: u64) -> bool {
        self.wire.written() == written
    }

    /// Whether it was given up because it did not answer.
    pub(super) fn is_given_up(&self) -> bool {
        self.pings.is_given_up()
    }

    /// A stream that began then has no answer. When nothing at all came since, the connection may be dead.
    pub(super) fn doubt(&self, began: Instant, now: Instant) {
        let waited = now.saturating_duration_since(began);
        let is_silent = self.wire.received_at().is_none_or(|at| at <= began);
        if is_silent && waited >= self.link.borrow().usual_wait() {
            self.pings.suspect(now);
        }
    }

    /// The head of a response came, so long after its request.
    pub(in crate::upstream) fn answered(&self, now: Instant, after: Duration) {
        self.is_used.set(true);
        self.link.borrow_mut().answered(now, after, false, None);
    }

    /// Something of a response came.
    pub(super) fn responded(&self) {
        self.pings.responded();
    }

    /// A stream is over.
    pub(super) fn freed(&self) {
        let left = self.streams().saturating_sub(1);
        self.streams.set(left);
        self.terms.vitals.http2.closed_stream(self.terms.worker);
        if left == 0 {
            self.busy_since.set(None);
            self.link.borrow_mut().rests(clock::now());
        }
        self.terms.changed.notify_one();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.terms.vitals.http2.closed_connection(self.terms.worker);
    }
}

/// A stream that has just begun.
pub(super) struct Begun {
    pub(super) response: ResponseFuture,
    pub(super) upload: SendStream<Bytes>,
    /// How many bytes had been written before.
    pub(super) written: u64,
    pub(super) at: Instant,
}
