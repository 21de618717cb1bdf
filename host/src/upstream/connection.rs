//! One connection to a gateway, speaking HTTP/1.1. It has no task of its own: whoever uses it polls it.
//!
//! A request therefore runs as one task from the client's socket to the gateway's and back. Nothing is handed from task
//! to task, and dropping the request drops the connection: a client that goes away takes its upstream request along.

use super::chunks::{Chunks, Piece};
use super::replay::RequestBody;
use super::request::Outbound;
use super::response::{self, Ends, Head, Malformed};
use super::upload::Upload;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method};
use http_body::Frame;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[cfg(test)]
mod tests;

/// What a connection reads at first, and what it reads at a time when much comes.
const READ_BYTES: (usize, usize) = (8 * 1024, 64 * 1024);

/// A connection to a gateway.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    upload: Upload,
    /// What was read and not yet taken.
    read: BytesMut,
    /// How much is read at a time.
    appetite: usize,
    /// How many interim responses came before the response.
    interim: u8,
    body: Remaining,
    keeps_open: bool,
    /// When it was last given back.
    pub(super) idle_since: Instant,
}

/// What is still to come of a response's body.
#[derive(Clone, Copy, Debug)]
enum Remaining {
    Length(u64),
    Chunked(Chunks),
    UntilClosed,
}

/// Why a connection brought no response, or not all of it.
#[derive(Debug, Error)]
pub(super) enum ExchangeError {
    /// Nothing of the request was sent.
    #[error("it was closed before anything was sent")]
    Unsent,
    /// It broke before anything of a response came: perhaps it was being closed while we wrote.
    #[error("it was closed without an answer")]
    Unanswered(#[source] Option<io::Error>),
    /// It broke in the middle.
    #[error("it was closed in the middle of an answer")]
    Cut(#[source] Option<io::Error>),
    /// The client did not send its body.
    #[error("the client did not send its body")]
    Abandoned,
    /// What came is no response.
    #[error("no sound answer")]
    Malformed(#[from] Malformed),
}

impl Connection {
    /// On a connected socket.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            upload: Upload::default(),
            read: BytesMut::with_capacity(READ_BYTES.0),
            appetite: READ_BYTES.0,
            interim: 0,
            body: Remaining::Length(0),
            keeps_open: true,
            idle_since: Instant::now(),
        }
    }

    /// Whether a request can be sent: the gateway has neither closed the connection nor said anything unasked, as far as
    /// is known by now.
    ///
    /// Afterwards nobody is woken for this connection until it is polled again.
    pub(super) fn is_usable(&mut self) -> bool {
        self.poll_read(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Whether the last exchange is over and left the connection clean.
    pub(super) fn is_clean(&self) -> bool {
        self.keeps_open && self.is_ended() && self.is_sent() && self.read.is_empty()
    }

    /// Whether all of the request was written.
    pub(super) fn is_sent(&self) -> bool {
        self.upload.is_done()
    }

    /// Whether more of the request was written since this was last asked.
    pub(super) fn has_sent_more(&mut self) -> bool {
        self.upload.has_moved()
    }

    /// Gives back the memory that a large request or response took: a connection may be idle for long.
    pub(super) fn rest(&mut self) {
        self.upload.rest();
        if self.appetite > READ_BYTES.0 {
            self.appetite = READ_BYTES.0;
            self.read = BytesMut::new();
        }
    }

    /// Whether the response's body has been read to its end.
    pub(super) fn is_ended(&self) -> bool {
        matches!(self.body, Remaining::Length(0))
    }

    /// How many bytes of the body are still to come, where that is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self.body {
            Remaining::Length(length) => Some(length),
            _ => None,
        }
    }

    /// Sends a request and waits for the head of its response.
    pub(super) async fn exchange(
        &mut self,
        request: &Outbound<'_>,
        host: Option<&HeaderValue>,
        body: RequestBody,
    ) -> Result<Head, ExchangeError> {
        self.upload.begin(request, host, body);
        self.interim = 0;
        let head = poll_fn(|context| self.poll_head(request.method(), context)).await?;
        self.keeps_open = head.keeps_open;
        self.body = match head.ends {
            Ends::Length(length) => Remaining::Length(length),
            Ends::Chunked => Remaining::Chunked(Chunks::default()),
            Ends::Closed => Remaining::UntilClosed,
        };
        Ok(head)
    }

    fn poll_head(&mut self, method: &Method, context: &mut Context<'_>) -> Poll<Result<Head, ExchangeError>> {
        // A gateway may answer before it has heard everything, and close: what it said counts even then.
        self.poll_upload(context)?;
        loop {
            if let Some(head) = response::parse(&mut self.read, method, &mut self.interim)? {
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
    pub(super) fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
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
            Remaining::Length(0) => return Ok(Some(Piece::End(None))),
            Remaining::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            Remaining::UntilClosed => usize::MAX,
            Remaining::Chunked(chunks) => return chunks.next(&mut self.read),
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
        // What was handed on may still be held: a little room is better than a new buffer.
        if self.read.capacity() - self.read.len() < self.appetite / 4 {
            self.read.reserve(self.appetite);
        }
        let count = ready!(pin!(self.stream.read_buf(&mut self.read)).poll(context));
        if self.read.len() == self.read.capacity() {
            self.appetite = READ_BYTES.1;
        }
        Poll::Ready(count)
    }
}
