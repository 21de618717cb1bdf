//! One look, or one round of changes, for the command line: a publisher that does not vote and stops when it is done.

use super::status::Status;
use super::{Parts, Publisher, StartError};
use crate::pace::Haste;
use crate::settings::{Mode, Settings};
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;

/// Why there is no result.
#[derive(Debug, Error)]
pub enum OnceError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
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
    run(settings, parts, Haste::Never, patience, |status| {
        status.desk.plan.is_some()
    })
    .await
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
    run(settings, parts, haste, patience, |status| {
        let idle = status.ledger().is_none_or(|ledger| ledger.pending.is_none());
        let planned = status.desk.plan.as_ref().is_some_and(|plan| !plan.is_due());
        status.desk.leads && idle && planned
    })
    .await
}

async fn run(
    settings: Settings,
    parts: Parts,
    haste: Haste,
    patience: Duration,
    done: impl Fn(&Status) -> bool,
) -> Result<Status, OnceError> {
    let publisher = Publisher::run(settings, parts, None, haste)?;
    let status = timeout(patience, publisher.until(done)).await;
    let last = publisher.status();
    publisher.stop().await;
    status.map_err(|_| OnceError::Time(patience, last.trouble()))
}
