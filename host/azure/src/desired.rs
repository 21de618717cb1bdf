//! The desired state of every region, from the votes, its state before, and the caps. Pure.

use crate::intent::Intent;
use crate::ledger::Demotion;
use crate::origin::{Baseline, OriginState};
use crate::quorum::{RegionTally, Tally};
use crate::settings::{Caps, DrainAction, Settings, Timing};
use crate::store_time::StoreTime;
use portolan_core::id::RegionName;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The settings that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The configured origins.
    pub origins: &'a [Baseline],
    /// Limits on changes.
    pub caps: Caps,
    /// How long observations must hold.
    pub timing: &'a Timing,
}

impl<'a> From<&'a Settings> for Rules<'a> {
    fn from(settings: &'a Settings) -> Self {
        Self {
            origins: &settings.origins,
            caps: settings.caps,
            timing: &settings.timing,
        }
    }
}

/// Earlier changes, as far as the decision depends on them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past<'a> {
    /// The last state of each region. A missing region is at its baseline.
    pub intents: &'a BTreeMap<RegionName, Intent>,
    /// Recent demotions.
    pub demotions: &'a [Demotion],
}

impl Past<'_> {
    fn of(&self, region: &RegionName) -> Intent {
        self.intents.get(region).copied().unwrap_or_default()
    }
}

/// The desired state of every region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// By region.
    pub intents: BTreeMap<RegionName, Intent>,
    /// Changes that are held back, with reasons.
    pub holds: Vec<Hold>,
    /// Why all changes are suspended, restoring included.
    pub suspended: Option<Suspended>,
}

/// A change that is held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The region.
    pub region: RegionName,
    /// The state it would get.
    pub wish: Intent,
    /// Why not.
    pub why: HoldReason,
}

/// Why a change is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// It has not looked unhealthy, or healthy, for long enough.
    TooSoon {
        /// How long it has.
        held: Duration,
        /// How long it must.
        needed: Duration,
    },
    /// Too few regions would be left as configured.
    MinActive(usize),
    /// Another region was demoted within the window.
    Window {
        /// When the window ends.
        until: StoreTime,
    },
    /// No enabled origin would be left: the service would reject it.
    LastEnabled,
}

/// Why all changes are suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspended {
    /// Too few vantages vote.
    NoQuorum {
        /// Votes that count.
        live: usize,
        /// Votes that abstain, since their vantages doubt their own view.
        doubted: usize,
        /// Votes needed.
        majority: usize,
        /// All vantages.
        configured: usize,
    },
    /// Most regions look unhealthy at once: the votes are likelier to be wrong.
    MostLookBad {
        /// How many.
        bad: usize,
        /// Of how many.
        of: usize,
    },
}

impl Suspended {
    /// Too few of these votes count.
    pub(crate) fn no_quorum(tally: &Tally) -> Self {
        Self::NoQuorum {
            live: tally.live,
            doubted: tally.doubted,
            majority: tally.majority,
            configured: tally.configured,
        }
    }
}

/// Decides. The same arguments give the same answer.
pub(crate) fn decide(rules: Rules<'_>, tally: &Tally, past: Past<'_>, now: StoreTime) -> Decision {
    let mut decision = Decision {
        suspended: suspended(rules.origins, tally),
        ..Decision::default()
    };
    if decision.suspended.is_some() {
        decision.intents = keep(rules, past);
        return decision;
    }
    let no_votes = RegionTally::default();
    let mut leaving = Vec::new();
    for origin in rules.origins {
        let was = past.of(&origin.region);
        let votes_on_it = tally.regions.get(&origin.region).unwrap_or(&no_votes);
        // What was found before a suspension ended counts from its end: regions come back one after the other.
        let votes_on_it = &votes_on_it.since_settled(tally.settled_for);
        // An origin that the operator has disabled gets no traffic: there is nothing to take from it.
        let wish = if origin.state.enabled {
            wish(was, votes_on_it, rules.timing, &origin.region, &mut decision.holds)
        } else {
            Intent::Baseline
        };
        if was == Intent::Baseline && wish != Intent::Baseline {
            leaving.push((votes_on_it.unhealthy.agreed_for, origin.region.clone(), wish));
        }
        decision.intents.insert(origin.region.clone(), wish);
    }
    // Drains first, since an operator asked for them; then the region that has been unhealthy for longest.
    leaving.sort_by(|a, b| {
        let drain = |intent: Intent| intent != Intent::Drained;
        (drain(a.2), b.0, &a.1).cmp(&(drain(b.2), a.0, &b.1))
    });
    let mut gate = Gate::new(rules, past, &decision.intents, &leaving, now);
    for (_, region, wish) in leaving {
        if let Err(why) = gate.let_out(wish) {
            decision.intents.insert(region.clone(), Intent::Baseline);
            decision.holds.push(Hold { region, wish, why });
        }
    }
    decision
}

/// The members that an origin should have.
pub(crate) fn wanted(baseline: &OriginState, intent: Intent, drain: DrainAction) -> OriginState {
    match (intent, drain) {
        (Intent::Baseline, _) => *baseline,
        (Intent::Demoted, _) | (Intent::Drained, DrainAction::Demote) => baseline.demoted(),
        (Intent::Drained, DrainAction::Disable) => baseline.disabled(),
    }
}

/// Why these votes suspend all changes, if they do.
pub(crate) fn suspended(origins: &[Baseline], tally: &Tally) -> Option<Suspended> {
    if !tally.is_quorate() {
        return Some(Suspended::no_quorum(tally));
    }
    // Without waiting for `sustain`: regions that go one after the other must not slip through one by one.
    let looks_bad = |origin: &&Baseline| {
        tally
            .regions
            .get(&origin.region)
            .is_some_and(|votes_on_it| votes_on_it.unhealthy.agreed_for.is_some())
    };
    let (bad, of) = (origins.iter().filter(looks_bad).count(), origins.len());
    (bad * 2 > of).then_some(Suspended::MostLookBad { bad, of })
}

fn keep(rules: Rules<'_>, past: Past<'_>) -> BTreeMap<RegionName, Intent> {
    let regions = rules.origins.iter().map(|origin| &origin.region);
    regions.map(|region| (region.clone(), past.of(region))).collect()
}

fn wish(was: Intent, votes_on_it: &RegionTally, timing: &Timing, region: &RegionName, holds: &mut Vec<Hold>) -> Intent {
    let mut hold = |wish, held: Option<Duration>, needed| {
        holds.push(Hold {
            region: region.clone(),
            wish,
            why: HoldReason::TooSoon {
                held: held.unwrap_or_default(),
                needed,
            },
        });
    };
    if votes_on_it.draining.agreed_for.is_some() {
        return Intent::Drained;
    }
    if votes_on_it.unhealthy.for_at_least(timing.sustain) {
        return Intent::Demoted;
    }
    match was {
        Intent::Baseline => {
            if votes_on_it.unhealthy.agreed_for.is_some() {
                hold(Intent::Demoted, votes_on_it.unhealthy.agreed_for, timing.sustain);
            }
            Intent::Baseline
        }
        Intent::Demoted | Intent::Drained if votes_on_it.healthy.for_at_least(timing.restore) => Intent::Baseline,
        Intent::Demoted | Intent::Drained => {
            hold(Intent::Baseline, votes_on_it.healthy.agreed_for, timing.restore);
            was
        }
    }
}

/// Lets regions leave their baseline while the caps allow.
struct Gate {
    active: usize,
    min_active: usize,
    window_until: Option<StoreTime>,
    window: StoreTime,
}

impl Gate {
    fn new(
        rules: Rules<'_>,
        past: Past<'_>,
        intents: &BTreeMap<RegionName, Intent>,
        leaving: &[(Option<Duration>, RegionName, Intent)],
        now: StoreTime,
    ) -> Self {
        let stays = |origin: &&Baseline| {
            origin.state.enabled
                && intents
                    .get(&origin.region)
                    .is_none_or(|intent| *intent == Intent::Baseline)
        };
        let last = past
            .demotions
            .iter()
            .map(|demotion| demotion.at.after(rules.timing.window))
            .max();
        Self {
            active: rules.origins.iter().filter(stays).count() + leaving.len(),
            min_active: rules.caps.min_active,
            window_until: last.filter(|until| *until > now),
            window: now.after(rules.timing.window),
        }
    }

    fn let_out(&mut self, wish: Intent) -> Result<(), HoldReason> {
        if self.active <= self.min_active {
            return Err(HoldReason::MinActive(self.min_active));
        }
        if wish == Intent::Demoted {
            if let Some(until) = self.window_until {
                return Err(HoldReason::Window { until });
            }
            self.window_until = Some(self.window);
        }
        self.active -= 1;
        Ok(())
    }
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSoon { held, needed } => write!(f, "for {} of {}", Short(*held), Short(*needed)),
            Self::MinActive(least) => write!(f, "{least} must stay as configured (min_active)"),
            Self::Window { until } => write!(f, "one demotion per window, the next from {until}"),
            Self::LastEnabled => f.write_str("it is the last enabled origin"),
        }
    }
}

impl fmt::Display for Suspended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQuorum {
                live,
                doubted,
                majority,
                configured,
            } => {
                write!(
                    f,
                    "no quorum: {live} of {configured} votes count, {majority} are needed"
                )?;
                match doubted {
                    0 => Ok(()),
                    1 => f.write_str("; 1 vantage doubts its own view"),
                    n => write!(f, "; {n} vantages doubt their own view"),
                }
            }
            Self::MostLookBad { bad, of } => write!(f, "{bad} of {of} regions look unhealthy: the votes are doubted"),
        }
    }
}

/// A duration as people write it: `4m30s`.
pub(crate) struct Short(pub Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, 0) if self.0.as_millis() > 0 => write!(f, "{}ms", self.0.as_millis()),
            (0, 0, s) => write!(f, "{s}s"),
            (0, m, 0) => write!(f, "{m}m"),
            (0, m, s) => write!(f, "{m}m{s}s"),
            (h, 0, _) => write!(f, "{h}h"),
            (h, m, _) => write!(f, "{h}h{m}m"),
        }
    }
}

#[cfg(test)]
mod tests;
