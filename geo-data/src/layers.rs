//! Runs of addresses from networks, and layers of them: the upper ones hide the lower ones.

use crate::runs::Run;
use std::cmp::Reverse;

/// The most runs that one family may have, far above what any vendor offers. It bounds the memory that a database made to
/// exhaust it can take.
pub(crate) const MOST_RUNS: usize = 32 << 20;

/// Runs over whole addresses of either family.
pub(crate) type Layer<V> = Vec<Run<V, u128>>;

/// Collects ascending, disjoint ranges. The default value stands for "nothing known".
#[derive(Debug, Default)]
pub(crate) struct LayerBuilder<V> {
    runs: Layer<V>,
    /// The address behind the last range; `None` behind the last address there is.
    end: Option<u128>,
}

impl<V: Copy + Default + PartialEq> LayerBuilder<V> {
    pub(crate) fn new() -> Self {
        Self {
            runs: Vec::new(),
            end: Some(0),
        }
    }

    /// Adds the range `first..=last`.
    pub(crate) fn add(&mut self, first: u128, last: u128, value: V) {
        if let Some(end) = self.end.filter(|end| *end < first) {
            self.extend(end, V::default());
        }
        self.extend(first, value);
        self.end = last.checked_add(1);
    }

    /// The runs, merged; where nothing is known they have the default.
    pub(crate) fn finish(mut self) -> Layer<V> {
        if let Some(end) = self.end {
            self.extend(end, V::default());
        }
        self.runs
    }

    fn extend(&mut self, start: u128, value: V) {
        if self.runs.last().map_or(V::default(), |run| run.value) != value {
            // One more than allowed tells that there are too many.
            if self.runs.len() <= MOST_RUNS {
                self.runs.push(Run { start, value });
            }
        }
    }
}

/// Lays runs over others: where the upper ones have the default, the lower ones show through.
pub(crate) fn overlay<V: Copy + Default + PartialEq>(lower: Layer<V>, upper: Layer<V>) -> Layer<V> {
    if lower.is_empty() || upper.is_empty() {
        return if lower.is_empty() { upper } else { lower };
    }
    let (mut lower, mut upper) = (lower.into_iter().peekable(), upper.into_iter().peekable());
    let (mut below, mut above) = (V::default(), V::default());
    let mut runs: Layer<V> = Vec::new();
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

/// The layer of ranges `first..=last` that may lie in each other, as networks do: the innermost counts, and of two that are
/// the same the one that comes first.
pub(crate) fn nested<V: Copy + Default + PartialEq>(ranges: impl IntoIterator<Item = (u128, u128, V)>) -> Layer<V> {
    let mut ranges: Vec<_> = ranges.into_iter().collect();
    // Outer ranges before inner ones, so that the stack holds what the current one is nested in.
    ranges.sort_by_key(|&(first, last, _)| (first, Reverse(last)));
    ranges.dedup_by_key(|(first, last, _)| (*first, *last));
    let mut layer = LayerBuilder::new();
    let mut outer: Vec<(u128, V)> = Vec::new();
    // Where the next piece begins; `None` behind the last address there is.
    let mut next = Some(0);
    let mut cover = |next: &mut Option<u128>, last: u128, value: V| {
        if let Some(first) = next.filter(|first| *first <= last) {
            layer.add(first, last, value);
            *next = last.checked_add(1);
        }
    };
    for (first, last, value) in ranges {
        while let Some(&(last, value)) = outer.last().filter(|(last, _)| *last < first) {
            cover(&mut next, last, value);
            outer.pop();
        }
        if let (Some(&(_, value)), Some(before)) = (outer.last(), first.checked_sub(1)) {
            cover(&mut next, before, value);
        }
        next = next.max(Some(first));
        outer.push((last, value));
    }
    while let Some((last, value)) = outer.pop() {
        cover(&mut next, last, value);
    }
    layer.finish()
}

/// Tells which networks of a database are hidden by the layers over it, as it is walked through.
pub(crate) struct Cover<'a, V> {
    runs: &'a [Run<V, u128>],
}

impl<'a, V: Copy + Default + PartialEq> Cover<'a, V> {
    pub(crate) fn new(layers_above: &'a [Run<V, u128>]) -> Self {
        Self { runs: layers_above }
    }

    /// Whether every address of `first..=last` has a value above. Ranges must be asked for in ascending order.
    pub(crate) fn hides(&mut self, first: u128, last: u128) -> bool {
        while let [_, rest @ ..] = self.runs
            && rest.first().is_some_and(|run| run.start <= first)
        {
            self.runs = rest;
        }
        let Some(run) = self.runs.first().filter(|run| run.start <= first) else {
            return false;
        };
        let within = self.runs.iter().skip(1).take_while(|run| run.start <= last);
        run.value != V::default() && within.into_iter().all(|run| run.value != V::default())
    }
}

#[cfg(test)]
mod tests;
