//! The verdict on one gateway, from its probes, its traffic and its operator.

use super::ejection::Ejections;
use super::outlier::{Detector, Fault, Traffic};
use super::probing::{ProbeFailure, ProbeResult, Probing, Turn};
use super::ramp::Ramp;
use super::stall::StallWatch;
use super::tracked::{Criteria, Peers};
use super::transition::Cause;
use super::{Evidence, GatewayHealth, State};
use crate::config::{GatewayAddress, HealthCheck};
use crate::id::RegionName;
use std::time::{Duration, Instant};

/// A gateway that answers nobody for so long, while somebody asks, is silent.
const SILENCE: Duration = Duration::from_secs(1);

/// What is known of one gateway, and how.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    pub(super) region: RegionName,
    pub(super) address: GatewayAddress,
    pub(super) probing: Probing,
    /// As last settled.
    health: GatewayHealth,
    drained: bool,
    /// It was seen to work since it last was out.
    known: bool,
    /// Whether the last contact got through; `None` before the first.
    reached: Option<bool>,
    /// When it last answered anybody, well or not.
    answered: Instant,
    /// It has not for [`SILENCE`], probes among them.
    silent: bool,
    detector: Detector,
    ejections: Ejections,
    stall: StallWatch,
    ramp: Option<Ramp>,
}

impl Gateway {
    pub(super) fn new(region: RegionName, address: GatewayAddress, drained: bool, now: Instant) -> Self {
        let mut gateway = Self {
            region,
            address,
            probing: Probing::new(now),
            health: GatewayHealth::default(),
            drained,
            known: false,
            reached: None,
            answered: now,
            silent: false,
            detector: Detector::new(now),
            ejections: Ejections::new(now),
            stall: StallWatch::new(now),
            ramp: None,
        };
        gateway.health = gateway.verdict();
        gateway
    }

    /// As last settled.
    pub(super) fn health(&self) -> GatewayHealth {
        self.health
    }

    /// Takes the verdict of now over, and returns the state it had before. `None`: nothing to tell anybody.
    pub(super) fn settle(&mut self) -> Option<State> {
        let mut verdict = self.verdict();
        let before = self.health;
        let same = (verdict.state, verdict.share) == (before.state, before.share);
        if same && !differs(before.round_trip, verdict.round_trip) {
            verdict.round_trip = before.round_trip;
        }
        self.health = verdict;
        (verdict != before).then_some(before.state)
    }

    fn verdict(&self) -> GatewayHealth {
        let full = GatewayHealth::FULL_SHARE;
        let (state, share) = match &self.ramp {
            _ if self.drained => (State::Draining, full),
            _ if self.is_out() => (State::Unhealthy, full),
            Some(ramp) => (State::Degraded, ramp.share()),
            None if self.known => (State::Healthy, full),
            None => (State::Unknown, full),
        };
        GatewayHealth {
            state,
            share,
            round_trip: self.probing.round_trip(),
        }
    }

    /// Traffic or probes say that it does not work.
    pub(super) fn is_out(&self) -> bool {
        self.ejections.is_out() || self.probing.is_down()
    }

    /// It gets traffic.
    pub(super) fn is_in(&self) -> bool {
        !self.drained && !self.is_out()
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.ejections.is_out()
    }

    /// It is ejected, and answered somebody before.
    pub(super) fn is_pardonable(&self) -> bool {
        self.ejections.is_pardonable()
    }

    /// When its ejection ends at the latest, if it has one.
    pub(super) fn ejected_until(&self) -> Option<Instant> {
        self.ejections.until()
    }

    /// Whether the last contact got through; `None` before the first.
    pub(super) fn reached(&self) -> Option<bool> {
        self.reached
    }

    /// It is out, used to answer probes, and answers nobody any more.
    pub(super) fn is_silent(&self) -> bool {
        self.is_out() && self.silent
    }

    /// Takes in what its traffic did.
    pub(super) fn observe(
        &mut self,
        traffic: &Traffic,
        criteria: &Criteria,
        peers: Peers,
        now: Instant,
    ) -> Option<Cause> {
        let fault = self.detector.observe(traffic, &criteria.limits, now);
        let recent = self.detector.recent(&criteria.limits, now);
        self.stall.observe(traffic, recent, criteria.limits.window, now);
        if traffic.answered() > 0 {
            self.reached = Some(true);
            self.answers(now);
        } else if traffic.of(Evidence::ConnectFailed) > 0 && criteria.check.is_none() {
            // With probes, they decide: they know a refusal from silence.
            self.reached = Some(false);
        }
        let news = traffic.successes() > 0 && !self.known;
        self.known |= news;
        if !self.is_in() {
            return None;
        }
        if let Some(check) = criteria.check.as_ref().filter(|_| traffic.failures() > 0) {
            self.probing.hurry(check.unhealthy_threshold, check, now);
        }
        match fault.filter(|fault| peers.can_spare_it(*fault)) {
            Some(fault) => Some(self.eject(fault, criteria, now)),
            None => news.then_some(Cause::Evidence),
        }
    }

    /// Takes in the end of a probe.
    pub(super) fn probe_finished(&mut self, result: ProbeResult, criteria: &Criteria, now: Instant) -> Option<Cause> {
        let check = criteria.check.as_ref()?;
        self.reached = Some(result != Err(ProbeFailure::Unreachable));
        if matches!(result, Ok(_) | Err(ProbeFailure::Status(_))) {
            self.answers(now);
        } else {
            // A probe that never was answered may be the wrong question.
            let used_to = self.probing.round_trip().is_some();
            self.silent |= used_to && now.saturating_duration_since(self.answered) >= SILENCE;
        }
        let news = result.is_ok() && !self.known;
        self.known |= news;
        match self.probing.end(result, check, now) {
            Some(Turn::Down(failure)) => {
                self.ejections.witness();
                self.ramp = None;
                self.known = false;
                return Some(Cause::ProbesFailed(failure));
            }
            Some(Turn::Up) if !self.ejections.is_out() => {
                self.welcome(criteria, now);
                return Some(Cause::ProbesPassed);
            }
            Some(Turn::Up) | None => {}
        }
        self.end_ejection(criteria, now)
            .or_else(|| news.then_some(Cause::Evidence))
    }

    /// Takes in that time has passed.
    pub(super) fn handle_timeout(&mut self, criteria: &Criteria, peers: Peers, now: Instant) -> Option<Cause> {
        let ramped_up = self
            .ramp
            .as_mut()
            .is_some_and(|ramp| ramp.advance(criteria.slow_start, now));
        if ramped_up {
            self.ramp = None;
        }
        if self.is_stalled(criteria, now) {
            if peers.can_spare_it(Fault::Stalled) {
                return Some(self.eject(Fault::Stalled, criteria, now));
            }
            self.stall.drop_it();
        }
        self.end_ejection(criteria, now)
            .or_else(|| ramped_up.then_some(Cause::RampedUp))
    }

    /// The next moment at which time alone changes something, probes aside.
    pub(super) fn poll_timeout(&self, criteria: &Criteria) -> Option<Instant> {
        let ramp = self.ramp.as_ref().map(|ramp| ramp.poll_timeout(criteria.slow_start));
        let stall = self
            .watching(criteria)
            .and_then(|check| self.stall.poll_timeout(self.probing.confirms_stall(check)));
        let moments = [ramp, self.ejections.poll_timeout(), stall];
        moments.into_iter().flatten().min()
    }

    /// Puts it out of service, or back in.
    pub(super) fn set_drained(&mut self, drained: bool, criteria: &Criteria, now: Instant) {
        let changed = self.drained != drained;
        self.drained = drained;
        if changed && drained {
            self.ramp = None;
        } else if changed && !self.is_out() {
            self.welcome(criteria, now);
        }
    }

    /// Ends its ejection, because too many are ejected for the service it is in now.
    pub(super) fn pardon(&mut self, criteria: &Criteria, now: Instant) {
        self.ejections.end(now);
        if !self.probing.is_down() {
            self.welcome(criteria, now);
        }
    }

    /// Other criteria apply from now on.
    pub(super) fn reconfigure(&mut self, old: &Criteria, new: &Criteria, now: Instant) {
        if old.check != new.check {
            let was_down = self.probing.is_down();
            self.probing.reconfigure(new.check.as_ref(), now);
            if was_down && !self.is_out() {
                self.welcome(new, now);
            }
        }
        if old.limits.window != new.limits.window {
            self.detector = Detector::new(now);
            self.stall = StallWatch::new(now);
        }
    }

    fn answers(&mut self, now: Instant) {
        self.answered = now;
        self.silent = false;
    }

    fn eject(&mut self, fault: Fault, criteria: &Criteria, now: Instant) -> Cause {
        self.ejections.begin(fault, &criteria.limits, now);
        self.probing.restart_count();
        self.ramp = None;
        self.known = false;
        Cause::Ejected(fault)
    }

    /// Ends the ejection if it may end: its time is over and probes have nothing against it, or enough of them passed
    /// after they had seen the fault themselves.
    fn end_ejection(&mut self, criteria: &Criteria, now: Instant) -> Option<Cause> {
        if !self.ejections.is_out() {
            return None;
        }
        let served = self.ejections.serve(now);
        let down = self.probing.is_down();
        let passed = self.probing.passed();
        let threshold = criteria.check.as_ref().map(|check| check.healthy_threshold.max(1));
        let early = threshold.and_then(|threshold| self.ejections.early(threshold));
        let over = match threshold {
            Some(threshold) if served => down || passed >= threshold,
            Some(_) => !down && early.is_some_and(|enough| passed >= enough),
            None => served,
        };
        if !over {
            return None;
        }
        self.ejections.end(now);
        if !down {
            self.welcome(criteria, now);
        }
        Some(if served {
            Cause::EjectionEnded
        } else {
            Cause::ProbesPassed
        })
    }

    /// It is in again: with a clean record, and little traffic to begin with.
    fn welcome(&mut self, criteria: &Criteria, now: Instant) {
        self.ejections.back(now);
        self.detector = Detector::new(now);
        self.stall = StallWatch::new(now);
        self.ramp = (!self.drained && !criteria.slow_start.is_zero()).then(|| Ramp::new(now));
    }

    /// Whether its requests hang, and a probe too.
    fn is_stalled(&mut self, criteria: &Criteria, now: Instant) -> bool {
        let Some(check) = self.watching(criteria) else {
            return false;
        };
        if self.stall.begins(now) {
            self.probing.hurry(check.unhealthy_threshold, check, now);
        }
        self.stall.is_confirmed(self.probing.confirms_stall(check), now)
    }

    /// The check that confirms a stall, if there is one and anybody is interested.
    fn watching<'a>(&self, criteria: &'a Criteria) -> Option<&'a HealthCheck> {
        criteria.check.as_ref().filter(|_| self.is_in())
    }
}

/// Whether a round trip changed so much that it is worth telling.
fn differs(told: Option<Duration>, now: Option<Duration>) -> bool {
    match (told, now) {
        (Some(told), Some(now)) => told.abs_diff(now) > (told / 4).max(Duration::from_millis(1)),
        _ => told != now,
    }
}
