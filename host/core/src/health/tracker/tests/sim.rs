//! A simulation: gateways that behave in a given way, clients at a constant rate, and the loop around the tracker as the
//! health task runs it.

use crate::config::*;
use crate::geo::Point;
use crate::health::probing::{ProbeFailure, ProbeResult};
use crate::health::tracker::Tracker;
use crate::health::traffic::Traffic;
use crate::health::transition::Transition;
use crate::health::{Evidence, GatewayHealth, State};
use crate::id::{GatewayId, ServiceId, Slot};
use crate::plan::UNRESPONSIVE_TIMEOUT;
use crate::route::Routes;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// How often the health task looks when nothing rings.
const TICK: Duration = Duration::from_millis(100);

/// How a gateway behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    /// Answers after this many milliseconds.
    Well(u64),
    /// Refuses connections.
    Dead,
    /// Accepts and never answers, or drops every packet: requests see no difference.
    Hangs,
    /// Answers everything, probes too, with 503.
    Sick,
    /// Passes probes, and answers this percentage of requests with 503.
    Partly(u64),
    /// Passes probes, and never answers requests.
    Fooling,
    /// Passes probes, and answers requests after this many milliseconds; another region overtakes it.
    Slow(u64),
    /// Passes probes, and answers this percentage of requests so slowly that another region overtakes it.
    PartlySlow(u64),
    /// Passes probes, and never answers this percentage of requests; another region overtakes it.
    Losing(u64),
    /// No route to it.
    Gone,
}

/// When another region's answer comes, for requests that are hedged.
const OVERTAKEN_AFTER: Duration = Duration::from_millis(405);

/// When an overtaken request counts as unanswered.
pub(super) const UNANSWERED_AFTER: Duration = Duration::from_millis(1_250);

pub(super) struct Sim {
    pub(super) tracker: Tracker,
    start: Instant,
    now: Instant,
    pub(super) fates: Vec<Fate>,
    /// Requests per second and gateway.
    pub(super) rate: u64,
    /// After which a request is given up.
    pub(super) per_try_timeout: Duration,
    next_request: Instant,
    count: u64,
    requests: Vec<(Instant, usize, Duration, Evidence)>,
    /// Answers that come after their requests were given up: when, where, after how long.
    late: Vec<(Instant, usize, Duration)>,
    /// Requests that were given up because all regions were unresponsive.
    pub(super) given_up: u64,
    unanswered: Vec<(Instant, usize)>,
    stuck: Vec<u32>,
    probes: Vec<(Instant, u64, usize, ProbeResult)>,
    /// When probes began, by slot.
    pub(super) probed: Vec<(Duration, usize)>,
    /// What happened, by time since the start.
    pub(super) log: Vec<(Duration, Transition)>,
}

pub(super) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A service named `shop` with this many regions and default settings.
pub(super) fn shop(regions: usize, change: impl FnOnce(&mut ServiceParts)) -> Config {
    let mut parts = ServiceParts::new("shop", (0..regions).map(gateway).collect());
    change(&mut parts);
    config([parts])
}

pub(super) fn config(services: impl IntoIterator<Item = ServiceParts>) -> Config {
    let services = services.into_iter().map(|parts| Service::new(parts).expect("regions"));
    Config::new(services.collect(), Routes::new([]), None).expect("no routes")
}

pub(super) fn gateway(index: usize) -> Gateway {
    Gateway::new(
        format!("region-{index}").as_str().into(),
        Point::new(0.0, index as f32).expect("on the globe"),
        GatewayAddress::http(Ipv4Addr::LOCALHOST, 9000 + index as u16),
    )
}

pub(super) fn id(slot: usize) -> GatewayId {
    GatewayId {
        service: ServiceId(0),
        slot: Slot(slot as u8),
    }
}

impl Sim {
    pub(super) fn new(config: &Config) -> Self {
        let start = Instant::now();
        let gateways = config.services()[0].gateways().len();
        Self {
            tracker: Tracker::new(config, 7, start),
            start,
            now: start,
            fates: vec![Fate::Well(5); gateways],
            rate: 0,
            per_try_timeout: Duration::from_secs(5),
            next_request: start,
            count: 0,
            requests: Vec::new(),
            late: Vec::new(),
            given_up: 0,
            unanswered: Vec::new(),
            stuck: vec![0; gateways],
            probes: Vec::new(),
            probed: Vec::new(),
            log: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub(super) fn health(&self, slot: usize) -> GatewayHealth {
        self.tracker.view().gateway(id(slot))
    }

    pub(super) fn state(&self, slot: usize) -> State {
        self.health(slot).state
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
    }

    /// Lets time pass until something is so. How long that took; fails after `limit`.
    #[track_caller]
    pub(super) fn wait(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) -> Duration {
        let begin = self.now;
        self.run_until(begin + limit, &condition);
        assert!(condition(self), "not within {limit:?}: {:#?}", self.log);
        self.now - begin
    }

    #[track_caller]
    pub(super) fn wait_for(&mut self, slot: usize, state: State, limit: Duration) -> Duration {
        self.wait(limit, |sim| sim.state(slot) == state)
    }

    fn run_until(&mut self, end: Instant, condition: impl Fn(&Self) -> bool) {
        self.settle();
        while !condition(self) && self.now < end {
            let probe = self.probes.iter().map(|probe| probe.0).min();
            let request = self.requests.iter().map(|request| request.0).min();
            let unanswered = self.unanswered.iter().map(|it| it.0).min();
            let late = self.late.iter().map(|it| it.0).min();
            let client = (self.rate > 0).then_some(self.next_request);
            let events = [
                Some(end),
                Some(self.now + TICK),
                probe,
                request,
                unanswered,
                late,
                client,
                self.tracker.poll_timeout(),
            ];
            self.now = self.now.max(events.into_iter().flatten().min().expect("the end"));
            self.settle();
        }
    }

    /// What the health task does whenever it wakes.
    pub(super) fn settle(&mut self) {
        self.send_requests();
        self.end_requests();
        while let Some(index) = self.probes.iter().position(|probe| probe.0 <= self.now) {
            let (_, ticket, _, result) = self.probes.swap_remove(index);
            self.tracker.probe_finished(ticket, result, self.now);
        }
        self.tracker.handle_timeout(self.now);
        for due in self.tracker.due_probes() {
            let slot = due.gateway.slot.index();
            let (took, result) = match self.fates[slot] {
                Fate::Well(time) if millis(time) > due.timeout => (due.timeout, Err(ProbeFailure::TimedOut)),
                Fate::Well(time) => (millis(time), Ok(millis(time))),
                Fate::Partly(_) | Fate::Fooling | Fate::Slow(_) | Fate::PartlySlow(_) | Fate::Losing(_) => {
                    (millis(5), Ok(millis(5)))
                }
                Fate::Dead => (millis(0), Err(ProbeFailure::Refused)),
                Fate::Hangs => (due.timeout, Err(ProbeFailure::TimedOut)),
                Fate::Sick => (millis(5), Err(ProbeFailure::Status(503))),
                Fate::Gone => (due.timeout, Err(ProbeFailure::Unreachable)),
            };
            self.probed.push((self.elapsed(), slot));
            self.probes.push((self.now + took, due.ticket, slot, result));
        }
        let elapsed = self.elapsed();
        self.log
            .extend(self.tracker.transitions().into_iter().map(|it| (elapsed, it)));
        assert!(
            self.tracker.poll_timeout().is_none_or(|next| next > self.now),
            "time does not advance"
        );
    }

    /// One request to every gateway that gets traffic.
    fn send_requests(&mut self) {
        while self.rate > 0 && self.next_request <= self.now {
            self.next_request += Duration::from_secs(1) / self.rate as u32;
            self.count += 1;
            let panic = (0..self.fates.len()).all(|slot| self.state(slot) == State::Unhealthy);
            let unresponsive = self.tracker.view().services()[0].unresponsive().len() == self.fates.len();
            for slot in 0..self.fates.len() {
                if panic || self.state(slot) != State::Unhealthy {
                    let (mut took, mut evidence) = self.answer(slot);
                    if unresponsive && took > UNRESPONSIVE_TIMEOUT {
                        if evidence == Evidence::Success {
                            self.late.push((self.now + took, slot, took));
                        }
                        (took, evidence) = (UNRESPONSIVE_TIMEOUT, Evidence::TimedOut);
                        self.given_up += 1;
                    }
                    self.stuck[slot] += 1;
                    if evidence == Evidence::Overtaken && matches!(self.fates[slot], Fate::Losing(_)) {
                        self.unanswered.push((self.now + UNANSWERED_AFTER, slot));
                    }
                    self.requests.push((self.now + took, slot, took, evidence));
                }
            }
        }
    }

    fn answer(&self, slot: usize) -> (Duration, Evidence) {
        let late = (self.per_try_timeout, Evidence::TimedOut);
        match self.fates[slot] {
            Fate::Well(time) if millis(time) > self.per_try_timeout => late,
            Fate::Well(time) => (millis(time), Evidence::Success),
            Fate::Dead => (millis(0), Evidence::ConnectFailed),
            Fate::Hangs | Fate::Fooling => late,
            Fate::Sick => (millis(5), Evidence::GatewayError),
            Fate::Slow(time) if millis(time) > OVERTAKEN_AFTER => (OVERTAKEN_AFTER, Evidence::Overtaken),
            Fate::Slow(time) => (millis(time), Evidence::Success),
            Fate::PartlySlow(percent) | Fate::Losing(percent) if (self.count * 37) % 100 < percent => {
                (OVERTAKEN_AFTER, Evidence::Overtaken)
            }
            Fate::PartlySlow(_) | Fate::Losing(_) => (millis(5), Evidence::Success),
            Fate::Partly(percent) if (self.count * 37) % 100 < percent => (millis(5), Evidence::GatewayError),
            Fate::Partly(_) => (millis(5), Evidence::Success),
            Fate::Gone => (millis(500), Evidence::ConnectFailed),
        }
    }

    fn end_requests(&mut self) {
        for slot in 0..self.fates.len() {
            let mut ended = Vec::new();
            let mut times = Vec::new();
            let is_over = |end: Instant, of: usize| of == slot && end <= self.now;
            for (_, _, took, evidence) in self.requests.extract_if(.., |it| is_over(it.0, it.1)) {
                ended.push((evidence, 1));
                times.extend((evidence == Evidence::Success).then_some(took));
            }
            let late: Vec<_> = self.late.extract_if(.., |it| is_over(it.0, it.1)).collect();
            times.extend(late.iter().map(|it| it.2));
            let answer_time = times.iter().sum::<Duration>().checked_div(times.len() as u32);
            self.stuck[slot] -= ended.len() as u32;
            let before = self.unanswered.len();
            let now = self.now;
            self.unanswered.retain(|(at, of)| *of != slot || *at > now);
            let traffic = ended.into_iter().collect::<Traffic>();
            let traffic = traffic
                .with_in_flight(self.stuck[slot])
                .with_late(late.len() as u64)
                .with_answer_time(answer_time)
                .with_unanswered((before - self.unanswered.len()) as u64);
            self.tracker.observe(id(slot), &traffic, self.now);
        }
    }
}
