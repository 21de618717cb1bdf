//! How failures are retried.

use crate::grpc::GrpcStatus;
use http::StatusCode;
use std::time::Duration;

/// How failures are retried, always in another region.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u8,
    /// Which failed attempts are followed by another.
    pub retry_on: RetryOn,
    /// Time from the end of the request to the head of the response, for one attempt. `None`: no limit of its own when
    /// no other region could be tried or the request cannot be repeated, else
    /// [`DEFAULT_PER_TRY_TIMEOUT`](crate::plan::DEFAULT_PER_TRY_TIMEOUT).
    pub per_try_timeout: Option<Duration>,
    /// Whether methods that are not idempotent may be sent again although bytes may have arrived.
    pub non_idempotent: bool,
    /// Bodies up to this size are kept so that they can be sent again.
    pub max_replay_bytes: usize,
    /// After this long without the head of a response the request is hedged: a second attempt starts in the next region,
    /// where a retry after a reset would be allowed, and the first answer is used. `None`: never.
    pub hedge_after: Option<Duration>,
    /// Responses up to this size are held back until they are whole, so that one that is cut short can be fetched again
    /// elsewhere. 0: bodies are streamed.
    pub hold_back_bytes: usize,
    /// The limit on extra attempts.
    pub budget: Budget,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            retry_on: RetryOn::default(),
            per_try_timeout: None,
            non_idempotent: false,
            max_replay_bytes: 64 * 1024,
            hedge_after: Some(Duration::from_millis(400)),
            hold_back_bytes: 0,
            budget: Budget::default(),
        }
    }
}

/// Extra attempts as a share of requests (Finagle's retry budget).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Extra attempts per hundred requests.
    pub percent: u8,
    /// Extra attempts per second that are always allowed.
    pub min_per_second: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            percent: 20,
            min_per_second: 3,
        }
    }
}

/// Which failed attempts are followed by another one: Envoy's `retry_on`. Says nothing of what counts against a gateway's
/// health, nor of whether the request may be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOn {
    /// The connection failed, and nothing was sent. Retried whatever the method.
    pub connect_failure: bool,
    /// There is no response: the connection broke, what came is not HTTP, or the attempt timed out. Requests are hedged only
    /// when this is retried.
    pub reset: bool,
    /// The first bit is status 400.
    statuses: [u64; RetryOn::WORDS],
    /// By the numbers of the statuses.
    grpc: u32,
}

impl RetryOn {
    /// The lowest status that can be retried.
    pub const LOWEST: u16 = 400;
    /// The highest one.
    pub const HIGHEST: u16 = 599;

    const WORDS: usize = (Self::HIGHEST - Self::LOWEST) as usize / u64::BITS as usize + 1;

    /// Nothing is retried.
    pub const NONE: Self = Self {
        connect_failure: false,
        reset: false,
        statuses: [0; Self::WORDS],
        grpc: 0,
    };

    /// Retries responses with this status. Has no effect for statuses out of range.
    pub fn insert(&mut self, status: u16) {
        if let (Self::LOWEST..=Self::HIGHEST, Some((word, bit))) = (status, place(status)) {
            self.statuses[word] |= bit;
        }
    }

    /// Retries calls of gRPC that ended with this status before they had any message. Who names it says that such calls may be
    /// made again, whatever their method.
    pub fn insert_grpc(&mut self, status: GrpcStatus) {
        self.grpc |= 1 << status.code();
    }

    /// Whether calls of gRPC that ended with this status, and without any message, are retried.
    pub fn has_grpc(&self, status: GrpcStatus) -> bool {
        self.grpc & (1 << status.code()) != 0
    }

    /// The statuses that are retried, in order.
    pub fn statuses(&self) -> impl Iterator<Item = u16> {
        (Self::LOWEST..=Self::HIGHEST)
            .filter(|status| place(*status).is_some_and(|(word, bit)| self.statuses[word] & bit != 0))
    }

    /// Whether responses with this status are retried.
    pub fn has_status(&self, status: StatusCode) -> bool {
        place(status.as_u16()).is_some_and(|(word, bit)| self.statuses[word] & bit != 0)
    }
}

/// The place of a status; `None` below 400 and far above 599.
fn place(status: u16) -> Option<(usize, u64)> {
    let index = status.wrapping_sub(RetryOn::LOWEST);
    let word = usize::from(index) / u64::BITS as usize;
    (word < RetryOn::WORDS).then(|| (word, 1 << (u32::from(index) % u64::BITS)))
}

/// Failed connections, no response, and 502, 503, 504.
impl Default for RetryOn {
    fn default() -> Self {
        let mut retry_on = Self {
            connect_failure: true,
            reset: true,
            ..Self::NONE
        };
        (502..=504).for_each(|status| retry_on.insert(status));
        retry_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_inserted_statuses_are_retried() {
        let mut retry_on = RetryOn::NONE;
        let inserted = [400, 429, 463, 464, 500, 503, 599];
        for status in inserted.into_iter().chain([100, 200, 399, 600, 655, 999]) {
            retry_on.insert(status);
        }
        for status in 100..=999 {
            let code = StatusCode::from_u16(status).expect("a status");
            assert_eq!(retry_on.has_status(code), inserted.contains(&status), "{status}");
        }
    }
}
