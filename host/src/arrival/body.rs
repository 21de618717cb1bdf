//! The body of a client's request.
//!
//! Some requests are answered before all of their body was read: too large, denied, no route. In HTTP/2, a body that is
//! dropped resets its stream, and some clients then lose the response that came before (curl), or wait
//! for it until they have sent everything (httpx). So what they still send is
//! read for a while and ignored.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// Most bytes that are read of a body that is ignored.
const DISCARDED: usize = 16 * 1024 * 1024;

/// How long a stream stays open for a body that is ignored.
const LINGER: Duration = Duration::from_secs(1);

/// The body of a client's request.
#[derive(Debug)]
pub struct ClientBody {
    /// `None` only when it is dropped.
    incoming: Option<Incoming>,
    /// Where it goes when it is dropped before its end.
    unread: Option<Rc<UnreadBodies>>,
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

impl ClientBody {
    /// A body that came. `unread`: where it goes when it is dropped before its end.
    pub fn new(incoming: Incoming, unread: Option<Rc<UnreadBodies>>) -> Self {
        Self {
            incoming: Some(incoming),
            unread,
        }
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let Some(unread) = &self.unread
            && let Some(body) = self.incoming.take_if(|body| !body.is_end_stream())
        {
            unread.keep(body);
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.incoming {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
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
