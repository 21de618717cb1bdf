//! A downstream stream as hyper reads and writes it. It notes when bytes come, and bounds how long a write may wait.

use super::accepted::ClientStream;
use super::registry::Activity;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// A client's stream.
#[derive(Debug)]
pub(super) struct Socket<S> {
    stream: TokioIo<S>,
    activity: Rc<Activity>,
    write_timeout: Duration,
    /// Runs while the client reads nothing of what is to be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S: ClientStream> Socket<S> {
    pub(super) fn new(stream: S, activity: Rc<Activity>, write_timeout: Duration) -> Self {
        Self {
            stream: TokioIo::new(stream),
            activity,
            write_timeout,
            stalled: None,
        }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream.into_inner()
    }

    /// Lets a write through, and fails it when the client has stalled for too long.
    fn watched<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
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
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        // Bytes, or the end of the connection, which ends the waiting as well.
        self.activity.received();
        Poll::Ready(read)
    }
}

impl<S: ClientStream> Write for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watched(written, context)
    }
}
