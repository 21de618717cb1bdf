//! The state of one gateway, from its probes, its traffic and its operator.

mod way_back;

use super::criteria::{Criteria, Peers};
use super::ejection::Ejections;
use super::grounds::Grounds;
use super::hold::{Awaited, Hold};
use super::outlier::{Detector, Fault, Support};
use super::probing::{ProbeFailure, ProbeResult, Probing, Turn};
use super::slow_start::SlowStart;
use super::stall::StallWatch;
use super::traffic::Traffic;
use super::transition::Cause;
use super::{Evidence, GatewayHealth, State, Why};
use crate::config::{GatewayAddress, HealthCheck};
use crate::id::RegionName;
use std::time::{Duration, Instant};

/// A gateway that answers neither requests nor probes for this long is unresponsive.
const UNRESPONSIVE_AFTER: Duration = Duration::from_secs(1);

/// ... and at least this many times as long as its latest answers took, if it has requests to answer all that time.
const UNRESPONSIVE_RATIO: u32 = 2;

/// One gateway.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    pub(super) region: RegionName,
    pub(super) address: GatewayAddress,
    pub(super) probing: Probing,
    /// As of the last [`settle`](Self::settle).
    health: GatewayHealth,
    drained: bool,
    /// It succeeded since it was last unhealthy.
    known: bool,
    /// Whether the last connection succeeded; `None` before the first.
    reached: Option<bool>,
    /// When it last answered a request or a probe, with any status.
    answered: Instant,
    /// When no request waited for an answer, at the latest.
    idle: Instant,
    /// What its latest answers to requests took.
    answer_time: Duration,
    /// It has answered neither requests nor probes for long: see [`UNRESPONSIVE_AFTER`].
    unresponsive: bool,
    detector: Detector,
    ejections: Ejections,
    /// What its ejection is based on, if that may be taken back.
    grounds: Option<Grounds>,
    stall: StallWatch,
    /// It has recovered, and waits.
    hold: Option<Hold>,
    slow_start: Option<SlowStart>,
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
            idle: now,
            answer_time: Duration::ZERO,
            unresponsive: false,
            detector: Detector::new(now),
            ejections: Ejections::new(now),
            grounds: None,
            stall: StallWatch::new(now),
            hold: None,
            slow_start: None,
        };
        gateway.health = gateway.current();
        gateway
    }

    /// As of the last [`settle`](Self::settle).
    pub(super) fn health(&self) -> GatewayHealth {
        self.health
    }

    /// Updates its health, and returns the previous state. `None` when no visible value changed. `cause`: why the state
    /// changed, if it did.
    pub(super) fn settle(&mut self, criteria: &Criteria, cause: Cause, now: Instant) -> Option<State> {
        let before = self.health;
        let mut health = self.current();
        health.round_trip = self.probing.round_trip().filter(|_| criteria.shows_round_trips);
        let same = (health.state, health.share) == (before.state, before.share);
        if same && !differs(before.round_trip, health.round_trip) {
            health.round_trip = before.round_trip;
        }
        let changed = (health.state != before.state).then_some((cause, now));
        health.why = Why {
            cause: self
                .keeps_out(criteria, now)
                .or(changed.map(|it| it.0))
                .or(before.why.cause),
            since: changed.map(|it| it.1).or(before.why.since),
            ejected_until: self.ejections.until(),
            awaits: self.awaits(criteria, now),
        };
        self.health = health;
        (health != before).then_some(before.state)
    }

    fn current(&self) -> GatewayHealth {
        let full = GatewayHealth::FULL_SHARE;
        let (state, share) = match &self.slow_start {
            _ if self.drained => (State::Draining, full),
            _ if self.is_out() => (State::Unhealthy, full),
            Some(slow_start) => (State::Warming, slow_start.share()),
            None if self.known => (State::Healthy, full),
            None => (State::Unknown, full),
        };
        GatewayHealth {
            state,
            share,
            round_trip: None,
            why: Why::default(),
        }
    }

    /// Why it is unhealthy now.
    fn keeps_out(&self, criteria: &Criteria, now: Instant) -> Option<Cause> {
        if self.drained {
            return None;
        }
        let ejected = self.ejections.fault().map(Cause::Ejected);
        let held = || self.awaits(criteria, now).map(|(awaited, _)| Cause::Held(awaited));
        ejected
            .or_else(|| self.probing.down().map(Cause::ProbesFailed))
            .or_else(held)
    }

    /// What it waits for now that it has recovered, and when its hold-down ends.
    fn awaits(&self, criteria: &Criteria, now: Instant) -> Option<(Awaited, Instant)> {
        let hold = self.hold.as_ref().filter(|_| !self.drained)?;
        let failback = &criteria.failback;
        Some((hold.awaited(failback, now)?, hold.ends(failback)))
    }

    /// Ejected, its probes failed, or it has recovered and waits.
    pub(super) fn is_out(&self) -> bool {
        self.ejections.is_ejected() || self.probing.is_down() || self.hold.is_some()
    }

    /// Whether it has recovered and waits.
    pub(super) fn is_held(&self) -> bool {
        self.hold.is_some() && !self.drained
    }

    /// Whether it gets traffic.
    pub(super) fn is_in(&self) -> bool {
        !self.drained && !self.is_out()
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.ejections.is_ejected()
    }

    /// It is ejected although it answers some requests: the ejection limit applies.
    pub(super) fn counts_for_ceiling(&self) -> bool {
        self.ejections.fault().is_some_and(|fault| !fault.is_total())
    }

    /// When its ejection ends at the latest, if it has one.
    pub(super) fn ejected_until(&self) -> Option<Instant> {
        self.ejections.until()
    }

    /// It is ejected, and its probes pass by their thresholds: a single failed one is not enough to give it up. Or it has recovered
    /// and waits for no more than time, or no other one gets traffic.
    pub(super) fn is_last_resort(&self, criteria: &Criteria, is_lost: bool) -> bool {
        let is_held = self.hold.is_some() && (criteria.failback.gate.is_none() || is_lost);
        !self.drained && (self.ejections.is_passing() || is_held) && !self.probing.is_down()
    }

    /// It is ejected, and its latest probes passed: it may return for one that fails.
    pub(super) fn may_return(&self, criteria: &Criteria) -> bool {
        let passes = |check| self.probing.is_passing(check);
        !self.drained && self.is_ejected() && criteria.check.as_ref().is_some_and(passes)
    }

    /// See [`Support::elsewhere`].
    pub(super) fn has_credible_disputes(&self, criteria: &Criteria, now: Instant) -> bool {
        self.detector.has_credible_disputes(&criteria.limits, now)
    }

    /// Whether the last connection succeeded; `None` before the first.
    pub(super) fn reached(&self) -> Option<bool> {
        self.reached
    }

    /// See [`ServiceHealth::unresponsive`](super::ServiceHealth::unresponsive).
    pub(super) fn is_unresponsive(&self) -> bool {
        self.is_out() && self.unresponsive
    }

    /// A reading of its traffic.
    pub(super) fn observe(
        &mut self,
        traffic: &Traffic,
        criteria: &Criteria,
        peers: Peers,
        now: Instant,
    ) -> Option<Cause> {
        let support = Support {
            probed: criteria.check.is_some() && self.probing.is_up(),
            elsewhere: peers.credible_disputes,
        };
        let fault = self.detector.observe(traffic, &criteria.limits, support, now);
        let recent = self.detector.recent(&criteria.limits, now);
        self.stall.observe(traffic, recent, criteria.limits.window, now);
        if traffic.in_flight == 0 {
            self.idle = now;
        }
        self.answer_time = traffic.answer_time.unwrap_or(self.answer_time);
        if traffic.answered() + traffic.late > 0 {
            self.reached = Some(true);
            self.answers(now);
        } else if traffic.of(Evidence::ConnectFailed) > 0 && criteria.check.is_none() {
            // With active health checks, the probes decide: they distinguish a refused connection from no answer.
            self.reached = Some(false);
        }
        let news = traffic.successes() > 0 && !self.known;
        self.known |= news;
        if !self.is_in() {
            return self.take_back(traffic, criteria);
        }
        if let Some(check) = criteria.check.as_ref().filter(|_| traffic.failures() > 0) {
            self.probing.hurry(check.unhealthy_threshold, check, now);
        }
        match fault.filter(|fault| peers.allow_ejection(*fault)) {
            Some(fault) => {
                self.grounds = Grounds::of(fault, &self.detector, support, now);
                Some(self.eject(fault, criteria, now))
            }
            None => news.then_some(Cause::Evidence),
        }
    }

    /// A probe ended.
    pub(super) fn probe_finished(&mut self, result: ProbeResult, criteria: &Criteria, now: Instant) -> Option<Cause> {
        let check = criteria.check.as_ref()?;
        self.reached = Some(result != Err(ProbeFailure::Unreachable));
        if result.err().is_none_or(ProbeFailure::is_answer) {
            self.answers(now);
        } else {
            // If no probe ever passed, the health check may be misconfigured.
            let used_to = self.probing.round_trip().is_some();
            self.unresponsive |= used_to && self.is_silent(now);
        }
        let news = result.is_ok() && !self.known;
        self.known |= news;
        let turn = self.probing.end(result, check, now);
        if let Some(hold) = self.hold.as_mut().filter(|_| result.is_err()) {
            hold.restart(now);
        }
        if self.probing.is_passing(check) {
            self.ejections.probes_passed();
        }
        match turn {
            Some(Turn::Down(failure)) => {
                self.ejections.probes_failed();
                self.slow_start = None;
                self.hold = None;
                self.known = false;
                return Some(Cause::ProbesFailed(failure));
            }
            Some(Turn::Up) if !self.ejections.is_ejected() => {
                self.recover(criteria, now);
                return Some(Cause::ProbesPassed);
            }
            Some(Turn::Up) | None => {}
        }
        self.end_ejection(criteria, now)
            .or_else(|| news.then_some(Cause::Evidence))
    }

    /// Handles the passing of time.
    pub(super) fn handle_timeout(&mut self, criteria: &Criteria, peers: Peers, now: Instant) -> Option<Cause> {
        let warmed_up = self
            .slow_start
            .as_mut()
            .is_some_and(|slow_start| slow_start.advance(criteria.slow_start, now));
        if warmed_up {
            self.slow_start = None;
        }
        if let Some(hold) = &self.hold
            && hold.awaited(&criteria.failback, now).is_none()
        {
            return self.fail_back(criteria, now);
        }
        if self.is_stalled(criteria, now) {
            if peers.allow_ejection(Fault::Stalled) {
                self.grounds = None;
                return Some(self.eject(Fault::Stalled, criteria, now));
            }
            self.stall.dismiss();
        }
        self.end_ejection(criteria, now)
            .or_else(|| warmed_up.then_some(Cause::WarmedUp))
    }

    /// The next moment at which time alone changes something, probes aside.
    pub(super) fn poll_timeout(&self, criteria: &Criteria, now: Instant) -> Option<Instant> {
        let slow_start = self.slow_start.as_ref();
        let slow_start = slow_start.map(|slow_start| slow_start.poll_timeout(criteria.slow_start));
        let stall = self
            .watching(criteria)
            .and_then(|check| self.stall.poll_timeout(self.probing.confirms_stall(check)));
        let ejection = self.ejections.poll_timeout(self.probing.passing_since());
        let hold = self.hold.as_ref();
        let hold = hold.and_then(|hold| hold.poll_timeout(&criteria.failback, now));
        let moments = [slow_start, ejection, stall, hold];
        moments.into_iter().flatten().min()
    }

    /// Drains it, or ends the drain.
    pub(super) fn set_drained(&mut self, drained: bool, criteria: &Criteria, now: Instant) {
        let changed = self.drained != drained;
        self.drained = drained;
        if changed && drained {
            self.slow_start = None;
            // An operator who ends the drain wants it back.
            self.hold = None;
        } else if changed && !self.is_out() {
            self.bring_back(criteria, now);
        }
    }

    /// Ends its ejection, because more gateways are ejected than the service allows.
    pub(super) fn end_early(&mut self, criteria: &Criteria, now: Instant) {
        self.ejections.end(now);
        self.grounds = None;
        if !self.probing.is_down() {
            self.bring_back(criteria, now);
        }
    }

    /// Applies other criteria.
    pub(super) fn reconfigure(&mut self, old: &Criteria, new: &Criteria, now: Instant) {
        if old.check != new.check {
            let was_down = self.probing.is_down();
            self.probing.reconfigure(new.check.as_ref(), now);
            if was_down && !self.is_out() {
                self.bring_back(new, now);
            }
        }
        if old.limits.window != new.limits.window {
            self.detector = Detector::new(now);
            self.grounds = None;
            self.stall = StallWatch::new(now);
        }
    }

    /// Whether it has not answered for so long that it is unresponsive. One that is slow is silent only while requests wait.
    fn is_silent(&self, now: Instant) -> bool {
        let usual = self.answer_time.saturating_mul(UNRESPONSIVE_RATIO);
        let since = match usual > UNRESPONSIVE_AFTER {
            true => self.answered.max(self.idle),
            false => self.answered,
        };
        now.saturating_duration_since(since) >= usual.max(UNRESPONSIVE_AFTER)
    }

    fn answers(&mut self, now: Instant) {
        self.answered = now;
        self.unresponsive = false;
    }

    /// Takes its ejection back, when that would not have begun without what is disputed by now.
    fn take_back(&mut self, traffic: &Traffic, criteria: &Criteria) -> Option<Cause> {
        let is_refuted = |grounds: &mut Grounds| grounds.is_refuted(traffic, &criteria.limits);
        self.detector = self.grounds.take_if(is_refuted)?.into_detector();
        self.ejections.take_back();
        self.known = !self.probing.is_down();
        Some(Cause::EjectionTakenBack)
    }

    fn eject(&mut self, fault: Fault, criteria: &Criteria, now: Instant) -> Cause {
        self.ejections.begin(fault, &criteria.limits, now);
        self.hold = None;
        self.probing.restart_count();
        self.slow_start = None;
        self.known = false;
        Cause::Ejected(fault)
    }

    /// Ends the ejection if it may end: its time is over and its probes pass, or probes failed too and enough of them
    /// have passed since. While its probes pass, its time runs twice as fast.
    fn end_ejection(&mut self, criteria: &Criteria, now: Instant) -> Option<Cause> {
        if !self.ejections.is_ejected() {
            return None;
        }
        let served = self.ejections.serve(self.probing.passing_since(), now);
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
        self.grounds = None;
        if !down {
            self.recover(criteria, now);
        }
        Some(if served {
            Cause::EjectionEnded
        } else {
            Cause::ProbesPassed
        })
    }

    /// It is healthy again: it gets traffic, or waits for its failback.
    fn recover(&mut self, criteria: &Criteria, now: Instant) {
        self.bring_back(criteria, now);
        self.hold = Hold::new(&criteria.failback, now).filter(|_| !self.drained);
        if self.hold.is_some() {
            self.slow_start = None;
        }
    }

    /// Ends its wait; `None` when it does not wait.
    pub(super) fn fail_back(&mut self, criteria: &Criteria, now: Instant) -> Option<Cause> {
        self.hold.take()?;
        self.bring_back(criteria, now);
        Some(Cause::FailedBack)
    }

    /// The wait for its failback.
    pub(super) fn hold_mut(&mut self) -> Option<&mut Hold> {
        self.hold.as_mut()
    }

    /// Whether this check of its gate is the one in flight.
    pub(super) fn holds_check(&self, ticket: u64) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.holds(ticket))
    }

    /// It gets traffic again, in slow start. Its earlier traffic no longer counts.
    fn bring_back(&mut self, criteria: &Criteria, now: Instant) {
        self.hold = None;
        self.ejections.back(now);
        self.grounds = None;
        self.detector = Detector::new(now);
        self.stall = StallWatch::new(now);
        self.slow_start = (!self.drained && !criteria.slow_start.is_zero()).then(|| SlowStart::new(now));
    }

    /// Whether neither its requests nor a probe are answered.
    fn is_stalled(&mut self, criteria: &Criteria, now: Instant) -> bool {
        let Some(check) = self.watching(criteria) else {
            return false;
        };
        if self.stall.begins(now) {
            self.probing.hurry(check.unhealthy_threshold, check, now);
        }
        self.stall.is_confirmed(self.probing.confirms_stall(check), now)
    }

    /// The check that confirms a stall, if the gateway gets traffic.
    fn watching<'a>(&self, criteria: &'a Criteria) -> Option<&'a HealthCheck> {
        criteria.check.as_ref().filter(|_| self.is_in())
    }
}

/// Whether a round trip changed so much that it is worth a new view.
fn differs(published: Option<Duration>, now: Option<Duration>) -> bool {
    match (published, now) {
        (Some(published), Some(now)) => published.abs_diff(now) > (published / 4).max(Duration::from_millis(1)),
        _ => published != now,
    }
}
