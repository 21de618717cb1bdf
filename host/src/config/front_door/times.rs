//! How long, how often, how late; and below which path probes are answered.

use crate::config::document::Node;
use crate::config::error::Mistakes;
use crate::config::quantities::{H, MS, Time};
use crate::config::section::section;
use crate::config::shape::{Shape, shown};
use portolan_azure::settings::{LeaseTiming, ProbeTiming, Timing, VoteTiming};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The default probe path.
const DEFAULT_PATH: &str = "/.portolan/probe";

type Span = Time<0, { 30 * 24 * H }>;

section! {
    /// How long observations must hold, and how often changes may follow one another.
    TimingSection {
        /// A region must look unhealthy this long before its origin is demoted. Default: 5m.
        optional sustain: Span,
        /// And healthy this long before it is restored; not less than sustain. Default: 15m.
        optional restore: Span,
        /// From the start of one change set to the next: edges take up to 20 minutes to follow. Default: 20m.
        optional spacing: Span,
        /// At most one region is demoted within this time. Default: 1h.
        optional window: Span,
        /// How often the origins are read while nothing happens. Default: 1m.
        optional reconcile: Span,
        /// The shortest time between two polls of a change in progress. Default: 1s.
        optional poll_least: Span,
        /// The longest. Default: 1m.
        optional poll_most: Span,
        /// The time without Retry-After. Default: 5s.
        optional poll_default: Span,
        /// After this a change in progress is no longer waited for. Default: 30m.
        optional operation_deadline: Span,
        /// The longest that one request to Azure may take. Default: 30s.
        optional request_timeout: Span,
        /// The first pause after a change was not accepted; it doubles. After a rejected or failed one it begins at spacing.
        /// Default: 10s.
        optional retry_least: Span,
        /// The longest pause. Default: 1h.
        optional retry_most: Span,
    }
}

section! {
    /// How votes are written and read.
    VotesSection {
        /// How often this instance repeats its vote; a changed view is written at once. Default: 10s.
        optional write: Span,
        /// How often the votes of all are read. Default: 2s.
        optional read: Span,
        /// How long a vote counts: longer than write, at most 10m. Default: 30s.
        optional valid_for: Span,
        /// The quorum must have seen a region unhealthy for this long before its probes are answered with 503: longer than
        /// the interval of health checks, since an instance that loses its network sees its regions fail one after the
        /// other. Default: 2s.
        optional settle: Span,
    }
}

section! {
    /// How one instance at a time is elected leader.
    LeaseSection {
        /// How long the lease lasts without renewal, 15s to 60s. Default: 30s.
        optional duration: Span,
        /// How often it is renewed, and how often others try to get it. Default: 10s.
        optional renew: Span,
        /// The leader stops this long before the lease ends. Default: 5s.
        optional margin: Span,
        /// A leader that cannot read Front Door for this long steps down. Default: 3m.
        optional step_down: Span,
        /// For this long it then leaves the lease to others; it runs again earlier when none of them acquires it. Default: 10m.
        optional step_down_pause: Span,
    }
}

section! {
    /// The answers to Front Door's own probes.
    ProbeSection {
        /// PATH/SERVICE answers 200 while any region of a service is healthy, PATH/SERVICE/REGION while that one is, else 503.
        /// Requests below it are never forwarded. Default: /.portolan/probe.
        optional path: ProbePath,
        /// A region must look unhealthy this long before the answer turns to 503. Default: 0s.
        optional unhealthy_after: Span,
        /// And healthy this long before it turns back to 200. Default: 30s.
        optional healthy_after: Span,
        /// With a view older than this all answers are 200. Default: 15s.
        optional stale_after: Time<{ 100 * MS }, { H }>,
        /// Whether ?explain shows all regions of the service and the votes on them to every client. Default: false.
        optional explain: bool,
    }
}

fn or(time: Option<Span>, default: Duration) -> Duration {
    time.map_or(default, |time| time.0)
}

pub(super) fn timing(section: Option<&TimingSection>) -> Timing {
    let default = Timing::default();
    let Some(section) = section else { return default };
    Timing {
        sustain: or(section.sustain, default.sustain),
        restore: or(section.restore, default.restore),
        spacing: or(section.spacing, default.spacing),
        window: or(section.window, default.window),
        reconcile: or(section.reconcile, default.reconcile),
        poll_least: or(section.poll_least, default.poll_least),
        poll_most: or(section.poll_most, default.poll_most),
        poll_default: or(section.poll_default, default.poll_default),
        operation_deadline: or(section.operation_deadline, default.operation_deadline),
        request_timeout: or(section.request_timeout, default.request_timeout),
        retry_least: or(section.retry_least, default.retry_least),
        retry_most: or(section.retry_most, default.retry_most),
    }
}

pub(super) fn votes(section: Option<&VotesSection>) -> VoteTiming {
    let default = VoteTiming::default();
    let Some(section) = section else { return default };
    VoteTiming {
        write: or(section.write, default.write),
        read: or(section.read, default.read),
        valid_for: or(section.valid_for, default.valid_for),
        settle: or(section.settle, default.settle),
    }
}

pub(super) fn lease(section: Option<&LeaseSection>) -> LeaseTiming {
    let default = LeaseTiming::default();
    let Some(section) = section else { return default };
    LeaseTiming {
        duration: or(section.duration, default.duration),
        renew: or(section.renew, default.renew),
        margin: or(section.margin, default.margin),
        step_down: or(section.step_down, default.step_down),
        step_down_pause: or(section.step_down_pause, default.step_down_pause),
    }
}

pub(super) fn probe(section: Option<&ProbeSection>) -> ProbeTiming {
    let default = ProbeTiming::default();
    let Some(section) = section else { return default };
    ProbeTiming {
        unhealthy_after: or(section.unhealthy_after, default.unhealthy_after),
        healthy_after: or(section.healthy_after, default.healthy_after),
        stale_after: section.stale_after.map_or(default.stale_after, |time| time.0),
    }
}

pub(super) fn path(section: Option<&ProbeSection>) -> Arc<str> {
    let path = section.and_then(|section| section.path.as_ref());
    path.map_or(DEFAULT_PATH, |path| &path.0).into()
}

/// A path of whole segments, without a slash at its end.
#[derive(Debug)]
pub(in crate::config) struct ProbePath(String);

impl Shape for ProbePath {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let text = String::read(node, mistakes)?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let is_segment = |text: &str| !matches!(text, "" | "." | "..") && text.bytes().all(fits);
        if text
            .strip_prefix('/')
            .is_some_and(|path| path.split('/').all(is_segment))
        {
            return Some(Self(text));
        }
        mistakes.at(
            node.id(),
            format!(
                "wanted a path such as {DEFAULT_PATH}, of letters, digits, - _ . ~, got {}",
                shown(&text)
            ),
        );
        None
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^(/[A-Za-z0-9_.~-]+)+$" })
    }
}
