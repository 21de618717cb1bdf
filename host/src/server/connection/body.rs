//! The body of the request that a connection is at: read of the connection when somebody asks for it.

use super::remaining::Remaining;
use super::wire::Wire;
use crate::arrival::{BodyError, RequestStream};
use crate::chunks::Piece;
use crate::server::accepted::ClientStream;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::task::{Context, Poll, ready};

/// Most bytes that are read of a body that nobody wants, so that its connection can go on.
const DISCARDED: usize = 64 * 1024;

/// A connection and the request that it is at.
pub(super) struct Connection<S> {
    pub(super) wire: RefCell<Wire<S>>,
    body: RefCell<RequestBody>,
}

/// What is still to come of a request.
#[derive(Debug, Default)]
struct RequestBody {
    /// Which request of the connection it is.
    number: u64,
    remaining: Remaining,
    /// Whether its client has to be told to send it.
    awaits_continue: bool,
    /// Whether it cannot be read to its end.
    is_broken: bool,
}

impl<S: ClientStream> Connection<S> {
    pub(super) fn new(wire: Wire<S>) -> Self {
        Self {
            wire: RefCell::new(wire),
            body: RefCell::default(),
        }
    }

    /// The next request begins. Gives its number.
    pub(super) fn begin(&self, remaining: Remaining, awaits_continue: bool) -> u64 {
        let body = &mut *self.body.borrow_mut();
        *body = RequestBody {
            number: body.number + 1,
            remaining,
            awaits_continue,
            is_broken: false,
        };
        body.number
    }

    /// The response begins: the client is not told to send the body any more.
    pub(super) fn answers(&self) {
        self.body.borrow_mut().awaits_continue = false;
    }

    /// Whether the request is read to its end; what has come of it by now is thrown away.
    pub(super) fn discard(&self, context: &mut Context<'_>) -> bool {
        let mut left = DISCARDED;
        while !self.is_read() {
            match self.poll_next(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    let Some(less) = left.checked_sub(length) else {
                        return false;
                    };
                    left = less;
                }
                Poll::Ready(None) => {}
                Poll::Ready(Some(Err(_))) | Poll::Pending => return false,
            }
        }
        true
    }

    fn is_read(&self) -> bool {
        let body = self.body.borrow();
        body.remaining.is_none() && !body.is_broken
    }

    fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (body, wire) = (&mut *self.body.borrow_mut(), &mut *self.wire.borrow_mut());
        if body.is_broken {
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())));
        }
        let polled = body.poll(wire, context);
        if let Poll::Ready(Some(Err(_))) = polled {
            body.is_broken = true;
        }
        polled
    }
}

impl RequestBody {
    fn poll<S: ClientStream>(
        &mut self,
        wire: &mut Wire<S>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match self.remaining.next(&mut wire.read)? {
                Some(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Piece::End(trailers)) => {
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                None => {}
            }
            if std::mem::take(&mut self.awaits_continue) {
                wire.output
                    .write(|to| to.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
                // What cannot be written at once is written with what follows.
                if let Poll::Ready(Err(error)) = wire.poll_flush(context) {
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
            if ready!(wire.poll_read(context))? == 0 {
                return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())));
            }
        }
    }
}

impl<S: ClientStream> RequestStream for Connection<S> {
    fn poll_body(&self, number: u64, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.body_left(number) {
            None => Poll::Ready(None),
            Some(_) => self.poll_next(context),
        }
    }

    fn body_left(&self, number: u64) -> Option<SizeHint> {
        let body = self.body.borrow();
        if body.number != number {
            return None;
        }
        match body.remaining {
            Remaining::Length(0) => None,
            Remaining::Length(left) => Some(SizeHint::with_exact(left)),
            Remaining::Chunked(_) => Some(SizeHint::default()),
        }
    }
}

impl<S> fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
