//! The body of a gateway's response, on its way to the client.

use super::connection::{Connection, ExchangeError};
use super::connections::Flight;
use super::idle::IdleTimer;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use portolan_core::health::Evidence;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use thiserror::Error;

/// Most bytes that are read of a response nobody wants, to keep its connection.
const DISCARDED: usize = 64 * 1024;

/// A response's body together with the connection it comes from.
///
/// When the body has been read to its end the connection goes back to its pool, if it is clean. When the body is cut
/// short or dropped before, the connection is closed.
///
/// An attempt says one thing of its gateway. As long as it goes on, whoever runs it says that, and the body says nothing;
/// once its response is the one to be delivered, the end of the body does (see `vouch`).
#[derive(Debug)]
pub struct UpstreamBody {
    /// What was held back, to be given first.
    held: VecDeque<Frame<Bytes>>,
    /// Gone when the body ended.
    connection: Option<Box<Connection>>,
    /// Gone when everything is said of the gateway.
    flight: Option<Flight>,
    /// What the end of the body will say of the gateway. `None` while the attempt goes on, and when the head said it.
    evidence: Option<Evidence>,
    idle: IdleTimer,
}

/// A response that did not become whole. The client must not take it for whole.
#[derive(Debug, Error)]
pub enum UpstreamBodyError {
    /// The connection broke, or what came was malformed.
    #[error("the gateway cut its response short: {0}")]
    Cut(io::Error),
    /// Nothing came for the idle timeout.
    #[error("the gateway stopped sending its response")]
    Stalled,
    /// The client stopped sending its request, so that the gateway never heard all of it.
    #[error("the client cut its request short")]
    Abandoned,
}

impl UpstreamBody {
    pub(super) fn new(connection: Box<Connection>, flight: Flight, idle: Duration) -> Self {
        let is_ended = connection.is_ended();
        let mut body = Self {
            held: VecDeque::new(),
            connection: Some(connection),
            flight: Some(flight),
            evidence: None,
            idle: IdleTimer::new(idle),
        };
        if is_ended {
            body.finish(None);
        }
        body
    }

    /// The response is the one to be delivered: from now on the end of its body says something of the gateway, and `good`
    /// when it is whole. A head that was a failure has said everything.
    pub(super) fn vouch(&mut self, good: Evidence) {
        if good.is_failure() {
            return;
        }
        self.evidence = Some(good);
        if self.connection.is_none() {
            self.speak(None);
        }
    }

    /// Holds back up to `limit` bytes, until the body is whole or they are too many.
    pub(super) async fn hold_back(&mut self, limit: usize) -> Result<(), UpstreamBodyError> {
        let mut bytes = 0;
        while bytes <= limit && self.connection.is_some() {
            let frame = std::future::poll_fn(|context| self.poll_incoming(context)).await;
            let Some(frame) = frame.transpose()? else { break };
            bytes += frame.data_ref().map_or(0, Bytes::len);
            self.held.push_back(frame);
        }
        Ok(())
    }

    /// Nobody wants this body. Its connection is kept when the whole request was sent, and the rest of the response is there
    /// already and not long.
    pub(super) fn discard(mut self) {
        let mut nobody = Context::from_waker(Waker::noop());
        let mut left = DISCARDED;
        while left > 0
            && let Some(connection) = self.connection.as_mut().filter(|it| it.is_sent())
        {
            match connection.poll_body(&mut nobody) {
                Poll::Ready(Some(Ok(frame))) => left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len)),
                Poll::Ready(None) => return self.finish(None),
                Poll::Ready(Some(Err(_))) | Poll::Pending => return,
            }
        }
    }

    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamBodyError>>> {
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(None);
        };
        match connection.poll_body(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.moved();
                if connection.is_ended() {
                    self.finish(None);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.finish(None);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(ExchangeError::Abandoned))) => {
                // Says nothing of the gateway.
                self.evidence = None;
                self.connection = None;
                Poll::Ready(Some(Err(UpstreamBodyError::Abandoned)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.finish(Some(Evidence::Reset));
                Poll::Ready(Some(Err(UpstreamBodyError::Cut(io::Error::other(error)))))
            }
            Poll::Pending => {
                // A gateway that still takes the request has not come to a standstill.
                if connection.has_sent_more() {
                    self.idle.moved();
                }
                ready!(self.idle.poll_expired(context));
                self.finish(Some(Evidence::TimedOut));
                Poll::Ready(Some(Err(UpstreamBodyError::Stalled)))
            }
        }
    }

    /// The body is over: whole, or with a fault.
    fn finish(&mut self, fault: Option<Evidence>) {
        let connection = self.connection.take();
        if fault.is_none()
            && let (Some(connection), Some(flight)) = (connection, &self.flight)
        {
            flight.give_back(connection);
        }
        self.speak(fault);
    }

    /// Says what there is to say of the gateway, once.
    fn speak(&mut self, fault: Option<Evidence>) {
        if let Some(good) = self.evidence.take()
            && let Some(flight) = self.flight.take()
        {
            flight.observe(fault.unwrap_or(good));
        }
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        // The client went away in the middle: so far the gateway did well.
        self.speak(None);
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
        self.held.is_empty() && self.connection.is_none()
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
