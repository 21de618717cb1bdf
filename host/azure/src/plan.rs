//! What is to be done now, and why not more: votes, memory and the origins as read, joined. Pure and complete: carrying it
//! out makes no further choices. Its `Display` is the diff that people read.

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

/// What is to be done now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What every region should be made, and what is held.
    pub decision: Decision,
    /// What every origin of ours should be.
    pub wanted: Vec<Wanted>,
    /// The changes, in order. Empty when all is as it should be, or while suspended.
    pub changes: Vec<Change>,
    /// What has to be waited for before they are sent.
    pub wait: Option<Wait>,
    /// What others did to our members.
    pub drift: Vec<Drift>,
    /// Our origins that are not in the group.
    pub missing: Vec<String>,
}

/// A member of ours that others changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// The region.
    pub region: RegionName,
    /// Its origin.
    pub origin: String,
    /// As we left it.
    pub left: Members,
    /// As it is.
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
        let (mut changes, refused) = without_last_enabled(diff(&wanted, observed), observed);
        if !refused.is_empty() {
            for change in refused {
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

/// What each region was last made: as the ledger says. Of a region that it says nothing of, an origin that looks exactly as
/// we would have left it is taken for our own work: the memory was lost, not the change.
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
