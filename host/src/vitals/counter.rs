//! Counters with one writer each.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A count that one thread adds to and any thread reads. Adding is a load and a store: nothing is contended.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it. Only its own thread may.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counts by kind, a kind being an index below `N`.
#[derive(Debug)]
pub struct Tally<const N: usize>([Counter; N]);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl<const N: usize> Tally<N> {
    /// Adds one of a kind. Only its own thread may.
    pub fn count(&self, kind: usize) {
        if let Some(counter) = self.0.get(kind) {
            counter.add(1);
        }
    }

    /// Adds what was counted to a sum.
    pub fn add_to(&self, sum: &mut [u64; N]) {
        for (sum, counter) in sum.iter_mut().zip(&self.0) {
            *sum = sum.wrapping_add(counter.get());
        }
    }
}

/// Upper bounds of the duration buckets in nanoseconds: three to a decade, 100 ns to 50 s.
const BOUNDS: [u64; 27] = {
    let mut bounds = [0; 27];
    let (mut decade, mut index) = (100, 0);
    while index < 27 {
        bounds[index] = decade;
        bounds[index + 1] = decade * 2;
        bounds[index + 2] = decade * 5;
        decade *= 10;
        index += 3;
    }
    bounds
};

/// Durations in buckets, with their sum.
#[derive(Debug, Default)]
pub struct Histogram {
    /// By the first bound that is not less; the last one is for what exceeds them all.
    buckets: Tally<{ BOUNDS.len() + 1 }>,
    nanos: Counter,
}

impl Histogram {
    /// Counts a duration. Only its own thread may.
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets.count(BOUNDS.partition_point(|bound| *bound < nanos));
        self.nanos.add(nanos);
    }

    /// How many there were, and their sum in nanoseconds.
    pub fn sum(&self) -> (u64, u64) {
        let buckets = self.buckets.0.iter().map(Counter::get);
        (buckets.sum(), self.nanos.get())
    }
}

/// What histograms held when they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    buckets: [u64; BOUNDS.len() + 1],
    nanos: u64,
}

impl Durations {
    /// Adds what a histogram holds.
    pub fn add(&mut self, histogram: &Histogram) {
        histogram.buckets.add_to(&mut self.buckets);
        self.nanos = self.nanos.wrapping_add(histogram.nanos.get());
    }

    /// What came since an earlier reading; everything when the counters began anew.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        if earlier.count() > self.count() {
            return *self;
        }
        let mut since = *self;
        for (now, then) in since.buckets.iter_mut().zip(earlier.buckets) {
            *now = now.saturating_sub(then);
        }
        since.nanos = self.nanos.wrapping_sub(earlier.nanos);
        since
    }

    /// The time that this part of them, 0 to 1, did not exceed: within its bucket as if they were spread evenly. `None` without any.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let count = self.count();
        let rank = (part * count as f64).max(1.0);
        let (mut below, mut lower) = (0, 0);
        for (index, in_bucket) in self.buckets.iter().enumerate() {
            let upper = BOUNDS.get(index).copied().unwrap_or(lower);
            if (below + in_bucket) as f64 >= rank && *in_bucket > 0 {
                let within = (rank - below as f64) / *in_bucket as f64;
                return Some(Duration::from_nanos(lower + ((upper - lower) as f64 * within) as u64));
            }
            (below, lower) = (below + in_bucket, upper);
        }
        None
    }

    /// Adds other durations.
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in self.buckets.iter_mut().zip(other.buckets) {
            *sum = sum.wrapping_add(more);
        }
        self.nanos = self.nanos.wrapping_add(other.nanos);
    }

    /// The number of the bucket that a duration is counted in.
    pub fn bucket(duration: Duration) -> usize {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        BOUNDS.partition_point(|bound| *bound < nanos)
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum in seconds.
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanos).as_secs_f64()
    }

    /// For every bound between two, in seconds, how many durations did not exceed it.
    pub fn cumulative(&self, from: Duration, to: Duration) -> impl Iterator<Item = (f64, u64)> {
        let mut so_far = 0;
        let counted = BOUNDS.iter().zip(self.buckets).map(move |(bound, count)| {
            so_far += count;
            (Duration::from_nanos(*bound), so_far)
        });
        counted
            .filter(move |(bound, _)| (from..=to).contains(bound))
            .map(|(bound, count)| (bound.as_secs_f64(), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_lands_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for nanos in [0, 100, 101, 1_000_000, 60_000_000_000] {
            histogram.record(Duration::from_nanos(nanos));
        }
        let mut read = Durations::default();
        read.add(&histogram);
        assert_eq!(read.count(), 5);
        assert!((read.seconds() - 60.001_000_201).abs() < 1e-9, "{}", read.seconds());
        // Two of five are in the first bucket, which ends at 100 ns.
        assert_eq!(read.quantile(0.2), Some(Duration::from_nanos(50)));
        assert_eq!(read.quantile(1.0), Some(Duration::from_secs(50)));
        assert_eq!(Durations::default().quantile(0.5), None);
        assert_eq!(read.since(&read).count(), 0);
        let all: Vec<_> = read.cumulative(Duration::ZERO, Duration::MAX).collect();
        assert_eq!(all.len(), 27);
        assert_eq!(all.first(), Some(&(1e-7, 2)));
        assert_eq!(all.get(1), Some(&(2e-7, 3)));
        assert!(all.contains(&(0.001, 4)) && all.contains(&(0.0005, 3)));
        assert_eq!(all.last(), Some(&(50.0, 4)));
        let some: Vec<_> = read
            .cumulative(Duration::from_micros(500), Duration::from_millis(2))
            .collect();
        assert_eq!(some, [(0.0005, 3), (0.001, 4), (0.002, 4)]);
    }

    #[test]
    fn quantiles_are_of_what_came_since() {
        let (histogram, mut before) = (Histogram::default(), Durations::default());
        assert_eq!(before.quantile(0.5), None);
        (0..100).for_each(|_| histogram.record(Duration::from_secs(1)));
        before.add(&histogram);
        (0..90).for_each(|_| histogram.record(Duration::from_millis(4)));
        (0..10).for_each(|_| histogram.record(Duration::from_millis(40)));
        let mut now = Durations::default();
        now.add(&histogram);
        let since = now.since(&before);
        assert_eq!(since.count(), 100);
        let at = |share| since.quantile(share).expect("some").as_secs_f64();
        assert!((0.002..=0.005).contains(&at(0.5)), "{}", at(0.5));
        assert!((at(0.9) - 0.005).abs() < 1e-9, "{}", at(0.9));
        assert!((0.02..=0.05).contains(&at(0.99)), "{}", at(0.99));
        assert_eq!(before.since(&now).count(), 100, "counters that began anew");
        histogram.record(Duration::from_secs(100));
        let mut all = Durations::default();
        all.add(&histogram);
        assert_eq!(all.quantile(1.0), Some(Duration::from_secs(50)), "no more is known");
    }
}
