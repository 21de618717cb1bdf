//! How a connection of HTTP/2 ended.

use crate::arrival::Arrival;
use crate::vitals::{Http2Error, ListenerVitals};
use std::error::Error;
use std::time::{Duration, Instant};

/// How long a connection is read from that ended in good order.
const LINGER: Duration = Duration::from_secs(5);

/// The same of one that ended with an error, so that its client sees GOAWAY.
const LINGER_FAILED: Duration = Duration::from_secs(1);

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// In good order.
    Closed,
    /// By a timeout or a drain.
    Stopped,
    /// By its client or the network.
    Disconnected(hyper::Error),
    /// By an error of its client.
    Failed(Http2Error, Option<hyper::Error>),
}

impl PartialEq for End {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl End {
    /// By how hyper ended, or `None` when it was stopped.
    pub(super) fn of(ended: Option<hyper::Result<()>>, is_flooded: bool) -> Self {
        match ended {
            _ if is_flooded => Self::Failed(Http2Error::ControlFrames, None),
            None => Self::Stopped,
            Some(Ok(())) => Self::Closed,
            Some(Err(error)) => match kind(&error) {
                Some(kind) => Self::Failed(kind, Some(error)),
                None => Self::Disconnected(error),
            },
        }
    }

    /// For how long the connection is still read from.
    pub(super) fn linger(&self) -> Option<Duration> {
        match self {
            Self::Closed => Some(LINGER),
            Self::Failed(Http2Error::ControlFrames, _) | Self::Stopped | Self::Disconnected(_) => None,
            Self::Failed(..) => Some(LINGER_FAILED),
        }
    }

    /// Counts and logs it.
    pub(super) fn report(&self, vitals: &ListenerVitals, arrival: &Arrival) {
        let peer = arrival.peer;
        match self {
            Self::Closed => {}
            Self::Stopped => tracing::debug!(%peer, "downstream connection closed: timeout or drain"),
            Self::Disconnected(error) => tracing::debug!(%error, %peer, "downstream connection failed"),
            Self::Failed(kind, error) => {
                let suppressed = vitals.http2.failed(*kind, Instant::now());
                let (listener, reason) = (&vitals.id, kind.as_str());
                let error = error
                    .as_ref()
                    .and_then(h2_error)
                    .map(ToString::to_string)
                    .unwrap_or_default();
                match suppressed {
                    Some(suppressed) => tracing::warn!(
                        %listener, %peer, reason, error, suppressed, "HTTP/2 connection closed: {}", kind.explanation()
                    ),
                    None => {
                        tracing::debug!(%listener, %peer, reason, error, "HTTP/2 connection closed: {}", kind.explanation())
                    }
                }
            }
        }
    }
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

/// What was wrong; `None` when the client or the network ended the connection.
fn kind(error: &hyper::Error) -> Option<Http2Error> {
    let error = h2_error(error)?;
    if error.is_io() || error.is_remote() || !error.is_go_away() {
        return None;
    }
    Some(match error.reason() {
        Some(h2::Reason::ENHANCE_YOUR_CALM) => Http2Error::Flood,
        _ => Http2Error::Protocol,
    })
}
