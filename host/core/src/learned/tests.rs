use super::order::{LEAST_EVIDENCE, order};
use super::*;
use crate::config::{Gateway, GatewayAddress, Service, ServiceParts};
use crate::geo::{Location, Place, PlaceId, Point};
use crate::id::{RegionName, Slot};
use crate::proximity::RoundTrips;
use orders::{Priors, gathered};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const DAY: u64 = 86_400;

fn prefix(index: u32) -> Prefix {
    Prefix::of(IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 + (index << 8)))).expect("global")
}

fn names(count: usize) -> Vec<RegionName> {
    (0..count)
        .map(|index| RegionName::new(format!("region-{index}")))
        .collect()
}

fn evidence(weight: u32, ms: f64) -> Option<Estimate> {
    (0..weight).map(|_| Estimate::of(ms)).reduce(Estimate::merged)
}

/// Regions by geography and what was measured of each, all on one level.
fn ordered(regions: &[(f64, Option<Estimate>)], explore: f64) -> Option<(Vec<u8>, Option<u8>)> {
    let mut row: Vec<Slot> = (0..regions.len() as u8).map(Slot).collect();
    row.sort_by(|a, b| regions[a.index()].0.total_cmp(&regions[b.index()].0));
    let of = |slot: Slot| Comparison {
        prior_ms: regions[slot.index()].0,
        evidence: regions[slot.index()].1,
    };
    let (order, explored) = order(&row, |_| 0, of, Terms { explore })?;
    Some((
        order.into_iter().map(|slot| slot.0).collect(),
        explored.map(|slot| slot.0),
    ))
}

#[test]
fn measured_regions_change_places_and_others_keep_theirs() {
    let regions = [
        (10.0, evidence(20, 180.0)),
        (20.0, None),
        (170.0, evidence(20, 8.0)),
        (200.0, None),
    ];
    assert_eq!(ordered(&regions, 0.0), Some((vec![2, 1, 0, 3], None)));
}

#[test]
fn one_region_with_evidence_changes_nothing() {
    assert_eq!(ordered(&[(10.0, evidence(100, 400.0)), (20.0, None)], 0.0), None);
    assert_eq!(ordered(&[(10.0, None), (200.0, evidence(100, 1.0))], 0.0), None);
}

#[test]
fn a_small_gain_is_no_reason_to_change() {
    assert_eq!(
        ordered(&[(20.0, evidence(50, 30.0)), (21.0, evidence(50, 24.0))], 0.0),
        None
    );
    assert_eq!(
        ordered(&[(200.0, evidence(50, 220.0)), (201.0, evidence(50, 205.0))], 0.0),
        None
    );
}

#[test]
fn levels_are_never_mixed() {
    let (near, far) = (evidence(50, 300.0), evidence(50, 5.0));
    let of = |slot: Slot| Comparison {
        prior_ms: 10.0,
        evidence: if slot == Slot(0) { near } else { far },
    };
    assert_eq!(order(&[Slot(0), Slot(1)], |slot| slot.0, of, Terms::default()), None);
}

#[test]
fn a_prefix_whose_geography_is_doubtful_is_explored_until_all_is_measured() {
    let doubtful = (10.0, evidence(10, 180.0));
    assert_eq!(ordered(&[doubtful, (20.0, None)], 0.0), None, "unless it is not wanted");
    assert_eq!(
        ordered(&[doubtful, (20.0, None), (30.0, None)], 0.01),
        Some((vec![0, 1, 2], Some(1)))
    );
    let measured = (20.0, evidence(LEAST_EVIDENCE as u32, 175.0));
    assert_eq!(
        ordered(&[doubtful, measured, (30.0, None)], 0.01),
        Some((vec![0, 1, 2], Some(2)))
    );
    assert_eq!(
        ordered(&[doubtful, measured], 0.01),
        None,
        "nothing is unknown any more"
    );
    // What access networks add casts no doubt.
    assert_eq!(ordered(&[(10.0, evidence(10, 50.0)), (20.0, None)], 0.01), None);
    assert_eq!(ordered(&[(150.0, evidence(10, 215.0)), (160.0, None)], 0.01), None);
}

fn gateway(region: &RegionName, point: Point) -> Gateway {
    Gateway::new(region.clone(), point, GatewayAddress::http(Ipv4Addr::LOCALHOST, 9000))
}

/// A service with two regions, and clients near the first.
struct Scene {
    service: Service,
    chart: crate::chart::Chart,
    location: Location,
    evidence: Evidence,
}

impl Scene {
    fn new() -> Self {
        let points = [(50.0, 8.0), (1.0, 103.0)].map(|(lat, lon)| Point::new(lat, lon).expect("on the globe"));
        let regions = names(2);
        let gateways = regions
            .iter()
            .zip(points)
            .map(|(region, point)| gateway(region, point))
            .collect();
        let service = Service::new(ServiceParts::new("shop", gateways)).expect("valid");
        let place = Place {
            point: Some(points[0]),
            ..Place::default()
        };
        Self {
            chart: crate::chart::Chart::draw(&service, &[Place::default(), place], None, &RoundTrips::default()),
            service,
            location: Location { id: PlaceId(1), place },
            evidence: Evidence::new(64, DAY, 0),
        }
    }

    fn measure(&mut self, index: u32, region: usize, (count, ms): (u32, f64), now: u64) {
        let id = self.evidence.own.region(&names(2)[region]).expect("room");
        for _ in 0..count {
            self.evidence.own.add(prefix(index), id, Estimate::of(ms), now);
        }
    }

    fn orders(&self, explore: f64, now: u64) -> Orders {
        let round_trips = RoundTrips::default();
        let mut priors = Priors::new(&round_trips, None);
        let known = gathered(&self.evidence, now);
        Orders::prepare(
            &self.service,
            &self.chart,
            &known,
            &mut priors,
            |_| self.location,
            Terms { explore },
        )
    }
}

#[test]
fn orders_follow_evidence_and_return_with_time() {
    let mut scene = Scene::new();
    scene.measure(1, 0, (30, 180.0), 1000);
    scene.measure(1, 1, (30, 9.0), 1000);
    scene.measure(2, 0, (30, 12.0), 1000);
    let client = prefix(1).address();
    let orders = scene.orders(0.0, 1000);
    assert_eq!(
        orders.of(client, true, 7).map(|order| order.row),
        Some(&[Slot(1), Slot(0)][..])
    );
    assert_eq!(orders.of(prefix(2).address(), true, 7), None, "agrees with geography");
    assert_eq!(orders.of(prefix(3).address(), true, 7), None, "has no evidence");
    assert_eq!(orders.len(), 1);
    // Thirty connections are less than three after four half-lives.
    assert!(!scene.orders(0.0, 1000 + 3 * DAY).is_empty());
    assert!(scene.orders(0.0, 1000 + 4 * DAY).is_empty());
}

#[test]
fn only_requests_that_may_explore_do_and_only_their_share() {
    let mut scene = Scene::new();
    scene.measure(1, 0, (30, 180.0), 1000);
    let orders = scene.orders(0.1, 1000);
    let client = prefix(1).address();
    let explored = |may: bool| {
        let rolls = (0..1000_u64).map(|roll| crate::chance::spread(roll, 3));
        let orders = rolls.filter_map(|roll| orders.of(client, may, roll));
        orders
            .filter(|order| order.is_explored && order.row == [Slot(1), Slot(0)])
            .count()
    };
    assert!((60..140).contains(&explored(true)), "{}", explored(true));
    assert_eq!(explored(false), 0);
}

#[test]
fn what_other_instances_know_counts_and_is_replaced_not_added() {
    let mut scene = Scene::new();
    scene.measure(1, 0, (30, 180.0), 1000);
    let instance: Arc<str> = "asia".into();
    let record = |ms| Record {
        prefix: prefix(1),
        region: RegionId(0),
        estimate: evidence(20, ms).expect("some"),
        seen: 1000,
    };
    for ms in [300.0, 9.0, 9.0] {
        let foreign = Foreign::new(vec![names(2)[1].clone()], [record(ms)]);
        scene.evidence.replace(&instance, Some(foreign));
    }
    let known = scene.evidence.of(prefix(1), 1000);
    assert_eq!(known.len(), 2);
    assert!((known[1].estimate.ms() - 9.0).abs() < 0.01 && known[1].estimate.weight() == 20.0);
    assert_eq!(scene.orders(0.0, 1000).len(), 1);
    assert!(
        scene
            .evidence
            .own
            .strongest(10, 1000)
            .iter()
            .all(|record| record.region == RegionId(0)),
        "never passed on"
    );
    scene.evidence.replace(&instance, None);
    assert!(scene.orders(0.0, 1000).is_empty());
}

#[test]
fn a_flood_of_prefixes_does_not_drive_out_evidence() {
    let mut table = EvidenceTable::new(64, DAY, 1);
    let region = table.region(&names(1)[0]).expect("room");
    for _ in 0..5 {
        table.add(prefix(0), region, Estimate::of(20.0), 1000);
    }
    for index in 1..100_000 {
        table.add(prefix(index), region, Estimate::of(20.0), 1000);
    }
    assert_eq!(table.of(prefix(0), 1000).next().map(|(_, it)| it.weight()), Some(5.0));
    assert_eq!((table.len(), table.capacity()), (64, 64));
}

use evidence::Foreign;

proptest! {
    #[test]
    fn memory_is_bounded_and_the_same_input_gives_the_same_table(
        max in 1_usize..200,
        seed: u64,
        adds in prop::collection::vec((0_u32..5000, 0_usize..12, 0.01_f64..20_000.0, 0_u64..10 * DAY), 1..400),
    ) {
        let fill = || {
            let mut table = EvidenceTable::new(max, DAY, seed);
            let bytes = table.bytes();
            let mut evicted = 0;
            for (index, region, ms, now) in &adds {
                let region = table.region(&names(12)[*region]).expect("room");
                evicted += usize::from(table.add(prefix(*index), region, Estimate::of(*ms), *now) == Added::Evicted);
            }
            assert_eq!(table.bytes(), bytes);
            (table, evicted)
        };
        let ((a, evicted), (b, _)) = (fill(), fill());
        prop_assert!(a.len() <= a.capacity() && a.capacity() <= max.max(8));
        prop_assert_eq!(a.prefixes().count(), a.len());
        let distinct: std::collections::BTreeSet<_> = adds.iter().map(|it| it.0).collect();
        prop_assert!(a.len() + evicted >= distinct.len().min(a.len()) && (evicted > 0 || a.len() == distinct.len()));
        prop_assert!(a.records().eq(b.records()));
        prop_assert!(a.records().all(|it| it.estimate.weight() <= Estimate::MAX_WEIGHT && it.estimate.ms().is_finite()));
        prop_assert_eq!(a.strongest(3, 0), b.strongest(3, 0));
    }

    #[test]
    fn the_more_evidence_the_nearer_to_it(prior_ms in 0.0_f64..500.0, ms in 0.1_f64..5000.0, count in 1_u32..100) {
        let joined = |count| Comparison { prior_ms, evidence: evidence(count, ms) }.joined_ms();
        let distance = |count| (joined(count).ln() - ms.ln()).abs();
        prop_assert!(distance(count + 1) <= distance(count) + 1e-5);
        let (low, high) = (prior_ms.max(0.1).min(ms), prior_ms.max(ms));
        prop_assert!(joined(count) >= low * 0.999 && joined(count) <= high * 1.001);
    }

    #[test]
    fn evidence_that_fades_returns_to_geography(prior_ms in 1.0_f64..500.0, ms in 0.1_f64..5000.0, age in 0_u64..40 * DAY) {
        let joined = |age| {
            let evidence = evidence(50, ms).map(|it| it.faded(estimate::faded_to(age, DAY)));
            Comparison { prior_ms, evidence }.joined_ms()
        };
        let distance = |age| (joined(age).ln() - prior_ms.ln()).abs();
        prop_assert!(distance(age + DAY) <= distance(age) + 1e-5);
        prop_assert!(distance(60 * DAY) < 1e-3);
    }

    #[test]
    fn without_evidence_nothing_changes(
        priors in prop::collection::vec(0.0_f64..400.0, 1..20),
        measured in prop::collection::vec((0_usize..20, 0.1_f64..2.9, 1.0_f64..900.0), 0..20),
    ) {
        let mut regions: Vec<_> = priors.iter().map(|prior| (*prior, None)).collect();
        prop_assert_eq!(ordered(&regions, 0.5), None);
        // Too little.
        for (at, weight, ms) in measured {
            if let Some(region) = regions.get_mut(at) {
                region.1 = Estimate::from_parts(weight as f32, ms, 0.0);
            }
        }
        prop_assert_eq!(ordered(&regions, 0.5), None);
    }

    #[test]
    fn an_order_is_a_permutation_that_never_puts_a_slower_region_first(
        regions in prop::collection::vec((1.0_f64..400.0, prop::option::of((1_u32..60, 1.0_f64..900.0))), 1..20),
        explore in prop::sample::select(vec![0.0, 0.01]),
    ) {
        let regions: Vec<_> = regions.into_iter().map(|(prior, it)| (prior, it.and_then(|(n, ms)| evidence(n, ms)))).collect();
        if let Some((order, explored)) = ordered(&regions, explore) {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert!(sorted.iter().copied().eq(0..regions.len() as u8));
            let of = |slot: u8| Comparison { prior_ms: regions[slot as usize].0, evidence: regions[slot as usize].1 };
            let before = (0..regions.len() as u8).min_by(|a, b| of(*a).prior_ms.total_cmp(&of(*b).prior_ms)).expect("one");
            let ms = |slot: u8| (of(slot).joined_ms(), of(slot).evidence.map_or(0.0, |it| it.ms()));
            prop_assert!(ms(order[0]).0 <= ms(before).0 || ms(order[0]).1 <= ms(before).1);
            prop_assert!(order[0] == before || of(before).is_measured() && of(order[0]).is_measured());
            prop_assert!(explored.is_none_or(|slot| !of(slot).is_measured()));
        }
    }

    #[test]
    fn merging_does_not_depend_on_the_order(values in prop::collection::vec(0.1_f64..5000.0, 3..40), cut in 1_usize..3) {
        let merge = |values: &[f64]| values.iter().map(|ms| Estimate::of(*ms)).reduce(Estimate::merged).expect("some");
        let (a, b) = values.split_at(cut);
        let (one, two) = (merge(a).merged(merge(b)), merge(b).merged(merge(a)));
        prop_assert!((one.ms() / two.ms() - 1.0).abs() < 1e-4 && one.weight() == two.weight());
        let all = merge(&values);
        prop_assert!((one.ms() / all.ms() - 1.0).abs() < 1e-3 && (one.deviation() - all.deviation()).abs() < 1e-2);
    }
}
