//! Random numbers for one worker: fast, and good enough to share traffic and to number traces. Not for secrets.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
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
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self::new()
    }
}
