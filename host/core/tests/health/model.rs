//! A small model of the tracker that keeps everything that happened and works the state out from it again and again.
//! It knows nothing of pace, stalls and latency.

use portolan_core::config::{HealthCheck, OutlierDetection, ServiceParts};
use portolan_core::health::{Evidence, State};
use std::time::{Duration, Instant};

type Outcomes = Vec<(Evidence, u64)>;

pub(crate) struct Model {
    check: Option<HealthCheck>,
    limits: OutlierDetection,
    slow_start: Duration,
    gateways: Vec<One>,
}

#[derive(Clone)]
struct One {
    drained: bool,
    known: bool,
    /// Readings since it last came in.
    readings: Vec<(Instant, Outcomes)>,
    in_since: Instant,
    probes: Vec<Probed>,
    /// When the first of the good probes in a row ended.
    good_since: Option<Instant>,
    down: bool,
    ejection: Option<Ejection>,
    ejections: u32,
    ramp: Option<(Instant, Instant)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Probed {
    Good,
    Bad,
    /// Ejected here: good ones before do not count any more.
    Ejected,
}

#[derive(Clone)]
struct Ejection {
    until: Instant,
    served: bool,
    seen_by_probes: bool,
}

impl Model {
    pub(crate) fn new(parts: &ServiceParts, now: Instant) -> Self {
        let one = One {
            drained: false,
            known: false,
            readings: Vec::new(),
            in_since: now,
            probes: Vec::new(),
            good_since: None,
            down: false,
            ejection: None,
            ejections: 0,
            ramp: None,
        };
        Self {
            check: parts.health_check.clone(),
            limits: parts.outlier_detection.clone(),
            slow_start: parts.slow_start,
            gateways: vec![one; parts.gateways.len()],
        }
    }

    /// The tracker began at this moment.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.gateways.iter_mut().for_each(|one| one.in_since = now);
    }

    pub(crate) fn view(&self) -> Vec<(State, u16)> {
        let state = |one: &One| match one.ramp {
            _ if one.drained => (State::Draining, 1000),
            _ if one.is_out() => (State::Unhealthy, 1000),
            Some((since, now)) => (State::Warming, 100 + 100 * tenths(now - since, self.slow_start)),
            None if one.known => (State::Healthy, 1000),
            None => (State::Unknown, 1000),
        };
        self.gateways.iter().map(state).collect()
    }

    pub(crate) fn traffic(&mut self, slot: usize, outcomes: &Outcomes, now: Instant) {
        let others = || (0..self.gateways.len()).filter(|other| *other != slot);
        let exchange = others().any(|other| self.is_last_resort(&self.gateways[other]));
        let room = self.ejected() < self.ceiling() || exchange;
        let alone = others().all(|other| !self.gateways[other].is_in()) && !exchange;
        let one = &mut self.gateways[slot];
        one.known |= count(outcomes, |it| it == Evidence::Success) > 0;
        one.readings.push((now, outcomes.clone()));
        if !one.is_in() || count(outcomes, Evidence::is_failure) == 0 {
            return;
        }
        let in_a_row = u64::from(self.limits.consecutive_failures);
        let burst = one.burst();
        let total = burst || one.unanswered() >= in_a_row;
        let streak = one.streak() >= in_a_row;
        let share = one.is_share(&self.limits, now);
        let ejected = match (total, streak, share) {
            (true, ..) => room || !alone || self.check.is_none(),
            (_, true, _) => room,
            _ => share && room && !alone,
        };
        if ejected {
            let stayed = now - one.in_since;
            let forgiven = (stayed.as_nanos() / self.limits.base_ejection_time.as_nanos()) as u32;
            one.ejections = one.ejections.saturating_sub(forgiven) + 1;
            let mut length = self.limits.base_ejection_time;
            (1..one.ejections).for_each(|_| length = (length * 2).min(self.limits.max_ejection_time));
            one.ejection = Some(Ejection {
                until: now + length,
                served: false,
                seen_by_probes: burst,
            });
            one.probes.push(Probed::Ejected);
            one.good_since = None;
            one.ramp = None;
            one.known = false;
            self.exchange(now);
        }
    }

    fn ejected(&self) -> usize {
        self.gateways.iter().filter(|one| one.ejection.is_some()).count()
    }

    fn ceiling(&self) -> usize {
        (self.gateways.len() * usize::from(self.limits.max_ejection_percent) / 100).max(1)
    }

    /// Ejected, and its probes pass.
    fn is_last_resort(&self, one: &One) -> bool {
        let passing = |check: &HealthCheck| !one.down && one.good_in_a_row() >= check.healthy_threshold;
        !one.drained && one.ejection.is_some() && self.check.as_ref().is_some_and(passing)
    }

    /// One that is well returns for one that is not.
    fn exchange(&mut self, now: Instant) {
        if self.ejected() <= self.ceiling() && self.gateways.iter().any(One::is_in) {
            return;
        }
        let well = (0..self.gateways.len()).filter(|slot| self.is_last_resort(&self.gateways[*slot]));
        let until = |slot: &usize| self.gateways[*slot].ejection.as_ref().map(|it| it.until);
        if let Some(slot) = well.min_by_key(until) {
            self.gateways[slot].ejection = None;
            self.come_in(slot, now);
        }
    }

    pub(crate) fn probe(&mut self, slot: usize, good: bool, now: Instant) {
        let check = self.check.clone().expect("a probe without a check");
        let one = &mut self.gateways[slot];
        one.probes.push(if good { Probed::Good } else { Probed::Bad });
        one.good_since = one.good_since.or(Some(now)).filter(|_| good);
        one.known |= good;
        if !one.down && one.bad_in_a_row() >= check.unhealthy_threshold {
            one.down = true;
            one.known = false;
            one.ramp = None;
            one.ejection.iter_mut().for_each(|it| it.seen_by_probes = true);
        } else if one.down && one.good_in_a_row() >= check.healthy_threshold {
            one.down = false;
            if one.ejection.is_none() {
                self.come_in(slot, now);
            }
        }
        self.pass(now);
    }

    pub(crate) fn drain(&mut self, slot: usize, drained: bool, now: Instant) {
        let one = &mut self.gateways[slot];
        if one.drained == drained {
            return;
        }
        one.drained = drained;
        one.ramp = None;
        if !drained && !one.is_out() {
            self.come_in(slot, now);
        }
    }

    pub(crate) fn pass(&mut self, now: Instant) {
        for slot in 0..self.gateways.len() {
            let one = &mut self.gateways[slot];
            if let Some((since, at)) = &mut one.ramp {
                *at = now;
                if now - *since >= self.slow_start {
                    one.ramp = None;
                }
            }
            let good = one.good_in_a_row();
            let Some(ejection) = &mut one.ejection else { continue };
            let until = match one.good_since {
                Some(since) => since + ejection.until.saturating_duration_since(since) / 2,
                None => ejection.until,
            };
            ejection.served |= now >= until;
            let served = ejection.served;
            let over = match &self.check {
                None => served,
                Some(_) if served && one.down => true,
                Some(check) if served => good >= check.healthy_threshold,
                Some(check) => {
                    ejection.seen_by_probes && !one.down && good >= check.healthy_threshold << one.ejections.min(16)
                }
            };
            if over {
                one.ejection = None;
                one.in_since = now;
                if !one.down {
                    self.come_in(slot, now);
                }
            }
        }
    }

    fn come_in(&mut self, slot: usize, now: Instant) {
        let one = &mut self.gateways[slot];
        one.in_since = now;
        one.readings.clear();
        one.ramp = (!one.drained && !self.slow_start.is_zero()).then_some((now, now));
    }
}

impl One {
    fn is_out(&self) -> bool {
        self.down || self.ejection.is_some()
    }

    fn is_in(&self) -> bool {
        !self.drained && !self.is_out()
    }

    fn good_in_a_row(&self) -> u32 {
        self.probes.iter().rev().take_while(|it| **it == Probed::Good).count() as u32
    }

    fn bad_in_a_row(&self) -> u32 {
        let probes = self.probes.iter().rev().filter(|it| **it != Probed::Ejected);
        probes.take_while(|it| **it == Probed::Bad).count() as u32
    }

    /// Failures since the last success.
    fn streak(&self) -> u64 {
        let since = self.readings.iter().rev().map(|(_, outcomes)| outcomes);
        let since = since.take_while(|outcomes| count(outcomes, |it| it == Evidence::Success) == 0);
        since.map(|outcomes| count(outcomes, Evidence::is_failure)).sum()
    }

    /// Failures since the last answer, good or bad.
    fn unanswered(&self) -> u64 {
        let since = self.readings.iter().rev().map(|(_, outcomes)| outcomes);
        let since = since.take_while(|outcomes| !answered(outcomes));
        since.map(|outcomes| count(outcomes, Evidence::is_failure)).sum()
    }

    /// Three connection failures within a second, counted from the first one after an answer or after a second.
    fn burst(&self) -> bool {
        let last = self.readings.iter().rposition(|(_, outcomes)| answered(outcomes));
        let mut run: Vec<(Instant, u64)> = Vec::new();
        for (at, outcomes) in &self.readings[last.map_or(0, |last| last + 1)..] {
            let failed = count(outcomes, |it| it == Evidence::ConnectFailed);
            if failed == 0 {
                continue;
            }
            if run.first().is_some_and(|first| *at - first.0 > Duration::from_secs(1)) {
                run.clear();
            }
            run.push((*at, failed));
        }
        run.iter().map(|it| it.1).sum::<u64>() >= 3
    }

    fn is_share(&self, limits: &OutlierDetection, now: Instant) -> bool {
        let epoch = self.in_since;
        let tenth = |at: Instant| (at - epoch).as_nanos() / (limits.window / 10).as_nanos();
        let recent = self.readings.iter().filter(|(at, _)| tenth(*at) + 10 > tenth(now));
        let (mut all, mut failed) = (0, 0);
        for (_, outcomes) in recent {
            all += count(outcomes, |it| it == Evidence::Success || it.is_failure());
            failed += count(outcomes, |it| it.is_failure() && it != Evidence::ServerError);
        }
        let enough = all >= u64::from(limits.min_requests) && failed > 0 && limits.failure_percent > 0;
        enough && failed * 100 >= all * u64::from(limits.failure_percent)
    }
}

fn answered(outcomes: &Outcomes) -> bool {
    let answers = [Evidence::Success, Evidence::ServerError, Evidence::GatewayError];
    count(outcomes, |it| answers.contains(&it)) > 0
}

fn count(outcomes: &Outcomes, wanted: impl Fn(Evidence) -> bool) -> u64 {
    outcomes
        .iter()
        .filter(|(it, _)| wanted(*it))
        .map(|(_, count)| count)
        .sum()
}

fn tenths(elapsed: Duration, slow_start: Duration) -> u16 {
    (0..9).take_while(|step| elapsed * 9 >= slow_start * (step + 1)).count() as u16
}
