//! Stall detection: requests are in flight and none ends. A gateway that accepts and never answers causes no failure until
//! attempts time out. An unanswered probe confirms the stall sooner.

use super::later;
use super::traffic::Traffic;
use std::time::{Duration, Instant};

/// A stall is at least this long.
const MIN: Duration = Duration::from_millis(200);
/// A stall is at least this many times the usual time between two answers. If answers come independently, a gap of eight
/// times the mean is 1 in 3,000.
const GAPS: u32 = 8;
/// The window must hold this many answers to compute a usual time between them.
const BASIS: u64 = 10;
/// Fewer requests in flight may just be slow.
const IN_FLIGHT: u32 = 3;
/// With fewer answers than that, as after another region has failed, a stall is this long...
const UNKNOWN: Duration = Duration::from_millis(400);
/// ... and this many requests are in flight.
const UNKNOWN_IN_FLIGHT: u32 = 10;

/// Watches one gateway for a stall.
#[derive(Clone, Debug)]
pub(super) struct StallWatch {
    in_flight: u32,
    /// When an attempt last ended, or nothing was in flight.
    progress: Instant,
    /// When a lack of progress becomes a stall, and when it has lasted so long that the requests may just be long. Both
    /// are relative to `progress`.
    span: (Duration, Duration),
    /// How many requests must be in flight.
    least: u32,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No stall.
    Watching,
    /// A stall that waits for confirmation by a probe.
    Noticed,
    /// A stall that is ignored.
    Dismissed,
}

impl StallWatch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            in_flight: 0,
            progress: now,
            span: (UNKNOWN, UNKNOWN),
            least: UNKNOWN_IN_FLIGHT,
            phase: Phase::Watching,
        }
    }

    /// A reading. `recent` attempts ended within the `window` that ends now.
    pub(super) fn observe(&mut self, traffic: &Traffic, recent: u64, window: Duration, now: Instant) {
        self.in_flight = traffic.in_flight;
        if traffic.ended() == 0 && traffic.in_flight > 0 {
            return;
        }
        self.progress = now;
        self.phase = Phase::Watching;
        let from = if recent >= BASIS {
            let gap = window / u32::try_from(recent).unwrap_or(u32::MAX);
            self.least = IN_FLIGHT;
            MIN.max(gap.saturating_mul(GAPS))
        } else {
            self.least = UNKNOWN_IN_FLIGHT;
            UNKNOWN
        };
        self.span = (from, from.saturating_add(window));
    }

    /// Whether a new stall begins.
    pub(super) fn begins(&mut self, now: Instant) -> bool {
        let Some((_, to)) = self.bounds().filter(|(from, _)| now >= *from) else {
            return false;
        };
        let begins = self.phase == Phase::Watching && now < to;
        self.phase = match self.phase {
            _ if now >= to => Phase::Dismissed,
            Phase::Watching => Phase::Noticed,
            phase => phase,
        };
        begins
    }

    /// Whether the stall is confirmed by now, by a probe that is unanswered at `confirmed`.
    pub(super) fn is_confirmed(&self, confirmed: Option<Instant>, now: Instant) -> bool {
        self.phase == Phase::Noticed && self.bounds().is_some() && confirmed.is_some_and(|at| now >= at)
    }

    /// Ignores the current stall.
    pub(super) fn dismiss(&mut self) {
        self.phase = Phase::Dismissed;
    }

    /// The next moment at which time alone changes something. A probe that is unanswered at `confirmed` confirms the
    /// stall.
    pub(super) fn poll_timeout(&self, confirmed: Option<Instant>) -> Option<Instant> {
        let (from, to) = self.bounds()?;
        match self.phase {
            Phase::Watching => Some(from),
            Phase::Noticed => Some(confirmed.map_or(to, |at| at.min(to))),
            Phase::Dismissed => None,
        }
    }

    fn bounds(&self) -> Option<(Instant, Instant)> {
        let (from, to) = self.span;
        (self.in_flight >= self.least).then(|| (later(self.progress, from), later(self.progress, to)))
    }
}
