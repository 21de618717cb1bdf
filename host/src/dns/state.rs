//! What is known of a name: for each address family the last answer, for how long it is good, and the last error.
//!
//! A family whose look-up fails keeps its addresses. An authoritative "no" takes them away when it has stood for
//! [`HOLD`]. The families do not wait for each other.

use super::family::Family;
use super::reply::Absence;
use hickory_proto::rr::Name;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Bounds of the time for which an answer is good, whatever its TTL.
pub(super) const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// The pause after the first look-up that failed. It doubles with each that follows.
const RETRY: Duration = Duration::from_millis(500);

/// The longest such pause, for a name that has addresses.
const RETRY_KEPT: Duration = Duration::from_secs(15);

/// The longest such pause, for a name that has none: it may appear at any time.
const RETRY_EMPTY: Duration = Duration::from_secs(5);

/// How long the absence of one family is good where the other has addresses, when no server says.
const ABSENT_TTL: Duration = Duration::from_secs(60);

/// How long addresses are kept after a name server has said that they are gone.
pub(super) const HOLD: Duration = Duration::from_secs(30);

/// How long the first answer waits for that of the other family (RFC 8305, section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// What came of looking up one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// These addresses. From a file there may be none: it hides DNS for both families.
    Addresses {
        addresses: Vec<IpAddr>,
        ttl: Duration,
        source: Source,
    },
    /// A name server says that there are none.
    Absent { ttl: Option<Duration>, problem: Problem },
    /// Nobody knows.
    Failed(Problem),
}

/// Where addresses come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// This machine: the hosts file, or a name with a fixed meaning.
    Local,
    /// A name server, under this name.
    Dns(Name),
}

/// Why a look-up gave no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One of a fixed set of words, such as `timeout`, `servfail` or `nxdomain`.
    pub reason: &'static str,
    /// What each name server said.
    pub text: String,
}

/// How one family of a name stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyStatus {
    /// The family.
    pub family: Family,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Time since the answer they are from. `None`: there was no answer yet.
    pub age: Option<Duration>,
    /// For how long that answer was good, within the bounds kept here.
    pub ttl: Option<Duration>,
    /// Those that are not used because this machine has no route to them.
    pub without_route: Vec<IpAddr>,
    /// Why the last look-up gave no addresses. `None`: it did.
    pub problem: Option<Problem>,
    /// Look-ups so far that gave addresses, were told that there are none, failed.
    pub lookups: [u64; 3],
}

/// What of a look-up is worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It began to fail. Addresses stay.
    Failing(Problem),
    /// A name server says that the addresses are gone. They stay for [`HOLD`].
    Denied(Problem),
    /// They are removed.
    Removed(Problem),
    /// A name server says that the name has no addresses, of neither family, and none are known.
    Missing(Problem),
    /// It succeeded again.
    Recovered,
}

/// What is known of a name.
#[derive(Debug)]
pub(super) struct State {
    families: [Known; 2],
}

/// What is known of a family.
#[derive(Debug)]
struct Known {
    family: Family,
    answer: Option<Answer>,
    problem: Option<Problem>,
    /// Since when a name server has been saying that there are no addresses.
    denied_since: Option<Instant>,
    /// Look-ups in a row without addresses.
    misses: u32,
    /// When the first look-up ended.
    first_ended: Option<Instant>,
    /// When it is to be looked up. `None` while it is.
    due: Option<Instant>,
    lookups: [u64; 3],
}

#[derive(Debug)]
struct Answer {
    addresses: Vec<IpAddr>,
    source: Source,
    at: Instant,
    ttl: Duration,
}

impl State {
    /// Nothing is known, and everything due.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            families: Family::ALL.map(|family| Known {
                family,
                answer: None,
                problem: None,
                denied_since: None,
                misses: 0,
                first_ended: None,
                due: Some(now),
                lookups: [0; 3],
            }),
        }
    }

    /// The families to be looked up now.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<Family> {
        let due = self.families.iter_mut().filter_map(|known| {
            known.due.take_if(|due| *due <= now)?;
            Some(known.family)
        });
        due.collect()
    }

    /// Everything is due: look-ups that run are given up by whoever runs them.
    pub(super) fn refresh(&mut self, now: Instant) {
        for known in &mut self.families {
            known.due = Some(now);
        }
    }

    /// When there is something to do next, if nothing is heard before.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let due = self.families.iter().filter_map(|known| known.due);
        let settles = self.settles_at().filter(|at| *at > now);
        due.chain(settles).min()
    }

    /// When the first answer may be used: both families have been looked up, or one has addresses and the other had a
    /// moment longer.
    pub(super) fn settles_at(&self) -> Option<Instant> {
        let [one, other] = &self.families;
        match (one.first_ended, other.first_ended) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (Some(at), None) if one.has_addresses() => Some(at + RESOLUTION_DELAY),
            (None, Some(at)) if other.has_addresses() => Some(at + RESOLUTION_DELAY),
            _ => None,
        }
    }

    /// Whether there are addresses.
    fn has_addresses(&self) -> bool {
        self.families.iter().any(Known::has_addresses)
    }

    /// Whether there are addresses of a family, which could be lost.
    pub(super) fn has_addresses_of(&self, family: Family) -> bool {
        let mut families = self.families.iter();
        families.any(|known| known.family == family && known.has_addresses())
    }

    /// All addresses, those of IPv4 first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let answers = self.families.iter().filter_map(|known| known.answer.as_ref());
        answers.flat_map(|answer| &answer.addresses).copied()
    }

    /// How both families stand.
    pub(super) fn status(&self, now: Instant) -> [FamilyStatus; 2] {
        let has_addresses = self.has_addresses();
        self.families.each_ref().map(|known| {
            // A family that the name does not have is no error.
            let is_error = |problem: &&Problem| {
                problem.reason != Absence::NoData.reason() || known.has_addresses() || !has_addresses
            };
            let answer = known.answer.as_ref();
            FamilyStatus {
                family: known.family,
                addresses: answer.map(|answer| answer.addresses.clone()).unwrap_or_default(),
                age: answer.map(|answer| now.saturating_duration_since(answer.at)),
                ttl: answer.map(|answer| answer.ttl),
                without_route: Vec::new(),
                problem: known.problem.as_ref().filter(is_error).cloned(),
                lookups: known.lookups,
            }
        })
    }

    /// Takes what came of looking up a family.
    pub(super) fn heard(&mut self, family: Family, outcome: Outcome, now: Instant) -> Option<Event> {
        let outcome = self.without_strangers(family, outcome, now);
        let [one, other] = &mut self.families;
        let (known, other) = match family {
            Family::V4 => (one, other),
            Family::V6 => (other, one),
        };
        known.first_ended.get_or_insert(now);
        match outcome {
            Outcome::Addresses { addresses, ttl, source } => known.answered(addresses, ttl, source, now),
            Outcome::Absent { ttl, problem } => {
                let event = known.denied(ttl, problem, other.has_addresses(), now);
                let is_alone = other.first_ended.is_some() && !other.has_addresses();
                event.filter(|event| is_alone || !matches!(event, Event::Missing(_)))
            }
            Outcome::Failed(problem) => known.failed(problem, other.has_addresses(), now),
        }
    }

    /// Addresses under another name of the search list than those known so far are a "no" to that name first: only when
    /// it has stood for the hold time are they taken.
    fn without_strangers(&self, family: Family, outcome: Outcome, now: Instant) -> Outcome {
        let Outcome::Addresses {
            source: Source::Dns(name),
            ttl,
            ..
        } = &outcome
        else {
            return outcome;
        };
        let is_held = |known: &Known| {
            let other_name = known.answer.as_ref().filter(|answer| match &answer.source {
                Source::Dns(known) => known != name && !answer.addresses.is_empty(),
                Source::Local => false,
            });
            // A family that is not denied itself stands for the name.
            other_name.is_some() && !(known.family == family && known.hold_is_over(now))
        };
        if !self.families.iter().any(is_held) {
            return outcome;
        }
        Outcome::Absent {
            ttl: Some(*ttl),
            problem: Problem {
                reason: Absence::NoName.reason(),
                text: format!("only {name} of the search list has addresses"),
            },
        }
    }
}

impl Known {
    fn has_addresses(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.addresses.is_empty())
    }

    fn hold_is_over(&self, now: Instant) -> bool {
        self.denied_since
            .is_some_and(|since| now.saturating_duration_since(since) >= HOLD)
    }

    fn answered(&mut self, addresses: Vec<IpAddr>, ttl: Duration, source: Source, now: Instant) -> Option<Event> {
        let ttl = ttl.clamp(TTL.0, TTL.1);
        let had_problem = self.problem.take().is_some();
        (self.denied_since, self.misses) = (None, 0);
        self.lookups[0] += 1;
        self.due = Some(now + ttl);
        self.answer = Some(Answer {
            addresses,
            source,
            at: now,
            ttl,
        });
        had_problem.then_some(Event::Recovered)
    }

    fn denied(&mut self, ttl: Option<Duration>, problem: Problem, other_has: bool, now: Instant) -> Option<Event> {
        self.lookups[1] += 1;
        let since = *self.denied_since.get_or_insert(now);
        let is_news = self
            .problem
            .as_ref()
            .is_none_or(|before| before.reason != problem.reason);
        self.problem = Some(problem.clone());
        let pause = self.pause(other_has);
        if !self.has_addresses() {
            self.due = Some(
                now + match other_has {
                    true => ttl.unwrap_or(ABSENT_TTL).clamp(RETRY_EMPTY, TTL.1),
                    false => pause,
                },
            );
            return is_news.then_some(Event::Missing(problem));
        }
        if self.hold_is_over(now) {
            self.answer = None;
            self.misses = 0;
            self.due = Some(now + RETRY);
            return Some(Event::Removed(problem));
        }
        self.due = Some((now + pause).min(since + HOLD));
        is_news.then_some(Event::Denied(problem))
    }

    fn failed(&mut self, problem: Problem, other_has: bool, now: Instant) -> Option<Event> {
        self.lookups[2] += 1;
        let is_news = self
            .problem
            .as_ref()
            .is_none_or(|before| before.reason != problem.reason);
        self.problem = Some(problem.clone());
        self.due = Some(now + self.pause(other_has));
        is_news.then_some(Event::Failing(problem))
    }

    /// How long to wait after one more look-up without addresses.
    fn pause(&mut self, other_has: bool) -> Duration {
        let longest = match self.has_addresses() || other_has {
            true => RETRY_KEPT,
            false => RETRY_EMPTY,
        };
        let pause = RETRY.saturating_mul(1 << self.misses.min(16)).min(longest);
        self.misses += 1;
        pause
    }
}

#[cfg(test)]
mod tests;
