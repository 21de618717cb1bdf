//! What applies to a request on its way: retries, time bounds, limits.

use crate::explain::Applied;
use portolan_core::config::RetryOn;
use portolan_core::grpc::GrpcStatus;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What applies to a request on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policies {
    /// How failures are retried.
    pub retry: Retry,
    /// Time bounds.
    pub timeouts: Timeouts,
    /// The limits of its route.
    pub limits: Limits,
    /// When overload sheds it: `low` first, then `normal`, then `high`.
    pub priority: String,
}

/// How failures are retried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Whose it is: `route` or `service`.
    pub of: String,
    /// Attempts in all.
    pub attempts: u8,
    /// Which failures are retried: `connect-failure`, `reset`, statuses and ranges of them, statuses of gRPC.
    pub retry_on: Vec<String>,
    /// Milliseconds for one attempt; `None` for the default.
    pub per_try_timeout_ms: Option<f64>,
    /// Milliseconds until a request is hedged; `None`: never.
    pub hedge_after_ms: Option<f64>,
    /// Whether POST and the like may be sent again although bytes may have arrived.
    pub non_idempotent: bool,
    /// Bodies of requests up to this many bytes are kept so that they can be sent again.
    pub max_replay_body_bytes: u64,
    /// Bodies of responses up to this many bytes are held back until they are whole.
    pub hold_back_body_bytes: u64,
}

/// Time bounds in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Whose they are: `route` or `service`.
    pub of: String,
    /// For a TCP connection to a gateway.
    pub connect_ms: f64,
    /// From the head of the request to the head of the response.
    pub request_ms: f64,
    /// Without a byte of a body.
    pub idle_ms: f64,
    /// Without a byte of a tunnel.
    #[serde(default)]
    pub tunnel_ms: f64,
    /// Without a byte of a call of gRPC; `None`: no limit.
    pub stream_idle_ms: Option<f64>,
    /// From the head of the request to the end of the response; `None`: no limit.
    pub total_ms: Option<f64>,
}

/// The limits of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// The longest body of a request in bytes; `None`: any.
    pub request_body_bytes: Option<u64>,
    /// Most concurrent requests; `None`: any number.
    pub concurrent_requests: Option<u32>,
    /// How many requests a client may send; `None`: any number.
    pub rate: Option<Rate>,
}

/// The rate limit of a route, for each client network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Requests in a second, evenly.
    pub per_second: f64,
    /// Requests at once.
    pub burst: u32,
}

impl From<&Applied> for Policies {
    fn from(applied: &Applied) -> Self {
        let of = |is_own| if is_own { "route" } else { "service" }.to_owned();
        let Applied { retry, timeouts, .. } = applied;
        Self {
            retry: Retry {
                of: of(applied.has_own_retry),
                attempts: retry.attempts,
                retry_on: words(&retry.retry_on),
                per_try_timeout_ms: retry.per_try_timeout.map(millis),
                hedge_after_ms: retry.hedge_after.map(millis),
                non_idempotent: retry.non_idempotent,
                max_replay_body_bytes: retry.max_replay_bytes as u64,
                hold_back_body_bytes: retry.hold_back_bytes as u64,
            },
            timeouts: Timeouts {
                of: of(applied.has_own_timeouts),
                connect_ms: millis(timeouts.connect),
                request_ms: millis(timeouts.request),
                idle_ms: millis(timeouts.idle),
                tunnel_ms: millis(timeouts.tunnel),
                stream_idle_ms: timeouts.stream_idle.map(millis),
                total_ms: timeouts.total.map(millis),
            },
            limits: Limits {
                request_body_bytes: applied.limits.request_body,
                concurrent_requests: applied.limits.concurrent_requests,
                rate: applied.limits.rate.map(|rate| Rate {
                    per_second: 1e6 / rate.limit.interval_micros() as f64,
                    burst: rate.limit.burst(),
                }),
            },
            priority: applied.priority.as_str().into(),
        }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The words for failures that are retried; statuses in a row as a range.
fn words(retry_on: &RetryOn) -> Vec<String> {
    let mut words = Vec::new();
    let kinds = [(retry_on.connect_failure, "connect-failure"), (retry_on.reset, "reset")];
    words.extend(kinds.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()));
    let statuses: Vec<_> = retry_on.statuses().collect();
    for row in statuses.chunk_by(|status, next| status + 1 == *next) {
        match row {
            [first, _, _, .., last] => words.push(format!("{first}-{last}")),
            _ => words.extend(row.iter().map(u16::to_string)),
        }
    }
    let grpc = GrpcStatus::ALL.into_iter().filter(|status| retry_on.has_grpc(*status));
    words.extend(grpc.map(|status| status.as_str().replace('_', "-")));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_are_retried_have_words() {
        assert_eq!(
            words(&RetryOn::default()),
            ["connect-failure", "reset", "502", "503", "504"]
        );
        let mut retry_on = RetryOn::NONE;
        for status in [409, 500, 501, 502, 503, 599] {
            retry_on.insert(status);
        }
        retry_on.insert_grpc(GrpcStatus::Unavailable);
        retry_on.insert_grpc(GrpcStatus::DeadlineExceeded);
        assert_eq!(
            words(&retry_on),
            ["409", "500-503", "599", "deadline-exceeded", "unavailable"]
        );
        assert!(words(&RetryOn::NONE).is_empty());
    }
}
