//! Examples of what is in the buckets of a histogram, with the trace that shows it: requests of which a span was recorded.

use crate::vitals::Durations;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// An example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// The trace.
    pub trace: u128,
    /// The span of the request.
    pub span: u64,
    /// The request.
    pub request_id: Box<str>,
    /// How long it took.
    pub value: Duration,
    /// When it ended.
    pub time: SystemTime,
}

/// The last example of each bucket of some histograms. Written and read by the control thread: workers do not know of it.
#[derive(Debug, Default)]
pub struct Exemplars(Mutex<BTreeMap<(usize, usize), Exemplar>>);

impl Exemplars {
    /// One of a histogram, in the place of the one before in its bucket.
    pub fn keep(&self, histogram: usize, exemplar: Exemplar) {
        let bucket = Durations::bucket(exemplar.value);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert((histogram, bucket), exemplar);
    }

    /// Those of a histogram, the shortest first.
    pub fn of(&self, histogram: usize) -> Vec<Exemplar> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let range = kept.range((histogram, 0)..(histogram + 1, 0));
        range.map(|(_, exemplar)| exemplar.clone()).collect()
    }
}
