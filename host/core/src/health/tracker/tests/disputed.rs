//! Requests that fail in every region: they may be at fault themselves.

use super::sim::*;
use crate::health::Evidence;
use crate::health::State::*;
use crate::health::traffic::Traffic;
use crate::health::transition::Cause;
use std::time::Duration;

/// Two regions with 40 requests a second each.
fn two_regions() -> Sim {
    let mut sim = Sim::new(&shop(2, |_| {}));
    sim.rate = 40;
    sim.run(Duration::from_secs(5));
    sim
}

/// Requests that break in both regions one after the other, which is known after the second.
fn break_everywhere(sim: &mut Sim, count: u64, round_trip: Duration) {
    for slot in 0..2 {
        observe(sim, slot, [(Evidence::Reset, count)].into_iter().collect());
        sim.run(round_trip);
    }
    for slot in 0..2 {
        observe(sim, slot, Traffic::default().with_disputed(count));
    }
}

fn observe(sim: &mut Sim, slot: usize, traffic: Traffic) {
    let now = sim.now();
    sim.tracker.observe(id(slot), &traffic, now);
}

fn became_unhealthy(sim: &Sim) -> usize {
    sim.log.iter().filter(|(_, it)| it.to == Unhealthy).count()
}

/// One client's large cookie took the closest region from all clients.
#[test]
fn requests_that_break_everywhere_eject_no_region() {
    let mut sim = two_regions();
    for _ in 0..100 {
        break_everywhere(&mut sim, 1, millis(40));
        sim.run(millis(20));
    }
    assert_eq!(became_unhealthy(&sim), 0, "{:#?}", sim.log);
}

#[test]
fn an_ejection_is_taken_back_when_its_failures_turn_out_to_be_disputed() {
    let mut sim = two_regions();
    for _ in 0..5 {
        break_everywhere(&mut sim, 20, millis(80));
        sim.run(millis(400));
        assert_eq!((sim.state(0), sim.state(1)), (Healthy, Healthy), "{:#?}", sim.log);
    }
    assert!(became_unhealthy(&sim) >= 5);
    let causes = sim.log.iter().map(|it| it.1.cause);
    assert_eq!(
        causes.filter(|it| *it == Cause::EjectionTakenBack).count(),
        became_unhealthy(&sim)
    );
    // They made no later ejection longer.
    sim.fates[0] = Fate::Partly(50);
    sim.wait_for(0, Unhealthy, Duration::from_secs(3));
    let until = sim.health(0).why.ejected_until.expect("ejected");
    assert_eq!(until - sim.now(), Duration::from_secs(30));
}

/// The other region gets nothing but what failed in the first one.
#[test]
fn a_region_without_other_requests_is_spared_while_others_succeed_elsewhere() {
    let mut sim = two_regions();
    sim.rate = 0;
    for _ in 0..500 {
        observe(&mut sim, 0, [(Evidence::Success, 3)].into_iter().collect());
        break_everywhere(&mut sim, 1, millis(5));
    }
    assert_eq!(became_unhealthy(&sim), 0, "{:#?}", sim.log);
}

/// After a pause of this process, every probe that was in flight has timed out.
#[test]
fn a_single_failed_probe_does_not_turn_disputed_failures_against_a_region() {
    let mut sim = two_regions();
    sim.rate = 0;
    for round in 0..100 {
        observe(&mut sim, 0, [(Evidence::Success, 3)].into_iter().collect());
        break_everywhere(&mut sim, 1, millis(5));
        if round % 20 == 10 {
            sim.fates.fill(Fate::Hangs);
            let sent = sim.probed.len();
            sim.wait(Duration::from_secs(10), |sim| {
                (0..2).all(|slot| sim.probed[sent..].iter().any(|it| it.1 == slot))
            });
            sim.fates.fill(Fate::Well(5));
            let begun = sim.probed.len();
            sim.wait(Duration::from_secs(10), |sim| sim.probed.len() > begun);
        }
    }
    assert_eq!(became_unhealthy(&sim), 0, "{:#?}", sim.log);
}

#[test]
fn a_region_that_breaks_everything_is_ejected_whatever_is_disputed() {
    let mut sim = two_regions();
    sim.rate = 0;
    sim.run(Duration::from_secs(3));
    for _ in 0..60 {
        break_everywhere(&mut sim, 1, millis(5));
    }
    assert!(sim.state(0) == Unhealthy || sim.state(1) == Unhealthy);
}

#[test]
fn other_failures_count_beside_disputed_ones() {
    let mut sim = two_regions();
    sim.fates[0] = Fate::Partly(20);
    for _ in 0..30 {
        break_everywhere(&mut sim, 1, millis(40));
        sim.run(millis(20));
    }
    assert_eq!((sim.state(0), sim.state(1)), (Unhealthy, Healthy), "{:#?}", sim.log);
}
