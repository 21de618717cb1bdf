//! What the fake does when nothing is wrong with a request.

use std::collections::BTreeSet;
use std::time::Duration;

use url::Url;

use super::throttle::Buckets;

/// How the fake behaves from now on. Each kind replaces an earlier one of the same kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Behaviour {
    /// How accepted writes are answered; at first [`Writes::Async`].
    Writes(Writes),
    /// How long an operation runs after the one before it in the same profile, and how it ends; at first one second,
    /// with success.
    Operations {
        /// `None`: until [`finish_operations`](super::FakeArm::finish_operations).
        last: Option<Duration>,
        /// How it ends.
        ending: Ending,
    },
    /// The status of an operation that runs; at first `InProgress`.
    RunningStatus(String),
    /// The `Retry-After` in seconds on answers 202 and on polls of what still runs; at first 1.
    RetryAfter(Option<u32>),
    /// The root of the URLs in `azure-asyncoperation` and `location`; at first the host that the request names.
    PollAt(Option<Url>),
    /// Whether a write is rejected with 409 while another runs in the same profile; at first it is queued.
    ConflictWhileBusy(bool),
    /// How long a change takes from success to the last edge; at first 20 minutes.
    Propagation(Duration),
    /// Rejects an action of every client, such as `Microsoft.Cdn/operationresults/read`; at first nothing is rejected.
    Deny(String),
    /// Rejects all but these actions, as for a role that has only these.
    AllowOnly(Vec<String>),
    /// Takes all rejections back.
    AllowAll,
    /// New, full token buckets of these sizes; at first those that Azure documents.
    Buckets(Buckets),
}

/// How an accepted write is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// 202 with `azure-asyncoperation` and `location`.
    Async,
    /// 202 with `location` alone.
    LocationOnly,
    /// 200: done.
    Sync,
}

/// How an operation ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The change holds.
    Succeeded,
    /// The change is dropped.
    Failed {
        /// The error code reported.
        code: String,
        /// The error message reported.
        message: String,
    },
    /// The change is dropped.
    Canceled,
}

/// Everything that [`Behaviour`]s have set.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) writes: Writes,
    pub(super) operations_last: Option<Duration>,
    pub(super) ending: Ending,
    pub(super) running_status: String,
    pub(super) retry_after: Option<u32>,
    pub(super) poll_at: Option<Url>,
    pub(super) conflict_while_busy: bool,
    pub(super) propagation: Duration,
    /// In lower case.
    pub(super) denied: BTreeSet<String>,
    /// In lower case; `None`: all but the denied ones.
    pub(super) allowed: Option<BTreeSet<String>>,
}

impl Script {
    pub(super) fn new() -> Script {
        Script {
            writes: Writes::Async,
            operations_last: Some(Duration::from_secs(1)),
            ending: Ending::Succeeded,
            running_status: "InProgress".to_owned(),
            retry_after: Some(1),
            poll_at: None,
            conflict_while_busy: false,
            propagation: Duration::from_secs(20 * 60),
            denied: BTreeSet::new(),
            allowed: None,
        }
    }
}
