//! A request's body that can be sent again.
//!
//! Up to a limit, the body is kept while it is streamed. An attempt reads the kept part, then the rest as the client sends
//! it, with backpressure from the gateway. Requests without a body cost nothing.

use super::clock;
use super::idle::IdleTimer;
use crate::arrival::ClientBody;
use bytes::Bytes;
use http::header::{self, HeaderMap};
use http_body::{Body, Frame};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use thiserror::Error;

#[cfg(test)]
mod tests;

/// The body of a client's request.
#[derive(Clone, Debug)]
pub enum ReplayBody {
    /// No body.
    Empty,
    /// It is read from the client as it is sent on.
    Streaming(Rc<RefCell<Tape>>),
}

/// How a request's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// By its length in bytes.
    Length(u64),
    /// By the chunked coding.
    Chunked,
}

/// What one attempt sends.
#[derive(Debug, Default)]
pub(super) enum RequestBody {
    /// Nothing.
    #[default]
    Empty,
    /// The body, from its beginning.
    Streaming(Reader),
}

/// A body and what is kept of it.
#[derive(Debug)]
pub struct Tape {
    source: ClientBody,
    /// Its length, if the client sent it in the head.
    length: Option<u64>,
    /// The chunks read so far, up to the limit.
    kept: Vec<Bytes>,
    kept_bytes: usize,
    read_bytes: u64,
    /// It fails when it is longer than this.
    limit: u64,
    max_bytes: usize,
    trailers: Option<HeaderMap>,
    /// Whether everything read is in `kept`.
    is_kept: bool,
    ended: bool,
    failed: Option<ClientBodyError>,
    last_read: Instant,
    /// The number of readers.
    readers: usize,
    /// Whether a reader waits for the client.
    asks: bool,
    idle: IdleTimer,
    /// Bytes since the idle timer was last reset.
    progress: usize,
    /// How many bytes reset it.
    least: usize,
    /// Whether the client has time without end.
    is_untimed: bool,
}

/// One reading of a [`Tape`].
#[derive(Debug)]
pub(super) struct Reader {
    tape: Rc<RefCell<Tape>>,
    position: usize,
}

/// How far a body has been read from its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upload {
    /// No body.
    None,
    /// To its end, at this moment.
    Ended(Instant),
    /// Not to its end, and there is no reader: no attempt has started to send it.
    Waiting,
    /// Not to its end. A reader waits for the client; the last read was at this time. The body itself times the client
    /// out.
    Asked(Instant),
    /// Not to its end. The gateway has to accept what was read, last at this time.
    Running(Instant),
}

/// Why a client's body could not be read. Not an observation of the gateway.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum ClientBodyError {
    /// It was malformed, or ended too early.
    #[error("the client's body is malformed or incomplete")]
    Broken,
    /// It came too slowly.
    #[error("the client's body comes too slowly")]
    TooSlow,
    /// It is longer than allowed.
    #[error("the client's body is too large")]
    TooLarge,
}

impl ReplayBody {
    /// A request's body, of which up to `max_bytes` are kept. A client that sends fewer than `min_progress` bytes within the idle
    /// timeout times out.
    pub fn new(body: ClientBody, max_bytes: usize, idle: Duration, min_progress: usize) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        Self::Streaming(Rc::new(RefCell::new(Tape {
            length: body.size_hint().exact(),
            source: body,
            kept: Vec::new(),
            kept_bytes: 0,
            read_bytes: 0,
            limit: u64::MAX,
            max_bytes,
            trailers: None,
            is_kept: true,
            ended: false,
            failed: None,
            last_read: clock::now(),
            readers: 0,
            asks: false,
            idle: IdleTimer::new(idle),
            progress: 0,
            least: min_progress,
            is_untimed: false,
        })))
    }

    /// The same of a call of gRPC, whose messages may be small: any byte is progress.
    #[must_use]
    pub fn of_call(self) -> Self {
        if let Self::Streaming(tape) = &self {
            tape.borrow_mut().least = 1;
        }
        self
    }

    /// The client cannot time out any more: the response has begun, and its own idle timeout is for both directions.
    pub(super) fn is_answered(&self) {
        if let Self::Streaming(tape) = self {
            tape.borrow_mut().is_untimed = true;
        }
    }

    /// The same, that fails when it turns out to be longer than this many bytes. No more of them are sent on.
    #[must_use]
    pub fn at_most(self, limit: u64) -> Self {
        if let Self::Streaming(tape) = &self {
            tape.borrow_mut().limit = limit;
        }
        self
    }

    /// How it is delimited towards a gateway. `Content-Length: 0` is kept.
    pub fn framing(&self, headers: &HeaderMap) -> Framing {
        match self {
            Self::Empty if headers.contains_key(header::CONTENT_LENGTH) => Framing::Length(0),
            Self::Empty => Framing::None,
            Self::Streaming(tape) => tape.borrow().length.map_or(Framing::Chunked, Framing::Length),
        }
    }

    /// Whether it can still be sent from its beginning.
    pub fn is_replayable(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(tape) => tape.borrow().is_kept,
        }
    }

    /// Whether it can still be sent from its beginning when all of it has been sent.
    pub(super) fn stays_replayable(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(tape) => tape.borrow().stays_kept(),
        }
    }

    /// Whether all of it has been received and kept, so that two attempts may send it at once.
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(tape) => tape.borrow().is_kept && tape.borrow().ended,
        }
    }

    /// Whether the client has not sent all of it yet, as far as it was read.
    pub fn is_unread(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Streaming(tape) => !tape.borrow().ended && !tape.borrow().source.is_end_stream(),
        }
    }

    /// The client's error, if any.
    pub fn failure(&self) -> Option<ClientBodyError> {
        match self {
            Self::Empty => None,
            Self::Streaming(tape) => tape.borrow().failed,
        }
    }

    /// How many bytes of it have been read from the client.
    pub fn bytes_read(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Streaming(tape) => tape.borrow().read_bytes,
        }
    }

    pub(super) fn upload(&self) -> Upload {
        let Self::Streaming(tape) = self else {
            return Upload::None;
        };
        let tape = tape.borrow();
        match *tape {
            Tape { ended: true, .. } => Upload::Ended(tape.last_read),
            Tape { readers: 0, .. } => Upload::Waiting,
            Tape { asks: true, .. } => Upload::Asked(tape.last_read),
            _ => Upload::Running(tape.last_read),
        }
    }

    /// The body for one attempt. Only one may read from the client at a time; see [`ReplayBody::is_complete`].
    pub(super) fn reader(&self) -> RequestBody {
        match self {
            Self::Empty => RequestBody::Empty,
            Self::Streaming(tape) => RequestBody::Streaming(Reader::new(tape)),
        }
    }
}

impl Tape {
    /// Reads the next frame from the client, and keeps it if the limit allows.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ClientBodyError>>> {
        let frame = match Pin::new(&mut self.source).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                self.asks = true;
                if self.is_untimed {
                    return Poll::Pending;
                }
                ready!(self.idle.poll_expired(context));
                return Poll::Ready(Some(Err(self.fail(ClientBodyError::TooSlow))));
            }
        };
        self.last_read = clock::now();
        self.asks = false;
        match frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                if length > self.limit - self.read_bytes {
                    return Poll::Ready(Some(Err(self.fail(ClientBodyError::TooLarge))));
                }
                self.keep(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(_)) => Poll::Ready(Some(Err(self.fail(ClientBodyError::Broken)))),
            None => {
                self.ended = true;
                Poll::Ready(None)
            }
        }
    }

    fn stays_kept(&self) -> bool {
        let fits = || self.length.is_some_and(|length| length <= self.max_bytes as u64);
        self.is_kept && (self.ended || fits())
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.progress += data.len();
            if self.progress >= self.least {
                self.progress = 0;
                self.idle.moved();
            }
            self.read_bytes += data.len() as u64;
            self.kept_bytes += data.len();
            self.is_kept &= self.kept_bytes <= self.max_bytes;
            if self.is_kept {
                self.kept.push(data.clone());
            } else {
                self.kept = Vec::new();
            }
            self.ended = self.source.is_end_stream();
        } else {
            self.trailers = frame.trailers_ref().cloned();
            self.ended = true;
        }
    }

    fn fail(&mut self, error: ClientBodyError) -> ClientBodyError {
        self.failed = Some(error);
        error
    }
}

impl Reader {
    fn new(tape: &Rc<RefCell<Tape>>) -> Self {
        let mut state = tape.borrow_mut();
        debug_assert!(
            state.readers == 0 || state.is_kept && state.ended,
            "two attempts read from the client at once"
        );
        state.readers += 1;
        Self {
            tape: Rc::clone(tape),
            position: 0,
        }
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ClientBodyError>>> {
        let mut tape = self.tape.borrow_mut();
        if let Some(error) = tape.failed {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = match tape.kept.get(self.position) {
            Some(data) => Some(Ok(Frame::data(data.clone()))),
            None if !tape.ended => ready!(tape.poll_read(context)),
            // The trailers are one more frame.
            None if self.position == tape.kept.len() => {
                tape.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers)))
            }
            None => None,
        };
        self.position += 1;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let tape = self.tape.borrow();
        tape.ended && tape.trailers.is_none() && self.position >= tape.kept.len()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut tape = self.tape.borrow_mut();
        tape.readers -= 1;
        // Without a reader the client cannot time out.
        if tape.readers == 0 {
            tape.asks = false;
            tape.idle.moved();
        }
    }
}

impl RequestBody {
    /// The next frame.
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientBodyError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Streaming(reader) => reader.poll_frame(context),
        }
    }

    /// Whether the end is known to be reached.
    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(reader) => reader.is_end_stream(),
        }
    }
}
