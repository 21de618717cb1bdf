//! Outlier detection: when a gateway's traffic ejects it.

use super::Evidence;
use super::traffic::Traffic;
use super::window::{Counts, Window};
use crate::config::OutlierDetection;
use std::fmt;
use std::time::{Duration, Instant};

/// This many consecutive connection failures within [`BURST_SPAN`] eject a gateway. A dead gateway refuses every
/// connection; a lost packet fails one.
const BURST: u64 = 3;
const BURST_SPAN: Duration = Duration::from_secs(1);

/// Fewer unanswered requests than this may just be slow.
const UNANSWERED_MIN: u64 = 5;

/// Why outlier detection ejects a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Three connection failures in a row within a second.
    ConnectBurst,
    /// [`OutlierDetection::consecutive_failures`] in a row without any complete answer.
    Unanswered,
    /// [`OutlierDetection::consecutive_failures`] in a row.
    Consecutive,
    /// [`OutlierDetection::failure_percent`] of the requests of the window.
    FailureShare,
    /// [`OutlierDetection::overtaken_percent`] of the requests of the window were overtaken by an answer of another region
    /// at least twice as fast.
    Latency,
    /// [`OutlierDetection::failure_percent`] of the requests of the window were overtaken and still not answered long
    /// afterwards: the gateway probably lost them.
    Lost,
    /// No attempt ends while requests are in flight, and a probe is not answered either.
    Stalled,
}

impl Fault {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 7] = [
        Self::ConnectBurst,
        Self::Unanswered,
        Self::Consecutive,
        Self::FailureShare,
        Self::Latency,
        Self::Lost,
        Self::Stalled,
    ];

    /// The cause in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectBurst => "connect_burst",
            Self::Unanswered => "unanswered",
            Self::Consecutive => "consecutive_failures",
            Self::FailureShare => "failure_percent",
            Self::Latency => "latency",
            Self::Lost => "lost_requests",
            Self::Stalled => "stalled",
        }
    }

    /// Whether probes fail too, so that passing probes show the recovery.
    pub fn shows_in_probes(self) -> bool {
        matches!(self, Self::ConnectBurst | Self::Stalled)
    }

    /// Whether failures of requests show it, so that it may be taken back with them.
    pub(super) fn is_of_failures(self) -> bool {
        matches!(self, Self::Unanswered | Self::Consecutive | Self::FailureShare)
    }

    /// Whether the gateway answers no request. Ejecting it loses nothing, as long as there is another.
    pub(super) fn is_total(self) -> bool {
        matches!(self, Self::ConnectBurst | Self::Unanswered | Self::Stalled)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectBurst => "three connection failures within a second",
            Self::Unanswered => "consecutive requests without an answer",
            Self::Consecutive => "consecutive failures",
            Self::FailureShare => "too many failures",
            Self::Latency => "another region answered its requests at least twice as fast",
            Self::Lost => "too many requests were never answered",
            Self::Stalled => "neither requests nor probes are answered",
        })
    }
}

/// The recent traffic of one gateway.
///
/// The order of outcomes within one reading is unknown. A reading with a success in it ends a streak, so that a streak
/// is never counted longer than it was. Overtaken attempts are not failures: they count in the shares of the window
/// only, never in a streak.
///
/// Disputed failures do not count while something else speaks for the gateway: see [`Support`].
#[derive(Clone, Debug)]
pub(super) struct Detector {
    /// Failures since the last success, and since the last answer, good or bad.
    streak: Streak,
    unanswered: Streak,
    /// Connection failures since the last answer, and when they began.
    unconnected: u64,
    unconnected_since: Instant,
    window: Window,
}

/// What speaks for a gateway whose failures are disputed, besides successes of its own in the same window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Support {
    /// It is healthy by its probes. That is enough while the window holds fewer requests than [`OutlierDetection::min_requests`].
    pub(super) probed: bool,
    /// There is another gateway where failures are disputed and other requests succeed. With such probes that is enough in
    /// any case.
    pub(super) elsewhere: bool,
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Streak {
    failures: u64,
    /// Those that may be the requests' own.
    disputed: u64,
}

impl Streak {
    /// Adds a reading, in which something may have ended the streak.
    fn add(&mut self, traffic: &Traffic, ended: bool) {
        if ended {
            *self = Self::default();
        } else {
            self.failures = self.failures.saturating_add(traffic.failures());
            self.disputed = self.disputed.saturating_add(traffic.disputed);
        }
    }

    /// How many count.
    fn length(self, is_absolved: bool) -> u64 {
        self.failures
            .saturating_sub(if is_absolved { self.disputed } else { 0 })
    }
}

impl Detector {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            streak: Streak::default(),
            unanswered: Streak::default(),
            unconnected: 0,
            unconnected_since: now,
            window: Window::new(now),
        }
    }

    /// Adds a reading, and returns the reason to eject the gateway, if there is one. It returns the reason again with every
    /// further failure or overtaken attempt.
    pub(super) fn observe(
        &mut self,
        traffic: &Traffic,
        limits: &OutlierDetection,
        support: Support,
        now: Instant,
    ) -> Option<Fault> {
        self.add(traffic, limits, now);
        let failed = (traffic.failures() > 0).then(|| self.failure(limits, support, now));
        failed.flatten().or_else(|| self.latency(traffic, limits, now))
    }

    /// Adds a reading.
    pub(super) fn add(&mut self, traffic: &Traffic, limits: &OutlierDetection, now: Instant) {
        let counts = Counts {
            ended: traffic.ended(),
            failures: traffic.gateway_failures(),
            disputed: traffic.disputed,
            overtaken: traffic.overtaken(),
            unanswered: traffic.unanswered,
        };
        self.window.add(&counts, limits.window, now);
        self.streak.add(traffic, traffic.successes() > 0);
        self.unanswered.add(traffic, traffic.answered() > 0);
        self.count_connects(traffic, now);
    }

    /// The fault shown by failures.
    pub(super) fn failure(&self, limits: &OutlierDetection, support: Support, now: Instant) -> Option<Fault> {
        let mut counts = self.window.sum(limits.window, now);
        let are_few = counts.ended < u64::from(limits.min_requests);
        let is_absolved = counts.are_others_well() || support.probed && (support.elsewhere || are_few);
        if is_absolved {
            counts.ended = counts.ended.saturating_sub(counts.disputed);
            counts.failures = counts.failures.saturating_sub(counts.disputed);
        }
        let in_a_row = u64::from(limits.consecutive_failures);
        if self.unconnected >= BURST {
            Some(Fault::ConnectBurst)
        } else if in_a_row > 0 && self.unanswered.length(is_absolved) >= in_a_row {
            Some(Fault::Unanswered)
        } else if in_a_row > 0 && self.streak.length(is_absolved) >= in_a_row {
            Some(Fault::Consecutive)
        } else if is_failing(&counts, limits) {
            Some(Fault::FailureShare)
        } else {
            None
        }
    }

    /// Whether failures are disputed, and other requests succeed.
    pub(super) fn has_credible_disputes(&self, limits: &OutlierDetection, now: Instant) -> bool {
        if self.window.is_undisputed(limits.window, now) {
            return false;
        }
        let counts = self.window.sum(limits.window, now);
        counts.disputed > 0 && counts.are_others_well()
    }

    /// The fault shown by overtaken attempts. The latest part of the window is enough if it holds enough requests: earlier
    /// fast answers must not delay the ejection.
    fn latency(&self, fresh: &Traffic, limits: &OutlierDetection, now: Instant) -> Option<Fault> {
        let mut suffixes = self.window.suffixes(limits.window, now);
        if fresh.overtaken() > 0 && suffixes.any(|counts| is_overtaken(&counts, limits)) {
            return Some(Fault::Latency);
        }
        let mut suffixes = self.window.suffixes(limits.window, now);
        let is_lost = fresh.unanswered > 0 && suffixes.any(|counts| is_losing(&counts, limits));
        is_lost.then_some(Fault::Lost)
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
        self.window.sum(limits.window, now).ended
    }
}

fn is_failing(counts: &Counts, limits: &OutlierDetection) -> bool {
    counts.failures > 0
        && counts.ended >= u64::from(limits.min_requests)
        && is_share(counts.failures, counts.ended, limits.failure_percent)
}

fn is_overtaken(counts: &Counts, limits: &OutlierDetection) -> bool {
    counts.requests() >= u64::from(limits.overtaken_min_requests)
        && is_share(counts.overtaken, counts.requests(), limits.overtaken_percent)
}

fn is_losing(counts: &Counts, limits: &OutlierDetection) -> bool {
    counts.unanswered >= UNANSWERED_MIN
        && counts.requests() >= u64::from(limits.min_requests)
        && is_share(counts.unanswered, counts.requests(), limits.failure_percent)
}

/// Whether a part is at least this percentage of the whole. 0 turns the rule off.
fn is_share(part: u64, whole: u64, percent: u8) -> bool {
    percent > 0 && part.saturating_mul(100) >= whole.saturating_mul(u64::from(percent))
}

#[cfg(test)]
mod tests;
