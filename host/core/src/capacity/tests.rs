//! Capacities, and the loss of a region with them as a whole: an event simulation with seeds.

mod loss;

use super::*;
use crate::candidates;
use crate::config::{Gateway, GatewayAddress, ServiceParts};
use crate::geo::{Country, Point};
use crate::health::State;
use crate::rank;
use std::net::Ipv4Addr;

/// A gateway with a limit, or without.
fn gateway(region: &str, max_requests: Option<u32>) -> Gateway {
    Gateway {
        max_requests,
        ..Gateway::new(
            region.into(),
            Point::new(50.0, 8.0).expect("a point"),
            GatewayAddress::http(Ipv4Addr::LOCALHOST, 80),
        )
    }
}

fn service(limits: [Option<u32>; 3]) -> Service {
    let regions = ["near", "middle", "far"].into_iter().zip(limits);
    let gateways = regions.map(|(region, limit)| gateway(region, limit)).collect();
    Service::new(ServiceParts::new("shop", gateways)).expect("a service")
}

const ROW: [Slot; 3] = [Slot(0), Slot(1), Slot(2)];

fn health(states: [State; 3]) -> ServiceHealth {
    let gateway = |state| GatewayHealth {
        state,
        ..GatewayHealth::default()
    };
    ServiceHealth::new(states.map(gateway).to_vec())
}

fn in_flight(counts: [u32; 3]) -> impl Fn(Slot) -> Load {
    move |slot| Load {
        in_flight: counts[slot.index()],
        reported: 0,
    }
}

/// How often each region is first, of a thousand requests.
fn firsts(service: &Service, health: &ServiceHealth, load: impl Fn(Slot) -> Load + Copy) -> [u32; 3] {
    let capacity = Capacity::new(service, Priority::Normal).expect("limits");
    let mut counts = [0; 3];
    for roll in 0..1000 {
        let full = capacity.full(Priority::Normal, health, load);
        let candidates = candidates::gather(service, health, Country::UNKNOWN, full);
        let mut ranking = rank::native(service, &ROW, &candidates, health, roll);
        let before: Slots = ranking.order().iter().copied().collect();
        capacity.spill(
            (service, &ROW, &candidates),
            health,
            &mut ranking,
            Priority::Normal,
            load,
            roll,
        );
        assert_eq!(
            ranking.order().iter().copied().collect::<Slots>(),
            before,
            "the same regions"
        );
        counts[ranking.first().expect("a region").index()] += 1;
    }
    counts
}

#[test]
fn lower_priorities_use_a_part_only_where_there_are_higher_ones() {
    let service = service([Some(100), Some(10), None]);
    let full_at = |highest, priority, count| {
        let capacity = Capacity::new(&service, highest).expect("limits");
        !capacity
            .full(priority, &health([State::Healthy; 3]), in_flight([count, 0, u32::MAX]))
            .is_empty()
    };
    use Priority::{High, Low, Normal};
    for (highest, priority, limit) in [
        (Low, Low, 100),
        (Normal, Low, 80),
        (Normal, Normal, 100),
        (High, Low, 80),
        (High, Normal, 95),
        (High, High, 100),
    ] {
        assert!(!full_at(highest, priority, limit - 1), "{highest:?} {priority:?}");
        assert!(full_at(highest, priority, limit), "{highest:?} {priority:?}");
    }
    assert_eq!(Capacity::new(&self::service([None; 3]), High), None);
}

#[test]
fn what_a_region_reports_counts_where_it_is_more() {
    let service = service([Some(100); 3]);
    let capacity = Capacity::new(&service, Priority::Normal).expect("limits");
    let loads = [(10, 0), (10, 999), (10, 1000)];
    let load = |slot: Slot| Load {
        in_flight: loads[slot.index()].0,
        reported: loads[slot.index()].1,
    };
    assert_eq!(
        capacity.full(Priority::Normal, &health([State::Healthy; 3]), load),
        Slots::only(Slot(2))
    );
    assert_eq!(
        capacity.full(Priority::Low, &health([State::Healthy; 3]), load),
        Slots::only(Slot(1)) | Slots::only(Slot(2))
    );
}

#[test]
fn requests_stay_with_their_region_while_it_has_room() {
    let service = service([Some(100); 3]);
    let counts = firsts(&service, &health([State::Healthy; 3]), &in_flight([99, 0, 0]));
    assert_eq!(counts, [1000, 0, 0]);
}

#[test]
fn displaced_requests_are_spread_by_headroom() {
    let service = service([Some(100); 3]);
    let lost = health([State::Unhealthy, State::Healthy, State::Healthy]);
    for (load, share) in [([0, 0, 0], 500), ([0, 75, 25], 250), ([0, 99, 0], 10), ([0, 100, 0], 0)] {
        let [near, middle, far] = firsts(&service, &lost, &in_flight(load));
        assert_eq!((near, middle + far), (0, 1000));
        assert!(
            middle.abs_diff(share) < 50,
            "{load:?}: {middle} of 1000 where {share} are due"
        );
    }
    // A full region is as good as lost.
    let [near, middle, far] = firsts(&service, &health([State::Healthy; 3]), &in_flight([100, 80, 40]));
    assert!(near == 0 && middle.abs_diff(250) < 50, "{middle} {far}");
}

#[test]
fn the_next_region_gets_all_of_it_without_a_limit_or_when_it_is_told_so() {
    let lost = health([State::Unhealthy, State::Healthy, State::Healthy]);
    let unlimited = service([Some(100), None, Some(100)]);
    assert_eq!(firsts(&unlimited, &lost, &in_flight([0, 50, 0])), [0, 1000, 0]);
    let mut nearest = service([Some(100); 3]);
    nearest.spillover = Spillover::Nearest;
    assert_eq!(firsts(&nearest, &lost, &in_flight([0, 99, 0])), [0, 1000, 0]);
    assert_eq!(firsts(&nearest, &lost, &in_flight([0, 100, 0])), [0, 0, 1000]);
}

#[test]
fn another_failover_level_gets_nothing_while_this_one_has_room() {
    let gateways = [("near", 0), ("middle", 0), ("far", 1)].map(|(region, priority)| Gateway {
        priority,
        ..gateway(region, Some(100))
    });
    let service = Service::new(ServiceParts::new("shop", gateways.to_vec())).expect("a service");
    let lost = health([State::Unhealthy, State::Healthy, State::Healthy]);
    assert_eq!(firsts(&service, &lost, &in_flight([0, 99, 0])), [0, 1000, 0]);
    assert_eq!(firsts(&service, &lost, &in_flight([0, 100, 0])), [0, 0, 1000]);
}

#[test]
fn what_a_returning_region_does_not_take_yet_is_spread() {
    let service = service([Some(100); 3]);
    let warming = GatewayHealth {
        state: State::Warming,
        share: 200,
        ..GatewayHealth::default()
    };
    let healthy = GatewayHealth {
        state: State::Healthy,
        ..GatewayHealth::default()
    };
    let health = ServiceHealth::new(vec![warming, healthy, healthy]);
    let [near, middle, far] = firsts(&service, &health, &in_flight([0, 0, 0]));
    assert!(
        near.abs_diff(200) < 50 && middle.abs_diff(far) < 100,
        "{near} {middle} {far}"
    );
}

#[test]
fn a_region_in_slow_start_has_its_share_of_its_limit_beside_others() {
    let service = service([Some(100); 3]);
    let capacity = Capacity::new(&service, Priority::Normal).expect("limits");
    let gateway = |state, share| GatewayHealth {
        state,
        share,
        ..GatewayHealth::default()
    };
    let (warming, healthy) = (gateway(State::Warming, 200), gateway(State::Healthy, 1000));
    let is_full = |health: &ServiceHealth, count| {
        capacity
            .full(Priority::Normal, health, in_flight([count, 0, 0]))
            .contains(Slot(0))
    };
    let beside = ServiceHealth::new(vec![warming, healthy, healthy]);
    assert_eq!([19, 20].map(|count| is_full(&beside, count)), [false, true]);
    let alone = ServiceHealth::new(vec![warming, warming, gateway(State::Unhealthy, 1000)]);
    assert_eq!([20, 99, 100].map(|count| is_full(&alone, count)), [false, false, true]);
}
