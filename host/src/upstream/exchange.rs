//! One exchange: a request to a gateway and its response, whatever protocol carries it.

use super::body::{UpstreamBody, UpstreamBodyError};
use super::dial::DialError;
use super::error::ExchangeError;
use crate::vitals::UpstreamError;
use http::Response;
use portolan_core::plan::Outcome;
use std::time::Duration;
use thiserror::Error;

/// A gateway's response. Its body still comes from the gateway. Boxed, since it passes through many futures: each would copy it.
pub(super) type Exchange = Box<Response<UpstreamBody>>;

/// Why an attempt has no response.
#[derive(Debug, Error)]
pub(super) enum AttemptError {
    /// The plan names no region without a gateway.
    #[error("there is no such gateway")]
    NoGateway,
    /// The region is at its request limit: others were faster.
    #[error("the region is at its request limit")]
    Full,
    /// There is no connection.
    #[error("failed to connect")]
    Dial(#[from] DialError),
    /// An idle connection was closed before anything was sent, and the request's body cannot be sent again.
    #[error("the idle connection was closed, and the request cannot be sent again")]
    Stale,
    /// A connection that had been used before was closed or spoilt when the request came. The request may have been received,
    /// and cannot be repeated.
    #[error("the connection, which was used before, was closed or spoilt")]
    Spoilt(#[source] ExchangeError),
    /// The exchange failed.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The response was held back and stayed incomplete, or it is that of a call of gRPC and has neither a body nor a status.
    #[error(transparent)]
    Body(#[from] UpstreamBodyError),
    /// The response head timed out.
    #[error("no response in time")]
    TimedOut,
    /// The time for the whole request was over before this attempt had had a fair part of its own.
    #[error("the request's time was over")]
    OutOfTime,
}

/// An attempt that had less than this part of its own time, because the request's time was over, shows nothing of the gateway.
const FAIR_PART: u32 = 2;

/// Whether an attempt whose time is `full` had a fair part of it.
pub(super) fn is_fair(took: Duration, full: Duration) -> bool {
    took >= full / FAIR_PART
}

impl AttemptError {
    /// The same for an attempt that had `limit` to connect, of the time that is configured.
    pub(super) fn within(self, limit: Duration, configured: Duration) -> Self {
        match self {
            Self::Dial(DialError::TimedOut(_) | DialError::HandshakeTimedOut(_) | DialError::Http2TimedOut(_))
                if !is_fair(limit, configured) =>
            {
                Self::OutOfTime
            }
            error => error,
        }
    }

    /// The outcome for the attempt plan.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Full => Outcome::Full,
            Self::NoGateway | Self::Dial(_) | Self::Stale => Outcome::NotSent,
            Self::Exchange(error) if error.is_unprocessed() => Outcome::NotSent,
            Self::TimedOut | Self::OutOfTime | Self::Body(UpstreamBodyError::Stalled) => Outcome::TimedOut,
            Self::Spoilt(_) | Self::Exchange(_) | Self::Body(_) => Outcome::Broken,
        }
    }

    /// Its kind; `None` when it is not an error of the gateway or the network.
    pub(super) fn kind(&self) -> Option<UpstreamError> {
        match self {
            Self::NoGateway
            | Self::Full
            | Self::Stale
            | Self::OutOfTime
            | Self::Body(UpstreamBodyError::Abandoned | UpstreamBodyError::OutOfTime) => None,
            Self::Dial(error) => Some(match error {
                DialError::NoAddress => UpstreamError::NoAddress,
                DialError::Refused(_) => UpstreamError::ConnectRefused,
                DialError::Unreachable(..) => UpstreamError::ConnectFailed,
                DialError::TimedOut(_) | DialError::HandshakeTimedOut(_) | DialError::Http2TimedOut(_) => {
                    UpstreamError::ConnectTimeout
                }
                DialError::NotHttp2(..) => UpstreamError::NotHttp2,
                DialError::Tls(_, failure, _) => (*failure).into(),
                DialError::Exhausted(_) => UpstreamError::LocalResources,
            }),
            Self::Spoilt(error) | Self::Exchange(error) => error.kind(),
            Self::Body(UpstreamBodyError::Cut(_)) => Some(UpstreamError::Cut),
            Self::Body(UpstreamBodyError::Unclear) => Some(UpstreamError::TlsNoCloseNotify),
            Self::Body(UpstreamBodyError::Stalled) => Some(UpstreamError::BodyTimeout),
            Self::Body(UpstreamBodyError::NoGrpcStatus) => Some(UpstreamError::NoGrpcStatus),
            Self::TimedOut => Some(UpstreamError::ResponseTimeout),
        }
    }

    /// Whether it is a failure of the gateway.
    pub(super) fn is_of_gateway(&self) -> bool {
        // Gateways close idle connections without notice. One that fails, fails on new connections too.
        if matches!(self, Self::Spoilt(_)) {
            return false;
        }
        // A name without addresses says nothing of the gateway, which is used as soon as there are some. Some servers never
        // send close_notify.
        let others = [
            UpstreamError::LocalResources,
            UpstreamError::NoAddress,
            UpstreamError::TlsNoCloseNotify,
        ];
        self.kind().is_some_and(|kind| !others.contains(&kind))
    }
}
