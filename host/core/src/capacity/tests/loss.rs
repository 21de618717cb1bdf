//! One region of three is lost at 70 % utilisation and comes back: requests arrive by chance, each takes some time, and the decision
//! core decides every one of them, with the health that its tracker finds.

use super::*;
use crate::chance::spread;
use crate::health::probing::ProbeFailure;
use crate::health::tracker::Tracker;
use crate::health::traffic::Traffic;
use crate::health::{Evidence, HealthView};
use crate::id::GatewayId;
use crate::route::{HostPattern, Route, Routes};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

const MAX: u32 = 200;
/// What a request takes on average, in microseconds.
const TAKES: u64 = 100_000;
/// Requests of a second, of each region's clients: 70 % of what the region can take.
const RATE: u64 = 70 * MAX as u64 * SECOND / TAKES / 100;

const SECOND: u64 = 1_000_000;
const LOST: u64 = 5 * SECOND;
const BACK: u64 = 15 * SECOND;
const END: u64 = 35 * SECOND;
const RAMP: Duration = Duration::from_secs(5);
/// How often the tracker looks.
const LOOK: u64 = SECOND / 20;

/// Numbers one after another from a seed.
struct Chance(u64, u64);

impl Chance {
    fn roll(&mut self) -> u64 {
        self.1 += 1;
        spread(self.0, self.1)
    }

    /// Of the exponential distribution, with this mean.
    fn exponential(&mut self, mean: u64) -> u64 {
        // Uniform in (0, 1).
        let uniform = ((self.roll() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        (-uniform.ln() * mean as f64) as u64
    }
}

#[derive(Debug, Default)]
struct Seen {
    most: [u32; 3],
    shed: [u32; Priority::ALL.len()],
    /// The most of the region that was lost before that, and after it came back.
    before: u32,
    after: u32,
    /// The requests it answered in each second from the first one in slow start.
    ramp: Vec<u32>,
    /// It had more at a time than its share of its limit in slow start.
    over_share: bool,
    /// The least that the survivors work on together while it is lost, after a second.
    least_of_survivors: u32,
}

/// The three regions with what is known of them.
struct World {
    config: Config,
    tracker: Tracker,
    view: HealthView,
    started: Instant,
    failures: usize,
}

impl World {
    fn new(seed: u64, started: Instant) -> Self {
        let mut service = service([Some(MAX); 3]);
        service.slow_start = RAMP;
        let routes = Routes::new([Route::new(HostPattern::Any, "/", ServiceId(0))]);
        let config = Config::new(vec![service], routes, None).expect("a configuration");
        let tracker = Tracker::new(&config, seed, started);
        Self {
            view: tracker.view(),
            config,
            tracker,
            started,
            failures: 0,
        }
    }

    /// The tracker gets the failures since the last look, and its probes are answered.
    fn look(&mut self, at: u64, is_lost: bool) {
        let now = self.started + Duration::from_micros(at);
        let lost = GatewayId {
            service: ServiceId(0),
            slot: Slot(0),
        };
        let failures = [(Evidence::ConnectFailed, self.failures as u64)];
        self.tracker
            .observe(lost, &failures.into_iter().collect::<Traffic>(), now);
        self.failures = 0;
        self.tracker.handle_timeout(now);
        for probe in self.tracker.due_probes() {
            let fails = is_lost && probe.gateway == lost;
            let result = if fails {
                Err(ProbeFailure::Unreachable)
            } else {
                Ok(Duration::from_millis(1))
            };
            self.tracker.probe_finished(probe.ticket, result, now);
        }
        self.view = self.tracker.view();
    }
}

fn simulate(seed: u64, low_percent: u64) -> Seen {
    let mut world = World::new(seed, Instant::now());
    let capacity = Capacity::new(&world.config.services()[0], Priority::Normal).expect("limits");
    let mut chance = Chance(seed, 0);
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut load = [0_u32; 3];
    let mut seen = Seen {
        least_of_survivors: u32::MAX,
        ..Seen::default()
    };
    let (mut now, mut looked, mut back) = (0, 0, None);
    loop {
        now += chance.exponential(SECOND / (3 * RATE));
        if now >= END {
            return seen;
        }
        let is_lost = (LOST..BACK).contains(&now);
        while looked + LOOK <= now {
            looked += LOOK;
            world.look(looked, is_lost);
        }
        while let Some(Reverse((_, slot))) = ends.peek().copied().filter(|Reverse((end, _))| *end <= now) {
            ends.pop();
            load[slot] -= 1;
        }
        let home = (chance.roll() % 3) as usize;
        let row = [home, (home + 1) % 3, (home + 2) % 3].map(|index| Slot(index as u8));
        let priority = match chance.roll() % 100 < low_percent {
            true => Priority::Low,
            false => Priority::Normal,
        };
        let (service, roll) = (&world.config.services()[0], chance.roll());
        let health = world.view.service(ServiceId(0)).expect("the service");
        let at = in_flight(load);
        let full = capacity.full(priority, health, &at);
        let candidates = candidates::gather(service, health, Country::UNKNOWN, full);
        let mut ranking = rank::native(service, &row, &candidates, health, roll);
        capacity.spill((service, &row, &candidates), health, &mut ranking, priority, &at, roll);
        let mut order = ranking.order().iter().map(|slot| slot.index());
        let answers = order.find(|slot| {
            let fails = is_lost && *slot == 0;
            world.failures += usize::from(fails);
            // As an attempt looks at the limit again.
            !fails && load[*slot] < MAX
        });
        let Some(slot) = answers else {
            seen.shed[priority as usize] += 1;
            continue;
        };
        load[slot] += 1;
        let known = health.gateway(Slot(0));
        let share = MAX * u32::from(known.share) / 1000;
        seen.over_share |= slot == 0 && known.state == State::Warming && load[0] > share;
        ends.push(Reverse((now + chance.exponential(TAKES), slot)));
        seen.most[slot] = seen.most[slot].max(load[slot]);
        match now {
            ..LOST => seen.before = seen.before.max(load[0]),
            BACK.. => seen.after = seen.after.max(load[0]),
            _ if now > LOST + SECOND => {
                seen.least_of_survivors = seen.least_of_survivors.min(load[1] + load[2]);
            }
            _ => {}
        }
        if slot == 0 && now >= BACK && (back.is_some() || known.state == State::Warming) {
            let second = ((now - *back.get_or_insert(now)) / SECOND) as usize;
            seen.ramp.resize(seen.ramp.len().max(second + 1), 0);
            seen.ramp[second] += 1;
        }
    }
}

#[test]
fn a_lost_region_overloads_no_other_and_costs_low_priority_only() {
    for seed in 1..=12 {
        let seen = simulate(seed, 30);
        let [low, normal, high] = seen.shed;
        assert!(seen.most.iter().all(|most| *most <= MAX), "seed {seed}: {seen:?}");
        assert_eq!((normal, high), (0, 0), "seed {seed}: {seen:?}");
        assert!(low > 0, "seed {seed}: there is less room than load: {seen:?}");
        assert!(
            seen.least_of_survivors > 2 * MAX * 60 / 100,
            "seed {seed}: the survivors are used: {seen:?}"
        );
    }
}

#[test]
fn a_region_that_comes_back_is_ramped_and_never_overshoots() {
    for seed in 1..=12 {
        let seen = simulate(seed, 30);
        // It works on 70 % of its limit on average; chance makes that at most so much more, before and after.
        let most = MAX * 70 / 100 + 5 * (f64::from(MAX) * 0.7).sqrt() as u32;
        assert!(
            seen.before <= most && seen.after <= most,
            "seed {seed}: at most {most}: {seen:?}"
        );
        let ramp = &seen.ramp[..5];
        let grows = ramp.windows(2).all(|pair| pair[0] < pair[1] * 11 / 10);
        assert!(grows && ramp[0] < ramp[4] / 2, "seed {seed}: {seen:?}");
        assert!(!seen.over_share, "seed {seed}: {seen:?}");
        let full = &seen.ramp[6..9];
        assert!(
            full.iter().all(|count| u64::from(*count) > RATE * 85 / 100),
            "seed {seed}: all of its own afterwards: {seen:?}"
        );
    }
}

#[test]
fn without_low_priority_the_capacity_holds_all_the_same() {
    for seed in 1..=4 {
        let seen = simulate(seed, 0);
        assert!(seen.most.iter().all(|most| *most <= MAX), "seed {seed}: {seen:?}");
        assert!(seen.shed[Priority::Normal as usize] > 0, "seed {seed}: {seen:?}");
    }
}
