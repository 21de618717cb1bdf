//! Which gateways are ejected when no more may be, and which ejected ones are a last resort.

use super::sim::*;
use crate::health::State::*;
use crate::health::outlier::Fault;
use crate::health::transition::Cause;
use crate::id::Slot;
use crate::slots::Slots;
use std::time::Duration;

/// Three regions under load; the first is ejected for its errors, and well again.
fn first_is_ejected(probed: bool) -> Sim {
    let mut sim = Sim::new(&shop(3, |parts| {
        parts.health_check = parts.health_check.take().filter(|_| probed);
    }));
    sim.rate = 200;
    sim.run(Duration::from_secs(5));
    sim.fates[0] = Fate::Partly(50);
    sim.wait_for(0, Unhealthy, Duration::from_secs(2));
    sim.fates[0] = Fate::Well(5);
    sim.run(Duration::from_secs(3));
    assert_eq!(sim.state(0), Unhealthy);
    sim
}

fn last_resort(sim: &Sim) -> Slots {
    sim.tracker.view().services()[0].last_resort()
}

#[test]
fn at_the_ceiling_the_one_that_fails_now_is_out() {
    let faults = [
        (Fate::Partly(10), 2_000, Fault::FailureShare),
        (Fate::Sick, 100, Fault::Consecutive),
        (Fate::Slow(1_000), 800, Fault::Latency),
        (Fate::Losing(10), 2_000, Fault::Lost),
        (Fate::Hangs, 500, Fault::Stalled),
        (Fate::Dead, 100, Fault::ConnectBurst),
    ];
    for (fate, bar, fault) in faults {
        let mut sim = first_is_ejected(true);
        sim.fates[1] = fate;
        sim.wait_for(1, Unhealthy, millis(bar));
        assert_eq!((sim.state(0), sim.state(2)), (Warming, Healthy), "{fate:?}");
        let causes: Vec<Cause> = sim.log.iter().rev().take(2).map(|it| it.1.cause).collect();
        assert_eq!(causes, [Cause::ProbesPassed, Cause::Ejected(fault)]);
    }
}

#[test]
fn one_that_still_fails_its_probes_is_not_exchanged() {
    let mut sim = first_is_ejected(true);
    sim.fates[0] = Fate::Sick;
    sim.run(Duration::from_secs(3));
    sim.fates[1] = Fate::Partly(10);
    sim.run(Duration::from_secs(5));
    assert_eq!((sim.state(0), sim.state(1)), (Unhealthy, Healthy));
}

#[test]
fn without_probes_nothing_is_known_of_the_ejected_one() {
    let mut sim = first_is_ejected(false);
    sim.fates[1] = Fate::Partly(10);
    sim.run(Duration::from_secs(5));
    assert_eq!((sim.state(0), sim.state(1)), (Unhealthy, Healthy));
    assert!(last_resort(&sim).is_empty());
}

#[test]
fn the_last_one_in_rotation_is_exchanged_for_one_that_is_well() {
    let mut sim = first_is_ejected(true);
    (sim.fates[1], sim.fates[2]) = (Fate::Dead, Fate::Dead);
    sim.wait(millis(100), |sim| {
        sim.state(1) == Unhealthy && sim.state(2) == Unhealthy && sim.state(0) == Warming
    });
}

#[test]
fn an_ejected_one_whose_probes_pass_is_a_last_resort() {
    let mut sim = first_is_ejected(true);
    assert_eq!(last_resort(&sim), Slots::only(Slot(0)));
    assert!(sim.tracker.view().services()[0].unhealthy().contains(Slot(0)));
    // One failed probe of three.
    sim.fates[0] = Fate::Dead;
    sim.wait(Duration::from_secs(2), |sim| {
        sim.probed.last().is_some_and(|it| it.1 == 0)
    });
    assert_eq!(last_resort(&sim), Slots::only(Slot(0)));
    sim.run(Duration::from_secs(4));
    assert!(last_resort(&sim).is_empty());
    sim.fates[0] = Fate::Well(5);
    sim.wait(Duration::from_secs(4), |sim| !last_resort(sim).is_empty());
    sim.wait_for(0, Warming, Duration::from_secs(30));
    assert!(last_resort(&sim).is_empty(), "it gets traffic");
}
