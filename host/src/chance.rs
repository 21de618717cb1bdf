//! Random numbers for one worker: fast, and good enough to share traffic and to number traces. Not for secrets.

use portolan_core::chance::{STEP, spread};
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// A sequence of numbers: SplitMix64, see [`spread`].
#[derive(Debug)]
pub struct Chance(Cell<u64>);

impl Chance {
    /// Numbers that follow from a seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    /// Numbers that nobody knows beforehand: the seed is the system's.
    pub fn new() -> Self {
        Self::seeded(RandomState::new().hash_one(std::process::id()))
    }

    /// The next number.
    pub fn roll(&self) -> u64 {
        let state = self.0.get();
        self.0.set(state.wrapping_add(STEP));
        spread(state, 0)
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self::new()
    }
}
