//! What is true of every decision, whatever the input. A failing case prints its seed and is kept beside this file.

#![allow(clippy::disallowed_methods, reason = "tests begin at some moment")]

mod learned;

use portolan_core::admission::{Overload, Priority};
use portolan_core::budget::RetryBudget;
use portolan_core::candidates::{self, Candidates};
use portolan_core::chart::Chart;
use portolan_core::config::*;
use portolan_core::geo::{Country, Place, PlaceId, Point};
use portolan_core::grpc::GrpcStatus;
use portolan_core::health::{GatewayHealth, ServiceHealth, State};
use portolan_core::id::Slot;
use portolan_core::plan::{AttemptPlan, GaveUp, Outcome, Verdict};
use portolan_core::proximity::RoundTrips;
use portolan_core::rank::{self, Proposal, Ranking};
use portolan_core::route::PrefixRewrite;
use portolan_core::slots::Slots;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

fn gateway(index: usize, point: Point, priority: u8, weight: u32) -> Gateway {
    Gateway {
        priority,
        weight,
        ..Gateway::new(
            format!("region-{index}").as_str().into(),
            point,
            GatewayAddress::http(Ipv4Addr::LOCALHOST, 9000 + index as u16),
        )
    }
}

fn service(gateways: Vec<Gateway>, policy: Policy, residency: Vec<Residency>) -> Service {
    let parts = ServiceParts {
        policy,
        residency,
        ..ServiceParts::new("shop", gateways)
    };
    Service::new(parts).expect("1 to 64 gateways")
}

fn point() -> impl Strategy<Value = Point> {
    (-90.0_f32..=90.0, -180.0_f32..=180.0).prop_map(|(lat, lon)| Point::new(lat, lon).expect("on the globe"))
}

fn health() -> impl Strategy<Value = GatewayHealth> {
    let states = vec![
        State::Unknown,
        State::Healthy,
        State::Warming,
        State::Unhealthy,
        State::Draining,
    ];
    (prop::sample::select(states), prop_oneof![Just(1000_u16), 0_u16..=1000]).prop_map(|(state, share)| GatewayHealth {
        state,
        share,
        ..GatewayHealth::default()
    })
}

prop_compose! {
    fn gateways()(parts in prop::collection::vec((point(), 0_u8..3, 0_u32..5), 1..12)) -> Vec<Gateway> {
        parts.into_iter().enumerate().map(|(index, (at, priority, weight))| gateway(index, at, priority, weight)).collect()
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    prop::sample::select(vec![
        Policy::Latency,
        Policy::Distance,
        Policy::Priority,
        Policy::Weighted,
        Policy::Plugin("canary".into()),
    ])
}

/// Everything a decision is made of.
#[derive(Debug, Clone)]
struct Case {
    service: Service,
    health: ServiceHealth,
    row: Vec<Slot>,
    candidates: Candidates,
    roll: u64,
}

prop_compose! {
    fn case()(
        gateways in gateways(),
        policy in policy(),
        states in prop::collection::vec(health(), 12),
        client in point(),
        full in any::<u16>(),
        rule in any::<u16>(),
        ruled in any::<bool>(),
        passing in any::<u16>(),
        roll in any::<u64>(),
    ) -> Case {
        let count = gateways.len();
        let chosen = |bits: u16| (0..count as u8).filter(|slot| bits & (1 << slot) != 0).map(Slot).collect::<Slots>();
        let country = Country::parse("DE").expect("two letters");
        let residency = vec![Residency { countries: vec![country], regions: chosen(rule) }];
        let service = service(gateways, policy, if ruled { residency } else { Vec::new() });
        let health = ServiceHealth::new(states[..count].to_vec());
        let last_resort = chosen(passing) & health.unhealthy();
        let health = health.with_last_resort(last_resort);
        let place = Place { point: Some(client), country, ..Place::default() };
        let chart = Chart::draw(&service, &[Place::default(), place], None, &RoundTrips::default());
        let row = chart.row(PlaceId(1)).to_vec();
        let candidates = candidates::gather(&service, &health, country, chosen(full));
        Case { service, health, row, candidates, roll }
    }
}

fn ranked(case: &Case) -> Ranking {
    rank::native(&case.service, &case.row, &case.candidates, &case.health, case.roll)
}

fn priority() -> impl Strategy<Value = Priority> {
    prop::sample::select(Priority::ALL.to_vec())
}

/// A path of few and short segments, so that paths are often below each other.
fn path() -> impl Strategy<Value = String> {
    "(/[ab]{1,2}){0,3}/?".prop_map(|path| if path.is_empty() { "/".into() } else { path })
}

proptest! {
    /// More load never admits what less load sheds, and a higher priority is never shed before a lower one.
    #[test]
    fn shedding_is_monotone_in_load_and_priority(
        limit in 1_u32..,
        (priority, other) in (priority(), priority()),
        (load, more) in (any::<u32>(), any::<u32>()),
    ) {
        let overload = Overload::new(limit);
        let is_shed = |priority, load: u32| overload.admit(priority, load).is_err();
        let (low, high) = (priority.min(other), priority.max(other));
        for load in [load, load % limit, limit - 1, limit] {
            prop_assert!(!is_shed(low, load) || is_shed(low, load.saturating_add(more)));
            prop_assert!(!is_shed(high, load) || is_shed(low, load));
        }
        // The first request is admitted, none beyond the limit, and all of it is for high priority.
        prop_assert!(!is_shed(low, 0) && is_shed(high, limit) && !is_shed(Priority::High, limit - 1));
    }

    /// What a route rewrites is restored, unless it may be the clients' path already.
    #[test]
    fn a_rewritten_path_is_restored(from in path(), to in path(), rest in "(/[ab]{1,2}){0,2}(\\?x)?") {
        let prefix = PrefixRewrite { from: &from, to: &to };
        let asked = match from.strip_suffix('/') {
            Some(bare) => format!("{bare}/{}", rest.trim_start_matches('/')),
            None => format!("{from}{rest}"),
        };
        let seen = prefix.rewritten(&asked).expect("the route is for it");
        prop_assert!(seen.starts_with('/'), "{}", seen);
        match prefix.restored(seen.as_bytes()) {
            Some(restored) => {
                let restored = String::from_utf8(restored).expect("text");
                // A slash at the end of the prefix alone is all that may differ.
                let bare = |path: &str| path.replacen("/?", "?", 1).trim_end_matches('/').to_owned();
                prop_assert_eq!(bare(&restored), bare(&asked), "as {}", seen);
            }
            // It is below both prefixes, and that of clients below that of gateways.
            None => {
                let bare = |prefix: &str| prefix.trim_end_matches('/').to_owned();
                prop_assert!(from.starts_with(&bare(&to)) && seen.starts_with(&bare(&from)), "{}", seen);
            }
        }
    }

    #[test]
    fn a_ranking_holds_every_eligible_region_once_and_then_the_last_resort(case in case()) {
        let ranking = ranked(&case);
        let (first, last) = ranking.order().split_at(case.candidates.eligible.len());
        prop_assert_eq!(first.iter().copied().collect::<Slots>(), case.candidates.eligible);
        prop_assert_eq!(last.iter().copied().collect::<Slots>(), case.candidates.last_resort);
        prop_assert_eq!(last.len(), case.candidates.last_resort.len());
        prop_assert_eq!(ranking.last_resort(), case.candidates.last_resort);
    }

    #[test]
    fn the_last_resort_is_unhealthy_and_otherwise_allowed(case in case()) {
        let Candidates { eligible, last_resort, forbidden, draining, full, .. } = case.candidates;
        prop_assert!((last_resort & (eligible | forbidden | draining | full)).is_empty());
        prop_assert!((last_resort - case.health.unhealthy()).is_empty());
        let open = case.service.slots() - forbidden - draining;
        if !(open - case.health.unhealthy()).is_empty() {
            prop_assert!((last_resort - case.health.last_resort()).is_empty());
        }
    }

    #[test]
    fn every_region_is_eligible_or_has_a_reason(case in case()) {
        for slot in case.service.slots().iter() {
            let eligible = (case.candidates.eligible | case.candidates.last_resort).contains(slot);
            prop_assert_eq!(eligible, case.candidates.exclusion(slot).is_none());
        }
        prop_assert_eq!(case.candidates.unavailable().is_none(), !case.candidates.eligible.is_empty());
    }

    #[test]
    fn constraints_come_before_preference(case in case()) {
        let eligible = case.candidates.eligible;
        prop_assert!((eligible & case.candidates.forbidden).is_empty());
        prop_assert!((eligible & case.health.draining()).is_empty());
        prop_assert!((eligible & case.candidates.full).is_empty());
        let unhealthy = eligible & case.health.unhealthy();
        prop_assert!(case.candidates.panic || (unhealthy - case.health.last_resort()).is_empty());
    }

    #[test]
    fn the_same_input_gives_the_same_ranking(case in case()) {
        prop_assert_eq!(ranked(&case), ranked(&case.clone()));
    }

    #[test]
    fn a_lower_priority_number_comes_first(mut case in case()) {
        case.health = ServiceHealth::unknown(case.service.gateways().len());
        let ranking = ranked(&case);
        let first = ranking.first().and_then(|slot| case.service.gateway(slot)).map(|gateway| gateway.priority);
        let lowest = case.candidates.eligible.iter().filter_map(|slot| case.service.gateway(slot)).map(|it| it.priority).min();
        prop_assert_eq!(first, lowest);
    }

    #[test]
    fn the_nearest_healthy_region_wins_among_equals(points in prop::collection::vec(point(), 1..12), client in point(), down in any::<u16>()) {
        let gateways = points.iter().enumerate().map(|(index, at)| gateway(index, *at, 0, 1)).collect();
        let service = service(gateways, Policy::Distance, Vec::new());
        let states = (0..points.len()).map(|slot| GatewayHealth {
            state: if down & (1 << slot) == 0 { State::Healthy } else { State::Unhealthy },
            ..GatewayHealth::default()
        });
        let health = ServiceHealth::new(states.collect());
        let place = Place { point: Some(client), ..Place::default() };
        let chart = Chart::draw(&service, &[Place::default(), place], None, &RoundTrips::default());
        let candidates = candidates::gather(&service, &health, Country::UNKNOWN, Slots::EMPTY);
        let ranking = rank::native(&service, chart.row(PlaceId(1)), &candidates, &health, 0);
        let chosen = points[ranking.first().expect("panic mode leaves a region").index()].distance_km(client);
        let nearest = candidates.eligible.iter().map(|slot| points[slot.index()].distance_km(client)).fold(f64::INFINITY, f64::min);
        prop_assert!(chosen <= nearest);
    }

    #[test]
    fn another_region_never_makes_the_first_choice_farther(points in prop::collection::vec(point(), 1..11), more in point(), client in point()) {
        let nearest = |points: &[Point]| {
            let gateways = points.iter().enumerate().map(|(index, at)| gateway(index, *at, 0, 1)).collect();
            let service = service(gateways, Policy::Distance, Vec::new());
            let place = Place { point: Some(client), ..Place::default() };
            let chart = Chart::draw(&service, &[place], None, &RoundTrips::default());
            points[chart.row(PlaceId(0))[0].index()].distance_km(client)
        };
        let before = nearest(&points);
        let after = nearest(&[&points[..], &[more]].concat());
        prop_assert!(after <= before);
    }

    #[test]
    fn a_plugin_cannot_reach_past_the_constraints(case in case(), order in prop::collection::vec(any::<u8>(), 0..100), small in prop::collection::vec(0_u8..12, 0..12), only in any::<bool>()) {
        let native = ranked(&case);
        for order in [order, small] {
            let Some(checked) = rank::checked(Proposal { order: &order, only }, &native) else { continue };
            let unique: BTreeSet<Slot> = checked.ranking.order().iter().copied().collect();
            prop_assert_eq!(unique.len(), checked.ranking.order().len());
            let candidates = case.candidates.eligible | case.candidates.last_resort;
            prop_assert!(unique.iter().all(|slot| candidates.contains(*slot)));
            prop_assert!(only || checked.ranking.order().len() == native.order().len());
            // As it named them, then the others in the native order, and last of all those that are to be spared.
            let is_empty = order.is_empty();
            let named = order.into_iter().map(Slot);
            let mut expected: Vec<Slot> = Vec::new();
            let mut append = |slot| if case.candidates.eligible.contains(slot) && !expected.contains(&slot) { expected.push(slot) };
            named.for_each(&mut append);
            if !only || is_empty {
                native.order().iter().copied().for_each(&mut append);
            }
            let (spared, first): (Vec<Slot>, Vec<Slot>) = expected.iter().partition(|slot| native.held_back().contains(**slot));
            let all = !only || is_empty;
            let last = native.order().iter().copied().filter(|slot| all && native.last_resort().contains(*slot));
            prop_assert_eq!(checked.ranking.order(), [first, spared, last.collect()].concat());
        }
    }

    #[test]
    fn a_request_that_may_have_arrived_is_repeated_only_if_idempotent(
        case in case(),
        outcomes in prop::collection::vec((outcome(), any::<bool>()), 1..20),
        post in any::<bool>(),
    ) {
        let start = Instant::now();
        let method = if post { http::Method::POST } else { http::Method::GET };
        let retry = &case.service.retry;
        let mut plan = AttemptPlan::new(ranked(&case), retry, &case.service.timeouts, &method, start);
        let mut budget = RetryBudget::new(Budget { percent: 0, min_per_second: 100 }, start);
        let mut tried: Vec<Slot> = plan.begin().into_iter().collect();
        for (outcome, replayable) in outcomes {
            match plan.after(outcome, replayable, start, |now| budget.withdraw(now)) {
                Verdict::Try(slot) => {
                    prop_assert!(replayable);
                    prop_assert!(outcome == Outcome::NotSent || !post);
                    prop_assert!(!tried.contains(&slot), "the same region twice");
                    tried.push(slot);
                }
                Verdict::Deliver => {
                    prop_assert!(matches!(outcome, Outcome::Answered(_) | Outcome::Grpc(_)));
                    break;
                }
                Verdict::GiveUp(_) => break,
            }
        }
    }

    #[test]
    fn no_attempt_starts_after_the_deadline(case in case(), outcome in outcome(), late in 0_u64..10_000) {
        let start = Instant::now();
        let mut plan = AttemptPlan::new(ranked(&case), &case.service.retry, &case.service.timeouts, &http::Method::GET, start);
        let mut budget = RetryBudget::new(Budget::default(), start);
        plan.begin();
        let now = plan.deadline() + Duration::from_millis(late);
        let verdict = plan.after(outcome, true, now, |now| budget.withdraw(now));
        prop_assert!(matches!(verdict, Verdict::Deliver | Verdict::GiveUp(GaveUp::Deadline)), "{verdict:?}");
    }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (200_u16..600).prop_map(|code| Outcome::Answered(http::StatusCode::from_u16(code).expect("a status"))),
        (0_usize..17).prop_map(|code| Outcome::Grpc(GrpcStatus::ALL[code])),
        Just(Outcome::NotSent),
        Just(Outcome::Broken),
        Just(Outcome::TimedOut),
    ]
}

/// Counts first choices over many rolls.
fn shares(service: &Service, health: &ServiceHealth, rolls: u64) -> Vec<f64> {
    shares_of(service, health, rolls, |ranking| ranking)
}

/// Counts first choices of what becomes of the native order.
fn shares_of(service: &Service, health: &ServiceHealth, rolls: u64, order: impl Fn(Ranking) -> Ranking) -> Vec<f64> {
    let row: Vec<Slot> = service.slots().iter().collect();
    let candidates = candidates::gather(service, health, Country::UNKNOWN, Slots::EMPTY);
    let mut counts = vec![0.0; service.gateways().len()];
    for roll in 0..rolls {
        let ranking = order(rank::native(service, &row, &candidates, health, roll));
        counts[ranking.first().expect("an eligible region").index()] += 1.0 / rolls as f64;
    }
    counts
}

#[test]
fn weights_are_shares() {
    let at = Point::new(50.0, 8.0).expect("a point");
    let gateways = [1, 2, 0, 7]
        .into_iter()
        .enumerate()
        .map(|(index, weight)| gateway(index, at, 0, weight))
        .collect();
    let service = service(gateways, Policy::Weighted, Vec::new());
    let counts = shares(&service, &ServiceHealth::unknown(4), 20_000);
    for (count, expected) in counts.iter().zip([0.1, 0.2, 0.0, 0.7]) {
        assert!((count - expected).abs() < 0.015, "{counts:?}");
    }
}

#[test]
fn a_returning_region_gets_its_share_and_no_more() {
    let at = Point::new(50.0, 8.0).expect("a point");
    let service = service(
        vec![gateway(0, at, 0, 1), gateway(1, at, 0, 1)],
        Policy::Latency,
        Vec::new(),
    );
    let warming = GatewayHealth {
        state: State::Warming,
        share: 250,
        ..GatewayHealth::default()
    };
    let health = ServiceHealth::new(vec![warming, GatewayHealth::default()]);
    let counts = shares(&service, &health, 20_000);
    assert!((counts[0] - 0.25).abs() < 0.015, "{counts:?}");

    // Whatever a plugin says, unless it wants no other.
    for (only, share) in [(false, 0.25), (true, 1.0)] {
        let proposal = Proposal { order: &[0], only };
        let asked = |native| rank::checked(proposal, &native).expect("it names a region").ranking;
        let counts = shares_of(&service, &health, 20_000, asked);
        assert!((counts[0] - share).abs() < 0.015, "{only} {counts:?}");
    }
}

#[test]
fn an_ejected_region_whose_probes_pass_comes_before_dead_ones() {
    let at = Point::new(50.0, 8.0).expect("a point");
    let service = service(
        (0..3).map(|index| gateway(index, at, 0, 1)).collect(),
        Policy::Latency,
        Vec::new(),
    );
    let unhealthy = GatewayHealth {
        state: State::Unhealthy,
        ..GatewayHealth::default()
    };
    let order = |states: [GatewayHealth; 3], full| {
        let health = ServiceHealth::new(states.to_vec()).with_last_resort(Slots::only(Slot(1)));
        let candidates = candidates::gather(&service, &health, Country::UNKNOWN, full);
        let row: Vec<Slot> = service.slots().iter().collect();
        let ranking = rank::native(&service, &row, &candidates, &health, 0);
        (ranking.order().to_vec(), candidates.panic)
    };
    let healthy = GatewayHealth::default();
    assert_eq!(
        order([unhealthy; 3], Slots::EMPTY),
        (vec![Slot(1), Slot(0), Slot(2)], false)
    );
    let one_healthy = [unhealthy, unhealthy, healthy];
    assert_eq!(order(one_healthy, Slots::EMPTY), (vec![Slot(2), Slot(1)], false));
    assert_eq!(order(one_healthy, Slots::only(Slot(2))), (vec![Slot(1)], false));
    assert_eq!(
        order([unhealthy; 3], Slots::only(Slot(1))),
        (vec![Slot(0), Slot(2)], true),
        "it is full, and of the others no probes pass"
    );
}

#[test]
fn all_down_is_panic_and_drained_stays_drained() {
    let at = Point::new(50.0, 8.0).expect("a point");
    let service = service(
        (0..3).map(|index| gateway(index, at, 0, 1)).collect(),
        Policy::Latency,
        Vec::new(),
    );
    let of = |state| GatewayHealth {
        state,
        ..GatewayHealth::default()
    };
    let health = ServiceHealth::new(vec![of(State::Unhealthy), of(State::Draining), of(State::Unhealthy)]);
    let candidates = candidates::gather(&service, &health, Country::UNKNOWN, Slots::EMPTY);
    assert!(candidates.panic);
    assert_eq!(candidates.eligible.iter().collect::<Vec<_>>(), [Slot(0), Slot(2)]);
}

#[test]
fn a_preferred_region_comes_first_among_those_of_its_priority() {
    let at = |longitude| Point::new(0.0, longitude).expect("on the globe");
    let gateways = || {
        vec![
            gateway(0, at(0.0), 0, 1),
            gateway(1, at(10.0), 0, 1),
            gateway(2, at(20.0), 1, 1),
            gateway(3, at(30.0), 1, 1),
        ]
    };
    let row = |policy: Policy, region: &str| {
        let service = service(gateways(), policy, Vec::new());
        let place = Place {
            point: Some(at(0.0)),
            ..Place::default()
        };
        let mut chart = Chart::draw(&service, &[Place::default(), place], None, &RoundTrips::default());
        let unknown = chart.row(PlaceId::UNKNOWN).to_vec();
        chart.prefer(&service, PlaceId(1), &region.into());
        assert_eq!(chart.row(PlaceId::UNKNOWN), unknown, "another place");
        chart.row(PlaceId(1)).iter().map(|slot| slot.0).collect::<Vec<_>>()
    };
    assert_eq!(row(Policy::Distance, "region-1"), [1, 0, 2, 3]);
    assert_eq!(row(Policy::Latency, "region-3"), [0, 1, 3, 2]);
    assert_eq!(row(Policy::Distance, "elsewhere"), [0, 1, 2, 3]);
    assert_eq!(row(Policy::Priority, "region-1"), [0, 1, 2, 3]);
}
