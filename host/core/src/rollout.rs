//! The rollout of a new plugin version: beside the active one in shadow, then for a growing share of clients, then for all.
//! A version that is worse than the active one is rolled back.
//!
//! Time and counts are passed in. A stage ends when its time is over, or when an operator promotes the version.

mod judge;
#[cfg(test)]
mod tests;

pub use judge::{Cause, Counts, Evidence, Thresholds};

use crate::chance::spread;
use crate::learned::Prefix;
use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Versions are judged by all that was counted in a stage, and by what was counted in this time: what begins late in a long stage is
/// not diluted.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Time between two counts that are remembered for [`WINDOW`].
const TICK: Duration = Duration::from_secs(1);

/// A share of clients, from 0.1 % to 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

impl Share {
    /// So many of 1,000; `None` unless that is from 1 to 1,000.
    pub fn permille(permille: u16) -> Option<Self> {
        (1..=1_000).contains(&permille).then_some(Self(permille))
    }

    /// How many of 1,000 it is.
    pub fn as_permille(self) -> u16 {
        self.0
    }

    /// The hashes below this number are in the share. A larger share has all of a smaller one.
    pub fn bound(self) -> u64 {
        match self.0 {
            1_000.. => u64::MAX,
            permille => u64::MAX / 1_000 * u64::from(permille),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 10, self.0 % 10) {
            (whole, 0) => write!(f, "{whole} %"),
            (whole, tenth) => write!(f, "{whole}.{tenth} %"),
        }
    }
}

/// The hash of a client's network, /24 or /48, by which it is in the share of a canary or not. All clients of a network get the
/// same version, and keep it while the share grows. `salt`: another rollout begins with other networks.
pub fn client_hash(client: IpAddr, salt: u64) -> u64 {
    spread(salt, Prefix::lookup(client.to_canonical()).bits())
}

/// What a version that is not active yet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It decides copies of requests; its decisions are compared and dropped.
    Shadow,
    /// It decides the requests of a share of clients.
    Canary(Share),
}

impl Stage {
    /// `shadow` or `canary`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Canary(_) => "canary",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shadow => f.write_str("shadow"),
            Self::Canary(share) => write!(f, "canary {share}"),
        }
    }
}

/// A stage, and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The stage.
    pub stage: Stage,
    /// For how long; `None`: until an operator promotes the version.
    pub lasts: Option<Duration>,
}

/// The stages of a version before it is active, in order. Without any it is active at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The stages.
    pub steps: Vec<Step>,
    /// When it is rolled back; `None`: never without an operator.
    pub thresholds: Option<Thresholds>,
}

/// With which stage an operator begins a rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// As configured: with the first stage, or active at once where none is configured.
    #[default]
    Configured,
    /// In shadow.
    Shadow,
    /// As a canary for this share of the clients.
    Canary(Share),
    /// Active at once.
    Active,
}

impl Plan {
    /// The plan of a rollout that an operator begins so, by the configured one. Where no time is configured, a stage lasts until
    /// the version is promoted; where no thresholds are, the default ones hold.
    pub fn of(start: Start, configured: Option<&Self>) -> Self {
        let steps = configured.map_or(&[][..], |plan| &plan.steps);
        let lasts =
            |is_wanted: fn(&Step) -> bool| steps.iter().find(|step| is_wanted(step)).and_then(|step| step.lasts);
        let is_canary = |step: &Step| matches!(step.stage, Stage::Canary(_));
        let first = match start {
            Start::Configured => None,
            Start::Active => return Self::default(),
            Start::Shadow => Some(Step {
                stage: Stage::Shadow,
                lasts: lasts(|step| step.stage == Stage::Shadow),
            }),
            Start::Canary(share) => Some(Step {
                stage: Stage::Canary(share),
                lasts: lasts(|step| matches!(step.stage, Stage::Canary(_))),
            }),
        };
        let later = steps.iter().filter(|step| match start {
            Start::Configured => true,
            Start::Canary(least) => matches!(step.stage, Stage::Canary(share) if share > least),
            Start::Shadow | Start::Active => is_canary(step),
        });
        Self {
            steps: first.into_iter().chain(later.copied()).collect(),
            thresholds: match configured {
                Some(plan) => plan.thresholds.clone(),
                None => Some(Thresholds::default()),
            },
        }
    }
}

/// What becomes of a version now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// Nothing else.
    Stay,
    /// It goes on to this stage.
    Enter(Stage),
    /// It is active.
    Activate,
    /// It is rolled back.
    RollBack(Cause),
}

/// The rollout of one version.
#[derive(Clone, Debug)]
pub struct Rollout {
    plan: Plan,
    at: usize,
    /// For how long it has been in this stage.
    elapsed: Duration,
    /// The counts when the stage began.
    began: Evidence,
    /// The counts of the last [`WINDOW`], with the time in this stage, the earliest first.
    recent: VecDeque<(Duration, Evidence)>,
}

impl Rollout {
    /// A rollout that begins now, with a stage of its plan by index. `None` when the plan has no such stage.
    pub fn begin(plan: Plan, at: usize) -> Option<Self> {
        plan.steps.get(at)?;
        Some(Self {
            plan,
            at,
            elapsed: Duration::ZERO,
            began: Evidence::default(),
            recent: VecDeque::new(),
        })
    }

    /// Its plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The index of its stage in the plan.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Its stage.
    pub fn stage(&self) -> Stage {
        self.step().stage
    }

    /// For how long it has been in this stage.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The time until the stage ends; `None` when an operator ends it.
    pub fn remaining(&self) -> Option<Duration> {
        Some(self.step().lasts?.saturating_sub(self.elapsed))
    }

    /// Why the version has to be rolled back by what was counted since the rollout began, if it has to.
    pub fn judge(&self, evidence: &Evidence) -> Option<Cause> {
        let thresholds = self.plan.thresholds.as_ref()?;
        let window = self.recent.front().map(|(_, then)| then);
        let spans = [Some(&self.began), window];
        let mut spans = spans.into_iter().flatten();
        spans.find_map(|since| thresholds.judge(&evidence.since(since)))
    }

    /// So much time has passed, and this was counted since the rollout began.
    pub fn advance(&mut self, passed: Duration, evidence: &Evidence) -> Progress {
        if let Some(cause) = self.judge(evidence) {
            return Progress::RollBack(cause);
        }
        self.elapsed += passed;
        let oldest = self.elapsed.saturating_sub(WINDOW);
        while self.recent.front().is_some_and(|(at, _)| *at < oldest) {
            self.recent.pop_front();
        }
        if self.recent.back().is_none_or(|(at, _)| self.elapsed - *at >= TICK) {
            self.recent.push_back((self.elapsed, *evidence));
        }
        match self.remaining() {
            Some(Duration::ZERO) => self.promote(evidence),
            _ => Progress::Stay,
        }
    }

    /// The stage ends now: the version goes on to the next one.
    pub fn promote(&mut self, evidence: &Evidence) -> Progress {
        let Some(next) = self.plan.steps.get(self.at + 1) else {
            return Progress::Activate;
        };
        self.at += 1;
        self.elapsed = Duration::ZERO;
        self.began = *evidence;
        self.recent.clear();
        Progress::Enter(next.stage)
    }

    fn step(&self) -> Step {
        // Within the plan since it began.
        self.plan.steps[self.at]
    }
}
