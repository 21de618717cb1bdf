//! The publisher's counters.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Serialize for Counter {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.get())
    }
}

impl<'de> Deserialize<'de> for Counter {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        u64::deserialize(from).map(|count| Self(count.into()))
    }
}

/// What the publisher has done since it began.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Reads of the origins.
    pub reads: Counter,
    /// Failed reads.
    pub read_errors: Counter,
    /// Requests that change something, sent.
    pub writes: Counter,
    /// Of these, not accepted or not answered.
    pub write_errors: Counter,
    /// Answers with status 429.
    pub throttled: Counter,
    /// Polls of operations and of origins in progress.
    pub polls: Counter,
    /// Change sets that are done.
    pub published: Counter,
    /// Change sets that failed.
    pub failed: Counter,
    /// Origins changed by other clients, and reverted.
    pub drift: Counter,
    /// Times this instance became the leader.
    pub terms: Counter,
    /// Votes written.
    pub votes_written: Counter,
    /// Rounds in which the store failed.
    pub store_errors: Counter,
}
