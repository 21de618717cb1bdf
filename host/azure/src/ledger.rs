//! The state that each leader passes to the next, in the leased blob.
//!
//! Times in it are the store's: every leader reads the same clock, whatever its own shows.

use crate::backoff::{Remedy, pause};
use crate::diff::Change;
use crate::intent::Intent;
use crate::names::{VantageName, by_region, region};
use crate::operation::Operation;
use crate::origin::OriginState;
use crate::settings::Timing;
use crate::store_time::StoreTime;
use portolan_core::id::RegionName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The state that each leader passes to the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// Grows by one with every leader. The store rejects writes under an older lease.
    pub epoch: u64,
    /// Who leads, or led last.
    pub holder: Option<VantageName>,
    /// The last state of each region, a change in progress included.
    #[serde(with = "by_region")]
    pub intents: BTreeMap<RegionName, Intent>,
    /// Each origin as last observed after a change of a leader: a difference from it is drift.
    #[serde(with = "by_region")]
    pub published: BTreeMap<RegionName, OriginState>,
    /// The change set in progress.
    pub pending: Option<Pending>,
    /// When the last change set was begun.
    pub last_change: Option<StoreTime>,
    /// Recent demotions.
    pub demotions: Vec<Demotion>,
    /// Change sets that failed since the last one that did not.
    pub failures: u32,
    /// After a failure, the next one is not tried before this.
    pub retry_at: Option<StoreTime>,
    /// Why the last one failed.
    pub last_error: Option<String>,
}

/// A change set that was begun: written before the first request of it is sent, so that the next leader finds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// All changes of the set, in order.
    pub changes: Vec<Change>,
    /// How many of them are done.
    pub done: usize,
    /// How many, from `done` on, the request in progress carries. Zero: there is none.
    pub carried: usize,
    /// Where the service reports on the request in progress. `None` while it is unknown whether it arrived, and for services
    /// that name no URL: then the origins themselves are polled.
    pub operation: Option<Operation>,
    /// When the set was begun.
    pub started: StoreTime,
    /// When the set before it was begun: what counts again when nothing of this one is accepted.
    pub previous: Option<StoreTime>,
}

impl Pending {
    /// The changes that the request in progress carries.
    pub fn under_way(&self) -> &[Change] {
        let end = self.changes.len().min(self.done + self.carried);
        self.changes.get(self.done..end).unwrap_or(&[])
    }

    /// The changes not done yet, in progress or not.
    pub fn left(&self) -> &[Change] {
        self.changes.get(self.done..).unwrap_or(&[])
    }
}

/// How a change set failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was accepted: as if it had never been sent.
    NotAccepted,
    /// It was accepted and failed.
    Failed,
    /// It was accepted, and was not done in time.
    Overdue,
}

impl Ledger {
    /// Clamps moments in the future to now: the store's clock was set back, and no pause may grow by that.
    pub fn clamp_to_clock(&mut self, now: StoreTime, timing: &Timing) {
        let past = |moment: &mut StoreTime| *moment = (*moment).min(now);
        self.last_change.iter_mut().for_each(past);
        self.demotions.iter_mut().for_each(|demotion| past(&mut demotion.at));
        if let Some(pending) = &mut self.pending {
            past(&mut pending.started);
            pending.previous.iter_mut().for_each(past);
        }
        let longest = now.after(timing.retry_most.max(timing.retry_least));
        self.retry_at = self.retry_at.map(|retry| retry.min(longest));
    }

    /// Begins a change set. No other may be in progress.
    pub fn begin(&mut self, changes: Vec<Change>, timing: &Timing, now: StoreTime) {
        self.demotions.retain(|demotion| now.since(demotion.at) < timing.window);
        for change in &changes {
            self.intents.insert(change.region.clone(), change.intent);
            if change.was == Intent::Baseline && change.intent == Intent::Demoted {
                self.demotions.push(Demotion {
                    region: change.region.clone(),
                    at: now,
                });
            }
        }
        self.pending = Some(Pending {
            changes,
            done: 0,
            carried: 0,
            operation: None,
            started: now,
            previous: self.last_change,
        });
        self.last_change = Some(now);
    }

    /// The request in progress is done. The remaining changes that are still `wanted` follow; returns whether there are any.
    pub fn advance(&mut self, wanted: &[Change]) -> bool {
        let Some(mut pending) = self.pending.take() else {
            return false;
        };
        for change in pending.under_way() {
            self.published.insert(change.region.clone(), change.state);
        }
        pending.done += pending.carried;
        pending.carried = 0;
        pending.operation = None;
        let (goes_on, dropped): (Vec<_>, Vec<_>) = pending.left().iter().cloned().partition(|left| {
            wanted
                .iter()
                .any(|now| now.region == left.region && now.state == left.state)
        });
        self.undo(&dropped, pending.started);
        pending.changes.truncate(pending.done);
        pending.changes.extend(goes_on);
        if pending.left().is_empty() {
            self.failures = 0;
            self.retry_at = None;
            self.last_error = None;
            return false;
        }
        self.pending = Some(pending);
        true
    }

    /// The change set failed, all of it or in part.
    pub fn fail(&mut self, how: Failure, remedy: Remedy, why: String, timing: &Timing, now: StoreTime) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        if how != Failure::Overdue {
            self.undo(pending.left(), pending.started);
        }
        if how == Failure::NotAccepted && pending.done == 0 {
            self.last_change = pending.previous;
        }
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now.after(pause(remedy, self.failures, timing)));
        self.last_error = Some(why);
    }

    /// Takes the ledger over. Of another leader's change set, only the request in progress is waited for; the rest was decided
    /// by old votes.
    pub fn take_over(&mut self, holder: VantageName) {
        self.epoch += 1;
        self.holder = Some(holder);
        let Some(mut pending) = self.pending.take() else {
            return;
        };
        let sent = pending.done + pending.carried;
        let dropped = pending.changes.split_off(sent.min(pending.changes.len()));
        self.undo(&dropped, pending.started);
        if pending.carried > 0 {
            self.pending = Some(pending);
        }
    }

    fn undo(&mut self, changes: &[Change], began: StoreTime) {
        for change in changes {
            self.intents.insert(change.region.clone(), change.was);
            self.demotions
                .retain(|demotion| demotion.region != change.region || demotion.at != began);
        }
    }
}

/// A demotion, for the cap of one per window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demotion {
    /// The region.
    #[serde(with = "region")]
    pub region: RegionName,
    /// When it was begun.
    pub at: StoreTime,
}

#[cfg(test)]
mod tests;
