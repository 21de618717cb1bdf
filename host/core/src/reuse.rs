//! How long an idle connection may still carry a request that cannot be repeated.
//!
//! A gateway closes an idle connection after a time of its own, and does not say so before. What is sent within one round
//! trip of that moment is lost. So such a request takes only a connection that is idle for well less than this time.

use std::time::{Duration, Instant};

/// No server that is known has a shorter idle time-out: a connection that ends earlier ends for another reason, such as a
/// restart, unless the gateway closes each one at once.
pub const SHORTEST: Duration = Duration::from_millis(250);

/// So many connections closed before [`SHORTEST`], and none on which a second request was answered, belong to a gateway that
/// closes each one after its response, as uWSGI does without saying so in `Connection`.
const CLOSES_AT_ONCE: u32 = 3;

/// An observation counts for at least this time, and at most twice as long.
const WINDOW: Duration = Duration::from_secs(600);

/// For what this process and the gateway's need to notice a message or the end of the time.
const SLACK: Duration = Duration::from_millis(10);

/// The ages at which idle connections of one gateway were seen open, or found closed by the gateway.
#[derive(Clone, Debug)]
pub struct IdleAges {
    current: Seen,
    previous: Seen,
    /// When the current window began.
    since: Instant,
}

/// What was seen within a window.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// What the gateway closed, of those that were not younger than [`SHORTEST`].
    closed: Option<Closings>,
    /// How many it closed that were younger.
    closed_young: u32,
    /// The oldest that was open.
    open: Duration,
    /// Whether a second request was answered on one.
    reused: bool,
}

/// The ages at which idle connections were found closed.
#[derive(Clone, Copy, Debug)]
struct Closings {
    youngest: Duration,
    oldest: Duration,
    /// How often: those closed within [`AT_ONCE`] are one.
    times: u32,
    last: Instant,
}

/// Servers look for idle connections from time to time, and then close all that are old enough: this close together they count as one.
const AT_ONCE: Duration = Duration::from_millis(200);

/// For a chance of one in twenty that the gateway begins earlier than taken for: the least of n draws from a span is further than
/// three n-ths of it from the beginning with a probability of exp(-3).
const SAFETY: u32 = 3;

/// Servers look for them every second at least: so much the ages at which they close them are taken to differ.
const POLL: Duration = Duration::from_secs(1);

impl Closings {
    fn one(age: Duration, now: Instant) -> Self {
        Self {
            youngest: age,
            oldest: age,
            times: 1,
            last: now,
        }
    }

    fn with(self, other: Self) -> Self {
        let apart = other.last.saturating_duration_since(self.last) > AT_ONCE;
        Self {
            youngest: self.youngest.min(other.youngest),
            oldest: self.oldest.max(other.oldest),
            times: self.times.saturating_add(other.times).saturating_sub(u32::from(!apart)),
            last: self.last.max(other.last),
        }
    }

    /// The age at which the gateway may begin to close them, as far as can be said after so few; at least half of what was seen.
    fn earliest(self) -> Duration {
        let span = (self.oldest - self.youngest).max(POLL);
        let above = (span * SAFETY) / self.times;
        self.youngest.saturating_sub(above.min(self.youngest / 2))
    }
}

/// How old idle connections may become, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdleLimit {
    /// The age at which the gateway may begin to close them; `None` when it closed none.
    pub closed: Option<Duration>,
    /// The oldest age at which one was open.
    pub open: Duration,
}

impl IdleAges {
    /// Nothing was seen yet.
    pub fn new(now: Instant) -> Self {
        Self {
            current: Seen::default(),
            previous: Seen::default(),
            since: now,
        }
    }

    /// The gateway closed a connection that had been idle for `age`.
    pub fn closed(&mut self, age: Duration, now: Instant) {
        self.turn(now);
        if age >= SHORTEST {
            let closing = Closings::one(age, now);
            self.current.closed = Some(self.current.closed.map_or(closing, |known| known.with(closing)));
        } else {
            self.current.closed_young = self.current.closed_young.saturating_add(1);
        }
    }

    /// A connection was open after it had been idle for `age`.
    pub fn open(&mut self, age: Duration, now: Instant) {
        self.turn(now);
        self.current.open = self.current.open.max(age);
    }

    /// A second request was answered on a connection.
    pub fn reused(&mut self, now: Instant) {
        self.turn(now);
        self.current.reused = true;
    }

    /// Whether a second request was answered on one, as far as is remembered.
    pub fn is_reused(&self) -> bool {
        self.current.reused || self.previous.reused
    }

    /// What is known.
    pub fn limit(&self) -> IdleLimit {
        let Self { current, previous, .. } = self;
        let open = current.open.max(previous.open);
        let closed = previous.closed.into_iter().chain(current.closed).reduce(Closings::with);
        let closed = closed.map(Closings::earliest);
        let closed_young = current.closed_young.saturating_add(previous.closed_young);
        // A busy machine, or a long way, makes some of them look older.
        let closes_at_once = !self.is_reused() && closed_young >= CLOSES_AT_ONCE;
        IdleLimit {
            closed: if closes_at_once { Some(Duration::ZERO) } else { closed },
            open,
        }
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age >= WINDOW {
            self.previous = if age < 2 * WINDOW {
                self.current
            } else {
                Seen::default()
            };
            self.current = Seen::default();
            self.since = now;
        }
    }
}

impl IdleLimit {
    /// Whether a request that cannot be repeated may be sent over a connection that has been idle for `age`, whose
    /// messages take `round_trip`, and for which the gateway has announced this time-out.
    ///
    /// A tenth of the time-out is left for its jitter. As long as no time-out is known, only ages count at which
    /// connections were seen open.
    pub fn allows(&self, age: Duration, round_trip: Duration, announced: Option<Duration>) -> bool {
        let without_jitter = |timeout: Duration| timeout - timeout / 10;
        let limit = match self.closed.into_iter().chain(announced).min() {
            Some(timeout) => without_jitter(timeout),
            None => without_jitter(self.open).max(SHORTEST),
        };
        age.saturating_add(round_trip).saturating_add(SLACK) <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn allowed(ages: &IdleAges, round_trip: u32, announced: Option<Duration>) -> u32 {
        let limit = ages.limit();
        let last = (0..100_000).take_while(|age| limit.allows(MS * *age, MS * round_trip, announced));
        last.last().unwrap_or(0)
    }

    #[test]
    fn a_gateway_of_which_nothing_is_known_gets_busy_connections_only() {
        let ages = IdleAges::new(Instant::now());
        assert_eq!(allowed(&ages, 0, None), 240);
        assert_eq!(allowed(&ages, 80, None), 160, "a round trip less");
    }

    #[test]
    fn what_was_seen_open_allows_as_much() {
        let now = Instant::now();
        let mut ages = IdleAges::new(now);
        ages.open(MS * 10_000, now);
        ages.open(MS * 2_000, now);
        assert_eq!(allowed(&ages, 80, None), 8_910);
    }

    #[test]
    fn the_youngest_that_was_closed_is_the_limit_less_what_few_draws_miss() {
        let mut now = Instant::now();
        let mut ages = IdleAges::new(now);
        ages.open(MS * 5_900, now);
        for age in [6_000, 5_000, 5_500, 20] {
            ages.closed(MS * age, now);
        }
        // They were closed together: half of the youngest, less a tenth and what a message takes.
        assert_eq!(allowed(&ages, 80, None), 2_160);
        for _ in 0..2 {
            now += MS * 1_000;
            ages.closed(MS * 5_500, now);
        }
        assert_eq!(allowed(&ages, 80, None), 3_510);
        for _ in 0..27 {
            now += MS * 1_000;
            ages.closed(MS * 5_100, now);
        }
        assert_eq!(allowed(&ages, 80, None), 4_320);
        // It announces more than a middlebox in between allows.
        assert_eq!(allowed(&ages, 80, Some(MS * 65_000)), 4_320);
        assert_eq!(allowed(&ages, 80, Some(MS * 2_000)), 1_710);
    }

    #[test]
    fn a_gateway_that_closes_every_connection_at_once_gets_fresh_ones() {
        let now = Instant::now();
        let mut ages = IdleAges::new(now);
        for _ in 0..CLOSES_AT_ONCE {
            assert_eq!(allowed(&ages, 80, None), 160);
            ages.closed(MS, now);
        }
        // Noticed late.
        ages.open(MS * 300, now);
        ages.closed(MS * 310, now);
        assert!(!ages.limit().allows(Duration::ZERO, Duration::ZERO, None));
        // It was a restart.
        ages.reused(now);
        assert_eq!(ages.limit().closed, Some(MS * 155));
        assert_eq!(allowed(&ages, 80, None), 49);
        ages.reused(now + WINDOW);
        ages.open(MS, now + 2 * WINDOW);
        assert!(ages.is_reused());
        ages.open(MS, now + 3 * WINDOW);
        assert!(!ages.is_reused());
    }

    #[test]
    fn an_announced_time_out_needs_no_observation() {
        let ages = IdleAges::new(Instant::now());
        assert_eq!(allowed(&ages, 80, Some(MS * 5_000)), 4_410);
        assert_eq!(allowed(&ages, 80, Some(Duration::ZERO)), 0);
    }

    #[test]
    fn observations_are_forgotten_after_one_or_two_windows() {
        let begun = Instant::now();
        let mut ages = IdleAges::new(begun);
        // A restart closed a young one.
        ages.closed(MS * 300, begun);
        ages.open(MS * 9_000, begun + WINDOW);
        assert_eq!(ages.limit().closed, Some(MS * 150));
        ages.open(MS * 9_000, begun + 2 * WINDOW);
        assert_eq!(
            ages.limit(),
            IdleLimit {
                closed: None,
                open: MS * 9_000
            }
        );
        ages.open(MS * 1_000, begun + 5 * WINDOW);
        assert_eq!(ages.limit().open, MS * 1_000);
    }
}
