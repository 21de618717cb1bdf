//! One plan, or one round of changes, for the command line: a publisher that does not vote and stops when it is done.

use super::status::Status;
use super::{Parts, Publisher, StartError};
use crate::ledger::Failure;
use crate::pace::Haste;
use crate::settings::{Mode, Settings};
use crate::target::TargetError;
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;

/// Why there is no result.
#[derive(Debug, Error)]
pub enum OnceError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is no token: nothing else was tried.
    #[error("{0}")]
    Credential(String),
    /// Azure denies or rejects a request that a plan needs.
    #[error("{0}")]
    Rejected(String),
    /// Another leads, or the lease cannot be acquired.
    #[error("did not become the leader within {0:?}{1}")]
    Lead(Duration, String),
    /// No plan could be made in time.
    #[error("failed to make a plan within {0:?}{1}")]
    Unreached(Duration, String),
    /// The changes were not done in time.
    #[error("not done within {0:?}{1}")]
    Unfinished(Duration, String),
}

/// The outcome of a plan or a round of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to change.
    NothingToDo,
    /// Changes are needed (plan), or were made (apply).
    Changes,
    /// Changes are needed and held back: they are suspended, have to wait, or the service did not accept them.
    Held,
    /// A change was accepted and failed, or is not done in time.
    Failed,
}

impl Outcome {
    /// Of a plan.
    pub fn of_plan(status: &Status) -> Self {
        match &status.leader.plan {
            Some(plan) if plan.decision.suspended.is_some() => Self::Held,
            Some(plan) if !plan.changes.is_empty() => Self::Changes,
            Some(_) => Self::NothingToDo,
            None => Self::Failed,
        }
    }

    /// Of a round of changes.
    pub fn of_apply(status: &Status) -> Self {
        match status.leader.failure {
            Some(Failure::NotAccepted) => return Self::Held,
            Some(Failure::Failed | Failure::Overdue) => return Self::Failed,
            None => {}
        }
        if status.counters.published.get() > 0 {
            return Self::Changes;
        }
        match Self::of_plan(status) {
            Self::Changes => Self::Held,
            other => other,
        }
    }
}

/// Reads votes and origins and makes the plan. Changes nothing.
///
/// # Errors
/// When the settings are wrong, there is no token, Azure denies access, or does not answer within `patience`.
pub async fn plan_once(mut settings: Settings, parts: Parts, patience: Duration) -> Result<Status, OnceError> {
    settings.mode = Mode::DryRun;
    check_credential(&parts).await?;
    let publisher = Publisher::run(settings, parts, None, Haste::Never)?;
    let planned = |status: &Status| status.leader.plan.is_some();
    let status = wait(&publisher, patience, planned).await;
    end(publisher, status, planned, |trouble| {
        OnceError::Unreached(patience, trouble)
    })
    .await
}

/// Becomes the leader, sends what is due, waits for it, releases the lease; also when the configured mode is a dry run.
/// With [`Haste::Now`] spacing is not kept.
///
/// # Errors
/// When the settings are wrong, there is no token, Azure denies access, another leads, or it is not done within `patience`.
pub async fn apply_once(
    mut settings: Settings,
    parts: Parts,
    haste: Haste,
    patience: Duration,
) -> Result<Status, OnceError> {
    settings.mode = Mode::Apply;
    check_credential(&parts).await?;
    // A leader that has died keeps its lease no longer than this.
    let election = patience.min(settings.lease.duration + settings.lease.renew * 3);
    let publisher = Publisher::run(settings, parts, None, haste)?;
    let leads = |status: &Status| status.leader.leads;
    let elected = wait(&publisher, election, leads).await;
    if !leads(&elected) {
        return end(publisher, elected, leads, |trouble| OnceError::Lead(election, trouble)).await;
    }
    let done = |status: &Status| {
        let idle = status.ledger().is_none_or(|ledger| ledger.pending.is_none());
        let planned = status.leader.plan.as_ref().is_some_and(|plan| !plan.is_due());
        status.leader.leads && idle && planned
    };
    let applied = wait(&publisher, patience, done).await;
    let has_changed = applied.counters.writes.get() > 0;
    end(publisher, applied, done, |trouble| match has_changed {
        true => OnceError::Unfinished(patience, trouble),
        false => OnceError::Unreached(patience, trouble),
    })
    .await
}

/// Without a token everything else fails, with less specific errors.
async fn check_credential(parts: &Parts) -> Result<(), OnceError> {
    match parts.target.authenticate().await {
        Err(TargetError::Credential(why)) => Err(OnceError::Credential(why)),
        // What else may be wrong is found by what needs it.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Waits for a status like this, for an error that would only come again, or until time is up.
async fn wait(publisher: &Publisher, patience: Duration, like: impl Fn(&Status) -> bool) -> Status {
    let ended = timeout(
        patience,
        publisher.until(|status| like(status) || status.definite_error().is_some()),
    );
    ended.await.unwrap_or_else(|_| publisher.status())
}

/// Releases the lease, and reports the cause if the status is not the expected one.
async fn end(
    publisher: Publisher,
    status: Status,
    like: impl Fn(&Status) -> bool,
    too_long: impl FnOnce(String) -> OnceError,
) -> Result<Status, OnceError> {
    publisher.stop().await;
    if like(&status) {
        Ok(status)
    } else if let Some(error) = status.definite_error() {
        Err(OnceError::Rejected(error))
    } else {
        Err(too_long(status.trouble()))
    }
}
