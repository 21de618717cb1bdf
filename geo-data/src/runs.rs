//! Sorted runs of equal values with an index: one value for every stretch of addresses.

/// A value that holds from `start` to the start of the next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run<V> {
    /// First address: all 32 bits of a v4 one, the upper 64 bits of a v6 one.
    pub(crate) start: u64,
    /// What holds from there.
    pub(crate) value: V,
}

/// Runs in ascending order, ready to be searched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs<V> {
    // Two columns: the search touches the starts only.
    starts: Box<[u64]>,
    values: Box<[V]>,
    // How many starts lie before each bucket, from the bucket of the first start to the end of that of the last.
    index: Box<[u32]>,
    first_bucket: u64,
    shift: u32,
}

impl<V: Copy + Default> Runs<V> {
    /// Runs from their ascending list. Addresses that share all bits above `shift` share a bucket of the index.
    pub(crate) fn new(runs: impl IntoIterator<Item = Run<V>>, shift: u32) -> Self {
        let (mut starts, mut values, mut index) = (Vec::new(), Vec::new(), Vec::new());
        let mut first_bucket = 0;
        for Run { start, value } in runs {
            let bucket = start >> shift;
            if starts.is_empty() {
                first_bucket = bucket;
            }
            // Fills the buckets that were skipped, too: as many starts lie before them.
            index.resize((bucket - first_bucket) as usize + 1, starts.len() as u32);
            starts.push(start);
            values.push(value);
        }
        index.push(starts.len() as u32);
        Self {
            starts: starts.into(),
            values: values.into(),
            index: index.into(),
            first_bucket,
            shift,
        }
    }

    /// What holds at an address; the default before the first run.
    pub(crate) fn at(&self, address: u64) -> V {
        self.run_before(address)
            .and_then(|run| self.values.get(run).copied())
            .unwrap_or_default()
    }

    /// The runs as they were given.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Run<V>> {
        let columns = self.starts.iter().zip(&self.values);
        columns.map(|(&start, &value)| Run { start, value })
    }

    fn run_before(&self, address: u64) -> Option<usize> {
        let bucket = (address >> self.shift).checked_sub(self.first_bucket)? as usize;
        let (Some(&from), Some(&to)) = (self.index.get(bucket), self.index.get(bucket + 1)) else {
            return self.starts.len().checked_sub(1);
        };
        let (from, to) = (from as usize, to as usize);
        let starts = self.starts.get(from..to)?;
        (from + starts.partition_point(|start| *start <= address)).checked_sub(1)
    }
}
