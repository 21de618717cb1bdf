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

/// A region that gets its first requests when another one fails, and hangs too.
#[test]
fn a_region_that_hangs_from_its_first_request_on_is_ejected_before_its_probes_have_failed() {
    let mut sim = Sim::new(&shop(3, |_| {}));
    sim.rate = 0;
    sim.run(Duration::from_secs(5));
    sim.fates[0] = Fate::Hangs;
    sim.rate = 200;
    sim.wait_for(0, Unhealthy, millis(800));
    let (_, transition) = sim.log.last().expect("a transition");
    assert_eq!(transition.cause, Cause::Ejected(Fault::Stalled));

    let mut sim = Sim::new(&shop(3, |_| {}));
    sim.rate = 0;
    sim.run(Duration::from_secs(5));
    sim.fates[0] = Fate::Fooling;
    sim.rate = 200;
    sim.run(Duration::from_secs(4));
    assert_eq!(sim.state(0), Healthy, "its probes pass");
}

/// One second of answers, while another region answers each of these requests in 5 ms, 400 ms after it came.
fn overtaken(slot: usize) -> Sim {
    let mut sim = busy();
    sim.fates[slot] = Fate::Slow(1_000);
    sim
}

#[test]
fn a_slow_region_is_ejected_for_its_latency() {
    let mut sim = overtaken(0);
    let took = sim.wait_for(0, Unhealthy, millis(800));
    assert!(took > millis(400), "{took:?}");
    let (_, transition) = sim.log.last().expect("a transition");
    assert_eq!(transition.cause, Cause::Ejected(Fault::Latency));
    let why = sim.health(0).why;
    assert_eq!(why.cause, Some(Cause::Ejected(Fault::Latency)));
    assert_eq!(why.since, Some(sim.now()));
    assert_eq!(why.ejected_until, Some(sim.now() + Duration::from_secs(30)));
}

/// Five answers of 200 in 1.0 s ejected the nearest region.
#[test]
fn a_few_slow_answers_eject_no_region() {
    let mut sim = busy();
    sim.rate = 8;
    sim.run(Duration::from_secs(5));
    // Fewer than twenty requests in two seconds: all of them are overtaken, hundreds in a row.
    sim.fates[0] = Fate::Slow(1_000);
    sim.run(Duration::from_secs(60));
    assert_eq!(sim.state(0), Healthy);
    // Four in ten, of many.
    sim.rate = 200;
    sim.fates[0] = Fate::PartlySlow(40);
    sim.run(Duration::from_secs(20));
    assert_eq!(sim.state(0), Healthy);
    sim.fates[0] = Fate::PartlySlow(60);
    sim.wait_for(0, Unhealthy, Duration::from_secs(3));
    assert_eq!(
        sim.log.last().map(|it| it.1.cause),
        Some(Cause::Ejected(Fault::Latency))
    );
}

#[test]
fn the_last_region_is_not_ejected_for_its_latency() {
    let mut sim = busy();
    (sim.fates[0], sim.fates[1]) = (Fate::Dead, Fate::Dead);
    sim.wait(Duration::from_secs(1), |sim| {
        sim.state(0) == Unhealthy && sim.state(1) == Unhealthy
    });
    sim.fates[2] = Fate::Slow(1_000);
    sim.run(Duration::from_secs(10));
    assert_eq!(sim.state(2), Healthy);
}

#[test]
fn requests_that_are_never_answered_eject_a_region_that_answers_the_others() {
    let mut sim = busy();
    sim.fates[0] = Fate::Losing(10);
    let took = sim.wait_for(0, Unhealthy, millis(2_000));
    assert!(took > super::sim::UNANSWERED_AFTER, "{took:?}");
    assert_eq!(sim.log.last().map(|it| it.1.cause), Some(Cause::Ejected(Fault::Lost)));
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
    // The ceiling leaves one ejection; but one that answers no request is not needed while another gets traffic.
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
fn regions_that_answer_nothing_are_unresponsive() {
    for fate in [Fate::Hangs, Fate::Gone] {
        let mut sim = busy();
        assert!(sim.tracker.view().services()[0].unresponsive().is_empty());
        sim.fates.fill(fate);
        let took = sim.wait(millis(2_500), |sim| {
            sim.tracker.view().services()[0].unresponsive().len() == 3
        });
        assert!(took >= Duration::from_secs(1), "after a second: {took:?}");
        sim.fates[1] = Fate::Well(5);
        sim.wait(millis(500), |sim| {
            !sim.tracker.view().services()[0].unresponsive().contains(Slot(1))
        });
        assert!(sim.tracker.view().services()[0].unresponsive().contains(Slot(0)));
    }
}

#[test]
fn slow_regions_are_not_unresponsive_for_long() {
    // Their probes time out as well, so all are unhealthy; a request that is given up now and then must not keep them so.
    for (rate, time) in [(1, 1_200), (1, 4_000), (20, 1_200), (200, 2_500)] {
        let mut sim = Sim::new(&shop(2, |_| {}));
        sim.rate = rate;
        sim.run(Duration::from_secs(5));
        sim.fates.fill(Fate::Well(time));
        sim.run(Duration::from_secs(20));
        let before = sim.given_up;
        sim.run(Duration::from_secs(60));
        assert!((0..2).all(|slot| sim.state(slot) == Unhealthy), "{:#?}", sim.log);
        assert_eq!(sim.given_up, before, "{rate}/s, {time} ms");
        // When they hang in the end, they are unresponsive again: twice as long as an answer took after the last one.
        sim.fates.fill(Fate::Hangs);
        sim.wait(millis(3 * time) + Duration::from_secs(5), |sim| {
            sim.tracker.view().services()[0].unresponsive().len() == 2
        });
    }
}

#[test]
fn a_region_that_answers_badly_is_not_unresponsive() {
    for fate in [Fate::Sick, Fate::Fooling] {
        let mut sim = busy();
        sim.fates.fill(fate);
        sim.run(Duration::from_secs(20));
        assert!(sim.tracker.view().services()[0].unresponsive().is_empty(), "{fate:?}");
    }
}

#[test]
fn a_health_check_that_never_passed_makes_no_region_unresponsive() {
    // A wrong probe path that hangs, and slow gateways: requests must keep their full timeout.
    let mut sim = Sim::new(&shop(2, |_| {}));
    sim.fates.fill(Fate::Hangs);
    sim.run(Duration::from_secs(20));
    assert!((0..2).all(|slot| sim.state(slot) == Unhealthy));
    assert!(sim.tracker.view().services()[0].unresponsive().is_empty());
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
    // Panic mode sends requests meanwhile. No gateway is in rotation, so all are probed four times as often.
    sim.wait(millis(600), |sim| sim.state(2) == Warming);
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
    // A host that refuses connections is reachable: the network is not the cause.
    sim.fates[2] = Fate::Dead;
    sim.wait(Duration::from_secs(1), |sim| !sim.tracker.view().is_isolated());
}
