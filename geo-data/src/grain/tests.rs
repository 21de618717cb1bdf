use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What holds at an address, by walking the runs.
fn at(runs: &[Run<u8>], address: u64) -> u8 {
    runs.iter()
        .take_while(|run| run.start <= address)
        .last()
        .map_or(0, |run| run.value)
}

fn runs(list: &[(u64, u8)]) -> Vec<Run<u8>> {
    list.iter().map(|&(start, value)| Run { start, value }).collect()
}

#[test]
fn the_majority_of_covered_addresses_wins() {
    let mut quantiser = Quantiser::new(4, 1);
    quantiser.add(0, 1, 7);
    quantiser.add(3, 3, 9); // 7 has two addresses, 9 one, nobody the rest
    quantiser.add(16, 19, 9);
    quantiser.add(20, 23, 7); // a draw: the lesser value
    quantiser.add(48, 130, 5); // three grains whole, three addresses of the fourth... and more
    quantiser.add(131, 143, 6);
    assert_eq!(
        quantiser.finish(),
        runs(&[(0, 7), (32, 0), (48, 5), (128, 6), (144, 0)])
    );
}

#[test]
fn a_value_needs_enough_of_a_grain() {
    let mut quantiser = Quantiser::new(4, 8);
    quantiser.add(0, 6, 7);
    quantiser.add(16, 23, 7);
    assert_eq!(quantiser.finish(), runs(&[(16, 7), (32, 0)]));
}

#[test]
fn upper_runs_hide_lower_ones() {
    let lower = runs(&[(10, 1), (20, 2), (30, 0)]);
    let upper = runs(&[(15, 9), (18, 0), (20, 2), (40, 8), (50, 0)]);
    let expected = runs(&[(10, 1), (15, 9), (18, 1), (20, 2), (40, 8), (50, 0)]);
    assert_eq!(overlay(&lower, &upper), expected);
    assert_eq!(overlay(&lower, &[]), lower);
    assert_eq!(overlay(&[], &lower), lower);
}

prop_compose! {
    /// Ascending, disjoint ranges over some hundred addresses, with gaps.
    fn ranges()(parts in prop::collection::vec((0_u64..12, 0_u64..20, 1_u8..4), 0..30)) -> Vec<(u64, u64, u8)> {
        let mut next = 0;
        let placed = parts.into_iter().map(|(gap, size, value)| {
            let first = next + gap;
            next = first + size + 1;
            (first, first + size, value)
        });
        placed.collect()
    }
}

proptest! {
    #[test]
    fn grains_agree_with_counting(ranges in ranges(), shift in 0_u32..5, share in 0.0..=1.0_f64) {
        let min_covered = (f64::from(1_u32 << shift) * share).ceil().max(1.0) as u64;
        let mut quantiser = Quantiser::new(shift, min_covered);
        ranges.iter().for_each(|&(first, last, value)| quantiser.add(first, last, value));
        let result = quantiser.finish();
        prop_assert!(result.is_sorted_by(|a, b| a.start < b.start && a.value != b.value));
        for grain in 0..700_u64 >> shift {
            let mut counts = BTreeMap::new();
            for address in grain << shift..(grain + 1) << shift {
                if let Some(range) = ranges.iter().find(|range| (range.0..=range.1).contains(&address)) {
                    *counts.entry(range.2).or_insert(0) += 1;
                }
            }
            let most = counts.values().copied().max().unwrap_or(0);
            let winner = counts.iter().find(|(_, count)| **count == most).map_or(0, |(value, _)| *value);
            prop_assert_eq!(at(&result, grain << shift), if most >= min_covered { winner } else { 0 });
        }
    }

    #[test]
    fn overlays_agree_with_looking_twice(lower in ranges(), upper in ranges()) {
        let [lower, upper] = [lower, upper].map(|ranges| {
            let mut quantiser = Quantiser::new(0, 1);
            ranges.iter().for_each(|&(first, last, value)| quantiser.add(first, last, value));
            quantiser.finish()
        });
        let both = overlay(&lower, &upper);
        prop_assert!(both.is_sorted_by(|a, b| a.start < b.start && a.value != b.value));
        for address in 0..700 {
            let above = at(&upper, address);
            prop_assert_eq!(at(&both, address), if above == 0 { at(&lower, address) } else { above });
        }
    }
}
