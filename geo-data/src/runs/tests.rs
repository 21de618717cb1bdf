use super::*;
use proptest::prelude::*;

prop_compose! {
    /// Ascending starts, some far apart and some close together.
    fn starts(bits: u32)(parts in prop::collection::vec((0..bits, any::<u64>(), 1_u64..600), 0..8)) -> Vec<u64> {
        let last = u64::MAX >> (u64::BITS - bits);
        let groups = parts.into_iter().flat_map(|(zeros, at, count)| (0..count).map(move |step| (at & last).saturating_add(step << zeros) & last));
        let mut starts: Vec<_> = groups.collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    }
}

fn check(starts: &[u64], bits: u32, probes: &[u64]) -> Result<(), TestCaseError> {
    let runs = starts.iter().zip(1_u32..).map(|(&start, value)| Run { start, value });
    let table = Runs::new(runs.clone(), bits);
    prop_assert!(table.iter().eq(runs));
    let last = u64::MAX >> (u64::BITS - bits);
    let near = starts
        .iter()
        .flat_map(|start| [start.saturating_sub(1), *start, start.saturating_add(1)]);
    for address in near.chain(probes.iter().copied()).map(|address| address & last) {
        let expected = starts.partition_point(|start| *start <= address);
        prop_assert_eq!(table.at(address) as usize, expected, "{:x}", address);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_search_agrees_with_counting(v4 in starts(32), v6 in starts(64), probes: Vec<u64>) {
        check(&v4, 32, &probes)?;
        check(&v6, 64, &probes)?;
    }
}

#[test]
fn buckets_with_many_runs_are_divided() {
    let tight: Vec<u64> = (0..100_000).map(|number| 0x2a02_26f7_0000_0000 + number * 3).collect();
    check(&tight, 64, &[0, u64::MAX]).unwrap();
    let runs = tight.iter().zip(0_u32..).map(|(&start, value)| Run { start, value });
    let table = Runs::new(runs, 64);
    let undivided = table.index.windows(2).filter(|pair| pair[0].parts == 0);
    let most = undivided
        .map(|pair| pair[1].before.saturating_sub(pair[0].before))
        .max();
    assert!(most.unwrap() as usize <= DIVIDED);
}

#[test]
fn nothing_has_the_default() {
    assert_eq!(Runs::<u32>::default().at(7), 0);
}
