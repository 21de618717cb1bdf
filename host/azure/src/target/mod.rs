//! The Front Door: read the origins, send a change, poll it.

mod classic;
mod standard;

pub use classic::ClassicTarget;
pub use standard::StandardTarget;

use crate::arm::{Allowance, Arm, ArmError};
use crate::backoff::Remedy;
use crate::diff::Change;
use crate::operation::{Answer, Operation, Progress, Started, polled};
use crate::origin::Observed;
use crate::settings::Timing;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use thiserror::Error;

/// A Front Door. Time limits and retries are the caller's.
#[async_trait::async_trait]
pub trait Target: Send + Sync + fmt::Debug {
    /// Gets a token, so that a credential that does not work is found before anything else is tried.
    async fn authenticate(&self) -> Result<(), TargetError> {
        Ok(())
    }

    /// Reads the origins of the group.
    async fn observe(&self) -> Result<Observed, TargetError>;

    /// How many of these changes, from the first, one request carries.
    fn carries(&self, changes: &[Change]) -> usize;

    /// Sends the changes that one request carries.
    async fn send(&self, changes: &[Change]) -> Result<Started, TargetError>;

    /// Polls an operation.
    async fn poll(&self, operation: &Operation) -> Result<Progress, TargetError>;

    /// Polls the origins of these changes instead.
    async fn watch(&self, changes: &[Change]) -> Result<Progress, TargetError>;

    /// The remaining rate limit.
    fn allowance(&self) -> Allowance {
        Allowance::default()
    }

    /// Facts about the Front Door. Read once; nothing depends on them.
    async fn about(&self) -> Result<About, TargetError> {
        Ok(About::default())
    }
}

/// Facts about the Front Door, for people and for the check of `X-Azure-FDID`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its id, which it sends in `X-Azure-FDID`.
    pub front_door_id: Option<String>,
    /// Where it probes.
    pub probe_path: Option<String>,
    /// How often, in seconds.
    pub probe_interval_s: Option<u64>,
    /// About how long Front Door takes to detect a failure, by interval, sample size and successes needed.
    pub notices_within_s: Option<u64>,
}

/// Why a call failed.
#[derive(Debug, Error)]
pub enum TargetError {
    /// Too many requests: not before that long.
    #[error("throttled{}", after(.0))]
    Throttled(Option<Duration>),
    /// Another change is in progress.
    #[error("busy: {0}")]
    Busy(String),
    /// There is no token.
    #[error("{0}")]
    Credential(String),
    /// Access is denied.
    #[error("not allowed: {0}")]
    Denied(String),
    /// It is not there.
    #[error("not found: {0}")]
    Missing(String),
    /// The service rejected it.
    #[error("rejected: {0}")]
    Rejected(String),
    /// The service was not reached, or failed, and nothing was accepted.
    #[error("{0}")]
    Unavailable(String),
    /// A change may have arrived or not: only the origins show it.
    #[error("no answer to a change: {0}")]
    Unsure(String),
    /// It answered something that cannot be understood.
    #[error("failed to read the answer: {0}")]
    Nonsense(String),
    /// Writing the front door back would lose members that are not in the model.
    #[error("not written: these members would be lost: {}", .0.join(", "))]
    Lossy(Vec<String>),
    /// Another client changed it since it was read.
    #[error("not written: changed by another since it was read: {}", .0.join(", "))]
    Changed(Vec<String>),
}

/// Polls an operation. The previous leader may have reached the API at another address: the token does not go
/// there, and the origins show the result as well. The pause of a 429 is kept whole: an earlier poll would be throttled again.
async fn poll(arm: &Arm, operation: &Operation, timing: &Timing) -> Result<Progress, TargetError> {
    match arm.get(&operation.url).await {
        // None of these is about the operation: it is polled again, after a pause that grows.
        Ok(answer) if matches!(answer.status, 408 | 429 | 500..=599) => Err(TargetError::of(&answer)),
        Ok(answer) => Ok(polled(operation.kind, &answer, timing)),
        Err(ArmError::Foreign(_)) => Ok(Progress::Unreadable),
        Err(error) => Err(TargetError::unread(&error)),
    }
}

fn after(time: &Option<Duration>) -> String {
    time.map(|time| format!(", again in {time:?}")).unwrap_or_default()
}

impl TargetError {
    /// Classifies a status that is no success.
    pub(crate) fn of(answer: &Answer) -> Self {
        let (code, message) = answer.error();
        let text = format!("{} {code} {message}", answer.status).trim_end().to_owned();
        match answer.status {
            429 => Self::Throttled(answer.retry_after),
            409 => Self::Busy(text),
            401 | 403 => Self::Denied(text),
            404 => Self::Missing(text),
            408 | 500..=599 => Self::Unavailable(text),
            400..=499 => Self::Rejected(text),
            _ => Self::Nonsense(text),
        }
    }

    /// A read that was not answered.
    pub(crate) fn unread(error: &ArmError) -> Self {
        match error {
            ArmError::Identity(error) => Self::Credential(error.to_string()),
            ArmError::Foreign(_) | ArmError::Net(_) => Self::Unavailable(error.to_string()),
        }
    }

    /// A change that was not answered: whether it arrived depends on how far it came.
    pub(crate) fn unsent(error: &ArmError) -> Self {
        use crate::net::NetError::{Connect, Plain, Request};
        match error {
            ArmError::Net(Connect(..) | Plain(_) | Request(_)) | ArmError::Foreign(_) | ArmError::Identity(_) => {
                Self::unread(error)
            }
            ArmError::Net(_) => Self::Unsure(error.to_string()),
        }
    }

    /// Whether a retry would fail the same way: an operator has to act first.
    pub fn is_definite(&self) -> bool {
        matches!(self, Self::Credential(_)) || self.remedy() == Remedy::Slowly
    }

    /// When it may be retried.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Throttled(asked) => Remedy::Soon(*asked),
            Self::Credential(_)
            | Self::Busy(_)
            | Self::Unavailable(_)
            | Self::Unsure(_)
            | Self::Nonsense(_)
            | Self::Changed(_) => Remedy::Soon(None),
            Self::Denied(_) | Self::Missing(_) | Self::Rejected(_) | Self::Lossy(_) => Remedy::Slowly,
        }
    }
}

#[cfg(test)]
mod tests;
