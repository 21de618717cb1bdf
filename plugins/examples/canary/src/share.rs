//! A share of all keys, always the same ones.

/// How many equal parts a share is counted in: hundredths of a percent.
const PARTS: u64 = 10_000;

/// A share of all keys.
pub(crate) struct Share {
    /// Keeps the shares of two regions independent of each other.
    salt: u64,
    parts: u64,
}

impl Share {
    /// A share of `percent`, 0 to 100, rounded to hundredths.
    pub(crate) fn new(salt: &str, percent: f64) -> Result<Self, String> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(format!("percent must be within 0 and 100, got {percent}"));
        }
        Ok(Self {
            salt: fnv1a(FNV_OFFSET, salt.as_bytes()),
            parts: (percent * 100.0).round() as u64,
        })
    }

    /// Whether this key is in the share. A greater share of the same salt holds all that a smaller one holds.
    pub(crate) fn holds(&self, key: &[u8]) -> bool {
        // The high bits, scaled: FNV's low bits alone are weak, so the hash is mixed first.
        let hash = mix(fnv1a(self.salt, key)) >> 32;
        (hash * PARTS) >> 32 < self.parts
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a (draft-eastlake-fnv), 64 bits, from a given state.
fn fnv1a(state: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(state, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_share_is_about_as_large_as_it_says() {
        for percent in [0.0, 0.01, 1.0, 5.0, 33.33, 50.0, 99.0, 100.0] {
            let share = Share::new("eastus2", percent).unwrap();
            let keys = 200_000_u32;
            let held = (0..keys).filter(|key| share.holds(&key.to_le_bytes())).count() as f64;
            let expected = f64::from(keys) * percent / 100.0;
            // Four standard deviations of a binomial, and one key for the smallest share.
            let slack = 4.0 * (expected * (1.0 - percent / 100.0)).sqrt() + 1.0;
            assert!((held - expected).abs() <= slack, "{percent} %: {held} of {keys}");
        }
    }

    #[test]
    fn shares_of_two_regions_are_independent() {
        let (a, b) = (Share::new("a", 50.0).unwrap(), Share::new("b", 50.0).unwrap());
        let both = (0_u32..40_000)
            .map(u32::to_le_bytes)
            .filter(|key| a.holds(key) && b.holds(key))
            .count();
        assert!((9_600..10_400).contains(&both), "{both}");
    }

    #[test]
    fn what_is_no_share() {
        for percent in [-0.01, 100.01, f64::NAN, f64::INFINITY] {
            assert!(Share::new("a", percent).is_err(), "{percent}");
        }
    }

    proptest! {
        #[test]
        fn a_greater_share_keeps_everybody(key: Vec<u8>, a in 0.0..=100.0_f64, b in 0.0..=100.0_f64) {
            let (less, more) = (a.min(b), a.max(b));
            if Share::new("r", less).unwrap().holds(&key) {
                prop_assert!(Share::new("r", more).unwrap().holds(&key));
            }
        }
    }
}
