//! The body of a gateway's response, as it is streamed to the client.

use super::ending::{Ending, Limit};
use super::error::ExchangeError;
use super::idle::IdleTimer;
use super::in_flight::InFlight;
use super::incoming::Incoming;
use super::tunnel::{self, Tunnel, TunnelLimits};
use crate::lines::Lines;
use crate::vitals::UpstreamError;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use portolan_core::health::Evidence;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use thiserror::Error;

/// Most bytes that are read of a response that is not delivered, to keep its connection.
const DISCARDED: usize = 64 * 1024;

/// A response's body together with the connection it comes from.
///
/// When the body has been read to its end the connection goes back to its pool, if it is clean. When the body is cut
/// short or dropped before, the connection is closed.
///
/// An attempt is observed once: by the code that runs it, or, once its response is delivered, at the end of the body (see
/// `deliver`).
#[derive(Debug)]
pub struct UpstreamBody {
    /// Held-back data, sent first.
    held: VecDeque<Frame<Bytes>>,
    /// `None` after the end of the body.
    connection: Option<Incoming>,
    /// `None` after the attempt was observed.
    in_flight: Option<InFlight>,
    /// What is observed at the end of the body when it is whole. `None` while the attempt goes on, and when its status was
    /// a failure.
    evidence: Option<Evidence>,
    idle: IdleTimer,
    /// `None` for what ends with its body alone, as most do.
    ending: Option<Box<Ending>>,
    /// The fields of the response's head that are written as they came. They are none of its map.
    pub(super) lines: Option<Lines>,
}

/// An incomplete response. It must not look complete to the client.
#[derive(Debug, Error)]
pub enum UpstreamBodyError {
    /// The connection broke, or the body was malformed.
    #[error("the gateway cut its response short: {0}")]
    Cut(io::Error),
    /// It ended with its connection, which ended without close_notify.
    #[error("the gateway ended its TLS connection without close_notify, and its response may be cut short")]
    Unclear,
    /// The idle timeout expired.
    #[error("the gateway stopped sending its response")]
    Stalled,
    /// Its time is over: see [`Timeouts::total`](portolan_core::config::Timeouts::total).
    #[error("the time for this request is over")]
    OutOfTime,
    /// It answers a call of gRPC, and its end does not say how that ended.
    #[error("the gateway's response ended without grpc-status")]
    NoGrpcStatus,
    /// The client stopped sending its request, so that the gateway never received all of it.
    #[error("the client cut its request short")]
    Abandoned,
}

impl UpstreamBody {
    pub(super) fn new(connection: Option<Incoming>, in_flight: Option<InFlight>, idle: Duration) -> Self {
        let is_ended = connection.as_ref().is_none_or(|connection| connection.is_ended());
        let mut body = Self {
            held: VecDeque::new(),
            connection,
            in_flight,
            evidence: None,
            idle: IdleTimer::new(idle),
            ending: None,
            lines: None,
        };
        if is_ended {
            body.finish();
        }
        body
    }

    /// Takes the fields of the response's head that are written as they came.
    pub(crate) fn take_lines(&mut self) -> Option<Lines> {
        self.lines.take()
    }

    /// The response ends like this. `idle`: the longest time without a byte in either direction.
    pub(super) fn ends(&mut self, ending: Ending, idle: Duration) {
        if self.connection.is_some() {
            self.ending = Some(Box::new(ending));
            self.idle = IdleTimer::new(idle);
        }
    }

    /// The response is the one to be delivered: the end of its body is observed, as `good` when it is whole. One whose
    /// status was a failure has been observed.
    pub(super) fn deliver(&mut self, good: Evidence) {
        if good.is_failure() {
            return;
        }
        self.evidence = Some(good);
        if self.connection.is_none() {
            self.observe(None);
        }
    }

    /// Whether another protocol follows the response.
    fn is_switched(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.is_switched())
    }

    /// The tunnel that follows a delivered 101 with these fields. The handshake is what is observed of the gateway: how long the tunnel
    /// lasts, and who ends it, is a matter of its two ends.
    pub fn into_tunnel(mut self, headers: &HeaderMap, limits: TunnelLimits) -> Option<Tunnel> {
        let connection = match self.connection.take_if(|connection| connection.is_switched())? {
            Incoming::Http1(connection) => connection,
            Incoming::Http2(_) => return None,
        };
        let in_flight = self.in_flight.take()?;
        if let Some(good) = self.evidence.take() {
            in_flight.observe(good);
        }
        let protocol = tunnel::protocol(headers);
        Some(Tunnel::new(connection.into_parts(), in_flight, protocol, limits))
    }

    /// Holds back up to `limit` bytes, until the body is whole or they are too many.
    pub(super) async fn hold_back(&mut self, limit: usize) -> Result<(), UpstreamBodyError> {
        let mut bytes = 0;
        while bytes <= limit && self.connection.is_some() && !self.is_switched() {
            let frame = std::future::poll_fn(|context| self.poll_incoming(context)).await;
            let Some(frame) = frame.transpose()? else { break };
            bytes += frame.data_ref().map_or(0, Bytes::len);
            self.held.push_back(frame);
        }
        Ok(())
    }

    /// The response is not delivered. Its connection is kept when the whole request was sent, and the rest of the response
    /// is there already and not long.
    pub(super) fn discard(mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let mut left = DISCARDED;
        while left > 0
            && let Some(connection) = self.connection.as_mut().filter(|it| it.is_sent())
        {
            match connection.poll_body(&mut context) {
                Poll::Ready(Some(Ok(frame))) => left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len)),
                Poll::Ready(None) => return self.finish(),
                Poll::Ready(Some(Err(_))) | Poll::Pending => return,
            }
        }
    }

    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamBodyError>>> {
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(self.take_error().map(Err));
        };
        if let Some(ending) = &mut self.ending
            && ending.poll_over(context).is_ready()
        {
            return Poll::Ready(Some(self.cut_off(Limit::Time)));
        }
        match connection.poll_body(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.moved();
                if let Some(ending) = &mut self.ending {
                    ending.saw(&frame);
                }
                if connection.is_ended() {
                    self.finish();
                }
                // Trailers would be the end of the response: those without a status are not passed on.
                if frame.is_trailers()
                    && let Some(error) = self.take_error()
                {
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(self.take_error().map(Err))
            }
            Poll::Ready(Some(Err(ExchangeError::Abandoned))) => {
                // Not an error of the gateway.
                self.evidence = None;
                self.connection = None;
                Poll::Ready(Some(Err(UpstreamBodyError::Abandoned)))
            }
            Poll::Ready(Some(Err(ExchangeError::Unclear))) => {
                let error = UpstreamBodyError::Unclear;
                self.connection = None;
                self.report(UpstreamError::TlsNoCloseNotify, &error);
                // It may well be whole.
                self.observe(None);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(Some(Err(error))) => {
                let kind = error.kind().unwrap_or(UpstreamError::Cut);
                let error = UpstreamBodyError::Cut(io::Error::other(error));
                self.fail(Evidence::Reset, kind, &error);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => {
                // A gateway that still reads the request is not idle.
                if connection.has_sent_more() {
                    self.idle.moved();
                }
                ready!(self.idle.poll_expired(context));
                if self.ending.as_ref().is_some_and(|ending| ending.is_of_call()) {
                    return Poll::Ready(Some(self.cut_off(Limit::Idle)));
                }
                let error = UpstreamBodyError::Stalled;
                self.fail(Evidence::TimedOut, UpstreamError::BodyTimeout, &error);
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    /// The body is complete.
    fn finish(&mut self) {
        let call = self.ending.as_mut().and_then(|ending| ending.ended());
        if let (Some(connection), Some(in_flight)) = (self.connection.take(), &self.in_flight) {
            match call {
                Some(Evidence::GatewayError | Evidence::Reset) => in_flight.failed(connection.endpoint()),
                Some(_) if connection.endpoint().is_failing() => in_flight.succeeded(connection.endpoint()),
                _ => {}
            }
            in_flight.give_back(connection);
        }
        if self.lacks_status() {
            self.report(UpstreamError::NoGrpcStatus, &UpstreamBodyError::NoGrpcStatus);
        }
        self.observe(call);
    }

    /// A limit ends it, which is not the gateway's fault: a client may listen for as long as it likes.
    fn cut_off(&mut self, limit: Limit) -> Result<Frame<Bytes>, UpstreamBodyError> {
        self.connection = None;
        self.observe(Some(Evidence::Cancelled));
        let end = self.ending.as_ref().and_then(|ending| ending.cut_off(limit));
        end.ok_or(UpstreamBodyError::OutOfTime)
    }

    /// What a body that is whole lacks, once.
    fn take_error(&mut self) -> Option<UpstreamBodyError> {
        let ending = self.ending.as_mut()?;
        ending.say_lacks_status().then_some(UpstreamBodyError::NoGrpcStatus)
    }

    fn lacks_status(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.lacks_status())
    }

    /// The body stays incomplete.
    fn fail(&mut self, evidence: Evidence, kind: UpstreamError, error: &UpstreamBodyError) {
        let connection = self.connection.take();
        let mut evidence = evidence;
        if let (Some(connection), Some(in_flight)) = (&connection, &self.in_flight) {
            in_flight.failed(connection.endpoint());
            if connection.endpoint().is_removed() {
                // An address that the gateway does not have any more shows nothing of it.
                evidence = Evidence::Cancelled;
            }
        }
        self.report(kind, error);
        self.observe(Some(evidence));
    }

    /// Reports an error. During the attempt, the code that runs it does.
    fn report(&self, kind: UpstreamError, error: &UpstreamBodyError) {
        if let Some(in_flight) = self.in_flight.as_ref().filter(|_| self.evidence.is_some()) {
            in_flight.report(kind, error);
        }
    }

    /// Observes the attempt, once: as it was good so far, or otherwise.
    fn observe(&mut self, otherwise: Option<Evidence>) {
        if let Some(good) = self.evidence.take()
            && let Some(in_flight) = self.in_flight.take()
        {
            in_flight.observe(otherwise.unwrap_or(good));
        }
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        // The client went away in the middle: so far the response was good.
        self.observe(None);
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamBodyError>>> {
        match self.held.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.poll_incoming(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.connection.is_none() && !self.lacks_status()
    }

    fn size_hint(&self) -> SizeHint {
        let held: u64 = self
            .held
            .iter()
            .map(|frame| frame.data_ref().map_or(0, |data| data.len() as u64))
            .sum();
        let rest = self
            .connection
            .as_ref()
            .map_or(Some(0), |connection| connection.length());
        rest.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + held))
    }
}
