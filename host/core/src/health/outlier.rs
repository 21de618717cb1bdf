//! What traffic says of a gateway: streaks, bursts, shares and stalls.

use super::Evidence;
use crate::config::OutlierDetection;
use std::time::{Duration, Instant};

/// So many connection failures in a row within [`BURST_SPAN`] eject at once: a dead gateway refuses everything, a
/// living one with an unlucky packet does not.
const BURST: u64 = 3;
const BURST_SPAN: Duration = Duration::from_secs(1);

/// What became of a gateway's attempts since it was last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    counts: [u64; Evidence::ALL.len()],
    /// Attempts in flight now.
    pub in_flight: u32,
}

impl Traffic {
    /// So many attempts in flight besides those that ended.
    #[must_use]
    pub fn with_in_flight(self, in_flight: u32) -> Self {
        Self { in_flight, ..self }
    }

    /// How many ended like this.
    pub fn of(&self, evidence: Evidence) -> u64 {
        self.counts[evidence as usize]
    }

    /// How many ended.
    pub fn ended(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many succeeded.
    pub fn successes(&self) -> u64 {
        self.of(Evidence::Success)
    }

    /// How many count against the gateway.
    pub fn failures(&self) -> u64 {
        self.ended() - self.successes()
    }

    /// Failures that are the gateway's rather than the application's: all but [`Evidence::ServerError`].
    pub fn gateway_failures(&self) -> u64 {
        self.failures() - self.of(Evidence::ServerError)
    }

    /// How many got an answer, good or bad.
    pub fn answered(&self) -> u64 {
        self.successes() + self.of(Evidence::GatewayError) + self.of(Evidence::ServerError)
    }
}

impl FromIterator<(Evidence, u64)> for Traffic {
    fn from_iter<I: IntoIterator<Item = (Evidence, u64)>>(counts: I) -> Self {
        let mut traffic = Self::default();
        for (evidence, count) in counts {
            traffic.counts[evidence as usize] += count;
        }
        traffic
    }
}

/// What traffic shows to be wrong with a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Three connection failures in a row within a second.
    ConnectBurst,
    /// [`OutlierDetection::consecutive_failures`] in a row, none of which brought a whole answer.
    Unanswered,
    /// [`OutlierDetection::consecutive_failures`] in a row.
    Consecutive,
    /// [`OutlierDetection::failure_percent`] of the requests of the window.
    FailureShare,
    /// Answers stopped coming while requests are in flight, and a probe is not answered either.
    Stalled,
}

impl Fault {
    /// The word for it in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectBurst => "connect_burst",
            Self::Unanswered => "unanswered",
            Self::Consecutive => "consecutive_failures",
            Self::FailureShare => "failure_share",
            Self::Stalled => "stalled",
        }
    }

    /// Whether a probe is bound to see it too, so that probes also see its end.
    pub fn shows_in_probes(self) -> bool {
        matches!(self, Self::ConnectBurst | Self::Stalled)
    }

    /// Whether nobody gets an answer: then nothing is lost by doing without the gateway, as long as there is another.
    pub(super) fn is_total(self) -> bool {
        matches!(self, Self::ConnectBurst | Self::Unanswered | Self::Stalled)
    }
}

/// What the recent traffic of one gateway was like.
///
/// The order of outcomes within one reading is unknown. A reading with a success in it ends a streak, so that a streak
/// is never longer than it can have been.
#[derive(Clone, Debug)]
pub(super) struct Detector {
    /// Failures since the last success, and since the last answer, good or bad.
    streak: u64,
    unanswered: u64,
    /// Connection failures since the last answer, and when they began.
    unconnected: u64,
    unconnected_since: Instant,
    window: Window,
}

impl Detector {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            streak: 0,
            unanswered: 0,
            unconnected: 0,
            unconnected_since: now,
            window: Window::new(now),
        }
    }

    /// Takes in a reading, and says what is wrong by it. Says so again with every further failure.
    pub(super) fn observe(&mut self, traffic: &Traffic, limits: &OutlierDetection, now: Instant) -> Option<Fault> {
        self.window
            .add(traffic.ended(), traffic.gateway_failures(), limits.window, now);
        let (requests, failures) = self.window.sums(limits.window, now);
        self.count_streak(traffic);
        self.count_connects(traffic, now);
        if traffic.failures() == 0 {
            return None;
        }
        let in_a_row = u64::from(limits.consecutive_failures);
        if self.unconnected >= BURST {
            Some(Fault::ConnectBurst)
        } else if in_a_row > 0 && self.unanswered >= in_a_row {
            Some(Fault::Unanswered)
        } else if in_a_row > 0 && self.streak >= in_a_row {
            Some(Fault::Consecutive)
        } else if is_share(failures, requests, limits) {
            Some(Fault::FailureShare)
        } else {
            None
        }
    }

    fn count_streak(&mut self, traffic: &Traffic) {
        if traffic.successes() > 0 {
            self.streak = 0;
        } else {
            self.streak = self.streak.saturating_add(traffic.failures());
        }
        if traffic.answered() > 0 {
            self.unanswered = 0;
        } else {
            self.unanswered = self.unanswered.saturating_add(traffic.failures());
        }
    }

    fn count_connects(&mut self, traffic: &Traffic, now: Instant) {
        let failed = traffic.of(Evidence::ConnectFailed);
        if traffic.answered() > 0 {
            self.unconnected = 0;
        } else if failed > 0 {
            let over = now.saturating_duration_since(self.unconnected_since) > BURST_SPAN;
            if self.unconnected == 0 || over {
                self.unconnected = 0;
                self.unconnected_since = now;
            }
            self.unconnected = self.unconnected.saturating_add(failed);
        }
    }

    /// How many attempts ended within the window.
    pub(super) fn recent(&self, limits: &OutlierDetection, now: Instant) -> u64 {
        self.window.sums(limits.window, now).0
    }
}

fn is_share(failures: u64, requests: u64, limits: &OutlierDetection) -> bool {
    limits.failure_percent > 0
        && failures > 0
        && requests >= u64::from(limits.min_requests)
        && failures.saturating_mul(100) >= requests.saturating_mul(u64::from(limits.failure_percent))
}

/// Buckets of a [`Window`].
const BUCKETS: usize = 10;

/// Requests and failures of the last while, in ten steps.
#[derive(Clone, Debug)]
struct Window {
    epoch: Instant,
    buckets: [Bucket; BUCKETS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Which tenth of a window since the epoch this is.
    index: u64,
    requests: u64,
    failures: u64,
}

impl Window {
    fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            buckets: [Bucket::default(); BUCKETS],
        }
    }

    fn add(&mut self, requests: u64, failures: u64, span: Duration, now: Instant) {
        let index = self.index(span, now);
        let bucket = &mut self.buckets[index as usize % BUCKETS];
        if bucket.index != index {
            *bucket = Bucket {
                index,
                ..Bucket::default()
            };
        }
        bucket.requests += requests;
        bucket.failures += failures;
    }

    /// Requests and failures of the window that ends now.
    fn sums(&self, span: Duration, now: Instant) -> (u64, u64) {
        let index = self.index(span, now);
        self.buckets
            .iter()
            .filter(|bucket| bucket.index + BUCKETS as u64 > index)
            .fold((0, 0), |sum, bucket| (sum.0 + bucket.requests, sum.1 + bucket.failures))
    }

    fn index(&self, span: Duration, now: Instant) -> u64 {
        let step = (span / BUCKETS as u32).as_nanos().max(1);
        let index = now.saturating_duration_since(self.epoch).as_nanos() / step;
        u64::try_from(index).unwrap_or(u64::MAX - BUCKETS as u64)
    }
}

#[cfg(test)]
mod tests;
