//! How soon a gateway with a fault is out: the failover bars, with everything configured by default.

use super::sim::*;
use crate::health::State::*;
use crate::health::outlier::Fault;
use crate::health::probing::ProbeFailure;
use crate::health::transition::Cause;
use std::time::Duration;

/// Three regions, 200 requests a second each, for five seconds.
fn busy() -> Sim {
    let mut sim = Sim::new(&shop(3, |_| {}));
    sim.rate = 200;
    sim.run(Duration::from_secs(5));
    assert!((0..3).all(|slot| sim.state(slot) == Healthy));
    sim
}

#[test]
fn under_load_a_fault_is_avoided_within_its_bar() {
    let cases = [
        ("killed", Fate::Dead, 100, Cause::Ejected(Fault::ConnectBurst)),
        ("hangs", Fate::Hangs, 500, Cause::Ejected(Fault::Stalled)),
        ("black-holed", Fate::Gone, 500, Cause::Ejected(Fault::Stalled)),
        ("slow by 1.5 s", Fate::Well(1_500), 500, Cause::Ejected(Fault::Stalled)),
        ("answers 503", Fate::Sick, 100, Cause::Ejected(Fault::Consecutive)),
        (
            "answers one in ten with 503",
            Fate::Partly(10),
            2_000,
            Cause::Ejected(Fault::FailureShare),
        ),
    ];
    for (name, fate, bar, cause) in cases {
        let mut sim = busy();
        sim.fates[0] = fate;
        let took = sim.wait_for(0, Unhealthy, millis(bar));
        let (_, transition) = sim.log.last().expect("a transition");
        assert_eq!(transition.cause, cause, "{name} after {took:?}");
        assert_eq!((sim.state(1), sim.state(2)), (Healthy, Healthy), "{name}");
    }
}

#[test]
fn a_hang_that_probes_do_not_see_is_found_by_timeouts() {
    let mut sim = busy();
    sim.per_try_timeout = millis(300);
    sim.fates[0] = Fate::Fooling;
    let took = sim.wait_for(0, Unhealthy, millis(400));
    assert!(took > millis(300), "{took:?}");
    assert_eq!(
        sim.log.last().map(|it| it.1.cause),
        Some(Cause::Ejected(Fault::Consecutive))
    );
}

#[test]
fn slow_requests_alone_are_not_a_stall() {
    let mut sim = busy();
    sim.fates[0] = Fate::Fooling;
    sim.run(Duration::from_secs(4));
    assert_eq!(sim.state(0), Healthy);
}

#[test]
fn idle_gateways_are_out_after_three_intervals() {
    for fate in [Fate::Dead, Fate::Sick, Fate::Hangs, Fate::Gone] {
        let mut sim = Sim::new(&shop(3, |_| {}));
        sim.run(Duration::from_secs(5));
        sim.fates[1] = fate;
        let took = sim.wait_for(1, Unhealthy, Duration::from_secs(3));
        assert!(
            matches!(sim.log.last().map(|it| it.1.cause), Some(Cause::ProbesFailed(_))),
            "{fate:?} {took:?}"
        );
    }
}

#[test]
fn two_of_three_dead_are_both_out_in_a_second() {
    let mut sim = busy();
    (sim.fates[0], sim.fates[1]) = (Fate::Dead, Fate::Dead);
    sim.wait(Duration::from_secs(1), |sim| {
        sim.state(0) == Unhealthy && sim.state(1) == Unhealthy
    });
    // The ceiling leaves one ejection, so that probes had to tell of the other.
    let causes: Vec<Cause> = sim.log.iter().skip(3).map(|it| it.1.cause).collect();
    let expected = [
        Cause::Ejected(Fault::ConnectBurst),
        Cause::ProbesFailed(ProbeFailure::Refused),
    ];
    assert_eq!(causes, expected);
    assert_eq!(sim.state(2), Healthy);
}

#[test]
fn the_last_one_stays_while_it_answers_most_requests() {
    let mut sim = busy();
    (sim.fates[0], sim.fates[1]) = (Fate::Dead, Fate::Dead);
    sim.wait(Duration::from_secs(1), |sim| {
        sim.state(0) == Unhealthy && sim.state(1) == Unhealthy
    });
    sim.run(Duration::from_secs(60));
    sim.fates[2] = Fate::Partly(30);
    sim.run(Duration::from_secs(10));
    assert_eq!(sim.state(2), Healthy);
}

#[test]
fn a_lone_gateway_is_judged_too() {
    let mut sim = Sim::new(&shop(1, |_| {}));
    sim.rate = 50;
    sim.run(Duration::from_secs(1));
    sim.fates[0] = Fate::Dead;
    sim.wait_for(0, Unhealthy, millis(100));
    assert!(!sim.tracker.view().is_isolated());
}

#[test]
fn all_down_and_back_again() {
    let mut sim = busy();
    sim.fates.fill(Fate::Dead);
    sim.wait(Duration::from_secs(1), |sim| {
        (0..3).all(|slot| sim.state(slot) == Unhealthy)
    });
    sim.run(Duration::from_secs(20));
    sim.fates.fill(Fate::Well(5));
    // Panic mode sends requests meanwhile. Nobody else is left, so that all are probed four times as often.
    sim.wait(millis(600), |sim| (1..3).all(|slot| sim.state(slot) == Degraded));
    sim.wait(Duration::from_secs(15), |sim| {
        (0..3).all(|slot| sim.state(slot) == Healthy)
    });
}

#[test]
fn a_replica_that_lost_its_own_network_says_so() {
    let mut sim = busy();
    assert!(!sim.tracker.view().is_isolated());
    sim.fates.fill(Fate::Gone);
    sim.wait(Duration::from_secs(2), |sim| sim.tracker.view().is_isolated());
    // One that refuses is there: the network is not the reason.
    sim.fates[2] = Fate::Dead;
    sim.wait(Duration::from_secs(1), |sim| !sim.tracker.view().is_isolated());
}
