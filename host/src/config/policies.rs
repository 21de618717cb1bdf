//! Outlier detection, retries and time-outs of a service.

use super::compound::{At, OrOff};
use super::document::NodeId;
use super::error::Mistakes;
use super::quantities::{H, MIB, MIN, MS, Size, Time, written_time};
use super::retry_on::{Failure, retry_on};
use super::section::section;
use super::values::{Percent, Whole};
use portolan_core::config::{Budget, OutlierDetection, Retry, Timeouts};
use std::time::Duration;

section! {
    /// Outlier detection: when traffic ejects a region.
    OutlierDetectionSection {
        /// Failures in a row that eject a region: connections, resets, time-outs, any 5xx, whether or not they are retried.
        /// Default: 5.
        optional consecutive_failures: Whole<1, 1_000_000>,
        /// Share of failures within the window that ejects it: connections, resets, time-outs, 502, 503, 504. 0 turns this
        /// off. Default: 5%.
        optional failure_percent: Percent,
        /// How many requests the window must hold before the share counts. Default: 50.
        optional min_requests: Whole<1, 1_000_000>,
        /// The window. Default: 2s.
        optional window: Time<{ 100 * MS }, { H }>,
        /// Share of requests within the window that were overtaken, which ejects a region for its latency: hedged requests
        /// whose answer came from another region in at most half the time. Never ejects the last region. 0 turns this off.
        /// Default: 50%.
        optional overtaken_percent: Percent,
        /// How many requests the window must hold before that share counts. Default: 20.
        optional overtaken_min_requests: Whole<1, 1_000_000>,
        /// How long the first ejection lasts; each further one lasts twice as long. Default: 30s.
        optional base_ejection_time: Time<{ MS }, { 24 * H }>,
        /// No ejection lasts longer. Default: 5m, or the base when that is longer.
        optional max_ejection_time: At<Time<{ MS }, { 24 * H }>>,
        /// No more than this share of the regions is ejected at a time. One always may be; and so may one that answers no
        /// request, as long as another gets traffic. Default: 50%.
        optional max_ejection_percent: Percent,
    }
}

section! {
    /// How failures are retried, always in another region.
    RetrySection {
        /// Attempts in all; with 1, nothing is retried. Default: 3.
        optional attempts: Whole<1, 64>,
        /// Which failures are retried, in Envoy's words: connect-failure (whatever the method); and for idempotent requests
        /// reset (the connection broke, no HTTP, or per_try_timeout), gateway-error (502, 503, 504, or no response), 5xx (any
        /// 5xx, or no response), retriable-4xx (409), and statuses. For calls of gRPC that were answered without a message, whatever the
        /// method: cancelled, deadline-exceeded, internal, resource-exhausted, unavailable. Default: [connect-failure, reset, 502, 503, 504].
        optional retry_on: Vec<Failure>,
        /// Time for one attempt until the head of its response, once the region has the whole request. Default: 15s when
        /// another region could be tried after it, else no bound but timeouts.request.
        optional per_try_timeout: At<Time<{ MS }, { 24 * H }>>,
        /// Whether POST and the like may be sent again although bytes may have arrived. Default: false.
        optional non_idempotent: bool,
        /// Request bodies up to this size are kept so that they can be sent again. Default: 64KiB.
        optional max_replay_body: Size<0, { 16 * MIB }>,
        /// After this long without an answer the request is hedged: a second attempt starts in the next region, where a
        /// retry after a reset would be allowed, and the first answer is used. off: never. Default: 400ms.
        optional hedge_after: OrOff<Time<{ MS }, { 24 * H }>>,
        /// Response bodies up to this size are held back until they are whole, so that a truncated one can be
        /// retried elsewhere. Default: 0B, every body flows as it comes.
        optional hold_back_body: Size<0, { 16 * MIB }>,
        /// The bound on extra attempts.
        optional budget: BudgetSection,
    }
}

section! {
    /// Extra attempts as a share of requests.
    BudgetSection {
        /// Extra attempts per hundred requests. Default: 20%.
        optional percent: Percent,
        /// Extra attempts per second that are always allowed. Default: 3.
        optional min_per_second: Whole<0, 1_000_000>,
    }
}

section! {
    /// Time bounds of a request.
    TimeoutsSection {
        /// For a TCP connection to a gateway, and as long again for a TLS handshake. Default: 400ms.
        optional connect: Time<{ MS }, { 10 * MIN }>,
        /// From the head of the request to the head of the response, all attempts together; Envoy's route timeout goes on
        /// to the end of the response. Default: 15s.
        optional request: At<Time<{ MS }, { 24 * H }>>,
        /// Without a byte of a body in either direction. Default: 60s.
        optional idle: Time<{ 10 * MS }, { 24 * H }>,
        /// Without a byte in either direction of a tunnel: a connection that changed to another protocol, such as WebSocket. Longer than
        /// its ends take between two pings (HAProxy: timeout tunnel). Default: 1h.
        optional tunnel: Time<{ 10 * MS }, { 7 * 24 * H }>,
        /// Without a byte of a call of gRPC, in both directions at once, instead of idle. Default: 5m.
        optional stream_idle: OrOff<Time<{ 10 * MS }, { 24 * H }>>,
        /// From the head of the request to the end of the response; Envoy's max_stream_duration. Default: off.
        optional total: OrOff<Time<{ MS }, { 30 * 24 * H }>>,
    }
}

pub(super) fn outlier_detection(
    section: Option<&OutlierDetectionSection>,
    mistakes: &mut Mistakes<'_>,
) -> OutlierDetection {
    let default = OutlierDetection::default();
    let Some(section) = section else { return default };
    let base = section
        .base_ejection_time
        .map_or(default.base_ejection_time, |time| time.0);
    if let Some(max) = section.max_ejection_time.filter(|max| max.0 < base) {
        mistakes.at(
            max.id,
            format!("shorter than base_ejection_time, {}", written_time(base)),
        );
    }
    OutlierDetection {
        consecutive_failures: section
            .consecutive_failures
            .map_or(default.consecutive_failures, |count| count.0 as u32),
        failure_percent: section
            .failure_percent
            .map_or(default.failure_percent, |percent| percent.0),
        min_requests: section
            .min_requests
            .map_or(default.min_requests, |count| count.0 as u32),
        window: section.window.map_or(default.window, |window| window.0),
        overtaken_percent: section
            .overtaken_percent
            .map_or(default.overtaken_percent, |percent| percent.0),
        overtaken_min_requests: section
            .overtaken_min_requests
            .map_or(default.overtaken_min_requests, |count| count.0 as u32),
        base_ejection_time: base,
        max_ejection_time: section
            .max_ejection_time
            .map_or(default.max_ejection_time.max(base), |time| time.0),
        max_ejection_percent: section
            .max_ejection_percent
            .map_or(default.max_ejection_percent, |percent| percent.0),
    }
}

/// How failures are retried; what the section leaves out is as in `default`.
pub(super) fn retry(section: Option<&RetrySection>, default: Retry) -> Retry {
    let Some(section) = section else { return default };
    let budget = section.budget.as_ref();
    Retry {
        attempts: section.attempts.map_or(default.attempts, |attempts| attempts.0 as u8),
        retry_on: section
            .retry_on
            .as_ref()
            .map_or(default.retry_on, |failures| retry_on(failures)),
        per_try_timeout: section.per_try_timeout.map(|time| time.0),
        non_idempotent: section.non_idempotent.unwrap_or(default.non_idempotent),
        hedge_after: match &section.hedge_after {
            Some(OrOff::Off) => None,
            Some(OrOff::On(time)) => Some(time.0),
            None => default.hedge_after,
        },
        hold_back_bytes: section
            .hold_back_body
            .map_or(default.hold_back_bytes, |size| size.0 as usize),
        max_replay_bytes: section
            .max_replay_body
            .map_or(default.max_replay_bytes, |size| size.0 as usize),
        budget: Budget {
            percent: budget
                .and_then(|budget| budget.percent)
                .map_or(default.budget.percent, |percent| percent.0),
            min_per_second: budget
                .and_then(|budget| budget.min_per_second)
                .map_or(default.budget.min_per_second, |count| count.0 as u32),
        },
    }
}

/// The time bounds; what the section leaves out is as in `default`.
pub(super) fn timeouts(section: Option<&TimeoutsSection>, default: Timeouts) -> Timeouts {
    let request = section.and_then(|section| section.request);
    Timeouts {
        connect: section
            .and_then(|section| section.connect)
            .map_or(default.connect, |time| time.0),
        request: request.map_or(default.request, |time| time.0),
        idle: section
            .and_then(|section| section.idle)
            .map_or(default.idle, |time| time.0),
        tunnel: section
            .and_then(|section| section.tunnel)
            .map_or(default.tunnel, |time| time.0),
        stream_idle: limit(
            section.and_then(|section| section.stream_idle.as_ref()),
            default.stream_idle,
        ),
        total: limit(section.and_then(|section| section.total.as_ref()), default.total),
    }
}

/// A time that may be off.
fn limit<const LEAST: u64, const MOST: u64>(
    written: Option<&OrOff<Time<LEAST, MOST>>>,
    default: Option<Duration>,
) -> Option<Duration> {
    match written {
        None => default,
        Some(OrOff::Off) => None,
        Some(OrOff::On(time)) => Some(time.0),
    }
}

/// The time of one attempt fits in that of all. Where it is not written in this section, `at` is where that is said.
pub(super) fn check_times(
    (retry, timeouts): (&Retry, &Timeouts),
    section: Option<&RetrySection>,
    at: Option<NodeId>,
    mistakes: &mut Mistakes<'_>,
) {
    let at = section.and_then(|section| Some(section.per_try_timeout?.id)).or(at);
    let is_longer = retry.per_try_timeout.is_some_and(|time| time > timeouts.request);
    if let Some(at) = at.filter(|_| is_longer) {
        let request = written_time(timeouts.request);
        let message = format!("longer than timeouts.request, {request}, in which all attempts must fit");
        mistakes.at(at, message);
    }
}
