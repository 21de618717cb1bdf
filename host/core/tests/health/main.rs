//! What is true of the health tracker, whatever happens to it. A failing case prints its seed and is kept beside this
//! file.

#![allow(clippy::disallowed_methods, reason = "tests begin at some moment")]

mod model;

use model::Model;
use portolan_core::config::*;
use portolan_core::geo::Point;
use portolan_core::grpc::GrpcStatus;
use portolan_core::health::probing::{ProbeFailure, ProbeResult, Serving};
use portolan_core::health::tracker::{DueProbe, Tracker};
use portolan_core::health::traffic::Traffic;
use portolan_core::health::transition::Transition;
use portolan_core::health::{Evidence, GatewayHealth, HealthView, State};
use portolan_core::id::{GatewayId, ServiceId, Slot};
use portolan_core::route::Routes;
use portolan_core::tls::TlsFailure;
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// What happens to the gateways of a service. Slots are taken modulo their number.
#[derive(Clone, Debug)]
enum Event {
    Traffic(usize, Vec<(Evidence, u64)>, u32),
    /// The probe in flight ends, if there is one.
    Probe(usize, ProbeResult),
    Drain(usize),
    Undrain(usize),
    Nothing,
}

/// The world around a tracker: a clock, and the probes in flight.
struct World {
    tracker: Tracker,
    now: Instant,
    probes: Vec<DueProbe>,
    transitions: Vec<Transition>,
}

impl World {
    fn new(config: &Config) -> Self {
        Self::at(config, Instant::now())
    }

    fn at(config: &Config, now: Instant) -> Self {
        let mut world = Self {
            tracker: Tracker::new(config, 1, now),
            now,
            probes: Vec::new(),
            transitions: Vec::new(),
        };
        world.settle(|_, _| {});
        world
    }

    /// Lets time pass in the steps that the tracker asks for.
    fn pass(&mut self, time: Duration, mut each: impl FnMut(&Self, Instant)) {
        let end = self.now + time;
        while let Some(next) = self.tracker.poll_timeout().filter(|next| *next <= end) {
            self.now = next;
            self.settle(&mut each);
        }
        self.now = end;
        self.settle(each);
    }

    fn settle(&mut self, mut each: impl FnMut(&Self, Instant)) {
        self.tracker.handle_timeout(self.now);
        self.probes.extend(self.tracker.due_probes());
        self.transitions.extend(self.tracker.transitions());
        each(self, self.now);
    }

    /// Makes an event happen. Returns the probe that ended by it.
    fn happen(&mut self, event: &Event, gateways: usize) -> Option<DueProbe> {
        let mut ended = None;
        match event {
            Event::Traffic(slot, outcomes, in_flight) => {
                let traffic: Traffic = outcomes.iter().copied().collect();
                self.tracker
                    .observe(id(slot % gateways), &traffic.with_in_flight(*in_flight), self.now);
            }
            Event::Probe(slot, result) => {
                let index = self
                    .probes
                    .iter()
                    .position(|probe| probe.gateway == id(slot % gateways));
                ended = index.map(|index| self.probes.swap_remove(index));
                if let Some(probe) = &ended {
                    self.tracker.probe_finished(probe.ticket, *result, self.now);
                }
            }
            Event::Drain(slot) => assert_eq!(self.tracker.drain(&region(slot % gateways), self.now), 1),
            Event::Undrain(slot) => assert_eq!(self.tracker.undrain(&region(slot % gateways), self.now), 1),
            Event::Nothing => {}
        }
        ended
    }

    fn view(&self) -> Vec<GatewayHealth> {
        self.tracker.view().services()[0].gateways().to_vec()
    }
}

fn id(slot: usize) -> GatewayId {
    GatewayId {
        service: ServiceId(0),
        slot: Slot(slot as u8),
    }
}

fn region(slot: usize) -> portolan_core::id::RegionName {
    format!("region-{slot}").as_str().into()
}

fn gateway(index: usize) -> Gateway {
    Gateway::new(
        region(index),
        Point::new(0.0, 0.0).expect("on the globe"),
        GatewayAddress::http(Ipv4Addr::LOCALHOST, 9000 + index as u16),
    )
}

fn config(parts: ServiceParts) -> Config {
    let service = Service::new(parts).expect("1 to 64 gateways");
    Config::new(vec![service], Routes::new([]), None).expect("no routes")
}

fn seconds(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    (range.start() * 1000..=range.end() * 1000).prop_map(Duration::from_millis)
}

fn check() -> impl Strategy<Value = HealthCheck> {
    (1_u32..=3, 1_u32..=4, seconds(1..=5)).prop_map(|(healthy_threshold, unhealthy_threshold, interval)| HealthCheck {
        healthy_threshold,
        unhealthy_threshold,
        interval,
        ..HealthCheck::default()
    })
}

fn limits() -> impl Strategy<Value = OutlierDetection> {
    let counts = (1_u32..=6, 0_u8..=60, 1_u32..=50, 0_u8..=100, 0_u8..=60);
    (counts, seconds(1..=4), seconds(1..=30), seconds(1..=100)).prop_map(|(counts, window, base, max)| {
        OutlierDetection {
            consecutive_failures: counts.0,
            failure_percent: counts.1,
            min_requests: counts.2,
            max_ejection_percent: counts.3,
            window,
            overtaken_percent: counts.4,
            overtaken_min_requests: counts.2,
            base_ejection_time: base,
            max_ejection_time: max.max(base),
        }
    })
}

fn service(check: impl Strategy<Value = Option<HealthCheck>>) -> impl Strategy<Value = ServiceParts> {
    let slow_start = prop_oneof![Just(Duration::ZERO), seconds(1..=20)];
    (1_usize..=5, check, limits(), slow_start).prop_map(|(gateways, health_check, outlier_detection, slow_start)| {
        ServiceParts {
            health_check,
            outlier_detection,
            slow_start,
            ..ServiceParts::new("shop", (0..gateways).map(gateway).collect())
        }
    })
}

fn outcomes() -> impl Strategy<Value = Vec<(Evidence, u64)>> {
    let one = (
        prop::sample::select(Evidence::ALL.to_vec()),
        prop_oneof![1_u64..=3, 1_u64..=60],
    );
    prop::collection::vec(one, 0..=3)
}

fn result() -> impl Strategy<Value = ProbeResult> {
    let failures = vec![
        ProbeFailure::Unreachable,
        ProbeFailure::Refused,
        ProbeFailure::Broken,
        ProbeFailure::TimedOut,
        ProbeFailure::Status(503),
        ProbeFailure::Tls(TlsFailure::Expired),
        ProbeFailure::Grpc(GrpcStatus::Unavailable),
        ProbeFailure::NotServing(Serving::NotServing),
    ];
    prop_oneof![
        (1_u64..500).prop_map(|millis| Ok(Duration::from_millis(millis))),
        prop::sample::select(failures).prop_map(Err),
    ]
}

fn event(in_flight: impl Strategy<Value = u32>) -> impl Strategy<Value = Event> {
    let slot = 0_usize..5;
    prop_oneof![
        6 => (slot.clone(), outcomes(), in_flight).prop_map(|(slot, outcomes, in_flight)| Event::Traffic(slot, outcomes, in_flight)),
        6 => (slot.clone(), result()).prop_map(|(slot, result)| Event::Probe(slot, result)),
        1 => slot.clone().prop_map(Event::Drain),
        1 => slot.prop_map(Event::Undrain),
        1 => Just(Event::Nothing),
    ]
}

/// Events, each after some time. Mostly little, so that streaks come about.
fn events(in_flight: impl Strategy<Value = u32>) -> impl Strategy<Value = Vec<(Duration, Event)>> {
    let time = prop_oneof![
        4 => (0_u64..300).prop_map(Duration::from_millis),
        2 => (0_u64..5_000).prop_map(Duration::from_millis),
        1 => (0_u64..100_000).prop_map(Duration::from_millis),
    ];
    prop::collection::vec((time, event(in_flight)), 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn it_does_what_the_model_says(mut parts in service(prop::option::weighted(0.7, check())), events in events(Just(0))) {
        // Then overtaken and cancelled attempts change nothing.
        parts.outlier_detection.overtaken_percent = 0;
        let gateways = parts.gateways.len();
        let mut model = Model::new(&parts, Instant::now());
        let mut world = World::new(&config(parts));
        model.begin(world.now);
        for (time, event) in events {
            world.pass(time, |_, now| model.pass(now));
            let ended = world.happen(&event, gateways);
            match &event {
                Event::Traffic(slot, outcomes, _) => model.traffic(slot % gateways, outcomes, world.now),
                Event::Probe(slot, result) if ended.is_some() => model.probe(slot % gateways, result.is_ok(), world.now),
                Event::Drain(slot) => model.drain(slot % gateways, true, world.now),
                Event::Undrain(slot) => model.drain(slot % gateways, false, world.now),
                Event::Probe(..) | Event::Nothing => {}
            }
            world.settle(|_, now| model.pass(now));
            let view: Vec<_> = world.view().iter().map(|it| (it.state, it.share)).collect();
            prop_assert_eq!(view, model.view(), "after {:?}", event);
        }
    }

    #[test]
    fn time_moves_forward_and_every_gateway_has_one_probe_at_a_time(
        parts in service(check().prop_map(Some)),
        events in events(0_u32..10),
    ) {
        let gateways = parts.gateways.len();
        let mut world = World::new(&config(parts));
        for (time, event) in events {
            world.pass(time, |world, now| {
                assert!(world.tracker.poll_timeout().is_none_or(|next| next > now));
            });
            world.happen(&event, gateways);
            world.settle(|_, _| {});
            for slot in 0..gateways {
                let probes = world.probes.iter().filter(|probe| probe.gateway == id(slot)).count();
                prop_assert!(probes <= 1);
            }
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_views(
        parts in service(prop::option::weighted(0.7, check())),
        events in events(0_u32..10),
    ) {
        let (config, start) = (config(parts), Instant::now());
        let run = || -> Vec<HealthView> {
            let mut world = World::at(&config, start);
            let mut views = Vec::new();
            for (time, event) in &events {
                world.pass(*time, |_, _| {});
                world.happen(event, config.services()[0].gateways().len());
                views.push(world.tracker.view());
            }
            views
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn bad_answers_never_eject_more_than_the_ceiling(parts in service(Just(None)), events in events(0_u32..10)) {
        let gateways = parts.gateways.len();
        let ceiling = (gateways * usize::from(parts.outlier_detection.max_ejection_percent) / 100).max(1);
        let mut world = World::new(&config(parts));
        for (time, mut event) in events {
            if let Event::Traffic(_, outcomes, _) = &mut event {
                let failures = outcomes.iter_mut().filter(|outcome| outcome.0.is_failure());
                failures.for_each(|outcome| outcome.0 = Evidence::GatewayError);
            }
            world.pass(time, |_, _| {});
            world.happen(&event, gateways);
            let unhealthy = world.tracker.view().services()[0].unhealthy().len();
            prop_assert!(unhealthy <= ceiling);
        }
    }

    #[test]
    fn a_returning_gateway_only_gets_more_and_more(
        parts in service(prop::option::weighted(0.7, check())),
        events in events(0_u32..10),
    ) {
        let gateways = parts.gateways.len();
        let mut world = World::new(&config(parts));
        let mut before = world.view();
        for (time, event) in events {
            let mut check = |world: &World, _| {
                let view = world.view();
                for (then, now) in before.iter().zip(&view) {
                    let warming = then.state == State::Warming && now.state == State::Warming;
                    assert!(!warming || now.share >= then.share, "{then:?} {now:?}");
                    assert!((1..=1000).contains(&now.share));
                    assert!((now.share < 1000) == (now.state == State::Warming));
                }
                before = view;
            };
            world.pass(time, &mut check);
            world.happen(&event, gateways);
            world.settle(&mut check);
        }
    }

    #[test]
    fn every_state_change_is_a_transition(
        parts in service(prop::option::weighted(0.7, check())),
        events in events(0_u32..10),
    ) {
        let gateways = parts.gateways.len();
        let mut world = World::new(&config(parts));
        for (time, event) in events {
            world.pass(time, |_, _| {});
            world.happen(&event, gateways);
            world.settle(|_, _| {});
        }
        let mut reached = vec![State::Unknown; gateways];
        for transition in &world.transitions {
            let state = &mut reached[transition.gateway.slot.index()];
            prop_assert_eq!(*state, transition.from);
            prop_assert_ne!(transition.from, transition.to);
            *state = transition.to;
        }
        let states: Vec<State> = world.view().iter().map(|it| it.state).collect();
        prop_assert_eq!(reached, states);
    }

    #[test]
    fn below_the_thresholds_nothing_flaps(check in check(), results in prop::collection::vec(any::<bool>(), 1..200)) {
        let run = |wanted: bool, threshold: u32| {
            let results = results.iter().scan(0_u32, move |streak, result| {
                *streak = if *result == wanted { *streak + 1 } else { 0 };
                let cut = *streak >= threshold;
                *streak *= u32::from(!cut);
                Some(if cut { !wanted } else { *result })
            });
            results.collect::<Vec<bool>>()
        };
        let parts = ServiceParts {
            health_check: Some(check.clone()),
            ..ServiceParts::new("shop", vec![gateway(0)])
        };
        let probe = |world: &mut World, good: bool| {
            world.pass(Duration::from_secs(6), |_, _| {});
            let result = good.then_some(Duration::from_millis(1)).ok_or(ProbeFailure::Broken);
            assert!(world.happen(&Event::Probe(0, result), 1).is_some(), "a probe is in flight");
        };
        let mut world = World::new(&config(parts));
        probe(&mut world, true);
        for good in run(false, check.unhealthy_threshold) {
            probe(&mut world, good);
            prop_assert_eq!(world.view()[0].state, State::Healthy);
        }
        (0..check.unhealthy_threshold).for_each(|_| probe(&mut world, false));
        for good in run(true, check.healthy_threshold) {
            probe(&mut world, good);
            prop_assert_eq!(world.view()[0].state, State::Unhealthy);
        }
    }

    #[test]
    fn without_evidence_nothing_is_known(parts in service(Just(None)), times in prop::collection::vec(seconds(0..=100), 0..20)) {
        let mut world = World::new(&config(parts));
        for time in times {
            world.pass(time, |_, _| {});
            prop_assert!(world.view().iter().all(|it| *it == GatewayHealth::default()));
        }
    }
}
