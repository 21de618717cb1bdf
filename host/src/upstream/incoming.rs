//! What carries an exchange: a connection of HTTP/1.1, or a stream of HTTP/2. Dispatch is a comparison, not an indirect call.

use super::error::ExchangeError;
use super::head::Head;
use super::http1::Connection;
use super::http2::Stream;
use crate::vitals::Endpoint;
use bytes::Bytes;
use http::Method;
use http_body::Frame;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// What carries an exchange.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A connection, which carries nothing else meanwhile.
    Http1(Box<Connection>),
    /// One of the streams of a connection.
    Http2(Box<Stream>),
}

impl Incoming {
    /// The other end.
    pub(super) fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Http1(connection) => connection.link.endpoint(),
            Self::Http2(stream) => stream.endpoint(),
        }
    }

    /// Whether another protocol follows the response.
    pub(super) fn is_switched(&self) -> bool {
        matches!(self, Self::Http1(connection) if connection.is_switched())
    }

    /// Whether all of the request was sent.
    pub(super) fn is_sent(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_sent(),
            Self::Http2(stream) => stream.is_sent(),
        }
    }

    /// Whether more of the request was sent since this was last asked.
    pub(super) fn has_sent_more(&mut self) -> bool {
        match self {
            Self::Http1(connection) => connection.has_sent_more(),
            Self::Http2(stream) => stream.has_sent_more(),
        }
    }

    /// Whether the response's body has been read to its end.
    pub(super) fn is_ended(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_ended(),
            Self::Http2(stream) => stream.is_ended(),
        }
    }

    /// How many bytes of the body are still to come, where that is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Http1(connection) => connection.length(),
            Self::Http2(stream) => stream.length(),
        }
    }

    /// Goes on with an exchange that waits for the head of its response.
    pub(super) fn poll_head(
        &mut self,
        method: &Method,
        context: &mut Context<'_>,
    ) -> Poll<Result<Head, ExchangeError>> {
        match self {
            Self::Http1(connection) => connection.poll_head(method, context),
            Self::Http2(stream) => stream.poll_head(method, context),
        }
    }

    /// The next part of the response's body. The rest of the request is sent meanwhile.
    pub(super) fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
        match self {
            Self::Http1(connection) => connection.poll_body(context),
            Self::Http2(stream) => stream.poll_body(context),
        }
    }

    /// The head of the response came, so long after the request was begun.
    pub(super) fn answered(&mut self, now: Instant, after: Duration, head: &Head) {
        match self {
            Self::Http1(connection) => {
                connection
                    .link
                    .answered(now, after, head.is_bodiless, head.idle_timeout);
            }
            Self::Http2(stream) => stream.connection().answered(now, after),
        }
    }

    /// The request is over without an answer, but is still waited for.
    pub(super) fn doubt(&self) {
        match self {
            // One that is closed: others are of no concern.
            Self::Http1(_) => {}
            Self::Http2(stream) => stream.doubt(),
        }
    }
}
