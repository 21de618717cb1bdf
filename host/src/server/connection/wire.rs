//! A client's stream with what was read of it and what is to be written. It bounds how long a write may wait, and looks for clients that
//! go away while they wait for a response.

use crate::server::accepted::ClientStream;
use crate::server::registry::Activity;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Sleep, sleep};

/// How much is read at first, which is more than nearly every head has, and most that is read at a time when much comes.
const READ_BYTES: (usize, usize) = (4 * 1024, 64 * 1024);

/// Pieces of up to this size are copied behind one another; a larger one is written from where it is.
const COPIED: usize = 4 * 1024;

/// So much is gathered before it is written.
const GATHERED: usize = 64 * 1024;

/// Most parts of one write.
const PARTS: usize = 16;

/// A client's stream and its buffers.
#[derive(Debug)]
pub(super) struct Wire<S> {
    pub(super) stream: S,
    /// What was read, and not taken yet.
    pub(super) read: BytesMut,
    pub(super) output: Output,
    /// How much of what was read is known to be no whole head.
    pub(super) looked_at: usize,
    activity: Rc<Activity>,
    /// How much is read at a time.
    read_size: usize,
    write_timeout: Duration,
    /// Runs while the client reads nothing of what is to be written.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Whether bytes wait to be read: until then it is not known whether the client has closed its side.
    pub(super) has_unread: bool,
    /// Whether what was written may be on its way in the stream: TLS has a buffer.
    is_unflushed: bool,
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Output {
    gathered: Vec<u8>,
    /// How much of what was gathered is written.
    written: usize,
    /// What goes after it.
    parts: VecDeque<Bytes>,
    /// How many bytes those have.
    in_parts: usize,
}

impl<S: ClientStream> Wire<S> {
    pub(super) fn new(stream: S, activity: Rc<Activity>, write_timeout: Duration) -> Self {
        Self {
            stream,
            read: BytesMut::new(),
            output: Output::default(),
            looked_at: 0,
            activity,
            read_size: READ_BYTES.0,
            write_timeout,
            stalled: None,
            has_unread: false,
            is_unflushed: false,
        }
    }

    /// Gives back the memory of its buffers, which are empty: a connection may be idle for long.
    pub(super) fn rest(&mut self) {
        self.read_size = READ_BYTES.0;
        if self.read.is_empty() {
            self.read = BytesMut::new();
        }
        if self.output.is_empty() {
            self.output = Output::default();
        }
    }

    /// Whether there may be something to read.
    pub(super) fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.read.is_empty() {
            true => self.stream.poll_readable(context),
            false => Poll::Ready(()),
        }
    }

    /// Reads what there is. 0 is the end of the client's data.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.has_unread = false;
        if !self.read.is_empty() || !self.read.try_reclaim(self.read_size) {
            // What was handed on may still be held: a little room is better than a new buffer.
            if self.read.capacity() - self.read.len() < self.read_size / 4 {
                self.read.reserve(self.read_size);
            }
        }
        let count = ready!(pin!(self.stream.read_buf(&mut self.read)).poll(context));
        if self.read.len() == self.read.capacity() {
            self.read_size = READ_BYTES.1.min(self.read_size * 4);
        }
        Poll::Ready(count)
    }

    /// Writes what is to be written.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = self.output.poll_write(&mut self.stream, context);
            let count = ready!(self.watched(written, context))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(count);
            self.is_unflushed = true;
        }
        if self.is_unflushed {
            let flushed = Pin::new(&mut self.stream).poll_flush(context);
            ready!(self.watched(flushed, context))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
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

    /// Looks whether the client has closed its side while an exchange runs, and has this task woken when it does.
    pub(super) fn poll_client(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.has_unread {
            return Ok(());
        }
        match self.stream.poll_closed(context) {
            Poll::Ready(Ok(true)) => self.activity.half_closed(),
            Poll::Ready(Ok(false)) => self.has_unread = true,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => {}
        }
        Ok(())
    }
}

impl Output {
    /// Adds what is written by this.
    pub(super) fn write<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        if self.parts.is_empty() {
            return write(&mut self.gathered);
        }
        let mut part = Vec::new();
        let written = write(&mut part);
        self.push(part.into());
        written
    }

    /// Adds data.
    pub(super) fn add(&mut self, data: Bytes) {
        if self.parts.is_empty() && data.len() <= COPIED {
            self.gathered.extend_from_slice(&data);
        } else {
            self.push(data);
        }
    }

    fn push(&mut self, part: Bytes) {
        self.in_parts += part.len();
        self.parts.push_back(part);
    }

    /// Whether enough is gathered to be written.
    pub(super) fn is_full(&self) -> bool {
        self.gathered.len() + self.in_parts >= GATHERED || self.parts.len() >= PARTS - 3
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gathered.is_empty() && self.parts.is_empty()
    }

    /// Everything, in one piece.
    pub(super) fn into_bytes(self) -> Bytes {
        let mut all = self.gathered;
        all.drain(..self.written);
        self.parts.iter().for_each(|part| all.extend_from_slice(part));
        all.into()
    }

    fn poll_write<S: ClientStream>(&self, stream: &mut S, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let gathered = &self.gathered[self.written..];
        if self.parts.is_empty() {
            return Pin::new(stream).poll_write(context, gathered);
        }
        let mut slices = [IoSlice::new(&[]); PARTS];
        let parts = self.parts.iter().map(|part| &**part);
        let all = std::iter::once(gathered).chain(parts).filter(|part| !part.is_empty());
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(all) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        Pin::new(stream).poll_write_vectored(context, &slices[..count])
    }

    fn advance(&mut self, mut count: usize) {
        let of_gathered = count.min(self.gathered.len() - self.written);
        self.written += of_gathered;
        count -= of_gathered;
        if self.written == self.gathered.len() {
            self.gathered.clear();
            self.written = 0;
        }
        while count > 0
            && let Some(part) = self.parts.front_mut()
        {
            let of_part = count.min(part.len());
            part.advance(of_part);
            count -= of_part;
            self.in_parts -= of_part;
            if part.is_empty() {
                self.parts.pop_front();
            }
        }
    }
}
