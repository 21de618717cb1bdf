use super::*;
use portolan_core::geo::PlaceId;
use proptest::prelude::*;

prop_compose! {
    /// Ascending runs, of which many start within a /64.
    fn layers()(parts in prop::collection::vec((prop_oneof![1_u128..4, Just(1 << 63), Just(1 << 64), Just(1 << 80)], 0_u16..5), 0..60)) -> Vec<Run<PlaceId, u128>> {
        let (mut start, mut before) = (0x2a02_u128 << 112, PlaceId::UNKNOWN);
        let mut runs = Vec::new();
        for (distance, place) in parts {
            start += distance;
            if PlaceId(place) != before {
                before = PlaceId(place);
                runs.push(Run { start, value: before });
            }
        }
        runs
    }
}

fn naive(runs: &[Run<PlaceId, u128>], address: u128) -> PlaceId {
    let run = runs.iter().take_while(|run| run.start <= address).last();
    run.map_or(PlaceId::UNKNOWN, |run| run.value)
}

proptest! {
    #[test]
    fn every_address_has_its_value(runs in layers()) {
        let table = V6Table::new(&runs);
        for run in &runs {
            let borders = [run.start - 1, run.start, run.start + 1, run.start | u128::from(u64::MAX), run.start >> 64 << 64];
            for address in borders.into_iter().chain([(run.start >> 64 << 64).wrapping_sub(1)]) {
                prop_assert_eq!(table.at(Ipv6Addr::from_bits(address)), naive(&runs, address), "{:x}", address);
            }
        }
        prop_assert_eq!(table.parts().join(), runs);
    }
}

#[test]
fn the_last_network_can_be_divided() {
    let runs = [(u128::MAX - 1, 1), (u128::MAX, 2)].map(|(start, value)| Run {
        start,
        value: PlaceId(value),
    });
    let table = V6Table::new(&runs);
    let at = |bits| table.at(Ipv6Addr::from_bits(bits)).0;
    assert_eq!([u128::MAX - 2, u128::MAX - 1, u128::MAX].map(at), [0, 1, 2]);
}
