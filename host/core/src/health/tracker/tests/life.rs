//! The life of a gateway, step by step: unknown, healthy, out, on probation, back; drained; reloaded.

use super::sim::*;
use crate::config::{Config, GatewayAddress, HealthCheck, OutlierDetection, Policy, ServiceParts};
use crate::health::State::*;
use crate::health::{GatewayHealth, State};
use std::time::Duration;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The share of slot 0 whenever it changes, with the time since it began to warm.
fn slow_start(sim: &mut Sim) -> Vec<(Duration, u16)> {
    let begin = sim.elapsed();
    let mut shares = vec![(Duration::ZERO, sim.health(0).share)];
    while sim.state(0) == Warming {
        let share = sim.health(0).share;
        sim.wait(seconds(20), |sim| sim.health(0).share != share);
        shares.push((sim.elapsed() - begin, sim.health(0).share));
    }
    shares
}

fn states(sim: &Sim, slot: u8) -> Vec<State> {
    let of = sim.log.iter().filter(|(_, it)| it.gateway.slot.0 == slot);
    of.map(|(_, it)| it.to).collect()
}

#[test]
fn unknown_until_the_first_evidence() {
    let mut sim = Sim::new(&shop(2, |parts| parts.health_check = None));
    assert_eq!(sim.health(0), GatewayHealth::default());
    sim.run(seconds(100));
    assert_eq!(sim.state(0), Unknown);
    sim.rate = 1;
    sim.wait_for(0, Healthy, seconds(1));
}

#[test]
fn failures_below_the_threshold_change_nothing() {
    let mut sim = Sim::new(&shop(1, |_| {}));
    sim.fates[0] = Fate::Dead;
    sim.run(millis(400));
    assert_eq!((sim.probed.len(), sim.state(0)), (2, Unknown));
    sim.wait_for(0, Unhealthy, millis(300));
}

#[test]
fn a_suspected_gateway_is_probed_at_once_and_more_often() {
    let mut sim = Sim::new(&shop(1, |_| {}));
    sim.run(seconds(10));
    let usual = sim.probed.len();
    assert!((9..=12).contains(&usual), "{usual}");
    sim.fates[0] = Fate::Dead;
    let before = sim.probed.len();
    sim.wait_for(0, Unhealthy, seconds(2));
    let times: Vec<Duration> = sim.probed[before..].iter().map(|it| it.0).collect();
    assert!(
        times.windows(2).all(|pair| pair[1] - pair[0] < millis(300)),
        "{times:?}"
    );
}

#[test]
fn out_by_probes_and_back_in_steps() {
    let mut sim = Sim::new(&shop(1, |_| {}));
    sim.run(seconds(3));
    sim.fates[0] = Fate::Sick;
    sim.wait_for(0, Unhealthy, seconds(3));
    sim.run(seconds(60));
    assert_eq!(sim.state(0), Unhealthy);
    sim.fates[0] = Fate::Well(5);
    sim.wait_for(0, Warming, millis(1_400));
    let shares = slow_start(&mut sim);
    let expected: Vec<u16> = (1..=10).map(|step| step * 100).collect();
    assert_eq!(shares.iter().map(|it| it.1).collect::<Vec<_>>(), expected);
    assert_eq!(shares.last().map(|it| it.0.as_millis()), Some(10_000));
    assert_eq!(states(&sim, 0), [Healthy, Unhealthy, Warming, Healthy]);
}

#[test]
fn without_slow_start_it_is_back_at_once() {
    let mut sim = Sim::new(&shop(1, |parts| parts.slow_start = Duration::ZERO));
    sim.run(seconds(3));
    sim.fates[0] = Fate::Sick;
    sim.wait_for(0, Unhealthy, seconds(3));
    sim.fates[0] = Fate::Well(5);
    sim.wait_for(0, Healthy, millis(1_400));
    assert_eq!(states(&sim, 0), [Healthy, Unhealthy, Healthy]);
}

#[test]
fn ejections_that_probes_do_not_see_grow_and_last_half_their_time_while_probes_pass() {
    let mut sim = Sim::new(&shop(3, |_| {}));
    sim.rate = 40;
    for expected in [30, 60, 120, 240, 300, 300] {
        sim.fates[0] = Fate::Partly(50);
        sim.wait_for(0, Unhealthy, seconds(2));
        sim.fates[0] = Fate::Well(5);
        let out = sim.wait(seconds(400), |sim| sim.state(0) == Warming);
        // Until the first probe passes, time runs as usual.
        assert!(
            out >= seconds(expected) / 2 && out <= seconds(expected) / 2 + seconds(1),
            "{out:?}"
        );
        sim.wait_for(0, Healthy, seconds(10));
    }
    // Every half minute in good health takes one off. It was in for ten seconds already.
    sim.run(seconds(170));
    sim.fates[0] = Fate::Partly(50);
    sim.wait_for(0, Unhealthy, seconds(2));
    let out = sim.wait_for(0, Warming, seconds(400));
    assert!(out >= seconds(15) && out <= seconds(16), "{out:?}");
}

#[test]
fn a_killed_gateway_returns_as_soon_as_probes_trust_it() {
    let mut sim = Sim::new(&shop(3, |_| {}));
    sim.rate = 200;
    // Each time it has to prove itself twice as long as before.
    for passes in [4, 8, 16] {
        sim.fates[0] = Fate::Dead;
        sim.wait_for(0, Unhealthy, seconds(1));
        sim.run(seconds(2));
        sim.fates[0] = Fate::Well(5);
        let before = sim.probed.len();
        let took = sim.wait_for(0, Warming, seconds(29));
        let probes = sim.probed[before..].iter().filter(|(_, slot)| *slot == 0).count();
        assert_eq!(probes, passes, "{took:?}");
        sim.wait_for(0, Healthy, seconds(10));
    }
}

#[test]
fn probes_that_saw_a_fault_also_see_its_end() {
    let mut sim = Sim::new(&shop(3, |_| {}));
    sim.rate = 200;
    sim.run(seconds(1));
    sim.fates[0] = Fate::Sick;
    sim.wait_for(0, Unhealthy, millis(100));
    sim.run(seconds(5));
    sim.fates[0] = Fate::Well(5);
    sim.wait_for(0, Warming, seconds(5));
}

#[test]
fn without_probes_only_time_brings_it_back() {
    let mut sim = Sim::new(&shop(3, |parts| parts.health_check = None));
    sim.rate = 200;
    sim.run(seconds(1));
    sim.fates[0] = Fate::Dead;
    sim.wait_for(0, Unhealthy, millis(100));
    sim.fates[0] = Fate::Well(5);
    assert_eq!(sim.wait_for(0, Warming, seconds(40)), seconds(30));
}

#[test]
fn a_gateway_still_sick_when_its_time_is_over_stays_out() {
    let mut sim = Sim::new(&shop(3, |_| {}));
    sim.rate = 200;
    sim.run(seconds(1));
    sim.fates[0] = Fate::Dead;
    sim.wait_for(0, Unhealthy, millis(100));
    sim.run(seconds(200));
    assert_eq!(states(&sim, 0), [Healthy, Unhealthy]);
    // Its ejection is over and no longer counts against the limit: only probes keep it unhealthy.
    sim.fates[1] = Fate::Partly(50);
    sim.wait_for(1, Unhealthy, seconds(2));
    sim.fates[0] = Fate::Well(5);
    sim.wait_for(0, Warming, millis(1_400));
}

#[test]
fn single_failed_probes_change_nothing() {
    let mut sim = Sim::new(&shop(1, |_| {}));
    sim.run(seconds(1));
    for _ in 0..50 {
        for fate in [Fate::Dead, Fate::Dead, Fate::Well(5)] {
            sim.fates[0] = fate;
            let before = sim.probed.len();
            sim.wait(seconds(2), |sim| sim.probed.len() > before);
        }
    }
    assert_eq!(states(&sim, 0), [Healthy]);
}

#[test]
fn an_operator_drains_a_region_everywhere_and_puts_it_back() {
    let config = config([
        ServiceParts::new("shop", vec![gateway(0), gateway(1)]),
        ServiceParts::new("api", vec![gateway(0)]),
    ]);
    let mut sim = Sim::new(&config);
    sim.run(seconds(2));
    let (region, now) = ("region-0".into(), sim.now());
    assert_eq!(sim.tracker.drain(&region, now), 2);
    assert_eq!(sim.tracker.drain(&"nowhere".into(), now), 0);
    let view = sim.tracker.view();
    assert!(
        view.services()
            .iter()
            .all(|service| service.gateways()[0].state == Draining)
    );
    assert_eq!(sim.state(1), Healthy);
    sim.run(seconds(100));
    assert_eq!(sim.state(0), Draining);
    // Also after a reload, and for services that are new.
    let now = sim.now();
    let more = self::config([
        ServiceParts::new("shop", vec![gateway(0), gateway(1)]),
        ServiceParts::new("late", vec![gateway(0)]),
    ]);
    sim.tracker.reconfigure(&more, now);
    let view = sim.tracker.view();
    assert!(
        view.services()
            .iter()
            .all(|service| service.gateways()[0].state == Draining)
    );
    assert_eq!(sim.tracker.undrain(&region, now), 2);
    assert_eq!((sim.state(0), sim.health(0).share), (Warming, 100));
    sim.wait_for(0, Healthy, seconds(10));
    assert!(sim.tracker.drained().is_empty());
}

fn moved(config: impl FnOnce(&mut ServiceParts)) -> Config {
    shop(3, config)
}

#[test]
fn what_is_known_outlives_a_reload() {
    let mut sim = Sim::new(&shop(3, |_| {}));
    sim.rate = 200;
    sim.run(seconds(1));
    sim.fates[0] = Fate::Dead;
    sim.wait_for(0, Unhealthy, millis(100));
    let now = sim.now();
    // The order of regions changes, one gateway moves, one is new.
    let other = moved(|parts| {
        parts.gateways.reverse();
        parts.gateways[0].address = GatewayAddress {
            port: 1,
            ..parts.gateways[0].address.clone()
        };
        parts.gateways.push(gateway(3));
    });
    sim.tracker.reconfigure(&other, now);
    let view = sim.tracker.view();
    let states: Vec<State> = view.services()[0].gateways().iter().map(|it| it.state).collect();
    assert_eq!(states, [Unknown, Healthy, Unhealthy, Unknown]);
}

#[test]
fn a_reload_while_a_probe_is_in_flight_loses_neither() {
    let mut sim = Sim::new(&shop(3, |_| {}));
    sim.fates[0] = Fate::Well(400);
    sim.run(millis(100));
    let now = sim.now();
    sim.tracker.reconfigure(&shop(3, |_| {}), now);
    sim.wait_for(0, Healthy, millis(400));
    let before = sim.probed.len();
    sim.wait(seconds(2), |sim| sim.probed[before..].iter().any(|it| it.1 == 0));
}

#[test]
fn a_reload_without_probes_forgets_what_they_said() {
    let mut sim = Sim::new(&shop(2, |_| {}));
    sim.fates[0] = Fate::Dead;
    sim.wait_for(0, Unhealthy, seconds(2));
    let now = sim.now();
    sim.tracker
        .reconfigure(&shop(2, |parts| parts.health_check = None), now);
    assert_eq!(sim.state(0), Warming);
    let before = sim.probed.len();
    sim.run(seconds(20));
    assert_eq!((sim.probed.len(), sim.state(0)), (before, Unknown));
    let now = sim.now();
    sim.tracker.reconfigure(&shop(2, |_| {}), now);
    sim.wait_for(0, Unhealthy, seconds(1));
}

#[test]
fn a_longer_slow_start_takes_nothing_back() {
    let mut sim = Sim::new(&shop(1, |_| {}));
    sim.fates[0] = Fate::Dead;
    sim.wait_for(0, Unhealthy, seconds(2));
    sim.fates[0] = Fate::Well(5);
    sim.wait(seconds(10), |sim| sim.health(0).share == 500);
    let now = sim.now();
    sim.tracker
        .reconfigure(&shop(1, |parts| parts.slow_start = seconds(90)), now);
    sim.run(seconds(1));
    assert_eq!(sim.health(0).share, 500);
    sim.run(seconds(39));
    assert_eq!(sim.health(0).share, 500);
    sim.wait(seconds(10), |sim| sim.health(0).share == 600);
}

#[test]
fn a_reload_keeps_the_ceiling_on_ejections() {
    let sensitive = |parts: &mut ServiceParts| {
        parts.health_check = None;
        parts.outlier_detection = OutlierDetection {
            max_ejection_percent: 100,
            ..OutlierDetection::default()
        };
    };
    let mut sim = Sim::new(&shop(4, sensitive));
    sim.rate = 100;
    for slot in 0..3 {
        sim.fates[slot] = Fate::Sick;
        sim.wait_for(slot, Unhealthy, seconds(1));
    }
    let now = sim.now();
    sim.tracker
        .reconfigure(&shop(4, |parts| parts.health_check = None), now);
    let states: Vec<State> = (0..4).map(|slot| sim.state(slot)).collect();
    assert_eq!(states, [Warming, Unhealthy, Unhealthy, Healthy]);
}

#[test]
fn a_view_is_new_only_when_something_changed() {
    let mut sim = Sim::new(&shop(2, |parts| parts.policy = Policy::Plugin("routing".into())));
    sim.run(seconds(1));
    let first = sim.tracker.changed_view().expect("the first view");
    assert_eq!(first, sim.tracker.view());
    sim.fates[0] = Fate::Well(6);
    sim.run(seconds(20));
    assert_eq!(sim.tracker.changed_view(), None);
    // Single slow probes, as on an idle machine that is woken for them.
    for _ in 0..5 {
        sim.fates[0] = Fate::Well(30);
        sim.run(seconds(1));
        sim.fates[0] = Fate::Well(5);
        sim.run(seconds(6));
    }
    assert_eq!(sim.tracker.changed_view(), None);
    sim.fates[0] = Fate::Well(80);
    sim.run(seconds(6));
    let second = sim.tracker.changed_view().expect("a longer round trip");
    assert_eq!(second.gateway(id(0)).round_trip, Some(millis(80)));
}

#[test]
fn round_trips_make_no_new_view_where_no_plugin_is_given_them() {
    let mut sim = Sim::new(&shop(2, |_| {}));
    sim.run(seconds(2));
    let view = sim.tracker.changed_view().expect("the first view");
    assert_eq!(view.gateway(id(0)).round_trip, None);
    sim.fates[0] = Fate::Well(80);
    sim.run(seconds(20));
    assert_eq!(sim.tracker.changed_view(), None);
}

#[test]
fn absurd_durations_do_not_overflow() {
    let forever = Duration::MAX;
    let absurd = shop(2, |parts| {
        parts.slow_start = forever;
        parts.health_check = Some(HealthCheck {
            interval: forever,
            timeout: forever,
            ..HealthCheck::default()
        });
        parts.outlier_detection = OutlierDetection {
            window: forever,
            base_ejection_time: forever,
            max_ejection_time: forever,
            ..OutlierDetection::default()
        };
    });
    let mut sim = Sim::new(&absurd);
    sim.rate = 100;
    sim.run(seconds(1));
    sim.fates.fill(Fate::Dead);
    sim.run(seconds(1));
    assert!(sim.log.iter().any(|it| it.1.to == Unhealthy));
}
