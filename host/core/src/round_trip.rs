//! The round trip from this instance to a gateway, from the times that its connections took to open.
//!
//! The handshake of TCP is answered by the network stack of the other end: it shows the way and not the work, which probes
//! and requests show. What delays it on this side, such as a busy worker, only ever adds to it. So the least of a round
//! counts, and of the latest rounds their median: it follows a change after four of them, up or down, and single ones that
//! were delayed on the way do not move it, as they move a mean (RFC 6298, section 2).

use arrayvec::ArrayVec;
use std::time::{Duration, Instant};

/// How many rounds count.
const ROUNDS: usize = 7;

/// A connection of a request begins a new round when the current one is older.
const MAX_ROUND: Duration = Duration::from_secs(1);

/// A handshake that takes longer contains a packet that was sent again (RFC 6298, section 2.1: the first time-out is a second),
/// so that its time says nothing of the way (Karn's algorithm, RFC 6298, section 3).
const RESENT: Duration = Duration::from_secs(1);

/// Rounds that are older do not count any more.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The standard deviation of a normal distribution by its median absolute deviation.
const DEVIATION_PER_MAD: f64 = 1.4826;

/// The round trips of the latest rounds.
#[derive(Clone, Debug, Default)]
pub struct RoundTripWindow {
    rounds: ArrayVec<Round, ROUNDS>,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    began: Instant,
    least: Duration,
}

/// A round trip as it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The median of the latest rounds.
    pub round_trip: Duration,
    /// Their standard deviation, by their median absolute deviation. Half of the round trip before there are three rounds
    /// (RFC 6298, section 2.2).
    pub deviation: Duration,
}

impl RoundTripWindow {
    /// The connection of a probe took this long to open. It begins a round.
    pub fn probed(&mut self, took: Duration, now: Instant) {
        if took < RESENT {
            self.begin(took, now);
        }
    }

    /// The connection of a request took this long to open.
    pub fn connected(&mut self, took: Duration, now: Instant) {
        if took >= RESENT {
            return;
        }
        match self.rounds.last_mut() {
            Some(round) if now.saturating_duration_since(round.began) <= MAX_ROUND => {
                round.least = round.least.min(took)
            }
            _ => self.begin(took, now),
        }
    }

    fn begin(&mut self, took: Duration, now: Instant) {
        if self.rounds.is_full() {
            self.rounds.remove(0);
        }
        self.rounds.push(Round {
            began: now,
            least: took,
        });
    }

    /// The round trip by the rounds of the last ten minutes. `None` without any.
    pub fn measured(&self, now: Instant) -> Option<Measured> {
        let recent = self.rounds.iter();
        let recent = recent.filter(|round| now.saturating_duration_since(round.began) <= MAX_AGE);
        let rounds: ArrayVec<_, ROUNDS> = recent.map(|round| round.least).collect();
        let round_trip = median(&rounds)?;
        let deviations: ArrayVec<_, ROUNDS> = rounds.iter().map(|round| round.abs_diff(round_trip)).collect();
        let deviation = match rounds.len() {
            ..3 => round_trip / 2,
            _ => median(&deviations)?.mul_f64(DEVIATION_PER_MAD),
        };
        Some(Measured { round_trip, deviation })
    }
}

impl Measured {
    /// Whether a value that was shown before is too far from this one to be shown still: by a quarter, and by a millisecond.
    pub fn differs(shown: Option<Self>, now: Option<Self>) -> bool {
        match (shown, now) {
            (Some(Self { round_trip: shown, .. }), Some(Self { round_trip: now, .. })) => {
                shown.abs_diff(now) > (shown / 4).max(Duration::from_millis(1))
            }
            _ => shown.is_some() != now.is_some(),
        }
    }
}

/// The lower one of two in the middle.
pub(crate) fn median<const N: usize>(values: &ArrayVec<Duration, N>) -> Option<Duration> {
    let mut values = values.clone();
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A window of probes that took so long, a second apart, and the time of the last one.
    fn probes(took: impl IntoIterator<Item = u64>) -> (RoundTripWindow, Instant) {
        let (mut window, mut now) = (RoundTripWindow::default(), Instant::now());
        for took in took {
            now += SECOND;
            window.probed(millis(took), now);
        }
        (window, now)
    }

    fn round_trip((window, now): &(RoundTripWindow, Instant)) -> Option<Duration> {
        window.measured(*now).map(|measured| measured.round_trip)
    }

    #[test]
    fn nothing_is_known_before_the_first_connection() {
        assert_eq!(round_trip(&probes([])), None);
        let (window, now) = probes([20]);
        let first = Measured {
            round_trip: millis(20),
            deviation: millis(10),
        };
        assert_eq!(window.measured(now), Some(first));
    }

    #[test]
    fn a_change_is_followed_after_four_probes_up_and_down() {
        for (before, after) in [(10, 80), (80, 10)] {
            let changed = |count| probes([before; 20].into_iter().chain(vec![after; count]));
            assert_eq!(round_trip(&changed(3)), Some(millis(before)), "{before} to {after}");
            let (window, now) = changed(4);
            let measured = window.measured(now).expect("measured");
            assert_eq!(measured.round_trip, millis(after), "{before} to {after}");
            assert_eq!(measured.deviation, Duration::ZERO, "four of seven agree");
        }
    }

    #[test]
    fn probes_that_were_delayed_on_the_way_do_not_count() {
        assert_eq!(round_trip(&probes([10, 11, 400, 10, 350, 12, 11])), Some(millis(11)));
        // A packet was sent again.
        assert_eq!(round_trip(&probes([10, 1010, 1010, 1010])), Some(millis(10)));
    }

    #[test]
    fn connections_of_requests_count_within_rounds_and_without_probes_as_rounds() {
        let (mut window, mut now) = probes([10, 10, 10]);
        // A worker that is busy sees them late.
        for _ in 0..1000 {
            window.connected(millis(40), now);
        }
        assert_eq!(round_trip(&(window, now)), Some(millis(10)));
        let mut window = RoundTripWindow::default();
        for took in [30, 31, 30, 29, 30, 90, 30] {
            now += SECOND * 2;
            window.connected(millis(took), now);
            window.connected(millis(took + 5), now);
            window.connected(millis(1500), now);
        }
        let measured = window.measured(now).expect("measured");
        assert_eq!(measured.round_trip, millis(30));
        assert!(measured.deviation < millis(2), "{measured:?}");
    }

    #[test]
    fn what_was_measured_long_ago_is_forgotten() {
        let (window, now) = probes([10, 20, 30]);
        assert_eq!(round_trip(&(window.clone(), now + SECOND * 599)), Some(millis(20)));
        assert_eq!(window.measured(now + SECOND * 601), None);
    }

    #[test]
    fn small_differences_are_not_worth_showing() {
        let of = |millis| {
            Some(Measured {
                round_trip: Duration::from_millis(millis),
                deviation: Duration::ZERO,
            })
        };
        assert!(!Measured::differs(of(100), of(125)) && !Measured::differs(of(1), of(2)));
        assert!(
            Measured::differs(of(100), of(126)) && Measured::differs(None, of(1)) && Measured::differs(of(1), None)
        );
        assert!(!Measured::differs(None, None));
    }
}
