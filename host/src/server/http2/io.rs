//! A downstream stream as hyper's HTTP/2 reads and writes it: it notes what comes, bounds how long a write may wait, and ends the
//! connection for a flood of control frames. When hyper is done with it, the stream can be had back.

use super::frames::FrameWatch;
use crate::server::accepted::ClientStream;
use crate::server::registry::Activity;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::ReadBuf;
use tokio::time::{Sleep, sleep};

/// A client's stream, shared with hyper.
#[derive(Debug)]
pub(super) struct Io<S>(Rc<RefCell<Inner<S>>>);

#[derive(Debug)]
struct Inner<S> {
    stream: S,
    activity: Rc<Activity>,
    watch: FrameWatch,
    is_flooded: bool,
    write_timeout: Duration,
    /// Runs while the client reads nothing of what is to be written.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Where bytes are read to, to be looked at.
    scratch: Rc<RefCell<Box<[u8]>>>,
}

impl<S> Clone for Io<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<S: ClientStream> Io<S> {
    pub(super) fn new(
        stream: S,
        activity: Rc<Activity>,
        write_timeout: Duration,
        scratch: Rc<RefCell<Box<[u8]>>>,
    ) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            stream,
            activity,
            watch: FrameWatch::new(Instant::now()),
            is_flooded: false,
            write_timeout,
            stalled: None,
            scratch,
        })))
    }

    /// Whether it ended because of a flood of control frames.
    pub(super) fn is_flooded(&self) -> bool {
        self.0.borrow().is_flooded
    }

    /// Whether the client has begun to speak HTTP/2.
    pub(super) fn is_open(&self) -> bool {
        self.0.borrow().watch.is_open()
    }

    /// The stream, when hyper is gone.
    pub(super) fn into_inner(self) -> Option<S> {
        Some(Rc::into_inner(self.0)?.into_inner().stream)
    }
}

impl<S: ClientStream> Inner<S> {
    /// Bytes came.
    fn received(&mut self, bytes: &[u8]) -> io::Result<()> {
        let was_open = self.watch.is_open();
        self.watch.received(bytes);
        if !self.activity.runs_exchanges() {
            match self.watch.in_head() {
                true => self.activity.received(),
                false => self.activity.has_no_head(!was_open && self.watch.is_open()),
            }
        }
        if self.watch.is_flooded(Instant::now) {
            self.is_flooded = true;
            return Err(io::Error::other("a flood of control frames"));
        }
        Ok(())
    }

    /// Lets a write through, and fails it when the client has stalled for too long.
    fn watched(&mut self, written: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.stalled = None;
            self.watch.sent(*written.as_ref().unwrap_or(&0));
            return Poll::Ready(written);
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.write_timeout)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read its responses",
        )))
    }
}

impl<S: ClientStream> Read for Io<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        let scratch = Rc::clone(&inner.scratch);
        let mut scratch = scratch.borrow_mut();
        let room = scratch.len().min(buffer.remaining());
        let mut read = ReadBuf::new(&mut scratch[..room]);
        ready!(Pin::new(&mut inner.stream).poll_read(context, &mut read))?;
        inner.received(read.filled())?;
        buffer.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: ClientStream> Write for Io<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let inner = &mut *self.0.borrow_mut();
        let written = Pin::new(&mut inner.stream).poll_write(context, bytes);
        inner.watched(written, context)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        ready!(Pin::new(&mut inner.stream).poll_flush(context))?;
        inner.activity.flushed();
        Poll::Ready(Ok(()))
    }

    /// Our side is closed when hyper is gone.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = &mut *self.0.borrow_mut();
        let written = Pin::new(&mut inner.stream).poll_write_vectored(context, buffers);
        inner.watched(written, context)
    }
}
