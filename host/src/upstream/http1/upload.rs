//! A request as it is written to a gateway.

use super::encode::{self, Persistence};
use crate::chunks;
use crate::upstream::replay::{Framing, RequestBody};
use crate::upstream::request::Outbound;
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Data is gathered up to this size before it is written. Larger pieces of a body are written without copying.
const GATHERED: usize = 16 * 1024;

/// The buffer of an idle connection keeps this capacity: enough for nearly every head.
const KEPT: usize = 4 * 1024;

/// The part of a request that is still to be written. The next request reuses the buffer.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Upload {
    gathered: Vec<u8>,
    /// How much of what was gathered is written.
    written: usize,
    /// Goes after what was gathered.
    large: Bytes,
    body: RequestBody,
    is_chunked: bool,
    is_begun: bool,
    /// Whether what was written may be on its way in the transport: TLS has a buffer.
    is_unflushed: bool,
    /// Whether something was written since [`Upload::has_moved`] was asked.
    has_moved: bool,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// The body goes on.
    #[default]
    Reading,
    /// All of it was read from the body, and may still have to be written.
    Read,
    /// The client's body failed.
    Abandoned,
    /// A write failed.
    Failed(Option<io::Error>),
}

impl Upload {
    /// A new request, after the one before was done.
    pub(in crate::upstream) fn begin(
        &mut self,
        request: &Outbound<'_>,
        host: Option<&HeaderValue>,
        persistence: Persistence,
        body: RequestBody,
    ) {
        self.gathered.clear();
        encode::head(request, host, persistence, &mut self.gathered);
        self.written = 0;
        self.large = Bytes::new();
        self.is_chunked = request.framing() == Framing::Chunked;
        self.is_begun = false;
        self.is_unflushed = false;
        self.has_moved = false;
        self.state = match body {
            RequestBody::Empty => State::Read,
            RequestBody::Streaming(_) => State::Reading,
        };
        self.body = body;
    }

    /// Whether any of it was written.
    pub(in crate::upstream) fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// Whether more of it was written since this was last asked.
    pub(in crate::upstream) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// Gives back the memory that the next request will hardly need.
    pub(in crate::upstream) fn rest(&mut self) {
        self.gathered.clear();
        self.gathered.shrink_to(KEPT);
        self.written = 0;
    }

    /// How much memory it holds.
    #[cfg(test)]
    pub(in crate::upstream) fn memory(&self) -> usize {
        self.gathered.capacity()
    }

    /// Whether all of it was written.
    pub(in crate::upstream) fn is_done(&self) -> bool {
        matches!(self.state, State::Read) && self.is_written() && !self.is_unflushed
    }

    /// Whether the client's body failed: not an error of the gateway.
    pub(in crate::upstream) fn is_abandoned(&self) -> bool {
        matches!(self.state, State::Abandoned)
    }

    /// The error of the last write, if it failed. Returned once.
    pub(in crate::upstream) fn failure(&mut self) -> Option<io::Error> {
        match &mut self.state {
            State::Failed(error) => error.take(),
            _ => None,
        }
    }

    fn is_written(&self) -> bool {
        self.written == self.gathered.len() && self.large.is_empty()
    }

    /// Writes what can be written, and gathers more. For its failures see [`Upload::failure`] and [`Upload::is_abandoned`].
    pub(in crate::upstream) fn poll(&mut self, socket: &mut (impl AsyncWrite + Unpin), context: &mut Context<'_>) {
        if self.is_done() {
            return;
        }
        loop {
            self.gather(context);
            if matches!(self.state, State::Abandoned | State::Failed(_)) {
                return;
            }
            let is_written = self.is_written();
            let polled = match is_written {
                true => self.poll_flush(socket, context),
                false => self.poll_write(socket, context),
            };
            match polled {
                Poll::Ready(Ok(())) if is_written => return,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.state = State::Failed(Some(error));
                    return;
                }
                Poll::Pending => return,
            }
        }
    }

    fn poll_flush(
        &mut self,
        socket: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_unflushed {
            ready!(Pin::new(socket).poll_flush(context))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes from the body until there is enough to write.
    fn gather(&mut self, context: &mut Context<'_>) {
        if self.is_written() {
            self.gathered.clear();
            self.written = 0;
        }
        while matches!(self.state, State::Reading) && self.gathered.len() < GATHERED && self.large.is_empty() {
            match self.body.poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => self.add(frame),
                Poll::Ready(Some(Err(_))) => self.close(State::Abandoned),
                Poll::Ready(None) => self.end(None),
                Poll::Pending => return,
            }
            // Known without asking once more: then the last piece and the end are one write.
            if matches!(self.state, State::Reading) && self.body.is_end_stream() && self.large.is_empty() {
                self.end(None);
            }
        }
    }

    fn add(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => {
                if self.is_chunked {
                    chunks::write_size(&mut self.gathered, data.len());
                }
                if self.gathered.len() + data.len() <= GATHERED {
                    self.gathered.extend_from_slice(&data);
                    if self.is_chunked {
                        self.gathered.extend_from_slice(b"\r\n");
                    }
                } else {
                    self.large = data;
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.end(Some(&trailers));
                }
            }
        }
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) {
        if self.is_chunked {
            chunks::write_end(&mut self.gathered, trailers);
        }
        self.close(State::Read);
    }

    /// The body was read to its end: the reader is released.
    fn close(&mut self, state: State) {
        self.body = RequestBody::Empty;
        self.state = state;
    }

    fn poll_write(
        &mut self,
        socket: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let gathered = &self.gathered[self.written..];
        // Both together where there are both: a head or the size of a chunk is no record of its own in TLS.
        let written = match (gathered, &*self.large) {
            (gathered, []) => Pin::new(socket).poll_write(context, gathered),
            ([], large) => Pin::new(socket).poll_write(context, large),
            (gathered, large) => {
                let parts = [IoSlice::new(gathered), IoSlice::new(large)];
                Pin::new(socket).poll_write_vectored(context, &parts)
            }
        };
        let count = ready!(written)?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_gathered = count.min(gathered.len());
        self.is_begun = true;
        self.is_unflushed = true;
        self.has_moved = true;
        self.written += of_gathered;
        if count > of_gathered {
            self.large.advance(count - of_gathered);
            if self.large.is_empty() {
                // An empty piece would still hold on to the memory of the whole.
                self.large = Bytes::new();
                self.gathered.clear();
                self.written = 0;
                if self.is_chunked {
                    // The chunk's end goes with what comes next.
                    self.gathered.extend_from_slice(b"\r\n");
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
