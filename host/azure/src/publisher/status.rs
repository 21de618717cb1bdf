//! The publisher's status, for metrics, administration and the command line.

mod show;
mod view;

pub use view::{CountView, ErrorView, PendingView, RegionView, VantageView, View};

use super::votes::Voter;
use super::{Counters, LeaderState, Votes};
use crate::arm::Allowance;
use crate::desired::Suspended;
use crate::ledger::Ledger;
use crate::names::VantageName;
use crate::settings::{Mode, Settings};
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The status at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its settings.
    pub settings: Arc<Settings>,
    /// The votes.
    pub votes: Arc<Votes>,
    /// The leader's state: empty on an instance that neither leads nor makes a dry run.
    pub leader: LeaderState,
    /// Why this instance could not acquire the lease, unless another instance holds it.
    pub election_error: Option<StoreError>,
    /// Counters since the start.
    pub counters: Arc<Counters>,
    /// What is left of our allowance at the management API.
    pub allowance: Allowance,
    /// Whether one of its tasks has ended, which none ever should.
    pub ended: bool,
    /// Why it does not run at all, if it should.
    pub down: Option<String>,
}

/// A condition that an operator should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// One word for metrics and rules, of [`Alert::CODES`].
    pub code: Cow<'static, str>,
    /// The cause, for people.
    pub text: String,
}

impl Alert {
    /// All codes there are.
    pub const CODES: [&'static str; 12] = [
        "publisher-down",
        "publisher-ended",
        "store-unreachable",
        "no-quorum",
        "vantage-doubted",
        "no-leader",
        "front-door-unreadable",
        "foreign-operation-url",
        "change-failed",
        "most-look-bad",
        "drift",
        "origin-missing",
    ];
}

impl Status {
    /// Of a publisher that does not run: because its mode is off, or for the reason given.
    pub fn at_rest(settings: Arc<Settings>, down: Option<String>) -> Self {
        Self {
            votes: Arc::new(Voter::none_read(&settings)),
            settings,
            leader: LeaderState::default(),
            election_error: None,
            counters: Arc::default(),
            allowance: Allowance::default(),
            ended: false,
            down,
        }
    }

    /// The ledger: the leader's own where this is the leader, else as last read.
    pub fn ledger(&self) -> Option<&Ledger> {
        match &self.leader.ledger {
            Some(ledger) if self.leader.leads => Some(ledger),
            _ => self.votes.clock.map(|_| &*self.votes.ledger),
        }
    }

    /// The leader: this instance, or the last to take the ledger over while the lease is held. `None` also when that is
    /// unknown.
    pub fn leading(&self) -> Option<&VantageName> {
        if self.leader.leads {
            return Some(&self.settings.vantage);
        }
        let holder = self.led_last().filter(|_| self.votes.led == Some(true));
        // A lease that is held while this instance's name is in the ledger is another's that has not yet written its own.
        holder.filter(|holder| **holder != self.settings.vantage)
    }

    /// The last leader.
    pub fn led_last(&self) -> Option<&VantageName> {
        self.ledger()?.holder.as_ref()
    }

    /// An error that a retry does not mend: an operator has to act first.
    pub(super) fn definite_error(&self) -> Option<String> {
        let store = self.votes.error.iter().chain(&self.election_error);
        let store = store.filter(|error| error.is_definite()).map(ToString::to_string);
        let target = self.leader.error.iter().filter(|error| error.is_definite);
        store.chain(target.map(|error| error.text.clone())).next()
    }

    /// The alerts that are raised.
    pub fn alerts(&self) -> Vec<Alert> {
        let mut alerts = Vec::new();
        let mut raise = |code: &'static str, text: String| {
            debug_assert!(Alert::CODES.contains(&code), "{code} is not among the codes");
            alerts.push(Alert {
                code: code.into(),
                text,
            });
        };
        if let Some(why) = &self.down {
            raise("publisher-down", why.clone());
        }
        if self.down.is_some() || self.settings.mode == Mode::Off {
            return alerts;
        }
        if self.ended {
            raise(
                "publisher-ended",
                "a task of the publisher has ended: restart this instance".to_owned(),
            );
        }
        if let Some(error) = self.votes.error.as_ref().or(self.election_error.as_ref()) {
            raise("store-unreachable", error.to_string());
        }
        let tally = &self.votes.tally;
        if !tally.is_quorate() {
            raise("no-quorum", Suspended::no_quorum(tally).to_string());
        }
        for (vantage, ballot) in &self.votes.ballots {
            if let Some((vote, _)) = ballot.live().filter(|(vote, _)| vote.doubted) {
                let (unhealthy, of) = (vote.unhealthy(), vote.regions.len());
                let text =
                    format!("{vantage} sees {unhealthy} of {of} regions unhealthy, or reaches none: its vote abstains");
                raise("vantage-doubted", text);
            }
        }
        if self.settings.mode == Mode::Apply && !self.leader.leads && self.is_unled_for(self.settings.lease.duration) {
            let last = self.led_last().map(|last| format!(" ({last} led last)"));
            let text = format!("no instance leads: no change can be made{}", last.unwrap_or_default());
            raise("no-leader", text);
        }
        if self.leader.unreadable {
            let why = self.leader.error.as_ref().map(|error| error.text.clone());
            raise("front-door-unreadable", why.unwrap_or_default());
        }
        if let Some(url) = &self.leader.foreign {
            raise(
                "foreign-operation-url",
                format!("an operation is reported at {url}, which is not the management API"),
            );
        }
        if let Some((ledger, error)) = self
            .ledger()
            .and_then(|ledger| Some((ledger, ledger.last_error.as_ref()?)))
        {
            raise(
                "change-failed",
                format!("{} in a row, the last: {error}", ledger.failures),
            );
        }
        if let Some(plan) = &self.leader.plan {
            if let Some(why @ Suspended::MostLookBad { .. }) = &plan.decision.suspended {
                raise("most-look-bad", why.to_string());
            }
            for drift in &plan.drift {
                raise("drift", drift.to_string());
            }
            for origin in &plan.missing {
                raise("origin-missing", format!("origin {origin} is not in the group"));
            }
        }
        alerts
    }

    fn is_unled_for(&self, time: Duration) -> bool {
        self.votes.unled_since.is_some_and(|since| since.elapsed() >= time)
    }

    /// The likely causes, for an error message. Each cause once.
    pub(super) fn trouble(&self) -> String {
        let leader = match (self.led_last(), self.votes.led) {
            (Some(holder), Some(true)) if !self.leader.leads => Some(format!("{holder} leads")),
            _ => None,
        };
        let alerts = self.alerts().into_iter().map(|alert| alert.text);
        let last = self.leader.error.iter().map(|error| error.text.clone());
        let mut all: Vec<String> = Vec::new();
        for text in alerts.chain(last).chain(leader) {
            if !all.contains(&text) {
                all.push(text);
            }
        }
        if all.is_empty() {
            String::new()
        } else {
            format!(": {}", all.join("; "))
        }
    }
}

#[cfg(test)]
mod tests;
