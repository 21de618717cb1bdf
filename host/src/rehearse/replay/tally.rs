//! What is counted of entries that were decided again.

use crate::rehearse::estimate::Distribution;
use portolan_core::geo::Country;
use portolan_core::id::{RegionName, ServiceName};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

/// How many bad lines are kept with their places.
const KEPT_BAD: usize = 5;

/// How many different moves are told apart, so that memory is bounded whatever a log holds. More countries are not told apart.
const MOVES: usize = 100_000;

/// What became of a request: the region that is tried first, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Outcome {
    Region(RegionName),
    NoRegion,
    Denied,
    /// By a plugin.
    Rejected(u16),
    Redirect,
    NoRoute,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(region) => region.fmt(f),
            Self::NoRegion => f.write_str("(no region)"),
            Self::Denied => f.write_str("(denied)"),
            Self::Rejected(status) => write!(f, "(rejected with {status})"),
            Self::Redirect => f.write_str("(redirect)"),
            Self::NoRoute => f.write_str("(no route)"),
        }
    }
}

/// Why an entry is not decided again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Skip {
    NoClient,
    NoRequest,
    Service(Box<str>),
    Undecided(Box<str>),
    Untried(Box<str>),
    Learned,
}

impl Skip {
    /// The configuration does not have this service, and the routes depend on what the log does not have.
    pub(super) fn service(name: &str) -> Self {
        Self::Service(name.into())
    }

    /// The request ended like this before it was decided.
    pub(super) fn undecided(outcome: &str) -> Self {
        Self::Undecided(outcome.into())
    }

    /// The request ended like this before a region was tried.
    pub(super) fn untried(outcome: &str) -> Self {
        Self::Untried(outcome.into())
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoClient => f.write_str("no client address"),
            Self::NoRequest => f.write_str("no method or path"),
            Self::Service(name) if name.is_empty() => f.write_str("no service"),
            Self::Service(name) => write!(f, "unknown service {name}"),
            Self::Undecided(outcome) if outcome.is_empty() => f.write_str("no decision"),
            Self::Undecided(outcome) => write!(f, "ended before the decision: {outcome}"),
            Self::Untried(outcome) => write!(f, "ended before an attempt: {outcome}"),
            Self::Learned => f.write_str("decided by learned round trips, which a log does not have"),
        }
    }
}

/// A line that is no entry.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: u64,
    /// Where in it, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl BadLine {
    pub(super) fn new(line: u64, error: &serde_json::Error) -> Self {
        let message = error.to_string();
        // The error knows of one line only.
        let end = message.rfind(" at line ").unwrap_or(message.len());
        Self {
            line,
            column: error.column(),
            message: message[..end].to_owned(),
        }
    }
}

/// Entries of one service that moved alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Move {
    pub(super) service: ServiceName,
    pub(super) from: Outcome,
    pub(super) to: Outcome,
    pub(super) country: Country,
}

/// How many moved, and their estimated round trips where both are known. Counts are in thousandths of entries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    pub(super) entries: u64,
    pub(super) estimated: u64,
    /// Microseconds.
    pub(super) before: u64,
    pub(super) after: u64,
}

impl Flow {
    pub(super) fn merge(&mut self, other: Self) {
        self.entries += other.entries;
        self.estimated += other.estimated;
        self.before += other.before;
        self.after += other.after;
    }
}

/// The entries of one service, in thousandths.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) decided: u64,
    pub(super) moved: u64,
    pub(super) before: Distribution,
    pub(super) after: Distribution,
}

/// What one entry counts, unless it says that it stands for more: counts are in thousandths, so that an entry of a log with a sample
/// of 30 % counts as three and a third.
pub(super) const ONE: u64 = 1_000;

/// Entries, of a count in thousandths.
pub(super) fn entries(thousandths: u64) -> u64 {
    (thousandths + ONE / 2) / ONE
}

/// All that is counted. Sums of whole numbers, so that the order of entries does not matter.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) services: HashMap<ServiceName, Counts>,
    pub(super) moves: HashMap<Move, Flow>,
    pub(super) skipped: BTreeMap<Skip, u64>,
    pub(super) bad: u64,
    pub(super) bad_lines: Vec<BadLine>,
    /// Entries whose country is another one now.
    pub(super) relocated: u64,
    /// Entries that the plugin did not decide, because it failed.
    pub(super) fallbacks: u64,
}

impl Tally {
    pub(super) fn decided(
        &mut self,
        service: &ServiceName,
        (from, to): (Outcome, Outcome),
        country: Country,
        round_trips: Option<(Duration, Duration)>,
        weight: u64,
    ) {
        if !self.services.contains_key(service) {
            self.services.insert(service.clone(), Counts::default());
        }
        let Some(counts) = self.services.get_mut(service) else {
            return;
        };
        counts.decided += weight;
        if let Some((before, after)) = round_trips {
            counts.before.add(before, weight);
            counts.after.add(after, weight);
        }
        if from == to {
            return;
        }
        counts.moved += weight;
        let micros = |time: Duration| {
            u64::try_from(time.as_micros())
                .unwrap_or(u64::MAX)
                .saturating_mul(weight)
        };
        let (before, after) = round_trips.unwrap_or_default();
        let key = Move {
            service: service.clone(),
            from,
            to,
            country,
        };
        self.add(
            key,
            Flow {
                entries: weight,
                estimated: u64::from(round_trips.is_some()) * weight,
                before: micros(before),
                after: micros(after),
            },
        );
    }

    fn add(&mut self, mut key: Move, flow: Flow) {
        if self.moves.len() >= MOVES && !self.moves.contains_key(&key) {
            key.country = Country::UNKNOWN;
            key.from = Outcome::NoRegion;
        }
        self.moves.entry(key).or_default().merge(flow);
    }

    pub(super) fn skip(&mut self, skip: Skip, weight: u64) {
        let most = self.skipped.len() >= MOVES && !self.skipped.contains_key(&skip);
        let skip = if most { Skip::undecided("") } else { skip };
        *self.skipped.entry(skip).or_default() += weight;
    }

    pub(super) fn bad(&mut self, line: BadLine) {
        self.bad += 1;
        self.bad_lines.push(line);
        self.trim();
    }

    /// The first ones only.
    fn trim(&mut self) {
        self.bad_lines.sort_by_key(|bad| bad.line);
        self.bad_lines.truncate(KEPT_BAD);
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (service, counts) in other.services {
            let own = self.services.entry(service).or_default();
            own.decided += counts.decided;
            own.moved += counts.moved;
            own.before.merge(&counts.before);
            own.after.merge(&counts.after);
        }
        for (key, flow) in other.moves {
            self.add(key, flow);
        }
        for (skip, count) in other.skipped {
            *self.skipped.entry(skip).or_default() += count;
        }
        self.bad += other.bad;
        self.bad_lines.extend(other.bad_lines);
        self.trim();
        self.relocated += other.relocated;
        self.fallbacks += other.fallbacks;
    }
}
