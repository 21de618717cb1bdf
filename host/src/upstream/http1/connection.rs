//! One HTTP/1.1 connection to a gateway. It has no task of its own: its user polls it.
//!
//! A request therefore runs as one task from the client's socket to the gateway's and back. Nothing is handed from task
//! to task, and dropping the request closes the connection: the gateway sees that a client has gone away.

use super::encode::Persistence;
use super::response;
use super::upload::Upload;
use crate::chunks::{Chunks, Piece};
use crate::upstream::dial::Transport;
use crate::upstream::error::ExchangeError;
use crate::upstream::head::{Ends, Expected, Head};
use crate::upstream::link::Link;
use crate::upstream::malformed::Malformed;
use crate::upstream::replay::RequestBody;
use crate::upstream::request::Outbound;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method};
use http_body::Frame;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncReadExt;

#[cfg(test)]
mod tests;

/// What a connection reads at first, and what it reads at a time when much comes.
const READ_BYTES: (usize, usize) = (8 * 1024, 64 * 1024);

/// A connection to a gateway.
#[derive(Debug)]
pub(in crate::upstream) struct Connection {
    stream: Transport,
    upload: Upload,
    /// Data that was read and not yet consumed.
    read: BytesMut,
    /// How much is read at a time.
    read_size: usize,
    /// Of the exchange that runs.
    expected: Expected,
    body: Remaining,
    keeps_open: bool,
    /// What it is apart from its protocol.
    pub(in crate::upstream) link: Link,
}

/// How an idle connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Idle {
    /// A request can be sent.
    Open,
    /// The gateway has closed it.
    Closed,
    /// The gateway has sent something unasked.
    Spoilt,
}

/// What is still to come of a response's body.
#[derive(Clone, Copy, Debug)]
enum Remaining {
    Length(u64),
    Chunked(Chunks),
    UntilClosed,
    /// Another protocol follows.
    Switched,
}

impl Connection {
    /// On an open connection.
    pub(in crate::upstream) fn new(stream: Transport, link: Link) -> Self {
        Self {
            stream,
            upload: Upload::default(),
            read: BytesMut::with_capacity(READ_BYTES.0),
            read_size: READ_BYTES.0,
            expected: Expected::default(),
            body: Remaining::Length(0),
            keeps_open: true,
            link,
        }
    }

    /// How it stands while it is idle, as far as is known by now. The context's task is woken when that changes, until it is
    /// polled with another.
    pub(in crate::upstream) fn poll_idle(&mut self, context: &mut Context<'_>) -> Idle {
        match self.poll_read(context) {
            Poll::Pending => Idle::Open,
            Poll::Ready(Ok(1..)) => Idle::Spoilt,
            Poll::Ready(Ok(0) | Err(_)) => Idle::Closed,
        }
    }

    /// How it stands, by asking the system: what comes just now is noticed too.
    pub(in crate::upstream) fn look(&mut self) -> Idle {
        match self.stream.peek() {
            Ok(1..) => Idle::Spoilt,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Idle::Open,
            Ok(0) | Err(_) => Idle::Closed,
        }
    }

    /// Whether the last exchange is over and left the connection clean.
    pub(in crate::upstream) fn is_clean(&self) -> bool {
        self.keeps_open && self.is_ended() && self.is_sent() && self.read.is_empty()
    }

    /// Whether all of the request was written.
    pub(in crate::upstream) fn is_sent(&self) -> bool {
        self.upload.is_done()
    }

    /// Whether more of the request was written since this was last asked.
    pub(in crate::upstream) fn has_sent_more(&mut self) -> bool {
        self.upload.has_moved()
    }

    /// Gives back the memory that a large request or response took: a connection may be idle for long.
    pub(in crate::upstream) fn rest(&mut self) {
        self.upload.rest();
        if self.read_size > READ_BYTES.0 {
            self.read_size = READ_BYTES.0;
            self.read = BytesMut::new();
        }
    }

    /// Whether the response's body has been read to its end.
    pub(in crate::upstream) fn is_ended(&self) -> bool {
        matches!(self.body, Remaining::Length(0))
    }

    /// Whether another protocol follows the response.
    pub(in crate::upstream) fn is_switched(&self) -> bool {
        matches!(self.body, Remaining::Switched)
    }

    /// Its parts: the stream, what was read of the other protocol, and the rest.
    pub(in crate::upstream) fn into_parts(self) -> (Transport, Bytes, Link) {
        (self.stream, self.read.freeze(), self.link)
    }

    /// How many bytes of the body are still to come, where that is known.
    pub(in crate::upstream) fn length(&self) -> Option<u64> {
        match self.body {
            Remaining::Length(length) => Some(length),
            _ => None,
        }
    }

    /// Sends a request and waits for the head of its response.
    pub(in crate::upstream) async fn exchange(
        &mut self,
        request: &Outbound<'_>,
        host: Option<&HeaderValue>,
        persistence: Persistence,
        body: RequestBody,
    ) -> Result<Head, ExchangeError> {
        self.upload.begin(request, host, persistence, body);
        self.expected = Expected::new(request.interim(), request.switch(), request.response_as_lines());
        let head = poll_fn(|context| self.poll_head(request.method(), context)).await?;
        if request.upgrade().is_some_and(|upgrade| !upgrade.permits(head.status)) {
            return Err(Malformed::Protocol.into());
        }
        self.keeps_open = head.keeps_open;
        self.body = match head.ends {
            Ends::Length(length) => Remaining::Length(length),
            Ends::Chunked => Remaining::Chunked(Chunks::default()),
            Ends::Closed => Remaining::UntilClosed,
            // Before it has the whole request, a gateway cannot know what it is asked for.
            Ends::Switched if !self.is_sent() => return Err(Malformed::Switching.into()),
            Ends::Switched => Remaining::Switched,
        };
        Ok(head)
    }

    /// Goes on with an exchange that [`exchange`](Self::exchange) began.
    pub(in crate::upstream) fn poll_head(
        &mut self,
        method: &Method,
        context: &mut Context<'_>,
    ) -> Poll<Result<Head, ExchangeError>> {
        // A gateway may answer before it has the whole request, and close: its answer counts even then.
        self.poll_upload(context)?;
        loop {
            if let Some(head) = response::parse(&mut self.read, method, &mut self.expected)? {
                return Poll::Ready(Ok(head));
            }
            let error = match ready!(self.poll_read(context)) {
                Ok(1..) => continue,
                Ok(0) => self.upload.failure(),
                Err(error) => Some(error),
            };
            return Poll::Ready(Err(if !self.upload.is_begun() {
                ExchangeError::Unsent
            } else if self.read.is_empty() {
                ExchangeError::Unanswered(error)
            } else {
                ExchangeError::Cut(error)
            }));
        }
    }

    /// The next part of the response's body. The rest of the request is sent meanwhile.
    pub(in crate::upstream) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
        self.poll_upload(context)?;
        loop {
            match self.take() {
                Ok(Some(Piece::Data(data))) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Some(Piece::End(trailers))) => {
                    self.body = Remaining::Length(0);
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Ok(None) => {}
                Err(malformed) => return Poll::Ready(Some(Err(malformed.into()))),
            }
            let error = match (ready!(self.poll_read(context)), self.body) {
                (Ok(1..), _) => continue,
                (Ok(0), Remaining::UntilClosed) => {
                    self.body = Remaining::Length(0);
                    return Poll::Ready(None);
                }
                (Ok(0), _) => None,
                // Of TLS only.
                (Err(error), Remaining::UntilClosed) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Some(Err(ExchangeError::Unclear)));
                }
                (Err(error), _) => Some(error),
            };
            return Poll::Ready(Some(Err(ExchangeError::Cut(error))));
        }
    }

    fn poll_upload(&mut self, context: &mut Context<'_>) -> Result<(), ExchangeError> {
        self.upload.poll(&mut self.stream, context);
        if self.upload.is_abandoned() {
            return Err(ExchangeError::Abandoned);
        }
        Ok(())
    }

    /// The next piece of the body from what was read.
    fn take(&mut self) -> Result<Option<Piece>, Malformed> {
        let limit = match &mut self.body {
            Remaining::Length(0) | Remaining::Switched => return Ok(Some(Piece::End(None))),
            Remaining::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            Remaining::UntilClosed => usize::MAX,
            Remaining::Chunked(chunks) => return Ok(chunks.next(&mut self.read)?),
        };
        if self.read.is_empty() {
            return Ok(None);
        }
        let data = self.read.split_to(self.read.len().min(limit)).freeze();
        if let Remaining::Length(left) = &mut self.body {
            *left -= data.len() as u64;
        }
        Ok(Some(Piece::Data(data)))
    }

    /// Reads what there is. 0 is the end of the connection.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.read.is_empty() || !self.read.try_reclaim(self.read_size) {
            // What was handed on may still be held: a little room is better than a new buffer.
            if self.read.capacity() - self.read.len() < self.read_size / 4 {
                self.read.reserve(self.read_size);
            }
        }
        let count = ready!(pin!(self.stream.read_buf(&mut self.read)).poll(context));
        if self.read.len() == self.read.capacity() {
            self.read_size = READ_BYTES.1;
        }
        Poll::Ready(count)
    }
}
