//! The counters of every service. Those of its gateways are in [`crate::vitals`].

use super::exemplars::Exemplars;
use crate::vitals::{Counter, Durations, GrpcCounts, GrpcTally, Histogram, RequestOutcome, Tally};
use portolan_core::affinity::Affine;
use portolan_core::decision::{AffinityWish, Effects, RankedBy};
use portolan_core::grpc::GrpcStatus;
use portolan_core::id::ServiceName;
use portolan_core::plan::GaveUp;
use std::sync::OnceLock;
use std::time::Duration;

/// A time of a request that is measured. Each has a histogram of its own: some contain others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// From the request until it is known where its client is: its route and what admits it included.
    Identify,
    /// Choosing the regions from then on, the plugin's part included.
    Decide,
    /// The plugin's part of it.
    Plugin,
    /// From the request to the head of the response, all attempts together.
    FirstByte,
    /// From the request to the end of the response.
    Total,
    /// What of that was not spent on waiting for gateways or for the client.
    Overhead,
}

impl Stage {
    /// All stages, in the order of their discriminants.
    pub const ALL: [Self; 6] = [
        Self::Identify,
        Self::Decide,
        Self::Plugin,
        Self::FirstByte,
        Self::Total,
        Self::Overhead,
    ];

    /// The bounds of its buckets: deciding takes microseconds, answering takes milliseconds.
    pub fn bounds(self) -> (Duration, Duration) {
        match self {
            Self::Identify | Self::Decide | Self::Plugin => (Duration::from_nanos(100), Duration::from_millis(5)),
            Self::Overhead => (Duration::from_micros(1), Duration::from_millis(500)),
            Self::FirstByte | Self::Total => RESPONSE_BOUNDS,
        }
    }
}

/// The bounds of the buckets for responses.
pub const RESPONSE_BOUNDS: (Duration, Duration) = (Duration::from_micros(100), Duration::from_secs(50));

/// What followed a failed or slow attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Another attempt: a retry or a hedge.
    Attempted,
    /// None, for this reason.
    Denied(GaveUp),
}

impl Retry {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Attempted,
        Self::Denied(GaveUp::NotRepeatable),
        Self::Denied(GaveUp::NotInRetryOn),
        Self::Denied(GaveUp::NoneLeft),
        Self::Denied(GaveUp::NoBudget),
        Self::Denied(GaveUp::Deadline),
        Self::Denied(GaveUp::Unresponsive),
    ];

    /// The word for it: `attempted`, or why it was denied.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attempted => "attempted",
            Self::Denied(reason) => reason.as_str(),
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Attempted => 0,
            Self::Denied(reason) => 1 + reason as usize,
        }
    }
}

/// The words for who ordered the candidates, those of [`RankedBy::as_str`].
pub const RANKED_BY: [&str; 5] = ["policy", "plugin", "fallback", "learned", "explored"];

/// What plugins answered: each answer is one of these.
pub const PLUGIN_ANSWERS: [&str; 3] = ["order", "no_opinion", "reject"];

/// What plugin answers do besides.
pub const PLUGIN_EFFECTS: [&str; 3] = ["request_headers", "affinity_off", "affinity_on"];

/// Plugin faults with counters of their own; a plugin host has fewer.
const FAULTS: usize = 16;

/// Counters of one service, kept over reloads.
#[derive(Debug)]
pub struct ServiceVitals {
    /// Which service; empty for requests that came to none.
    pub name: ServiceName,
    /// Examples of its durations, by [`Stage`].
    pub exemplars: Exemplars,
    shards: Box<[Shard]>,
}

/// One worker's counters. Aligned so that two workers do not share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    outcomes: Tally<{ RequestOutcome::ALL.len() }>,
    grpc: GrpcTally,
    retries: Tally<{ Retry::ALL.len() }>,
    ranked: Tally<{ RANKED_BY.len() }>,
    sessions: Tally<{ Affine::ALL.len() }>,
    repaired: Counter,
    answers: Tally<{ PLUGIN_ANSWERS.len() }>,
    effects: Tally<{ PLUGIN_EFFECTS.len() }>,
    faults: [Fault; FAULTS],
    received: Counter,
    sent: Counter,
    stages: [Histogram; Stage::ALL.len()],
}

/// A plugin fault that was met, with its count.
#[derive(Debug, Default)]
struct Fault {
    name: OnceLock<&'static str>,
    count: Counter,
}

/// A service's counters summed over all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceTotals {
    /// Requests that no gateway answered, by [`RequestOutcome`].
    pub outcomes: [u64; RequestOutcome::ALL.len()],
    /// Calls of gRPC that no gateway answered, by their status.
    pub grpc: GrpcCounts,
    /// What followed failed attempts, in the order of [`Retry::ALL`].
    pub retries: [u64; Retry::ALL.len()],
    /// Decisions by who ordered the candidates, in the order of [`RANKED_BY`].
    pub ranked: [u64; RANKED_BY.len()],
    /// Requests that belong to a session, in the order of [`Affine::ALL`].
    pub sessions: [u64; Affine::ALL.len()],
    /// Plugin answers of which something had to be dropped.
    pub repaired: u64,
    /// Plugin answers in the order of [`PLUGIN_ANSWERS`].
    pub answers: [u64; PLUGIN_ANSWERS.len()],
    /// What they did besides, in the order of [`PLUGIN_EFFECTS`].
    pub effects: [u64; PLUGIN_EFFECTS.len()],
    /// Plugin faults by name.
    pub faults: Vec<(&'static str, u64)>,
    /// Bytes of request bodies.
    pub received: u64,
    /// Bytes of response bodies.
    pub sent: u64,
    /// Durations in the order of [`Stage::ALL`].
    pub stages: [Durations; Stage::ALL.len()],
}

impl ServiceVitals {
    /// Counters for this many workers.
    pub fn new(name: ServiceName, workers: usize) -> Self {
        Self {
            name,
            exemplars: Exemplars::default(),
            shards: (0..workers.max(1)).map(|_| Shard::default()).collect(),
        }
    }

    /// Counts the end of a request that no gateway answered.
    pub fn finished(&self, worker: usize, outcome: RequestOutcome) {
        if let Some(shard) = self.shards.get(worker) {
            shard.outcomes.count(outcome as usize);
        }
    }

    /// Counts the end of a call of gRPC that no gateway answered.
    pub fn called(&self, worker: usize, status: Option<GrpcStatus>) {
        if let Some(shard) = self.shards.get(worker) {
            shard.grpc.count(status);
        }
    }

    /// Counts what followed a failed attempt.
    pub fn retried(&self, worker: usize, retry: Retry) {
        if let Some(shard) = self.shards.get(worker) {
            shard.retries.count(retry.index());
        }
    }

    /// Counts a decision.
    pub fn decided(&self, worker: usize, by: RankedBy) {
        let Some(shard) = self.shards.get(worker) else { return };
        match by {
            RankedBy::Policy => shard.ranked.count(0),
            RankedBy::Learned => shard.ranked.count(3),
            RankedBy::Explored => shard.ranked.count(4),
            RankedBy::Plugin {
                repaired,
                opinion,
                effects,
                ..
            } => {
                shard.ranked.count(1);
                shard.repaired.add(u64::from(repaired));
                shard.answered(opinion, effects);
            }
            RankedBy::Fallback(fault) => {
                shard.ranked.count(2);
                shard.fault(fault);
            }
        }
    }

    /// Counts what became of a request's session.
    pub fn session(&self, worker: usize, session: Affine) {
        if let Some(shard) = self.shards.get(worker) {
            shard.sessions.count(session as usize);
        }
    }

    /// Counts the bytes of a request's body and of its response's.
    pub fn carried(&self, worker: usize, received: u64, sent: u64) {
        if let Some(shard) = self.shards.get(worker) {
            shard.received.add(received);
            shard.sent.add(sent);
        }
    }

    /// Counts how long a stage took.
    pub fn took(&self, worker: usize, stage: Stage, duration: Duration) {
        if let Some(shard) = self.shards.get(worker) {
            shard.stages[stage as usize].record(duration);
        }
    }

    /// Everything so far, of all workers.
    pub fn totals(&self) -> ServiceTotals {
        let mut totals = ServiceTotals::default();
        for shard in &self.shards {
            shard.outcomes.add_to(&mut totals.outcomes);
            totals.grpc.add(&shard.grpc);
            shard.retries.add_to(&mut totals.retries);
            shard.ranked.add_to(&mut totals.ranked);
            shard.sessions.add_to(&mut totals.sessions);
            totals.repaired += shard.repaired.get();
            shard.answers.add_to(&mut totals.answers);
            shard.effects.add_to(&mut totals.effects);
            totals.received += shard.received.get();
            totals.sent += shard.sent.get();
            for (durations, histogram) in totals.stages.iter_mut().zip(&shard.stages) {
                durations.add(histogram);
            }
            for fault in &shard.faults {
                let Some(name) = fault.name.get() else { break };
                match totals.faults.iter_mut().find(|(known, _)| known == name) {
                    Some((_, count)) => *count += fault.count.get(),
                    None => totals.faults.push((name, fault.count.get())),
                }
            }
        }
        totals.faults.sort_unstable();
        totals
    }
}

impl Shard {
    /// Counts a plugin's answer and what it does besides.
    fn answered(&self, opinion: bool, effects: Effects) {
        self.answers.count(match (effects.rejects, opinion) {
            (Some(_), _) => 2,
            (None, true) => 0,
            (None, false) => 1,
        });
        if effects.sets != 0 {
            self.effects.count(0);
        }
        match effects.affinity {
            AffinityWish::Configured => {}
            AffinityWish::Off => self.effects.count(1),
            AffinityWish::On => self.effects.count(2),
        }
    }

    /// Faults are named by the plugin host: a row of a few names is searched, the first free place taken. Should there
    /// be more names than places, the last place counts the rest.
    fn fault(&self, name: &'static str) {
        let place = self
            .faults
            .iter()
            .find(|fault| *fault.name.get_or_init(|| name) == name);
        if let Some(fault) = place.or(self.faults.last()) {
            fault.count.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_workers_add_up() {
        let vitals = ServiceVitals::new("shop".into(), 2);
        for worker in [0, 1, 1] {
            vitals.finished(worker, RequestOutcome::Full);
            vitals.decided(worker, RankedBy::Fallback("trap"));
            vitals.took(worker, Stage::Total, Duration::from_millis(3));
            vitals.carried(worker, 1, 10);
        }
        vitals.decided(1, RankedBy::Fallback("deadline"));
        vitals.decided(0, RankedBy::Policy);
        vitals.decided(
            0,
            RankedBy::Plugin {
                reason: 7,
                repaired: true,
                opinion: true,
                effects: Effects::default(),
            },
        );
        for retry in Retry::ALL {
            vitals.retried(0, retry);
        }
        vitals.finished(2, RequestOutcome::Full);

        let totals = vitals.totals();
        assert_eq!(
            totals.outcomes[RequestOutcome::Full as usize],
            3,
            "there is no third worker"
        );
        assert_eq!(totals.outcomes.iter().sum::<u64>(), 3);
        assert_eq!(totals.ranked, [1, 1, 4, 0, 0]);
        assert_eq!(totals.repaired, 1);
        assert_eq!(totals.faults, [("deadline", 1), ("trap", 3)]);
        assert_eq!(totals.retries, [1; 7]);
        assert_eq!((totals.received, totals.sent), (3, 30));
        assert_eq!(totals.stages[Stage::Total as usize].count(), 3);
        assert_eq!(totals.stages[Stage::Decide as usize].count(), 0);
    }

    #[test]
    fn each_plugin_answer_is_one_kind_and_its_effects_are_counted_besides() {
        let vitals = ServiceVitals::new("shop".into(), 1);
        let answered = |opinion, effects| {
            vitals.decided(
                0,
                RankedBy::Plugin {
                    reason: 0,
                    repaired: false,
                    opinion,
                    effects,
                },
            );
        };
        let none = Effects::default();
        answered(true, none);
        answered(false, none);
        answered(false, Effects { sets: 5, ..none });
        for affinity in [AffinityWish::Off, AffinityWish::On] {
            answered(
                true,
                Effects {
                    rejects: Some(403),
                    affinity,
                    ..none
                },
            );
        }
        let totals = vitals.totals();
        assert_eq!((totals.answers, totals.effects), ([1, 2, 2], [1, 1, 1]));
        assert_eq!(totals.answers.iter().sum::<u64>(), totals.ranked[1]);
    }

    #[test]
    fn more_faults_than_places_are_still_counted() {
        const NAMES: [&str; 18] = [
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r",
        ];
        let vitals = ServiceVitals::new("shop".into(), 1);
        for name in NAMES {
            vitals.decided(0, RankedBy::Fallback(name));
        }
        let faults = vitals.totals().faults;
        assert_eq!(faults.len(), FAULTS);
        assert_eq!(faults.iter().map(|(_, count)| count).sum::<u64>(), 18);
    }

    #[test]
    fn the_words_are_those_of_the_decision() {
        let plugin = RankedBy::Plugin {
            reason: 0,
            repaired: false,
            opinion: true,
            effects: Effects::default(),
        };
        let fallback = RankedBy::Fallback("trap");
        let all = [
            RankedBy::Policy,
            plugin,
            fallback,
            RankedBy::Learned,
            RankedBy::Explored,
        ];
        assert_eq!(all.map(RankedBy::as_str), RANKED_BY);
        for (index, retry) in Retry::ALL.into_iter().enumerate() {
            assert_eq!(retry.index(), index);
        }
    }
}
