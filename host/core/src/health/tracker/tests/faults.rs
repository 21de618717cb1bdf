//! How soon a gateway with a fault is out: the failover bars, with everything configured by default.

use super::sim::*;
use crate::health::State::*;
use crate::health::outlier::Fault;
use crate::health::transition::Cause;
use crate::id::Slot;
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
        Some(Cause::Ejected(Fault::Unanswered))
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
    let causes: Vec<Cause> = sim.log.iter().skip(3).map(|it| it.1.cause).collect();
    // The ceiling leaves one ejection; but who answers nobody is not needed while another is there.
    assert_eq!(causes, [Cause::Ejected(Fault::ConnectBurst); 2]);
    assert_eq!(sim.state(2), Healthy);
}

#[test]
fn two_of_three_that_fail_are_not_both_ejected_by_traffic() {
    let mut sim = Sim::new(&shop(3, |parts| parts.health_check = None));
    sim.rate = 200;
    sim.run(Duration::from_secs(5));
    (sim.fates[0], sim.fates[1]) = (Fate::Sick, Fate::Sick);
    sim.run(Duration::from_secs(5));
    let out = (0..3).filter(|slot| sim.state(*slot) == Unhealthy).count();
    assert_eq!(out, 1, "bad answers are answers, and the ceiling holds for them");
}

#[test]
fn the_last_one_is_ejected_only_where_no_probes_watch_it() {
    for (probed, out) in [(true, 2), (false, 3)] {
        let mut sim = Sim::new(&shop(3, |parts| {
            parts.health_check = parts.health_check.take().filter(|_| probed);
        }));
        sim.rate = 200;
        sim.run(Duration::from_secs(5));
        sim.fates.fill(Fate::Dead);
        // Before probes have failed often enough.
        sim.run(millis(500));
        let ejected = (0..3).filter(|slot| sim.state(*slot) == Unhealthy).count();
        assert_eq!(ejected, out, "probed: {probed}");
    }
}

#[test]
fn regions_that_fall_silent_are_known_to_be_futile() {
    for fate in [Fate::Hangs, Fate::Gone] {
        let mut sim = busy();
        assert!(sim.tracker.view().services()[0].silent().is_empty());
        sim.fates.fill(fate);
        let took = sim.wait(millis(2_500), |sim| {
            sim.tracker.view().services()[0].silent().len() == 3
        });
        assert!(took >= Duration::from_secs(1), "a second of silence at least: {took:?}");
        sim.fates[1] = Fate::Well(5);
        sim.wait(millis(500), |sim| {
            !sim.tracker.view().services()[0].silent().contains(Slot(1))
        });
        assert!(sim.tracker.view().services()[0].silent().contains(Slot(0)));
    }
}

#[test]
fn bad_answers_are_not_silence() {
    for fate in [Fate::Sick, Fate::Fooling] {
        let mut sim = busy();
        sim.fates.fill(fate);
        sim.run(Duration::from_secs(20));
        assert!(sim.tracker.view().services()[0].silent().is_empty(), "{fate:?}");
    }
}

#[test]
fn a_probe_that_never_was_answered_says_nothing_of_silence() {
    // A wrong path that hangs, before gateways that take their time: requests must have the time they need.
    let mut sim = Sim::new(&shop(2, |_| {}));
    sim.fates.fill(Fate::Hangs);
    sim.run(Duration::from_secs(20));
    assert!((0..2).all(|slot| sim.state(slot) == Unhealthy));
    assert!(sim.tracker.view().services()[0].silent().is_empty());
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
    sim.wait(millis(600), |sim| sim.state(2) == Degraded);
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
