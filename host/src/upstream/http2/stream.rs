//! One exchange over a connection of HTTP/2.

use super::connection::{Begun, Connection};
use super::decode;
use super::encode::{self, Named};
use super::upload::Upload;
use crate::upstream::clock;
use crate::upstream::error::ExchangeError;
use crate::upstream::head::{Expected, Head, MAX_INTERIM};
use crate::upstream::malformed::Malformed;
use crate::upstream::replay::RequestBody;
use crate::upstream::request::Outbound;
use crate::vitals::{Endpoint, Http2Event};
use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::{Method, StatusCode};
use http_body::Frame;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// A stream. Dropped before its end, it is reset.
#[derive(Debug)]
pub(in crate::upstream) struct Stream {
    upload: Upload,
    response: Received,
    expected: Expected,
    /// How many bytes the connection had written before.
    written: u64,
    began: Instant,
    connection: Rc<Connection>,
}

/// How far the response is.
#[derive(Debug)]
enum Received {
    /// Nothing came yet, but interim responses.
    Awaited(ResponseFuture),
    /// The head. How many bytes of the body are still to come, where that is known.
    Body(RecvStream, Option<u64>),
    /// The end.
    Whole,
}

impl Stream {
    /// Sends a request as a new stream. The error is that of the connection: nothing was sent.
    pub(in crate::upstream) fn begin(
        connection: Rc<Connection>,
        request: &Outbound<'_>,
        named: Named<'_>,
        body: RequestBody,
    ) -> Result<Self, ExchangeError> {
        let head = encode::head(request, named).ok_or(ExchangeError::Inexpressible)?;
        let is_all = matches!(body, RequestBody::Empty);
        let begun = connection.begin(head, is_all).map_err(|_| ExchangeError::Unsent)?;
        let Begun {
            response,
            upload,
            written,
            at,
        } = begun;
        Ok(Self {
            upload: Upload::new(upload, body),
            response: Received::Awaited(response),
            expected: Expected::new(request.interim(), None, false),
            written,
            began: at,
            connection,
        })
    }

    /// The connection that carries it.
    pub(in crate::upstream) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// The other end.
    pub(in crate::upstream) fn endpoint(&self) -> &Endpoint {
        self.connection.endpoint()
    }

    /// Whether all of the request was sent.
    pub(in crate::upstream) fn is_sent(&self) -> bool {
        self.upload.is_done()
    }

    /// Whether more of the request was sent since this was last asked.
    pub(in crate::upstream) fn has_sent_more(&mut self) -> bool {
        self.upload.has_moved()
    }

    /// Whether the response's body has been read to its end.
    pub(in crate::upstream) fn is_ended(&self) -> bool {
        matches!(self.response, Received::Whole)
    }

    /// How many bytes of the body are still to come, where that is known.
    pub(in crate::upstream) fn length(&self) -> Option<u64> {
        match self.response {
            Received::Body(_, length) => length,
            Received::Whole => Some(0),
            Received::Awaited(_) => None,
        }
    }

    /// Waits for the head of the response, and sends the request meanwhile.
    pub(in crate::upstream) fn poll_head(
        &mut self,
        method: &Method,
        context: &mut Context<'_>,
    ) -> Poll<Result<Head, ExchangeError>> {
        // A gateway may answer before it has the whole request, and reset the stream then: its answer counts even so.
        self.poll_upload(context)?;
        let Received::Awaited(response) = &mut self.response else {
            return Poll::Pending;
        };
        let mut interim = Ok(());
        while let Some(next) = ready!(response.poll_informational(context)) {
            interim = match next {
                Ok(next) => passed(&mut self.expected, next.status(), next.headers()),
                // The response has it too.
                Err(_) => break,
            };
            if interim.is_err() {
                break;
            }
        }
        interim?;
        let response = match ready!(Pin::new(response).poll(context)) {
            Ok(response) => response,
            Err(error) => return Poll::Ready(Err(self.failure(error))),
        };
        self.connection.responded();
        let (parts, body) = response.into_parts();
        let (head, length) = decode::head(http::Response::from_parts(parts, ()), method)?;
        self.response = match head.is_bodiless || body.is_end_stream() {
            // What may come all the same is reset.
            true => Received::Whole,
            false => Received::Body(body, length),
        };
        Poll::Ready(Ok(head))
    }

    /// The next part of the response's body. The rest of the request is sent meanwhile.
    pub(in crate::upstream) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
        self.poll_upload(context)?;
        loop {
            let Received::Body(body, length) = &mut self.response else {
                return Poll::Ready(None);
            };
            match ready!(body.poll_data(context)) {
                Some(Ok(data)) => {
                    // The client takes what is handed on, so that the gateway may send as much again.
                    let _ = body.flow_control().release_capacity(data.len());
                    *length = length.map(|left| left.saturating_sub(data.len() as u64));
                    let is_end = body.is_end_stream();
                    self.connection.responded();
                    if is_end {
                        self.response = Received::Whole;
                    }
                    if data.is_empty() {
                        continue;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(self.failure(error)))),
                None => {
                    let trailers = ready!(body.poll_trailers(context));
                    return Poll::Ready(match trailers {
                        Ok(trailers) => {
                            self.response = Received::Whole;
                            trailers.map(|trailers| Ok(Frame::trailers(decode::trailers(trailers))))
                        }
                        Err(error) => Some(Err(self.failure(error))),
                    });
                }
            }
        }
    }

    /// There is no answer. When nothing else came on the connection either, it may be dead.
    pub(in crate::upstream) fn doubt(&self) {
        if matches!(self.response, Received::Awaited(_)) {
            self.connection.doubt(self.began, clock::now());
        }
    }

    fn poll_upload(&mut self, context: &mut Context<'_>) -> Result<(), ExchangeError> {
        self.upload.poll(context);
        if self.upload.is_abandoned() {
            return Err(ExchangeError::Abandoned);
        }
        Ok(())
    }

    /// What an error of h2 says of the exchange.
    fn failure(&self, error: h2::Error) -> ExchangeError {
        let is_answered = !matches!(self.response, Received::Awaited(_));
        let reason = error.reason();
        if error.is_remote() && !is_answered {
            if error.is_go_away() {
                // The last stream of the GOAWAY was an earlier one.
                return ExchangeError::Unsent;
            }
            if reason == Some(Reason::REFUSED_STREAM) {
                self.connection.event(Http2Event::StreamRefused);
                return ExchangeError::Refused;
            }
            return ExchangeError::Reset(reason.unwrap_or(Reason::INTERNAL_ERROR));
        }
        if error.is_library() {
            return ExchangeError::Http2(reason.unwrap_or(Reason::PROTOCOL_ERROR));
        }
        if !is_answered && error.is_io() && self.connection.has_written_nothing_since(self.written) {
            return ExchangeError::Unsent;
        }
        let error = match (self.connection.is_given_up(), error.is_io()) {
            (true, _) => io::Error::new(io::ErrorKind::TimedOut, "it did not answer a PING in time"),
            (false, true) => error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()),
            (false, false) => io::Error::other(error),
        };
        match is_answered {
            true => ExchangeError::Cut(Some(error)),
            false => ExchangeError::Unanswered(Some(error)),
        }
    }
}

/// Passes an interim response on, or drops it.
fn passed(expected: &mut Expected, status: StatusCode, headers: &http::HeaderMap) -> Result<(), Malformed> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Malformed::Switching);
    }
    if expected.interims == MAX_INTERIM {
        return Err(Malformed::Interim);
    }
    expected.interims += 1;
    // 100 is for the proxy itself, which expects none.
    let to = expected.interim.as_ref().and_then(Weak::upgrade);
    if let Some(to) = to.filter(|_| status != StatusCode::CONTINUE) {
        to.pass(status, headers);
    }
    Ok(())
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.doubt();
        self.connection.freed();
    }
}
