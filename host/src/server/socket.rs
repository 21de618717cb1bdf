//! A downstream stream as hyper reads and writes it. It notes when bytes come, bounds how long a write may wait, and looks for
//! clients that go away while they wait for a response.

use super::accepted::ClientStream;
use super::registry::Activity;
use crate::arrival::InterimQueue;
use crate::message::has_no_path;
use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use memchr::memchr_iter;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How many fields hyper has room for without allocating.
pub(super) const USUAL_FIELDS: usize = 100;

/// A client's stream.
#[derive(Debug)]
pub(super) struct Socket<S> {
    stream: TokioIo<S>,
    activity: Rc<Activity>,
    write_timeout: Duration,
    /// Runs while the client reads nothing of what is to be written.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Whether bytes wait to be read: until then it is not known whether the client has closed its side.
    has_unread: bool,
    /// Data that goes to hyper before what is read.
    read: Bytes,
    /// How many lines came of a head, as far as that was counted.
    lines: usize,
    /// Whether hyper has room for as many fields as are accepted.
    is_roomy: bool,
    interim: Rc<InterimQueue>,
    /// The interim response that is being written.
    writing: Bytes,
    /// What is written when hyper has ended: see [`Socket::keep`].
    unsent: Vec<u8>,
    /// Where heads are read to, to be looked at.
    scratch: Rc<RefCell<Box<[u8]>>>,
}

impl<S: ClientStream> Socket<S> {
    pub(super) fn new(
        stream: S,
        activity: Rc<Activity>,
        interim: Rc<InterimQueue>,
        write_timeout: Duration,
        scratch: Rc<RefCell<Box<[u8]>>>,
    ) -> Self {
        Self {
            stream: TokioIo::new(stream),
            activity,
            write_timeout,
            stalled: None,
            has_unread: false,
            read: Bytes::new(),
            lines: 0,
            is_roomy: false,
            interim,
            writing: Bytes::new(),
            unsent: Vec::new(),
            scratch,
        }
    }

    /// Begins anew with another hyper. `before`: what the last one had read.
    pub(super) fn resumed(mut self, before: Bytes) -> Self {
        if !before.is_empty() {
            self.read = [&before[..], &self.read].concat().into();
        }
        self
    }

    /// The same, with one that has room for as many fields as are accepted.
    pub(super) fn with_room(mut self, before: Bytes) -> Self {
        self.is_roomy = true;
        self.resumed(before)
    }

    /// Whether there may be something to read.
    pub(super) fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.read.is_empty() {
            true => self.stream.inner_mut().poll_readable(context),
            false => Poll::Ready(()),
        }
    }

    /// Whether a head needs more room than hyper has on its stack: room for more would cost every request of every
    /// connection two allocations.
    fn needs_room(&mut self, read: &[u8]) -> bool {
        if self.is_roomy {
            return false;
        }
        // A line with a field has three bytes at least: many heads are too short for so many.
        self.lines += if self.lines == 0 && read.len() < 3 * USUAL_FIELDS {
            read.len() / 3
        } else {
            memchr_iter(b'\n', read).count()
        };
        // Between two responses hyper can be replaced.
        self.lines > USUAL_FIELDS && !self.interim.is_blocked()
    }

    /// Writes the interim responses that wait.
    fn poll_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.writing.is_empty() {
            if self.interim.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.writing = self.interim.take().into();
        }
        while !self.writing.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(context, &self.writing);
            let count = ready!(self.watched(written, context))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.writing.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Looks whether the client has closed its side while an exchange runs, and has this task woken when it does.
    fn poll_client(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.has_unread || !self.activity.runs_exchanges() {
            return Ok(());
        }
        match self.stream.inner_mut().poll_closed(context) {
            Poll::Ready(Ok(true)) => self.activity.half_closed(),
            Poll::Ready(Ok(false)) => self.has_unread = true,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => {}
        }
        Ok(())
    }

    pub(super) fn into_inner(self) -> S {
        self.stream.into_inner()
    }

    /// The stream, what was read of it and has not gone to hyper, and what hyper wrote that is still to be written.
    pub(super) fn into_parts(self) -> (S, Bytes, Bytes) {
        (self.stream.into_inner(), self.read, self.unsent.into())
    }

    /// Keeps what hyper writes when another protocol follows: it ends when it has given it away, whether or not it was written.
    #[cold]
    fn keep(&mut self, parts: &[&[u8]]) -> usize {
        let writing = std::mem::take(&mut self.writing);
        self.unsent.extend_from_slice(&writing);
        self.unsent.extend_from_slice(&self.interim.take());
        parts.iter().for_each(|part| self.unsent.extend_from_slice(part));
        parts.iter().map(|part| part.len()).sum()
    }

    /// Lets a write through, and fails it when the client has stalled for too long.
    fn watched<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            self.activity.wrote();
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.write_timeout)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read its response",
        )))
    }
}

impl<S: ClientStream> Read for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.has_unread = false;
        if !this.read.is_empty() {
            let count = this.read.len().min(buffer.remaining());
            buffer.put_slice(&this.read.split_to(count));
            return Poll::Ready(Ok(()));
        }
        if this.activity.runs_exchanges() {
            // A body.
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let scratch = Rc::clone(&this.scratch);
        let mut scratch = scratch.borrow_mut();
        let room = scratch.len().min(buffer.remaining());
        let mut read = ReadBuf::new(&mut scratch[..room]);
        let result = ready!(Pin::new(&mut this.stream).poll_read(context, read.unfilled()));
        // Bytes, or the end of the connection, which ends the waiting as well.
        this.activity.received();
        if has_no_path(read.filled()) {
            this.activity.asks_without_path();
        }
        if this.needs_room(read.filled()) {
            this.read = Bytes::copy_from_slice(read.filled());
            this.activity.wants_room();
            // The task ends this hyper when it sees that.
            return Poll::Pending;
        }
        buffer.put_slice(read.filled());
        Poll::Ready(result)
    }
}

impl<S: ClientStream> Write for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.activity.awaits_head() {
            // hyper answers a head that it could not read, without content: `connection` has another answer.
            return Poll::Ready(Ok(bytes.len()));
        }
        if self.activity.switches() {
            return Poll::Ready(Ok(self.keep(&[bytes])));
        }
        ready!(self.poll_interim(context))?;
        self.interim.block(true);
        self.lines = 0;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(written, context)
    }

    /// hyper flushes whenever it was polled and has nothing left to write, and does not read while an exchange runs unless it
    /// waits for a body.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.switches() {
            return Poll::Ready(Ok(()));
        }
        self.interim.block(false);
        ready!(self.poll_interim(context))?;
        self.poll_client(context)?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.activity.flushed();
        Poll::Ready(Ok(()))
    }

    /// Our side is closed by `connection`, which may have something to write still. hyper does not after CONNECT.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.activity.awaits_head() {
            return Poll::Ready(Ok(buffers.iter().map(|buffer| buffer.len()).sum()));
        }
        if self.activity.switches() {
            let parts: Vec<&[u8]> = buffers.iter().map(|buffer| &**buffer).collect();
            return Poll::Ready(Ok(self.keep(&parts)));
        }
        ready!(self.poll_interim(context))?;
        self.interim.block(true);
        self.lines = 0;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watched(written, context)
    }
}
