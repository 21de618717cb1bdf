//! Requests of the last seconds, in ten steps.

use std::time::{Duration, Instant};

/// Steps of a [`Window`].
const STEPS: usize = 10;

/// What was counted within a window that slides in ten steps.
#[derive(Clone, Debug)]
pub(super) struct Window {
    epoch: Instant,
    steps: [Step; STEPS],
    /// When the last disputed failure was added.
    disputed: Option<Instant>,
}

/// Attempts counted in one step, or in several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Attempts that ended with an answer or a failure.
    pub(super) ended: u64,
    /// Failures of the gateway.
    pub(super) failures: u64,
    /// Those failures that may be the requests' own.
    pub(super) disputed: u64,
    /// Overtaken by the answer of another region.
    pub(super) overtaken: u64,
    /// Overtaken, and not answered long afterwards either.
    pub(super) unanswered: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Step {
    /// Which tenth of a window since the epoch this is.
    index: u64,
    counts: Counts,
}

impl Counts {
    /// Whether some attempts did not fail.
    pub(super) fn are_others_well(&self) -> bool {
        self.ended > self.failures
    }

    /// All attempts.
    pub(super) fn requests(&self) -> u64 {
        self.ended + self.overtaken
    }

    fn add(&mut self, more: &Self) {
        self.ended += more.ended;
        self.failures += more.failures;
        self.disputed += more.disputed;
        self.overtaken += more.overtaken;
        self.unanswered += more.unanswered;
    }
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            steps: [Step::default(); STEPS],
            disputed: None,
        }
    }

    pub(super) fn add(&mut self, counts: &Counts, span: Duration, now: Instant) {
        let index = self.index(span, now);
        let step = &mut self.steps[index as usize % STEPS];
        if step.index != index {
            *step = Step {
                index,
                ..Step::default()
            };
        }
        step.counts.add(counts);
        if counts.disputed > 0 {
            self.disputed = Some(now);
        }
    }

    /// Whether the window that ends now has no disputed failure, for much less than its sum: gateways ask this of all others.
    pub(super) fn is_undisputed(&self, span: Duration, now: Instant) -> bool {
        self.disputed.is_none_or(|at| now.saturating_duration_since(at) > span)
    }

    /// All of the window that ends now.
    pub(super) fn sum(&self, span: Duration, now: Instant) -> Counts {
        self.suffixes(span, now).last().unwrap_or_default()
    }

    /// The sums of the latest step of the window that ends now, of the latest two, and so on up to the whole window.
    pub(super) fn suffixes(&self, span: Duration, now: Instant) -> impl Iterator<Item = Counts> {
        let latest = self.index(span, now);
        let mut sum = Counts::default();
        (0..STEPS as u64)
            .map_while(move |back| latest.checked_sub(back))
            .map(move |index| {
                let step = &self.steps[index as usize % STEPS];
                if step.index == index {
                    sum.add(&step.counts);
                }
                sum
            })
    }

    fn index(&self, span: Duration, now: Instant) -> u64 {
        // In 64 bits, which are divided in one instruction: enough for 580 years.
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - STEPS as u64);
        nanos(now.saturating_duration_since(self.epoch)) / nanos(span / STEPS as u32).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_expire_after_any_gap() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut window = Window::new(start);
        let span = Duration::from_secs(2);
        let counts = Counts {
            ended: 10,
            failures: 5,
            ..Counts::default()
        };
        window.add(&counts, span, start);
        assert_eq!(window.sum(span, start), counts);
        assert_eq!(window.sum(span, at(1_999)), counts);
        for millis in [2_000, 4_000, 40_000, 400_000_000] {
            assert_eq!(window.sum(span, at(millis)), Counts::default(), "{millis}");
        }
    }

    #[test]
    fn a_window_with_disputes_is_not_undisputed() {
        let start = Instant::now();
        let (mut window, span) = (Window::new(start), Duration::from_secs(2));
        let at = |millis| start + Duration::from_millis(millis);
        assert!(window.is_undisputed(span, at(100)));
        let disputed = |disputed| Counts {
            ended: 1,
            disputed,
            ..Counts::default()
        };
        window.add(&disputed(1), span, at(300));
        window.add(&disputed(0), span, at(900));
        for millis in 300..3_000 {
            let is_there = window.sum(span, at(millis)).disputed > 0;
            assert!(!is_there || !window.is_undisputed(span, at(millis)), "{millis}");
        }
        assert!(window.is_undisputed(span, at(2_301)));
    }

    #[test]
    fn suffixes_begin_with_the_latest_step() {
        let start = Instant::now();
        let span = Duration::from_secs(2);
        let mut window = Window::new(start);
        let overtaken = |count| Counts {
            overtaken: count,
            ..Counts::default()
        };
        for (millis, count) in [(0, 4), (200, 2), (600, 1)] {
            window.add(&overtaken(count), span, start + Duration::from_millis(millis));
        }
        let suffixes = window.suffixes(span, start + Duration::from_millis(700));
        let sums: Vec<u64> = suffixes.map(|counts| counts.overtaken).collect();
        assert_eq!(sums, [1, 1, 3, 7]);
    }
}
