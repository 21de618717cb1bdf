//! What a gateway that has recovered waits for: time, a check, an operator.

use super::sim::*;
use crate::config::{Config, Failback, Gate, GateCheck, GatewayAddress, Probe};
use crate::health::Awaited;
use crate::health::State::*;
use crate::health::kept::Progress;
use crate::health::probing::ProbeFailure;
use crate::health::transition::Cause;
use crate::slots::Slots;
use std::net::Ipv4Addr;
use std::time::Duration;

const HOLD: Duration = Duration::from_secs(30);

fn config(regions: usize, gate: Option<Gate>) -> Config {
    shop(regions, |parts| {
        parts.failback = Failback { hold_down: HOLD, gate };
    })
}

fn awaits(sim: &Sim) -> Option<Awaited> {
    sim.health(0).why.awaits.map(|(awaited, _)| awaited)
}

/// The first gateway fails and recovers: it waits for something.
fn recovered(regions: usize, gate: Option<Gate>) -> Sim {
    let mut sim = Sim::new(&config(regions, gate));
    sim.run(Duration::from_secs(3));
    sim.fates[0] = Fate::Dead;
    sim.wait_for(0, Unhealthy, Duration::from_secs(5));
    sim.fates[0] = Fate::Well(5);
    sim.wait(Duration::from_secs(60), |sim| awaits(sim).is_some());
    assert_eq!((sim.state(0), awaits(&sim)), (Unhealthy, Some(Awaited::HoldDown)));
    sim
}

fn last_resort(sim: &Sim) -> bool {
    sim.tracker.view().services()[0]
        .last_resort()
        .contains(crate::id::Slot(0))
}

#[test]
fn a_gateway_returns_after_its_hold_down_and_is_ramped() {
    let mut sim = recovered(3, None);
    assert!(last_resort(&sim), "if all others fail, it is tried");
    let waited = sim.wait_for(0, Warming, Duration::from_secs(60));
    assert!(waited >= HOLD && waited < HOLD + millis(200), "{waited:?}");
    assert_eq!(
        (sim.health(0).share, awaits(&sim), last_resort(&sim)),
        (100, None, false)
    );
    let causes: Vec<_> = sim
        .log
        .iter()
        .rev()
        .take(2)
        .map(|(_, it)| (it.from, it.to, it.cause))
        .collect();
    assert_eq!(
        causes,
        [
            (Unhealthy, Warming, Cause::FailedBack),
            (Unhealthy, Unhealthy, Cause::Held(Awaited::HoldDown))
        ]
    );
}

#[test]
fn one_failed_probe_begins_the_hold_down_anew() {
    let mut sim = recovered(3, None);
    sim.run(HOLD - Duration::from_secs(5));
    let probes = sim.probed.len();
    sim.fates[0] = Fate::Sick;
    // One of them is the first gateway's.
    sim.wait(Duration::from_secs(3), |sim| {
        sim.probed[probes..].iter().any(|it| it.1 == 0)
    });
    sim.fates[0] = Fate::Well(5);
    let waited = sim.wait_for(0, Warming, Duration::from_secs(120));
    assert!(waited >= HOLD - millis(100), "{waited:?}");
}

#[test]
fn a_gateway_that_fails_again_waits_for_its_probes_first() {
    let mut sim = recovered(3, None);
    sim.fates[0] = Fate::Dead;
    sim.wait(Duration::from_secs(10), |sim| awaits(sim).is_none());
    assert_eq!(sim.state(0), Unhealthy);
    sim.run(HOLD * 2);
    assert_eq!(sim.state(0), Unhealthy, "its probes fail");
}

#[test]
fn with_an_operator_it_returns_only_by_order_while_others_serve() {
    let mut sim = recovered(3, Some(Gate::Operator));
    sim.run(HOLD * 10);
    assert_eq!((sim.state(0), awaits(&sim)), (Unhealthy, Some(Awaited::Operator)));
    assert!(!last_resort(&sim), "failed requests are not tried there either");
    // All others are lost: the region that waits is better than none.
    for fate in &mut sim.fates[1..] {
        *fate = Fate::Dead;
    }
    sim.wait(Duration::from_secs(10), last_resort);
    for fate in &mut sim.fates[1..] {
        *fate = Fate::Well(5);
    }
    let now = sim.now();
    assert_eq!(sim.tracker.fail_back(&"nowhere".into(), now), 0, "it does not wait");
    let name = gateway(0).region;
    assert_eq!(sim.tracker.fail_back(&name, now), 1);
    sim.settle();
    assert_eq!((sim.state(0), awaits(&sim)), (Warming, None));
    assert_eq!(sim.tracker.fail_back(&name, now), 0, "it waits no more");
}

#[test]
fn a_check_opens_the_way_and_is_repeated_until_it_does() {
    let check = GateCheck {
        address: GatewayAddress::http(Ipv4Addr::LOCALHOST, 9100),
        path: "/failback/{region}?service={service}".into(),
        interval: Duration::from_secs(5),
    };
    let mut sim = recovered(3, Some(Gate::Check(Box::new(check))));
    sim.run(HOLD - Duration::from_secs(1));
    assert!(sim.tracker.due_checks().is_empty(), "its hold-down comes first");
    sim.wait(Duration::from_secs(3), |sim| {
        awaits(sim) == Some(Awaited::GateCheck(None))
    });
    let [due] = &sim.tracker.due_checks()[..] else {
        panic!("one check");
    };
    let Probe::Http(probe) = &due.probe else {
        panic!("{due:?}");
    };
    let name = gateway(0).region;
    assert_eq!(
        (due.address.port, probe.path.clone()),
        (9100, format!("/failback/{name}?service=shop"))
    );
    let now = sim.now();
    let failure = ProbeFailure::Status(503);
    sim.tracker.gate_checked(due.ticket, Err(failure), now);
    assert_eq!(awaits(&sim), Some(Awaited::GateCheck(Some(failure))));
    sim.settle();
    let why = sim.log.last().map(|(_, it)| it.cause);
    assert_eq!(why, Some(Cause::Held(Awaited::GateCheck(Some(failure)))));
    let begun = sim.elapsed();
    sim.run(Duration::from_secs(4));
    assert_eq!((sim.tracker.due_checks(), sim.state(0)), (Vec::new(), Unhealthy));
    sim.run(Duration::from_secs(2));
    let [again] = &sim.tracker.due_checks()[..] else {
        panic!("one more after {:?}", sim.elapsed() - begun);
    };
    let now = sim.now();
    sim.tracker.gate_checked(again.ticket, Ok(millis(5)), now);
    sim.settle();
    assert_eq!(sim.state(0), Warming);
}

#[test]
fn the_end_of_a_drain_and_the_only_gateway_left_wait_for_nothing() {
    let mut sim = recovered(3, Some(Gate::Operator));
    let (name, now) = (gateway(0).region, sim.now());
    sim.tracker.drain(&name, now);
    sim.tracker.undrain(&name, now);
    sim.settle();
    assert_eq!((sim.state(0), awaits(&sim)), (Warming, None));
    let alone = recovered(1, Some(Gate::Operator));
    let view = alone.tracker.view();
    assert_eq!(
        view.services()[0].last_resort(),
        Slots::first(1),
        "requests are answered"
    );
}

#[test]
fn a_configuration_without_failback_lets_it_return() {
    let mut sim = recovered(3, Some(Gate::Operator));
    let now = sim.now();
    sim.tracker.reconfigure(&shop(3, |_| {}), now);
    sim.settle();
    assert_eq!(sim.state(0), Warming);
}

/// Another process with this configuration, which knows what this one kept, as of a moment.
fn restarted(sim: &Sim, config: &Config) -> Sim {
    let kept = sim.tracker.kept(sim.now());
    let mut next = Sim::new(config);
    let now = next.now();
    next.tracker.resume(&kept, now);
    next.settle();
    next
}

#[test]
fn a_restart_does_not_shorten_the_hold_down_nor_begin_it_anew() {
    let mut sim = recovered(3, None);
    sim.run(Duration::from_secs(20));
    let mut next = restarted(&sim, &config(3, None));
    assert_eq!((next.state(0), awaits(&next)), (Unhealthy, Some(Awaited::HoldDown)));
    assert!(last_resort(&next) && next.state(1) != Unhealthy);
    let waited = next.wait_for(0, Warming, Duration::from_secs(60));
    let left = HOLD - Duration::from_secs(20);
    assert!(waited <= left && waited + millis(500) > left, "{waited:?}");
    let mut next = restarted(&sim, &config(3, Some(Gate::Operator)));
    next.run(HOLD * 10);
    assert_eq!(awaits(&next), Some(Awaited::Operator), "the gate is still closed");
    let next = restarted(&sim, &shop(3, |_| {}));
    assert_ne!(next.state(0), Unhealthy, "nothing is waited for by now");
}

#[test]
fn a_region_that_fails_while_nobody_looks_waits_for_all_of_its_hold_down() {
    let mut sim = recovered(3, None);
    sim.run(HOLD / 2);
    let mut next = restarted(&sim, &config(3, None));
    next.fates[0] = Fate::Dead;
    next.wait(Duration::from_secs(10), |sim| awaits(sim).is_none());
    next.fates[0] = Fate::Well(5);
    let waited = next.wait_for(0, Warming, Duration::from_secs(120));
    assert!(waited >= HOLD, "{waited:?}");
}

#[test]
fn a_region_that_recovers_during_a_restart_waits_too() {
    let mut sim = Sim::new(&config(3, None));
    sim.run(Duration::from_secs(3));
    sim.fates[0] = Fate::Dead;
    sim.wait_for(0, Unhealthy, Duration::from_secs(5));
    let kept = sim.tracker.kept(sim.now());
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].progress, Progress::Unhealthy);
    let mut next = restarted(&sim, &config(3, None));
    let waited = next.wait_for(0, Warming, Duration::from_secs(60));
    assert!(waited >= HOLD && waited < HOLD + Duration::from_secs(1), "{waited:?}");
    // Drained, or without a failback: nothing is kept.
    let (name, now) = (gateway(0).region, sim.now());
    sim.tracker.drain(&name, now);
    assert_eq!(sim.tracker.kept(now), []);
    sim.tracker.reconfigure(&shop(3, |_| {}), now);
    sim.tracker.undrain(&name, now);
    assert_eq!(sim.tracker.kept(now), []);
}

#[test]
fn a_slow_start_goes_on_where_it_was() {
    let mut sim = recovered(3, None);
    sim.wait_for(0, Warming, Duration::from_secs(60));
    sim.run(Duration::from_secs(4));
    let share = sim.health(0).share;
    assert!((300..=600).contains(&share), "{share}");
    let mut next = restarted(&sim, &config(3, None));
    assert_eq!((next.state(0), next.health(0).share), (Warming, share));
    let waited = next.wait_for(0, Healthy, Duration::from_secs(20));
    assert!(waited < Duration::from_secs(7), "{waited:?}");
    assert_eq!(next.tracker.kept(next.now()), []);
}
