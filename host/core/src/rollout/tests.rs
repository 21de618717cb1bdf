//! Rollouts that go well, and those that must not.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn share(permille: u16) -> Share {
    Share::permille(permille).expect("a share")
}

fn plan(canary: &[u16], lasts: Option<Duration>) -> Plan {
    let shadow = Step {
        stage: Stage::Shadow,
        lasts,
    };
    let canary = canary.iter().map(|permille| Step {
        stage: Stage::Canary(share(*permille)),
        lasts,
    });
    Plan {
        steps: std::iter::once(shadow).chain(canary).collect(),
        thresholds: Some(Thresholds::default()),
    }
}

fn begin(plan: Plan) -> Rollout {
    Rollout::begin(plan, 0).expect("a stage")
}

/// A source of chance whose seed is printed.
struct Roll(u64);

impl Roll {
    fn new() -> Self {
        let seed = std::env::var("PORTOLAN_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(20_261_128);
        println!("PORTOLAN_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = spread(self.0, 1);
        self.0 % limit
    }

    fn happens(&mut self, probability: f64) -> bool {
        (self.below(1 << 40) as f64) < probability * (1_u64 << 40) as f64
    }
}

/// How one version behaves.
#[derive(Clone, Copy, Debug, Default)]
struct Behaviour {
    fault: f64,
    failure: f64,
    micros: u64,
}

impl Counts {
    fn add(&mut self, behaviour: &Behaviour, requests: u64, roll: &mut Roll) {
        for _ in 0..requests {
            self.calls += 1;
            self.requests += 1;
            self.faults += u64::from(roll.happens(behaviour.fault));
            self.failures += u64::from(roll.happens(behaviour.failure));
            // Now and then the thread is descheduled for some milliseconds.
            let pause = if roll.happens(0.01) { 4_000 } else { 0 };
            let micros = behaviour.micros + pause;
            self.nanos += 1_000 * micros;
            self.square_micros += micros * micros;
        }
    }
}

/// Runs a canary of 10 % at this many requests a second, looked at ten times a second, for so long. What ended it, and when.
fn canary(
    candidate: &Behaviour,
    active: &Behaviour,
    rate: u64,
    most: Duration,
    roll: &mut Roll,
) -> (Progress, Duration) {
    let mut plan = plan(&[100], None);
    plan.steps.remove(0);
    let (mut rollout, mut evidence) = (begin(plan), Evidence::default());
    let look = SECOND / 10;
    let mut passed = Duration::ZERO;
    while passed < most {
        for _ in 0..rate / 10 {
            match roll.below(10) {
                0 => evidence.candidate.add(candidate, 1, roll),
                _ => evidence.active.add(active, 1, roll),
            }
        }
        passed += look;
        match rollout.advance(look, &evidence) {
            Progress::Stay => {}
            progress => return (progress, passed),
        }
    }
    (Progress::Stay, passed)
}

#[test]
fn a_healthy_version_goes_through_its_stages_in_time() {
    let mut rollout = begin(plan(&[10, 100, 500], Some(10 * SECOND)));
    let (mut seen, mut evidence) = (vec![rollout.stage()], Evidence::default());
    let mut seconds = 0;
    loop {
        evidence.candidate.calls += 100;
        evidence.active.calls += 100;
        seconds += 1;
        match rollout.advance(SECOND, &evidence) {
            Progress::Stay => {}
            Progress::Enter(stage) => seen.push(stage),
            Progress::Activate => break,
            Progress::RollBack(cause) => panic!("{cause}"),
        }
    }
    let shares = [10, 100, 500].map(|permille| Stage::Canary(share(permille)));
    assert_eq!(seen, [&[Stage::Shadow][..], &shares].concat());
    assert_eq!(seconds, 40);
}

#[test]
fn without_a_time_a_stage_lasts_until_it_is_promoted() {
    let mut rollout = begin(plan(&[100], None));
    let evidence = Evidence::default();
    for _ in 0..1_000 {
        assert_eq!(rollout.advance(100 * SECOND, &evidence), Progress::Stay);
    }
    assert_eq!(rollout.remaining(), None);
    assert_eq!(rollout.promote(&evidence), Progress::Enter(Stage::Canary(share(100))));
    assert_eq!(rollout.promote(&evidence), Progress::Activate);
}

#[test]
fn five_faults_are_enough_and_four_are_not_at_any_rate() {
    for calls in [5, 20, 1_000] {
        let mut rollout = begin(plan(&[100], None));
        let mut evidence = Evidence::default();
        evidence.candidate.calls = calls;
        evidence.candidate.faults = 4;
        assert_eq!(rollout.advance(SECOND, &evidence), Progress::Stay);
        evidence.candidate.deadlines = 1;
        let cause = Cause::Faults { faults: 4, calls };
        assert_eq!(rollout.advance(SECOND, &evidence), Progress::RollBack(cause));
    }
    // As few of as many as this are no reason.
    let mut rollout = begin(plan(&[100], None));
    let mut evidence = Evidence::default();
    evidence.candidate.calls = 10_000;
    evidence.candidate.faults = 40;
    assert_eq!(rollout.advance(SECOND, &evidence), Progress::Stay);
}

#[test]
fn what_begins_late_in_a_long_stage_is_not_diluted() {
    let mut rollout = begin(plan(&[100], None));
    let mut evidence = Evidence::default();
    for _ in 0..3_600 {
        evidence.candidate.calls += 200;
        assert_eq!(rollout.advance(SECOND, &evidence), Progress::Stay);
    }
    let mut seconds = 0;
    loop {
        evidence.candidate.calls += 200;
        evidence.candidate.faults += 2;
        seconds += 1;
        if let Progress::RollBack(_) = rollout.advance(SECOND, &evidence) {
            break;
        }
        assert!(seconds < 10);
    }
}

#[test]
fn faults_of_a_stage_before_do_not_count_again() {
    let mut rollout = begin(plan(&[100], None));
    let mut evidence = Evidence::default();
    evidence.candidate.calls = 1_000;
    evidence.candidate.faults = 4;
    assert_eq!(rollout.advance(SECOND, &evidence), Progress::Stay);
    assert!(matches!(rollout.promote(&evidence), Progress::Enter(_)));
    evidence.candidate.calls += 100;
    evidence.candidate.faults += 4;
    assert_eq!(rollout.advance(SECOND, &evidence), Progress::Stay);
}

#[test]
fn degraded_canaries_at_two_thousand_requests_a_second_are_rolled_back_within_ten_seconds() {
    let mut roll = Roll::new();
    let good = Behaviour {
        micros: 1,
        ..Behaviour::default()
    };
    for (word, candidate) in [
        ("faults", Behaviour { fault: 0.01, ..good }),
        ("cost", Behaviour { micros: 2_001, ..good }),
        ("failures", Behaviour { failure: 0.5, ..good }),
        ("failures", Behaviour { failure: 0.05, ..good }),
    ] {
        for _ in 0..10 {
            let (progress, after) = canary(&candidate, &good, 2_000, 10 * SECOND, &mut roll);
            match progress {
                Progress::RollBack(cause) => assert_eq!(cause.as_str(), word, "{candidate:?}: {cause}"),
                progress => panic!("{candidate:?}: {progress:?} after {after:?}"),
            }
        }
    }
}

#[test]
fn a_version_that_is_as_good_as_the_active_one_is_never_rolled_back() {
    let mut roll = Roll::new();
    for failure in [0.0, 0.001, 0.02, 0.3, 1.0] {
        let behaviour = Behaviour {
            failure,
            micros: 50,
            ..Behaviour::default()
        };
        for rate in [20, 200] {
            let (progress, after) = canary(&behaviour, &behaviour, rate, 600 * SECOND, &mut roll);
            assert_eq!(progress, Progress::Stay, "{behaviour:?} at {rate}/s after {after:?}");
        }
    }
}

/// Whatever is counted and ordered, a version goes through its stages in their order, and only a cause ends it early.
#[test]
fn stages_are_never_skipped_or_repeated() {
    let mut roll = Roll::new();
    for _ in 0..300 {
        let lasts = (roll.below(3) > 0).then(|| SECOND * (1 + roll.below(30) as u32));
        let shares: Vec<u16> = (0..roll.below(4)).map(|step| 1 + 100 * step as u16).collect();
        let plan = plan(&shares, lasts);
        let mut rollout = begin(plan.clone());
        let (mut at, mut evidence) = (0, Evidence::default());
        for _ in 0..500 {
            evidence.candidate.calls += roll.below(50);
            evidence.candidate.faults += u64::from(roll.below(60) == 0);
            let is_promoted = roll.below(40) == 0;
            let progress = match is_promoted {
                true => rollout.promote(&evidence),
                false => rollout.advance(SECOND, &evidence),
            };
            match progress {
                Progress::Stay => assert!(lasts.is_none_or(|lasts| rollout.elapsed() < lasts)),
                Progress::Enter(stage) => {
                    at += 1;
                    assert_eq!(stage, plan.steps[at].stage);
                    assert!(is_promoted || lasts.is_some());
                }
                Progress::Activate => {
                    assert_eq!(at + 1, plan.steps.len());
                    break;
                }
                Progress::RollBack(_) => {
                    assert!(evidence.candidate.faults >= 5, "{evidence:?}");
                    break;
                }
            }
            assert_eq!(rollout.at(), at);
        }
    }
}

#[test]
fn shares_grow_by_networks_and_keep_those_they_have() {
    let salt = 7;
    let networks: Vec<IpAddr> = (0..20_000_u32)
        .map(|network| IpAddr::from((network << 8 | 5).to_be_bytes()))
        .collect();
    let mut before: Vec<IpAddr> = Vec::new();
    for permille in [10, 100, 500, 1_000] {
        let bound = share(permille).bound();
        let inside = |client: &IpAddr| client_hash(*client, salt) < bound;
        let now: Vec<_> = networks.iter().copied().filter(inside).collect();
        assert!(before.iter().all(inside), "{permille}");
        let expected = f64::from(permille) * 20.0;
        assert!(
            (now.len() as f64 - expected).abs() < 5.0 * expected.sqrt(),
            "{permille}: {}",
            now.len()
        );
        before = now;
    }
    let hash = |text: &str| client_hash(text.parse().expect("an address"), salt);
    assert_eq!(hash("192.0.2.1"), hash("::ffff:192.0.2.200"));
    assert_eq!(hash("2001:db8:1::1"), hash("2001:db8:1:ffff::1"));
    assert_ne!(hash("2001:db8:1::1"), hash("2001:db8:2::1"));
    assert_ne!(
        hash("192.0.2.1"),
        client_hash("192.0.2.1".parse().expect("an address"), 8)
    );
    assert_eq!(Share::permille(0), None);
    assert_eq!(share(15).to_string(), "1.5 %");
}

#[test]
fn operators_begin_with_any_stage() {
    let minute = Some(60 * SECOND);
    let configured = plan(&[10, 100, 500], minute);
    let stages = |plan: &Plan| {
        plan.steps
            .iter()
            .map(|step| (step.stage, step.lasts))
            .collect::<Vec<_>>()
    };
    let canary = |permille| (Stage::Canary(share(permille)), minute);
    for (start, expected) in [
        (
            Start::Configured,
            vec![(Stage::Shadow, minute), canary(10), canary(100), canary(500)],
        ),
        (
            Start::Shadow,
            vec![(Stage::Shadow, minute), canary(10), canary(100), canary(500)],
        ),
        (Start::Canary(share(100)), vec![canary(100), canary(500)]),
        (Start::Canary(share(200)), vec![canary(200), canary(500)]),
        (Start::Active, vec![]),
    ] {
        assert_eq!(stages(&Plan::of(start, Some(&configured))), expected, "{start:?}");
    }
    for (start, expected) in [
        (Start::Configured, vec![]),
        (Start::Shadow, vec![(Stage::Shadow, None)]),
        (Start::Canary(share(100)), vec![(Stage::Canary(share(100)), None)]),
        (Start::Active, vec![]),
    ] {
        let plan = Plan::of(start, None);
        assert_eq!(stages(&plan), expected, "{start:?}");
        assert_eq!(plan.thresholds.is_some(), start != Start::Active);
    }
}
