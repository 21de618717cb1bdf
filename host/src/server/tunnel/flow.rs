//! One direction of a tunnel.
//!
//! Bytes are read into memory that all connections of a worker share, and written from there at once. Only what the other end does not
//! take is kept, and nothing more is read until it has: an idle tunnel has no buffers.

use super::frames::Frames;
use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// From one end to the other.
#[derive(Debug)]
pub(super) struct Flow {
    /// What came before the tunnel was there.
    early: Bytes,
    /// What was read and is not written yet.
    pending: Bytes,
    /// Whether what was written may still be on its way within the stream: TLS has a buffer.
    is_unflushed: bool,
    state: State,
    /// The frames, where they are known.
    frames: Option<Frames>,
    /// Whether the end of what is read was reached.
    is_read: bool,
    carried: u64,
}

#[derive(Debug)]
enum State {
    /// It goes on.
    Open,
    /// It ends at the end of the current frame, with these bytes.
    Leaving(Bytes),
    /// Everything that is to be written is there; then the end is written as well.
    Ending,
    /// Its end was written, or cannot be.
    Ended,
}

impl Flow {
    /// `first` is written before everything else; `early` was read before.
    pub(super) fn new(first: Bytes, early: Bytes, frames: Option<Frames>) -> Self {
        Self {
            early,
            pending: first,
            is_unflushed: true,
            state: State::Open,
            frames,
            is_read: false,
            carried: 0,
        }
    }

    /// Whether its end was written, or cannot be.
    pub(super) fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether its reader has said that nothing more will come: by a Close frame or by closing its side.
    pub(super) fn is_closed(&self) -> bool {
        self.is_read || self.frames.as_ref().is_some_and(Frames::is_closed)
    }

    /// Whether it read anything since [`Flow::take_carried`] was asked last.
    pub(super) fn has_carried(&self) -> bool {
        self.carried > 0
    }

    /// How many bytes it read since this was asked last.
    pub(super) fn take_carried(&mut self) -> u64 {
        std::mem::take(&mut self.carried)
    }

    /// It ends as soon as it may, with these bytes if nothing else may follow them.
    pub(super) fn leave(&mut self, goodbye: &[u8]) {
        if matches!(self.state, State::Open) {
            self.state = match &self.frames {
                Some(frames) if !frames.is_closed() => State::Leaving(Bytes::copy_from_slice(goodbye)),
                _ => State::Ending,
            };
        }
    }

    /// Moves what can be moved. Ready when it has ended, with an error of the end that is read. An end that cannot be written to ends it.
    pub(super) fn poll<R, W>(
        &mut self,
        (from, to): (&mut R, &mut W),
        scratch: &mut [u8],
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            match self.poll_pending(to, context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => self.state = State::Ended,
                Poll::Pending => return Poll::Pending,
            }
            match &mut self.state {
                State::Open => {}
                State::Leaving(goodbye) => {
                    if self.frames.as_ref().is_none_or(Frames::is_between) {
                        self.pending = std::mem::take(goodbye);
                        self.state = State::Ending;
                        continue;
                    }
                }
                State::Ending => {
                    // An end that is gone needs none.
                    let _ = ready!(Pin::new(&mut *to).poll_shutdown(context));
                    self.state = State::Ended;
                    return Poll::Ready(Ok(()));
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
            if !self.early.is_empty() {
                let early = std::mem::take(&mut self.early);
                let count = self.came(&early);
                self.pending = early.slice(..count);
                continue;
            }
            let mut buffer = ReadBuf::new(&mut *scratch);
            match Pin::new(&mut *from).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) => {}
                // The end of TLS without close_notify: see decision 80.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if self.is_unflushed && Pin::new(&mut *to).poll_flush(context).is_ready() {
                        self.is_unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
            let read = buffer.filled();
            if read.is_empty() {
                self.is_read = true;
                self.state = State::Ending;
                continue;
            }
            let count = self.came(read);
            self.write_now(to, &read[..count], context);
        }
    }

    /// Reads what still comes, and ignores it. Ready at its end.
    pub(super) fn poll_rest(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        scratch: &mut [u8],
        context: &mut Context<'_>,
    ) -> Poll<()> {
        while !self.is_read {
            let mut ignored = ReadBuf::new(&mut *scratch);
            let read = ready!(Pin::new(&mut *from).poll_read(context, &mut ignored));
            self.is_read = read.is_err() || ignored.filled().is_empty();
        }
        Poll::Ready(())
    }

    /// Bytes came. Gives how many of them go on: those of the current frame when it ends with it.
    fn came(&mut self, bytes: &[u8]) -> usize {
        self.carried += bytes.len() as u64;
        match (&mut self.frames, &self.state) {
            (None, _) => bytes.len(),
            (Some(frames), State::Leaving(_)) => frames.finish(bytes),
            (Some(frames), _) => {
                frames.follow(bytes);
                bytes.len()
            }
        }
    }

    /// Writes what the other end takes at once, and keeps the rest.
    fn write_now(&mut self, to: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8], context: &mut Context<'_>) {
        while !bytes.is_empty() {
            match Pin::new(&mut *to).poll_write(context, bytes) {
                Poll::Ready(Ok(count @ 1..)) => {
                    self.is_unflushed = true;
                    bytes = &bytes[count..];
                }
                Poll::Ready(Ok(_) | Err(_)) => {
                    self.state = State::Ended;
                    return;
                }
                Poll::Pending => {
                    self.pending = Bytes::copy_from_slice(bytes);
                    return;
                }
            }
        }
    }

    fn poll_pending(&mut self, to: &mut (impl AsyncWrite + Unpin), context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() && !self.is_ended() {
            let count = ready!(Pin::new(&mut *to).poll_write(context, &self.pending))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.is_unflushed = true;
            self.pending.advance(count);
            if self.pending.is_empty() {
                // An empty piece would still hold on to the memory of the whole.
                self.pending = Bytes::new();
            }
        }
        Poll::Ready(Ok(()))
    }
}
