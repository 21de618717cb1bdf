//! One look, or one round of changes, for the command line: a publisher that does not vote and stops when it is done.

use super::status::Status;
use super::{Parts, Publisher, StartError};
use crate::pace::Haste;
use crate::settings::{Mode, Settings};
use std::time::Duration;
use thiserror::Error;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// Why there is no result.
#[derive(Debug, Error)]
pub enum OnceError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Another leads, or nobody can.
    #[error("did not become the leader within {0:?}{1}")]
    Lead(Duration, String),
    /// It was not done in time.
    #[error("not done within {0:?}{1}")]
    Time(Duration, String),
}

/// Reads votes and origins and makes the plan. Changes nothing.
///
/// # Errors
/// When the settings are wrong, or store or Front Door do not answer within `patience`.
pub async fn plan_once(mut settings: Settings, parts: Parts, patience: Duration) -> Result<Status, OnceError> {
    settings.mode = Mode::DryRun;
    let publisher = Publisher::run(settings, parts, None, Haste::Never)?;
    let planned = timeout(patience, publisher.until(|status| status.desk.plan.is_some())).await;
    end(publisher, planned, |trouble| OnceError::Time(patience, trouble)).await
}

/// Becomes the leader, sends what is due, waits for it, gives the lease back. With [`Haste::Now`] spacing is not kept.
///
/// # Errors
/// When the settings are wrong, another leads, or it is not done within `patience`.
pub async fn apply_once(
    mut settings: Settings,
    parts: Parts,
    haste: Haste,
    patience: Duration,
) -> Result<Status, OnceError> {
    settings.mode = Mode::Apply;
    // A leader that has died keeps its lease no longer than this.
    let election = patience.min(settings.lease.duration + settings.lease.renew * 3);
    let publisher = Publisher::run(settings, parts, None, haste)?;
    let elected = timeout(election, publisher.until(|status| status.desk.leads)).await;
    if elected.is_err() {
        return end(publisher, elected, |trouble| OnceError::Lead(election, trouble)).await;
    }
    let done = |status: &Status| {
        let idle = status.ledger().is_none_or(|ledger| ledger.pending.is_none());
        let planned = status.desk.plan.as_ref().is_some_and(|plan| !plan.is_due());
        status.desk.leads && idle && planned
    };
    let applied = timeout(patience, publisher.until(done)).await;
    end(publisher, applied, |trouble| OnceError::Time(patience, trouble)).await
}

/// Gives the lease back, and says what was in the way if it took too long.
async fn end(
    publisher: Publisher,
    status: Result<Status, Elapsed>,
    too_long: impl FnOnce(String) -> OnceError,
) -> Result<Status, OnceError> {
    let last = publisher.status();
    publisher.stop().await;
    status.map_err(|_| too_long(last.trouble()))
}
