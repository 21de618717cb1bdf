//! The body of a client's request.
//!
//! In HTTP/1.1 it is read of its connection as somebody asks for it: nothing is handed from task to task.
//!
//! Some requests are answered before all of their body was read: too large, denied, no route. In HTTP/2, a body that is
//! dropped resets its stream, and some clients then lose the response that came before (curl), or wait
//! for it until they have sent everything (httpx). So what they still send is
//! read for a while and ignored.

use crate::chunks;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::RefCell;
use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Sleep, sleep};

/// Most bytes that are read of a body that is ignored.
const DISCARDED: usize = 16 * 1024 * 1024;

/// How long a stream stays open for a body that is ignored.
const LINGER: Duration = Duration::from_secs(1);

/// The body of a client's request.
#[derive(Debug, Default)]
pub struct ClientBody(Source);

#[derive(Debug, Default)]
enum Source {
    /// Nothing, or nothing more.
    #[default]
    Empty,
    /// The rest of what its connection carries before the next request. The number tells its request from the others.
    Http1(Rc<dyn RequestStream>, u64),
    /// A stream of HTTP/2, and where the rest of it goes when it is dropped before its end.
    Hyper(Incoming, Rc<UnreadBodies>),
}

/// A connection of HTTP/1.1, of which bodies are read. They come one after the other, and each has a number.
pub trait RequestStream: Debug {
    /// The next part of a body; `None` at its end.
    fn poll_body(&self, number: u64, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>;

    /// How much of a body is still to come. `None`: nothing more.
    fn body_left(&self, number: u64) -> Option<SizeHint>;
}

/// Why a body ends before its end.
#[derive(Debug, Error)]
pub enum BodyError {
    /// Its chunks are malformed.
    #[error("malformed request body: {0}")]
    Malformed(#[from] chunks::Malformed),
    /// Its client ended or lost the connection.
    #[error("the client closed the connection within its request: {0}")]
    Closed(#[from] io::Error),
    /// Its stream failed.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

impl ClientBody {
    /// The body of this number on a connection of HTTP/1.1.
    pub fn of_http1(connection: Rc<dyn RequestStream>, number: u64) -> Self {
        Self(Source::Http1(connection, number))
    }

    /// A body that hyper reads, and where it goes when it is dropped before its end.
    pub fn of_hyper(incoming: Incoming, unread: &Rc<UnreadBodies>) -> Self {
        Self(match incoming.is_end_stream() {
            true => Source::Empty,
            false => Source::Hyper(incoming, Rc::clone(unread)),
        })
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let Source::Hyper(body, unread) = std::mem::take(&mut self.0)
            && !body.is_end_stream()
        {
            unread.keep(body);
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Source::Empty => Poll::Ready(None),
            Source::Http1(connection, number) => connection.poll_body(*number, context),
            Source::Hyper(body, _) => Pin::new(body)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| Ok(frame?))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Empty => true,
            Source::Http1(connection, number) => connection.body_left(*number).is_none(),
            Source::Hyper(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let nothing = || SizeHint::with_exact(0);
        match &self.0 {
            Source::Empty => nothing(),
            Source::Http1(connection, number) => connection.body_left(*number).unwrap_or_else(nothing),
            Source::Hyper(body, _) => body.size_hint(),
        }
    }
}

/// The bodies of one connection of HTTP/2 that are ignored.
#[derive(Debug, Default)]
pub struct UnreadBodies {
    bodies: RefCell<Vec<Unread>>,
    task: RefCell<Option<Waker>>,
}

#[derive(Debug)]
struct Unread {
    body: Incoming,
    left: usize,
    over: Pin<Box<Sleep>>,
}

impl UnreadBodies {
    fn keep(&self, body: Incoming) {
        self.bodies.borrow_mut().push(Unread {
            body,
            left: DISCARDED,
            over: Box::pin(sleep(LINGER)),
        });
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    /// Reads what came of them. To be called by the task of the connection, which is woken for it.
    pub fn poll(&self, context: &mut Context<'_>) {
        if self.bodies.borrow().is_empty() {
            *self.task.borrow_mut() = Some(context.waker().clone());
            return;
        }
        self.bodies.borrow_mut().retain_mut(|unread| !unread.is_over(context));
        *self.task.borrow_mut() = Some(context.waker().clone());
    }
}

impl Unread {
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        while self.left > 0 {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.left = self.left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                }
                Poll::Ready(Some(Err(_)) | None) => return true,
                Poll::Pending => break,
            }
        }
        self.over.as_mut().poll(context).is_ready()
    }
}
