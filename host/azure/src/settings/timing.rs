//! How long, how often, how late.

use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How long observations must hold, and how often changes may follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A region must look unhealthy this long before it is demoted. Default 5 min.
    pub sustain: Duration,
    /// And healthy this long before it is restored; not less than `sustain`. Default 15 min.
    pub restore: Duration,
    /// From the start of one change set to the next. A change takes up to 20 minutes to reach the edges, and further ones
    /// queue behind it. Default 20 min.
    pub spacing: Duration,
    /// At most one region is demoted within this time. Default 1 h.
    pub window: Duration,
    /// How often the origins are read while nothing happens, with jitter. Default 60 s.
    pub reconcile: Duration,
    /// Bounds of the time between two polls of an operation. Default 1 s to 60 s.
    pub poll_least: Duration,
    /// See `poll_least`.
    pub poll_most: Duration,
    /// Time between polls without `Retry-After`. Default 5 s.
    pub poll_default: Duration,
    /// After this an operation is no longer waited for. Default 30 min.
    pub operation_deadline: Duration,
    /// The longest that one request may take, connection and body included. Default 30 s.
    pub request_timeout: Duration,
    /// First pause after a request that may be repeated; doubles up to `retry_most`. Default 10 s.
    pub retry_least: Duration,
    /// The longest pause, also when the service asks for longer, and after rejections. Default 1 h.
    pub retry_most: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            sustain: secs(5 * 60),
            restore: secs(15 * 60),
            spacing: secs(20 * 60),
            window: secs(60 * 60),
            reconcile: secs(60),
            poll_least: secs(1),
            poll_most: secs(60),
            poll_default: secs(5),
            operation_deadline: secs(30 * 60),
            request_timeout: secs(30),
            retry_least: secs(10),
            retry_most: secs(60 * 60),
        }
    }
}

/// How votes are written and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteTiming {
    /// How often this instance repeats its vote. A changed view is written at once. Default 10 s.
    pub write: Duration,
    /// How often the votes of all are read. Default 2 s.
    pub read: Duration,
    /// How long a vote counts after it was written, by the store's own clock. Default 30 s, at most 10 min.
    pub valid_for: Duration,
    /// The quorum must have seen a region unhealthy for this long before its probes are answered with 503. An instance that loses
    /// its network sees its regions fail one after the other, and doubts its view once most of them have: this
    /// is to be longer than the interval of health checks. Default 2 s.
    pub settle: Duration,
}

impl VoteTiming {
    /// No vote counts longer than this, whatever its own `valid_for`.
    pub const LONGEST_VALIDITY: Duration = secs(600);
}

impl Default for VoteTiming {
    fn default() -> Self {
        Self {
            write: secs(10),
            read: secs(2),
            valid_for: secs(30),
            settle: secs(2),
        }
    }
}

/// How one instance at a time is elected leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTiming {
    /// How long the lease lasts without renewal: 15 to 60 s by the protocol. Default 30 s.
    pub duration: Duration,
    /// How often it is renewed, and how often others try to get it. Default 10 s.
    pub renew: Duration,
    /// The leader stops this long before the lease ends. Default 5 s.
    pub margin: Duration,
    /// A leader that cannot read Front Door for this long steps down. Default 3 min.
    pub step_down: Duration,
    /// A leader that stepped down leaves the lease to others for this long. It ends early when none of them acquires it.
    /// Default 10 min.
    pub step_down_pause: Duration,
}

impl Default for LeaseTiming {
    fn default() -> Self {
        Self {
            duration: secs(30),
            renew: secs(10),
            margin: secs(5),
            step_down: secs(180),
            step_down_pause: secs(600),
        }
    }
}

/// How the answers to Front Door's probes follow the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeTiming {
    /// A region must look unhealthy this long before its answer turns to 503. The view has its own thresholds before.
    /// Default 0.
    pub unhealthy_after: Duration,
    /// And healthy this long before it turns back to 200. Default 30 s.
    pub healthy_after: Duration,
    /// With a view older than this the answer is 200. Default 15 s.
    pub stale_after: Duration,
}

impl Default for ProbeTiming {
    fn default() -> Self {
        Self {
            unhealthy_after: Duration::ZERO,
            healthy_after: secs(30),
            stale_after: secs(15),
        }
    }
}
