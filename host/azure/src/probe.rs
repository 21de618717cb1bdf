//! The fast path: what Front Door's own probes are told. Pure; the answers are prepared, a request only looks them up.
//!
//! Front Door takes 200 for healthy and all else for not, and asks every few seconds from every edge. The answer for a
//! region suits a gateway that hands the probe path to the Portolan of its region ("is this region fit?"); the answer for a
//! whole service suits Portolan as Front Door's origin ("can I serve by any region?"). Whoever knows nothing says 200.

use crate::quorum::RegionTally;
use crate::settings::ProbeTiming;
use portolan_core::health::State;
use portolan_core::id::{RegionName, ServiceId, ServiceName, Slot};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How one gateway looks when the answers are prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// This instance's own verdict.
    pub own: State,
    /// What the quorum says of the region.
    pub quorum: QuorumVerdict,
}

/// What the quorum says of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuorumVerdict {
    /// Nobody else is asked: the own verdict counts.
    Alone,
    /// Too few vantages vote, or their votes are too old: nobody knows.
    Lost,
    /// The count.
    Said {
        /// Whether enough say that it is bad.
        unhealthy: bool,
        /// How many do.
        votes: usize,
        /// Of how many vantages.
        of: usize,
    },
}

impl QuorumVerdict {
    /// What a count says.
    pub fn of(region: &RegionTally, configured: usize, settle: Duration) -> Self {
        Self::Said {
            unhealthy: region.unhealthy.for_at_least(settle),
            votes: region.unhealthy.votes,
            of: configured,
        }
    }
}

/// Why a probe is answered as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It looks well.
    Fit,
    /// Nobody knows, so it is not held against it.
    Unknown,
    /// Too few vantages vote, so nothing is held against it.
    NoQuorum,
    /// The view has not been renewed for too long, so it is not held against it.
    Stale,
    /// This instance, alone, finds it bad.
    OwnView,
    /// So many of so many vantages find it bad.
    Quorum {
        /// How many.
        votes: usize,
        /// Of how many.
        of: usize,
    },
    /// An operator takes it out here.
    Draining,
    /// It looks well, not for long enough yet.
    Recovering,
    /// It looks bad, not for long enough yet.
    Suspected,
    /// No region of the service is fit.
    NoRegion,
}

/// The answer to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it is 200.
    pub fit: bool,
    /// Why.
    pub reason: Reason,
}

impl Answer {
    /// 200 or 503.
    pub fn status(self) -> u16 {
        if self.fit { 200 } else { 503 }
    }

    const fn fit(reason: Reason) -> Self {
        Self { fit: true, reason }
    }

    const fn unfit(reason: Reason) -> Self {
        Self { fit: false, reason }
    }
}

/// Prepares the answers: keeps what hysteresis needs from one view to the next.
#[derive(Debug)]
pub struct ProbeBoard {
    timing: ProbeTiming,
    services: Vec<(ServiceName, Vec<Gauge>)>,
}

/// One gateway's answer and since when the view says otherwise.
#[derive(Clone, Debug)]
struct Gauge {
    region: RegionName,
    answer: Answer,
    otherwise_since: Option<Instant>,
}

impl ProbeBoard {
    /// A board for services and their regions, in the order of the configuration: nothing is known yet.
    pub fn new(timing: ProbeTiming, services: impl IntoIterator<Item = (ServiceName, Vec<RegionName>)>) -> Self {
        let gauge = |region| Gauge {
            region,
            answer: Answer::fit(Reason::Unknown),
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

    /// Other services, regions or times from now on. What is known of a gateway stays when service and region do.
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

    /// Takes in the view of `now` and prepares the answers. `sight` tells how a gateway looks.
    ///
    /// Call it whenever the view changes and at least twice per [`ProbeTiming::stale_after`]: answers that are not renewed
    /// turn to 200.
    pub fn update(&mut self, now: Instant, sight: impl Fn(ServiceId, Slot) -> Sight) -> Arc<ProbeAnswers> {
        let timing = self.timing;
        let services = (0..).zip(self.services.iter_mut()).map(|(id, (name, gauges))| {
            for (slot, gauge) in (0..).zip(gauges.iter_mut()) {
                gauge.follow(&sight(ServiceId(id), Slot(slot)), now, &timing);
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
    fn follow(&mut self, sight: &Sight, now: Instant, timing: &ProbeTiming) {
        let (seen, at_once) = see(sight);
        if seen.fit == self.answer.fit || at_once {
            self.answer = seen;
            self.otherwise_since = None;
            return;
        }
        let since = *self.otherwise_since.get_or_insert(now);
        let (enough, meanwhile) = if seen.fit {
            (timing.healthy_after, Answer::unfit(Reason::Recovering))
        } else {
            (timing.unhealthy_after, Answer::fit(Reason::Suspected))
        };
        if now.saturating_duration_since(since) >= enough {
            self.answer = seen;
            self.otherwise_since = None;
        } else {
            self.answer = meanwhile;
        }
    }
}

/// What a sight says, and whether it is said without waiting: an operator's word, and that nobody knows.
fn see(sight: &Sight) -> (Answer, bool) {
    match (sight.own, sight.quorum) {
        (State::Draining, _) => (Answer::unfit(Reason::Draining), true),
        (_, QuorumVerdict::Lost) => (Answer::fit(Reason::NoQuorum), true),
        (
            _,
            QuorumVerdict::Said {
                unhealthy: true,
                votes,
                of,
            },
        ) => (Answer::unfit(Reason::Quorum { votes, of }), false),
        (_, QuorumVerdict::Said { unhealthy: false, .. }) => (Answer::fit(Reason::Fit), false),
        (State::Unhealthy, QuorumVerdict::Alone) => (Answer::unfit(Reason::OwnView), false),
        (State::Healthy | State::Degraded, QuorumVerdict::Alone) => (Answer::fit(Reason::Fit), false),
        (State::Unknown, QuorumVerdict::Alone) => (Answer::fit(Reason::Unknown), true),
    }
}

fn any(gauges: &[Gauge]) -> Answer {
    match gauges.iter().find(|gauge| gauge.answer.fit) {
        Some(gauge) => gauge.answer,
        None if gauges.is_empty() => Answer::fit(Reason::Unknown),
        None => Answer::unfit(Reason::NoRegion),
    }
}

/// All answers of one view. Reading one is two look-ups and a comparison of times.
#[derive(Clone, Debug)]
pub struct ProbeAnswers {
    services: Vec<ServiceAnswers>,
    prepared: Instant,
    fresh_until: Instant,
}

/// The answers for one service, as told at a moment.
#[derive(Debug)]
pub struct Told<'a, R> {
    /// The service.
    pub name: &'a ServiceName,
    /// Whether any of its regions is fit.
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
    pub fn each(&self, now: Instant) -> impl Iterator<Item = Told<'_, impl Iterator<Item = (&RegionName, Answer)>>> {
        let told = move |answer| self.unless_stale(now, Some(answer));
        self.services.iter().map(move |service| Told {
            name: &service.name,
            any: told(service.any),
            regions: service
                .regions
                .iter()
                .map(move |(region, answer)| (region, told(*answer))),
        })
    }

    /// How old the view is that they were prepared from.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.prepared)
    }

    /// Whether any region of the service can be served by.
    pub fn service(&self, service: ServiceId, now: Instant) -> Answer {
        self.unless_stale(now, self.services.get(service.index()).map(|service| service.any))
    }

    /// Whether a region is fit for the service.
    pub fn region(&self, service: ServiceId, slot: Slot, now: Instant) -> Answer {
        let of = |service: &ServiceAnswers| service.regions.get(slot.index()).map(|(_, answer)| *answer);
        self.unless_stale(now, self.services.get(service.index()).and_then(of))
    }

    fn unless_stale(&self, now: Instant, answer: Option<Answer>) -> Answer {
        if now > self.fresh_until {
            return Answer::fit(Reason::Stale);
        }
        answer.unwrap_or(Answer::fit(Reason::Unknown))
    }

    /// The whole of a service's answers in words, for `?explain`.
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
            Self::Fit => f.write_str("it looks well"),
            Self::Unknown => f.write_str("nothing is known"),
            Self::NoQuorum => f.write_str("too few vantages vote"),
            Self::Stale => f.write_str("the view is too old to hold against it"),
            Self::OwnView => f.write_str("this instance finds it bad"),
            Self::Quorum { votes, of } => write!(f, "{votes} of {of} vantages find it bad"),
            Self::Draining => f.write_str("an operator drains it"),
            Self::Recovering => f.write_str("it looks well again, not for long enough yet"),
            Self::Suspected => f.write_str("it looks bad, not for long enough yet"),
            Self::NoRegion => f.write_str("no region is fit"),
        }
    }
}

#[cfg(test)]
mod tests;
