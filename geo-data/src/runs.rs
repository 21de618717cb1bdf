//! Sorted runs of equal values with an index: one value for every stretch of addresses.

use portolan_core::geo::PlaceId;

/// A value that holds from `start` to the start of the next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run<V, A = u64> {
    /// First address: a v4 address, a v6 address (`u128`), or the upper 64 bits of one.
    pub(crate) start: A,
    /// What holds from there.
    pub(crate) value: V,
}

/// What addresses can have. The default stands for nothing known.
pub(crate) trait Value: Copy + Default + PartialEq {
    /// Stands for several values in a table that cannot tell them apart by itself; no address has it.
    const SEVERAL: Self;
}

impl Value for PlaceId {
    const SEVERAL: Self = Self(u16::MAX);
}

impl Value for u32 {
    /// No autonomous system has that number (RFC 7300).
    const SEVERAL: Self = Self::MAX;
}

/// The upper 16 bits of an address choose a bucket of the index.
const BUCKETS: usize = 1 << 16;
/// Eight bits more choose a bucket below it, where there are any.
const PART_BITS: u32 = 8;
/// A bucket with more runs is divided. Eight steps find a run among so many, within a few cache lines.
const DIVIDED: usize = 256;

/// Runs in ascending order, ready to be searched.
#[derive(Clone, Debug)]
pub(crate) struct Runs<V, A = u64> {
    // Two columns: the search touches the starts only.
    starts: Box<[A]>,
    values: Box<[V]>,
    /// The buckets of the upper 16 bits, then those of every divided bucket; each group is followed by one that ends it.
    index: Box<[Bucket]>,
    /// The bits of an address below the upper 16.
    shift: u32,
}

/// Addresses whose upper bits are the same.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// How many runs start before it.
    before: u32,
    /// Where in the index its parts begin; 0 if it is not divided.
    parts: u32,
}

impl<V: Copy + Default, A: Copy + Ord + Into<u64>> Runs<V, A> {
    /// Runs from their ascending list, over addresses of `bits` bits.
    pub(crate) fn new(runs: impl IntoIterator<Item = Run<V, A>>, bits: u32) -> Self {
        let (starts, values) = runs.into_iter().map(|run| (run.start, run.value)).unzip();
        Self::of_columns(starts, values, bits)
    }

    /// The same of as many starts as values.
    pub(crate) fn of_columns(starts: Vec<A>, values: Vec<V>, bits: u32) -> Self {
        let shift = bits.saturating_sub(BUCKETS.ilog2());
        let mut index = Vec::new();
        if !starts.is_empty() {
            divide(&mut index, &starts, 0, shift, BUCKETS);
        }
        Self {
            starts: starts.into(),
            values: values.into(),
            index: index.into(),
            shift,
        }
    }

    /// What holds at an address; the default before the first run.
    pub(crate) fn at(&self, address: A) -> V {
        self.run_before(address)
            .and_then(|run| self.values.get(run).copied())
            .unwrap_or_default()
    }

    pub(crate) fn memory(&self) -> usize {
        size_of_val(&self.starts[..]) + size_of_val(&self.values[..]) + size_of_val(&self.index[..])
    }

    /// The runs as they were given.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Run<V, A>> {
        let columns = self.starts.iter().zip(&self.values);
        columns.map(|(&start, &value)| Run { start, value })
    }

    fn run_before(&self, address: A) -> Option<usize> {
        let bits: u64 = address.into();
        let mut shift = self.shift;
        let mut bucket = (bits >> shift) as usize;
        let (from, to) = loop {
            let (here, next) = (self.index.get(bucket)?, self.index.get(bucket + 1)?);
            if here.parts == 0 {
                break (here.before as usize, next.before as usize);
            }
            shift -= PART_BITS;
            bucket = here.parts as usize + (bits >> shift & ((1 << PART_BITS) - 1)) as usize;
        };
        let starts = self.starts.get(from..to)?;
        (from + starts.partition_point(|start| *start <= address)).checked_sub(1)
    }
}

impl<V: Copy + Default> Default for Runs<V> {
    fn default() -> Self {
        Self::new([], u64::BITS)
    }
}

/// Appends so many buckets for these starts, `before` of which there are others, and the parts of those with many.
fn divide<A: Copy + Into<u64>>(index: &mut Vec<Bucket>, starts: &[A], before: usize, shift: u32, buckets: usize) {
    let first = index.len();
    index.resize(first + buckets + 1, Bucket::default());
    let group = &mut index[first..];
    // Each bucket after the one of the run before, up to its own, has only what starts before the run. There are never as many
    // runs as 32 bits can count (see `layers::MOST_RUNS`).
    let (mut next, mut run) = (0, 0);
    while let Some(&start) = starts.get(run) {
        let upper = start.into() >> shift;
        let bucket = upper as usize & (buckets - 1);
        group[next..=bucket]
            .iter_mut()
            .for_each(|bucket| bucket.before = (before + run) as u32);
        next = bucket + 1;
        run += leading(&starts[run..], |start| start.into() >> shift == upper);
    }
    let end = (before + starts.len()) as u32;
    group[next..].iter_mut().for_each(|bucket| bucket.before = end);
    if shift < PART_BITS {
        return;
    }
    for bucket in first..first + buckets {
        let (from, to) = (index[bucket].before as usize, index[bucket + 1].before as usize);
        if to - from > DIVIDED {
            index[bucket].parts = index.len() as u32;
            let starts = &starts[from - before..to - before];
            divide(index, starts, from, shift - PART_BITS, 1 << PART_BITS);
        }
    }
}

/// For how many of the first ones something holds, of which there are few or very many; the first is one of them.
fn leading<T: Copy>(list: &[T], holds: impl Fn(T) -> bool) -> usize {
    let mut reach = 1;
    while list.get(reach).is_some_and(|item| holds(*item)) {
        reach *= 2;
    }
    let sure = reach / 2;
    sure + list[sure..reach.min(list.len())].partition_point(|item| holds(*item))
}

#[cfg(test)]
mod tests;
