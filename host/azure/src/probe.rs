//! The answers to Front Door's health probes. Pure; they are prepared, a request only looks them up.
//!
//! Front Door counts 200 as healthy and every other status as unhealthy, and probes every few seconds from every edge. The
//! answer for a region suits a gateway that passes the probe path to the Portolan of its region (is this region healthy?); the answer for a
//! whole service suits Portolan as Front Door's origin (can any region serve?). Without a view the answer is 200.

use crate::quorum::RegionTally;
use crate::settings::ProbeTiming;
use portolan_core::health::State;
use portolan_core::id::{RegionName, ServiceId, ServiceName, Slot};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A gateway as seen when the answers are prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayView {
    /// Its state as this instance sees it.
    pub own: State,
    /// The quorum's verdict on the region.
    pub quorum: QuorumVerdict,
}

/// The quorum's verdict on a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuorumVerdict {
    /// There is no other vantage: this instance's view decides.
    Alone,
    /// Too few votes count, or the count is too old.
    Unknown,
    /// The count.
    Counted {
        /// Whether a quorum sees it unhealthy.
        unhealthy: bool,
        /// How many vantages see it unhealthy.
        votes: usize,
        /// Of how many vantages.
        of: usize,
    },
}

impl QuorumVerdict {
    /// The verdict of a count that has held for `settle`.
    pub fn of(region: &RegionTally, configured: usize, settle: Duration) -> Self {
        Self::Counted {
            unhealthy: region.unhealthy.for_at_least(settle),
            votes: region.unhealthy.votes,
            of: configured,
        }
    }
}

/// Why a probe is answered as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is healthy.
    Healthy,
    /// No view yet: 200.
    Unknown,
    /// Too few votes count: 200.
    NoQuorum,
    /// The view is too old: 200.
    Stale,
    /// It is unhealthy as this instance, alone, sees it.
    OwnView,
    /// A quorum of vantages sees it unhealthy.
    Quorum {
        /// How many.
        votes: usize,
        /// Of how many.
        of: usize,
    },
    /// An operator drains it here.
    Draining,
    /// It is healthy, not for long enough yet.
    Recovering,
    /// It is unhealthy, not for long enough yet.
    Suspected,
    /// No region of the service is healthy.
    NoRegion,
}

/// The answer to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it is 200.
    pub healthy: bool,
    /// Why.
    pub reason: Reason,
}

impl Answer {
    /// 200 or 503.
    pub fn status(self) -> u16 {
        if self.healthy { 200 } else { 503 }
    }

    const fn healthy(reason: Reason) -> Self {
        Self { healthy: true, reason }
    }

    const fn unhealthy(reason: Reason) -> Self {
        Self { healthy: false, reason }
    }
}

/// Prepares the answers: keeps what hysteresis needs from one view to the next.
#[derive(Debug)]
pub struct ProbeAnswerer {
    timing: ProbeTiming,
    services: Vec<(ServiceName, Vec<Gauge>)>,
}

/// One gateway's answer and since when the view contradicts it.
#[derive(Clone, Debug)]
struct Gauge {
    region: RegionName,
    answer: Answer,
    otherwise_since: Option<Instant>,
}

impl ProbeAnswerer {
    /// For services and their regions, in the order of the configuration. All answers are 200 at first.
    pub fn new(timing: ProbeTiming, services: impl IntoIterator<Item = (ServiceName, Vec<RegionName>)>) -> Self {
        let gauge = |region| Gauge {
            region,
            answer: Answer::healthy(Reason::Unknown),
            otherwise_since: None,
        };
        let services = services
            .into_iter()
            .map(|(name, regions)| (name, regions.into_iter().map(gauge).collect()));
        Self {
            timing,
            services: services.collect(),
        }
    }

    /// Changes services, regions or times. The state of a gateway is kept when its service and region are.
    pub fn reconfigure(
        &mut self,
        timing: ProbeTiming,
        services: impl IntoIterator<Item = (ServiceName, Vec<RegionName>)>,
    ) {
        let known = std::mem::replace(self, Self::new(timing, services)).services;
        for (name, gauges) in &mut self.services {
            let Some((_, before)) = known.iter().find(|(known, _)| known == name) else {
                continue;
            };
            for gauge in gauges {
                if let Some(known) = before.iter().find(|known| known.region == gauge.region) {
                    *gauge = known.clone();
                }
            }
        }
    }

    /// Updates the view and prepares the answers. `view` returns each gateway as it is seen.
    ///
    /// Call it whenever the view changes and at least twice per [`ProbeTiming::stale_after`]: answers that are not renewed
    /// turn to 200.
    pub fn update(&mut self, now: Instant, view: impl Fn(ServiceId, Slot) -> GatewayView) -> Arc<ProbeAnswers> {
        let timing = self.timing;
        let services = (0..).zip(self.services.iter_mut()).map(|(id, (name, gauges))| {
            for (slot, gauge) in (0..).zip(gauges.iter_mut()) {
                gauge.follow(&view(ServiceId(id), Slot(slot)), now, &timing);
            }
            ServiceAnswers {
                name: name.clone(),
                any: any(gauges),
                regions: gauges
                    .iter()
                    .map(|gauge| (gauge.region.clone(), gauge.answer))
                    .collect(),
            }
        });
        Arc::new(ProbeAnswers {
            services: services.collect(),
            prepared: now,
            fresh_until: now + timing.stale_after,
        })
    }
}

impl Gauge {
    fn follow(&mut self, view: &GatewayView, now: Instant, timing: &ProbeTiming) {
        let (seen, at_once) = see(view);
        if seen.healthy == self.answer.healthy || at_once {
            self.answer = seen;
            self.otherwise_since = None;
            return;
        }
        let since = *self.otherwise_since.get_or_insert(now);
        let (enough, meanwhile) = if seen.healthy {
            (timing.healthy_after, Answer::unhealthy(Reason::Recovering))
        } else {
            (timing.unhealthy_after, Answer::healthy(Reason::Suspected))
        };
        if now.saturating_duration_since(since) >= enough {
            self.answer = seen;
            self.otherwise_since = None;
        } else {
            self.answer = meanwhile;
        }
    }
}

/// The answer that follows from a view, and whether it needs no waiting: a drain, or an unknown state.
fn see(view: &GatewayView) -> (Answer, bool) {
    match (view.own, view.quorum) {
        (State::Draining, _) => (Answer::unhealthy(Reason::Draining), true),
        (_, QuorumVerdict::Unknown) => (Answer::healthy(Reason::NoQuorum), true),
        (
            _,
            QuorumVerdict::Counted {
                unhealthy: true,
                votes,
                of,
            },
        ) => (Answer::unhealthy(Reason::Quorum { votes, of }), false),
        (_, QuorumVerdict::Counted { unhealthy: false, .. }) => (Answer::healthy(Reason::Healthy), false),
        (State::Unhealthy, QuorumVerdict::Alone) => (Answer::unhealthy(Reason::OwnView), false),
        (State::Healthy | State::Warming, QuorumVerdict::Alone) => (Answer::healthy(Reason::Healthy), false),
        (State::Unknown, QuorumVerdict::Alone) => (Answer::healthy(Reason::Unknown), true),
    }
}

fn any(gauges: &[Gauge]) -> Answer {
    match gauges.iter().find(|gauge| gauge.answer.healthy) {
        Some(gauge) => gauge.answer,
        None if gauges.is_empty() => Answer::healthy(Reason::Unknown),
        None => Answer::unhealthy(Reason::NoRegion),
    }
}

/// All answers of one view. Reading one is two look-ups and a comparison of times.
#[derive(Clone, Debug)]
pub struct ProbeAnswers {
    services: Vec<ServiceAnswers>,
    prepared: Instant,
    fresh_until: Instant,
}

/// The answers for one service at one moment.
#[derive(Debug)]
pub struct ServiceView<'a, R> {
    /// The service.
    pub name: &'a ServiceName,
    /// Whether any of its regions is healthy.
    pub any: Answer,
    /// Its regions and their answers.
    pub regions: R,
}

#[derive(Clone, Debug)]
struct ServiceAnswers {
    name: ServiceName,
    any: Answer,
    regions: Vec<(RegionName, Answer)>,
}

impl ProbeAnswers {
    /// The service of this name, in the configuration that these answers are for.
    pub fn service_named(&self, name: &str) -> Option<ServiceId> {
        let index = self.services.iter().position(|service| service.name.as_str() == name)?;
        u16::try_from(index).ok().map(ServiceId)
    }

    /// The region of this name in a service.
    pub fn region_named(&self, service: ServiceId, name: &str) -> Option<Slot> {
        let regions = &self.services.get(service.index())?.regions;
        let index = regions.iter().position(|(region, _)| region.as_str() == name)?;
        u8::try_from(index).ok().map(Slot)
    }

    /// All answers, service by service, in the order of the configuration.
    pub fn each(
        &self,
        now: Instant,
    ) -> impl Iterator<Item = ServiceView<'_, impl Iterator<Item = (&RegionName, Answer)>>> {
        let at = move |answer| self.unless_stale(now, Some(answer));
        self.services.iter().map(move |service| ServiceView {
            name: &service.name,
            any: at(service.any),
            regions: service
                .regions
                .iter()
                .map(move |(region, answer)| (region, at(*answer))),
        })
    }

    /// How old the view is that they were prepared from.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.prepared)
    }

    /// Whether any region of the service is healthy.
    pub fn service(&self, service: ServiceId, now: Instant) -> Answer {
        self.unless_stale(now, self.services.get(service.index()).map(|service| service.any))
    }

    /// Whether a region is healthy for the service.
    pub fn region(&self, service: ServiceId, slot: Slot, now: Instant) -> Answer {
        let of = |service: &ServiceAnswers| service.regions.get(slot.index()).map(|(_, answer)| *answer);
        self.unless_stale(now, self.services.get(service.index()).and_then(of))
    }

    fn unless_stale(&self, now: Instant, answer: Option<Answer>) -> Answer {
        if now > self.fresh_until {
            return Answer::healthy(Reason::Stale);
        }
        answer.unwrap_or(Answer::healthy(Reason::Unknown))
    }

    /// All answers of a service as text, for `?explain`.
    pub fn explain(&self, service: ServiceId, now: Instant) -> String {
        use fmt::Write;
        let Some(answers) = self.services.get(service.index()) else {
            return "no such service: 200\n".to_owned();
        };
        let age = Duration::from_secs(self.age(now).as_secs());
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}: {} (view of {age:?} ago)",
            answers.name,
            self.service(service, now)
        );
        for (slot, (region, _)) in (0..).zip(&answers.regions) {
            let _ = writeln!(text, "  {region}: {}", self.region(service, Slot(slot), now));
        }
        text
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.status(), self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Unknown => f.write_str("unknown"),
            Self::NoQuorum => f.write_str("no quorum"),
            Self::Stale => f.write_str("the view is stale"),
            Self::OwnView => f.write_str("unhealthy as this instance sees it"),
            Self::Quorum { votes, of } => write!(f, "unhealthy by {votes} of {of} votes"),
            Self::Draining => f.write_str("draining"),
            Self::Recovering => f.write_str("healthy, not for long enough yet"),
            Self::Suspected => f.write_str("unhealthy, not for long enough yet"),
            Self::NoRegion => f.write_str("no healthy region"),
        }
    }
}

#[cfg(test)]
mod tests;
