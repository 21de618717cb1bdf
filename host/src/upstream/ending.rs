//! What ends a response besides its body: a time limit, and the status of a call of gRPC.
//!
//! A call has ended well or badly when `grpc-status` says so, in the trailers or in a head without a body. A body that ends
//! without it is not whole, whatever HTTP says.

use super::head::Head;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame};
use portolan_core::grpc::GrpcStatus;
use portolan_core::health::Evidence;
use portolan_core::plan::Outcome;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::time::{Sleep, sleep_until};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What ends a response.
#[derive(Debug)]
pub(super) struct Ending {
    /// When its time is over.
    limit: Option<Pin<Box<Sleep>>>,
    /// Of a call of gRPC.
    call: Option<CallEnd>,
}

/// What is known of the end of a call.
#[derive(Debug)]
struct CallEnd {
    status: Option<GrpcStatus>,
    /// Whether it needs a status: clients derive one from a status of HTTP that is an error.
    needs_status: bool,
    /// It ended without one, which the body still has to say.
    lacks_status: bool,
}

/// Which limit ended a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// Its client's deadline, or `timeouts.total`.
    Time,
    /// `timeouts.stream_idle`.
    Idle,
}

/// The status of a call in a head or in trailers.
pub(super) fn status(fields: &HeaderMap) -> Option<GrpcStatus> {
    fields
        .get(GRPC_STATUS)
        .map(|status| GrpcStatus::of_value(status.as_bytes()))
}

/// The observation of an endpoint that a head makes; `None` where the end of the body will.
pub(super) fn evidence_of_head(head: &Head, is_call: bool) -> Option<Evidence> {
    if is_call && head.status == StatusCode::OK {
        return status(&head.headers).map(Evidence::of_grpc);
    }
    Some(Evidence::of_status(head.status))
}

/// The outcome of an attempt that got this head.
pub(super) fn outcome<B: Body>(response: &Response<B>, is_call: bool) -> Outcome {
    let status = || status(response.headers()).filter(|_| response.body().is_end_stream());
    match is_call.then(status).flatten() {
        Some(status) => Outcome::Grpc(status),
        None => Outcome::Answered(response.status()),
    }
}

/// Whether it is the whole response to a call, and says nothing of how that ended.
pub(super) fn lacks_status<B: Body>(response: &Response<B>) -> bool {
    response.status() == StatusCode::OK && response.body().is_end_stream() && status(response.headers()).is_none()
}

impl Ending {
    /// Of a response whose time is over at `end`, if that is given, and which answers a call of gRPC or not.
    pub(super) fn of<B>(response: &Response<B>, is_call: bool, end: Option<Instant>) -> Self {
        Self {
            limit: end.map(|end| Box::pin(sleep_until(end.into()))),
            call: is_call.then(|| CallEnd {
                // Of some servers the body is empty and not absent.
                status: status(response.headers()),
                needs_status: response.status() == StatusCode::OK,
                lacks_status: false,
            }),
        }
    }

    /// Whether it is that of a call.
    pub(super) fn is_of_call(&self) -> bool {
        self.call.is_some()
    }

    /// Ready when its time is over.
    pub(super) fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.limit
            .as_mut()
            .map_or(Poll::Pending, |limit| limit.as_mut().poll(context))
    }

    /// A frame of the body came.
    pub(super) fn saw(&mut self, frame: &Frame<Bytes>) {
        if let (Some(call), Some(trailers)) = (&mut self.call, frame.trailers_ref()) {
            call.status = status(trailers).or(call.status);
        }
    }

    /// The body is whole. The observation of the call, if it is one.
    pub(super) fn ended(&mut self) -> Option<Evidence> {
        let call = self.call.as_mut()?;
        call.lacks_status = call.needs_status && call.status.is_none();
        if call.lacks_status {
            return Some(Evidence::Reset);
        }
        call.status.map(Evidence::of_grpc)
    }

    /// Whether it ended without a status that it needs, and the body has not said so yet.
    pub(super) fn lacks_status(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.lacks_status)
    }

    /// The same, once: the body says so.
    pub(super) fn say_lacks_status(&mut self) -> bool {
        self.call
            .as_mut()
            .is_some_and(|call| std::mem::take(&mut call.lacks_status))
    }

    /// What is the end of a call because of a limit. `None` for anything else, whose end is an error.
    pub(super) fn cut_off(&self, limit: Limit) -> Option<Frame<Bytes>> {
        self.call.as_ref()?;
        let (status, message) = match limit {
            Limit::Time => (GrpcStatus::DeadlineExceeded, "the time for this call is over"),
            Limit::Idle => (GrpcStatus::Unavailable, "nothing was sent on this stream for too long"),
        };
        Some(Frame::trailers(HeaderMap::from_iter([
            (GRPC_STATUS, HeaderValue::from(u16::from(status.code()))),
            (GRPC_MESSAGE, HeaderValue::from_static(message)),
        ])))
    }
}
