//! From networks of any size to runs of a coarser grain, by majority.

use crate::runs::Run;
use std::cmp::Reverse;

/// Collects ascending, disjoint ranges and gives every grain the value that most of its covered addresses have.
/// The default value stands for "nothing known".
pub(crate) struct Quantiser<V> {
    shift: u32,
    min_covered: u64,
    grain: u64,
    tallies: Vec<(V, u64)>,
    runs: Vec<Run<V>>,
    // Where the last run ends, in grains.
    end: u64,
}

impl<V: Copy + Default + Ord> Quantiser<V> {
    /// Grains of `1 << shift` addresses. A value wins a grain only if at least `min_covered` of them have it.
    pub(crate) fn new(shift: u32, min_covered: u64) -> Self {
        Self {
            shift,
            min_covered,
            grain: 0,
            tallies: Vec::new(),
            runs: Vec::new(),
            end: 0,
        }
    }

    /// Adds the range `first..=last`.
    pub(crate) fn add(&mut self, first: u64, last: u64, value: V) {
        let (from, to) = (first >> self.shift, last >> self.shift);
        if from == to {
            self.tally(from, last - first + 1, value);
            return;
        }
        let whole = 1 << self.shift;
        self.tally(from, whole - (first & (whole - 1)), value);
        if to - from > 1 {
            self.settle();
            self.push(from + 1, to, value);
        }
        self.tally(to, (last & (whole - 1)) + 1, value);
    }

    /// The runs, merged; where nothing is known they have the default.
    pub(crate) fn finish(mut self) -> Vec<Run<V>> {
        self.settle();
        self.push(self.end, self.end + 1, V::default());
        self.runs
    }

    fn tally(&mut self, grain: u64, size: u64, value: V) {
        if grain != self.grain {
            self.settle();
            self.grain = grain;
        }
        match self.tallies.iter_mut().find(|(known, _)| *known == value) {
            Some((_, sum)) => *sum += size,
            None => self.tallies.push((value, size)),
        }
    }

    fn settle(&mut self) {
        // Equal shares go to the lesser value, so that the same data always gives the same table.
        let winner = self.tallies.iter().max_by_key(|(value, size)| (*size, Reverse(*value)));
        if let Some(&(value, _)) = winner.filter(|(_, size)| *size >= self.min_covered) {
            self.push(self.grain, self.grain + 1, value);
        }
        self.tallies.clear();
    }

    fn push(&mut self, from: u64, to: u64, value: V) {
        if from > self.end {
            self.extend(self.end, V::default());
        }
        self.extend(from, value);
        self.end = to;
    }

    fn extend(&mut self, from: u64, value: V) {
        if self.runs.last().map_or(V::default(), |run| run.value) != value {
            let start = from << self.shift;
            self.runs.push(Run { start, value });
        }
    }
}

/// Lays runs over others: where the upper ones have the default, the lower ones show through.
pub(crate) fn overlay<V: Copy + Default + PartialEq>(lower: &[Run<V>], upper: &[Run<V>]) -> Vec<Run<V>> {
    let (mut lower, mut upper) = (lower.iter().peekable(), upper.iter().peekable());
    let (mut below, mut above) = (V::default(), V::default());
    let mut runs: Vec<Run<V>> = Vec::new();
    while let Some(start) = [lower.peek(), upper.peek()]
        .into_iter()
        .flatten()
        .map(|run| run.start)
        .min()
    {
        if let Some(run) = lower.next_if(|run| run.start == start) {
            below = run.value;
        }
        if let Some(run) = upper.next_if(|run| run.start == start) {
            above = run.value;
        }
        let value = if above == V::default() { below } else { above };
        if runs.last().map_or(V::default(), |run| run.value) != value {
            runs.push(Run { start, value });
        }
    }
    runs
}

#[cfg(test)]
mod tests;
