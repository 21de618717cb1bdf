use super::*;
use proptest::prelude::*;

/// What holds at an address, by walking the runs.
fn at(runs: &[Run<u8, u128>], address: u128) -> u8 {
    runs.iter()
        .take_while(|run| run.start <= address)
        .last()
        .map_or(0, |run| run.value)
}

fn runs(list: &[(u128, u8)]) -> Layer<u8> {
    list.iter().map(|&(start, value)| Run { start, value }).collect()
}

fn built(ranges: &[(u128, u128, u8)]) -> Layer<u8> {
    let mut layer = LayerBuilder::new();
    ranges
        .iter()
        .for_each(|&(first, last, value)| layer.add(first, last, value));
    layer.finish()
}

#[test]
fn ranges_become_runs_with_nothing_between_them() {
    let ranges = [(0, 1, 7), (2, 9, 7), (12, 12, 9), (13, 20, 7)];
    assert_eq!(built(&ranges), runs(&[(0, 7), (10, 0), (12, 9), (13, 7), (21, 0)]));
    assert_eq!(built(&[]), []);
    let whole = [(5, u128::MAX - 1, 1), (u128::MAX, u128::MAX, 2)];
    assert_eq!(built(&whole), runs(&[(5, 1), (u128::MAX, 2)]), "up to the last address");
}

#[test]
fn upper_runs_hide_lower_ones() {
    let lower = runs(&[(10, 1), (20, 2), (30, 0)]);
    let upper = runs(&[(15, 9), (18, 0), (20, 2), (40, 8), (50, 0)]);
    let expected = runs(&[(10, 1), (15, 9), (18, 1), (20, 2), (40, 8), (50, 0)]);
    assert_eq!(overlay(lower.clone(), upper), expected);
    assert_eq!(overlay(lower.clone(), Vec::new()), lower);
    assert_eq!(overlay(Vec::new(), lower.clone()), lower);
}

prop_compose! {
    /// Ascending, disjoint ranges over some hundred addresses, with gaps.
    fn ranges()(parts in prop::collection::vec((0_u128..12, 0_u128..20, 1_u8..4), 0..30)) -> Vec<(u128, u128, u8)> {
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
    fn layers_have_what_their_ranges_have(ranges in ranges()) {
        let layer = built(&ranges);
        prop_assert!(layer.is_sorted_by(|a, b| a.start < b.start && a.value != b.value));
        for address in 0..1_000 {
            let range = ranges.iter().find(|range| (range.0..=range.1).contains(&address));
            prop_assert_eq!(at(&layer, address), range.map_or(0, |range| range.2));
        }
    }

    #[test]
    fn overlays_agree_with_looking_twice(lower in ranges(), upper in ranges()) {
        let [lower, upper] = [lower, upper].map(|ranges| built(&ranges));
        let both = overlay(lower.clone(), upper.clone());
        prop_assert!(both.is_sorted_by(|a, b| a.start < b.start && a.value != b.value));
        for address in 0..1_000 {
            let above = at(&upper, address);
            prop_assert_eq!(at(&both, address), if above == 0 { at(&lower, address) } else { above });
        }
    }

    #[test]
    fn a_network_is_hidden_when_every_address_is(lower in ranges(), upper in ranges()) {
        let upper = built(&upper);
        let mut cover = Cover::new(&upper);
        for (first, last, _) in lower {
            let hidden = (first..=last).all(|address| at(&upper, address) != 0);
            prop_assert_eq!(cover.hides(first, last), hidden, "{}..={}", first, last);
        }
    }
}
