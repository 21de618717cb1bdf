//! A transport as h2 reads and writes it. It notes what passes.

use crate::upstream::clock;
use crate::upstream::dial::Transport;
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The place of a frame's kind in its header, and the kind of settings (RFC 9113, sections 4.1 and 6.5).
const KIND: usize = 3;
const SETTINGS: u8 = 4;

/// A transport, what passes over it being noted.
#[derive(Debug)]
pub(super) struct Io {
    transport: Transport,
    wire: Rc<Wire>,
}

/// What has passed over a transport.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// How many bytes came, as far as the first frame's kind.
    begun: Cell<usize>,
    begins_with_settings: Cell<Option<bool>>,
    received_at: Cell<Option<Instant>>,
    written: Cell<u64>,
}

impl Io {
    pub(super) fn new(transport: Transport) -> (Self, Rc<Wire>) {
        let wire = Rc::<Wire>::default();
        let io = Self {
            transport,
            wire: Rc::clone(&wire),
        };
        (io, wire)
    }
}

impl Wire {
    /// Whether the first frame is one of settings, as from every server of HTTP/2 (RFC 9113, section 3.4). `None` before it came.
    pub(super) fn begins_with_settings(&self) -> Option<bool> {
        self.begins_with_settings.get()
    }

    /// When something came last.
    pub(super) fn received_at(&self) -> Option<Instant> {
        self.received_at.get()
    }

    /// How many bytes were written.
    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    fn received(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.received_at.set(Some(clock::now()));
        if self.begins_with_settings.get().is_none() {
            let begun = self.begun.get();
            let kind = bytes.get(KIND - begun);
            self.begins_with_settings.set(kind.map(|kind| *kind == SETTINGS));
            self.begun.set((begun + bytes.len()).min(KIND));
        }
    }

    fn sent(&self, written: &io::Result<usize>) {
        let count = written.as_ref().map_or(0, |count| *count as u64);
        self.written.set(self.written.get() + count);
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(context, buffer))?;
        self.wire.received(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.transport).poll_write(context, bytes));
        self.wire.sent(&written);
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.transport).poll_write_vectored(context, parts));
        self.wire.sent(&written);
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_frame_is_known_however_it_is_cut() {
        let settings = [0, 0, 6, SETTINGS, 0, 0, 0, 0, 0];
        for (bytes, expected) in [(&settings[..], true), (b"HTTP/1.1 400 Bad Request", false)] {
            for step in [1, 2, 3, 4, 5, 9] {
                let wire = Wire::default();
                for part in bytes.chunks(step) {
                    wire.received(part);
                }
                assert_eq!(wire.begins_with_settings(), Some(expected), "{step}");
            }
            let wire = Wire::default();
            wire.received(&bytes[..KIND]);
            assert_eq!(wire.begins_with_settings(), None);
        }
    }
}
