//! Chance as an argument: one number from outside becomes as many independent ones as are needed.

/// How far SplitMix64's state moves with each number.
pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Independent numbers from one roll: as SplitMix64 seeded with it gives them one after another (Steele, Lea and Flood, "Fast
/// splittable pseudorandom number generators", OOPSLA 2014). Not for secrets.
pub fn spread(roll: u64, stream: u64) -> u64 {
    let mut z = roll.wrapping_add(stream.wrapping_add(1).wrapping_mul(STEP));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A part from 0.8 to 1 by a roll: limits of connections are less by up to a fifth, so that those that were opened together do not
/// end together.
pub fn part(roll: u64) -> f64 {
    1.0 - 0.2 * (roll as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the reference implementation (Vigna, splitmix64.c) for the seed 1234567.
    #[test]
    fn numbers_are_those_of_the_reference() {
        let numbers = [0, 1, 2].map(|stream| spread(1_234_567, stream));
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }
}
