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

/// A response's body together with the connection it comes from.
///
/// When the body has been read to its end the connection goes back to its pool, if it is clean. When the body is cut
/// short or dropped before, the connection is closed.
#[derive(Debug)]
pub struct UpstreamBody {
    /// What was held back, to be given first.
    held: VecDeque<Frame<Bytes>>,
    /// Gone when the body ended.
    exchange: Option<Exchange>,
    idle: IdleTimer,
}

/// What an attempt holds while its response is under way.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) connection: Box<Connection>,
    pub(super) flight: Flight,
    /// What the end of the body will say of the gateway, when the head has not said it yet.
    pub(super) evidence: Option<Evidence>,
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
    pub(super) fn new(exchange: Exchange, idle: Duration) -> Self {
        let is_ended = exchange.connection.is_ended();
        let mut body = Self {
            held: VecDeque::new(),
            exchange: Some(exchange),
            idle: IdleTimer::new(idle),
        };
        if is_ended {
            body.finish(None);
        }
        body
    }

    /// Holds back up to `limit` bytes, until the body is whole or they are too many.
    pub(super) async fn hold_back(&mut self, limit: usize) -> Result<(), UpstreamBodyError> {
        let mut bytes = 0;
        while bytes <= limit && self.exchange.is_some() {
            let frame = std::future::poll_fn(|context| self.poll_incoming(context)).await;
            let Some(frame) = frame.transpose()? else { break };
            bytes += frame.data_ref().map_or(0, Bytes::len);
            self.held.push_back(frame);
        }
        Ok(())
    }

    /// Nobody wants this body. Its connection is kept if the rest of it is there already.
    pub(super) fn discard(mut self) {
        let mut nobody = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(_))) = self.poll_incoming(&mut nobody) {}
    }

    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamBodyError>>> {
        let Some(Exchange { connection, .. }) = &mut self.exchange else {
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
                self.exchange = None;
                Poll::Ready(Some(Err(UpstreamBodyError::Abandoned)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.finish(Some(Evidence::Reset));
                Poll::Ready(Some(Err(UpstreamBodyError::Cut(io::Error::other(error)))))
            }
            Poll::Pending => {
                ready!(self.idle.poll_expired(context));
                self.finish(Some(Evidence::TimedOut));
                Poll::Ready(Some(Err(UpstreamBodyError::Stalled)))
            }
        }
    }

    /// The body is over: whole, or with a fault.
    fn finish(&mut self, fault: Option<Evidence>) {
        let Some(Exchange {
            connection,
            flight,
            evidence,
        }) = self.exchange.take()
        else {
            return;
        };
        match (fault, evidence) {
            // A gateway whose head was a failure is not counted twice.
            (_, None) => {}
            (fault, Some(good)) => flight.observe(fault.unwrap_or(good)),
        }
        if fault.is_none() {
            flight.give_back(connection);
        }
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        // The client went away in the middle: so far the gateway did well.
        if let Some(Exchange {
            flight,
            evidence: Some(good),
            ..
        }) = &self.exchange
        {
            flight.observe(*good);
        }
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
        self.held.is_empty() && self.exchange.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let held: u64 = self
            .held
            .iter()
            .map(|frame| frame.data_ref().map_or(0, |data| data.len() as u64))
            .sum();
        let rest = self
            .exchange
            .as_ref()
            .map_or(Some(0), |exchange| exchange.connection.length());
        rest.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + held))
    }
}
