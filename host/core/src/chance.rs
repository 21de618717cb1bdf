//! Chance as an argument: one number from outside becomes as many independent ones as are needed.

/// Independent numbers from one roll (the finaliser of SplitMix64: Steele, Lea and Flood, OOPSLA 2014).
pub fn spread(roll: u64, stream: u64) -> u64 {
    let mut z = roll.wrapping_add(stream.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
