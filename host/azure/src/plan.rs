//! The plan: from votes, ledger and observed origins, the changes to make now, and those that are held back. Pure and
//! complete: applying it makes no further choices. Its `Display` is the diff for operators.

use crate::desired::{Decision, Hold, HoldReason, Past, Rules, decide, wanted};
use crate::diff::{Change, Wanted, diff, without_last_enabled};
use crate::intent::Intent;
use crate::ledger::Ledger;
use crate::origin::{Baseline, Members, Observed};
use crate::pace::{Haste, Wait, wait};
use crate::quorum::Tally;
use crate::store_time::StoreTime;
use portolan_core::id::RegionName;
use std::collections::BTreeMap;

mod show;
pub(crate) use show::All;

/// The changes to make now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The desired states of the regions, and the changes held back.
    pub decision: Decision,
    /// The desired state of every configured origin.
    pub wanted: Vec<Wanted>,
    /// The changes, in order. Empty when all is as it should be, or while suspended.
    pub changes: Vec<Change>,
    /// What they wait for.
    pub wait: Option<Wait>,
    /// Changes of managed members by other clients.
    pub drift: Vec<Drift>,
    /// Configured origins that are not in the group.
    pub missing: Vec<String>,
}

/// A change of an origin's managed members by another client.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// The region.
    pub region: RegionName,
    /// Its origin.
    pub origin: String,
    /// As published last.
    pub left: Members,
    /// As observed.
    pub found: Members,
}

impl Plan {
    /// Makes the plan.
    pub fn make(
        rules: Rules<'_>,
        tally: &Tally,
        ledger: &Ledger,
        observed: &Observed,
        haste: Haste,
        now: StoreTime,
    ) -> Self {
        let intents = remembered(rules, ledger, observed);
        let past = Past {
            intents: &intents,
            demotions: &ledger.demotions,
        };
        let mut decision = decide(rules, tally, past, now);
        let wants = |decision: &Decision| -> Vec<Wanted> {
            rules
                .origins
                .iter()
                .map(|origin| {
                    let intent = decision.intents.get(&origin.region).copied().unwrap_or_default();
                    Wanted {
                        region: origin.region.clone(),
                        origin: origin.origin.clone(),
                        was: intents.get(&origin.region).copied().unwrap_or_default(),
                        intent,
                        state: wanted(&origin.state, intent, rules.caps.drain),
                    }
                })
                .collect()
        };
        let mut wanted = wants(&decision);
        let (mut changes, rejected) = without_last_enabled(diff(&wanted, observed), observed);
        if !rejected.is_empty() {
            for change in rejected {
                decision.intents.insert(change.region.clone(), change.was);
                decision.holds.push(Hold {
                    region: change.region,
                    wish: change.intent,
                    why: HoldReason::LastEnabled,
                });
            }
            wanted = wants(&decision);
        }
        if decision.suspended.is_some() {
            changes.clear();
        }
        let wait = wait(ledger, observed.busy(), rules.timing, haste, now).filter(|_| !changes.is_empty());
        Self {
            drift: drift(rules.origins, ledger, observed),
            missing: missing(rules.origins, observed),
            decision,
            wanted,
            changes,
            wait,
        }
    }

    /// Whether the changes may be sent now.
    pub fn is_due(&self) -> bool {
        !self.changes.is_empty() && self.wait.is_none()
    }
}

/// The last state of each region, from the ledger. For a region that is not in the ledger, an origin in exactly a state that
/// a leader would have published counts as published: the ledger was lost, not the change.
fn remembered(rules: Rules<'_>, ledger: &Ledger, observed: &Observed) -> BTreeMap<RegionName, Intent> {
    let recall = |origin: &Baseline| {
        if let Some(intent) = ledger.intents.get(&origin.region) {
            return *intent;
        }
        let Some(there) = observed.get(&origin.origin).map(|there| there.members) else {
            return Intent::Baseline;
        };
        let looks = |intent: &Intent| there.are(&wanted(&origin.state, *intent, rules.caps.drain));
        [Intent::Baseline, Intent::Demoted, Intent::Drained]
            .into_iter()
            .find(looks)
            .unwrap_or_default()
    };
    let origins = rules.origins.iter();
    origins.map(|origin| (origin.region.clone(), recall(origin))).collect()
}

fn drift(origins: &[Baseline], ledger: &Ledger, observed: &Observed) -> Vec<Drift> {
    if ledger.pending.is_some() {
        return Vec::new();
    }
    let of = |origin: &Baseline| {
        let left = Members::from(*ledger.published.get(&origin.region)?);
        let found = observed.get(&origin.origin)?.members;
        (left != found).then(|| Drift {
            region: origin.region.clone(),
            origin: origin.origin.clone(),
            left,
            found,
        })
    };
    origins.iter().filter_map(of).collect()
}

fn missing(origins: &[Baseline], observed: &Observed) -> Vec<String> {
    let gone = origins.iter().filter(|origin| observed.get(&origin.origin).is_none());
    gone.map(|origin| origin.origin.clone()).collect()
}

#[cfg(test)]
mod tests;
