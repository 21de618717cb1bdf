//! What the publisher knows and does, for metrics, the admin view and the command line.

mod show;
mod view;

pub use view::{CountView, ErrorView, PendingView, RegionView, VantageView, View};

use super::council::Seat;
use super::{Council, Counters, Desk};
use crate::arm::Allowance;
use crate::desired::Suspended;
use crate::ledger::Ledger;
use crate::settings::{Mode, Settings};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// What is known and done at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it was told.
    pub settings: Arc<Settings>,
    /// The votes.
    pub council: Arc<Council>,
    /// The leader's desk: empty where nobody leads or rehearses.
    pub desk: Desk,
    /// What was done so far.
    pub counters: Arc<Counters>,
    /// What is left of our allowance at the management API.
    pub allowance: Allowance,
    /// Whether one of its tasks has ended, which none ever should.
    pub ended: bool,
    /// Why it does not run at all, if it should.
    pub down: Option<String>,
}

/// Something a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// One word for metrics and rules, of [`Alert::CODES`].
    pub code: Cow<'static, str>,
    /// What is the matter.
    pub text: String,
}

impl Alert {
    /// All codes there are.
    pub const CODES: [&'static str; 10] = [
        "publisher-down",
        "publisher-ended",
        "store-unreachable",
        "no-quorum",
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
            council: Arc::new(Seat::empty(&settings)),
            settings,
            desk: Desk::default(),
            counters: Arc::default(),
            allowance: Allowance::default(),
            ended: false,
            down,
        }
    }

    /// The ledger: the leader's own where this is the leader, else as last read.
    pub fn ledger(&self) -> Option<&Ledger> {
        match &self.desk.ledger {
            Some(ledger) if self.desk.leads => Some(ledger),
            _ => self.council.clock.map(|_| &*self.council.ledger),
        }
    }

    /// What a person should look at.
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
        if let Some(error) = &self.council.error {
            raise("store-unreachable", error.clone());
        }
        let tally = &self.council.tally;
        if !tally.is_quorate() {
            let (live, majority, configured) = (tally.live, tally.majority, tally.configured);
            let lost = Suspended::NoQuorum {
                live,
                majority,
                configured,
            };
            raise("no-quorum", lost.to_string());
        }
        if self.desk.blind {
            let why = self.desk.error.as_ref().map(|(text, _)| text.clone());
            raise("front-door-unreadable", why.unwrap_or_default());
        }
        if let Some(url) = &self.desk.foreign {
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
        if let Some(plan) = &self.desk.plan {
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

    /// What seems to be in the way, for an error message.
    pub(super) fn trouble(&self) -> String {
        let holder = self
            .ledger()
            .and_then(|ledger| ledger.holder.as_ref())
            .filter(|_| !self.desk.leads);
        let told = self.alerts().into_iter().map(|alert| alert.text);
        let last = self.desk.error.iter().map(|(text, _)| text.clone());
        let holder = holder
            .map(|holder| format!("{holder} led last, and may still"))
            .into_iter();
        let all: Vec<String> = told.chain(last).chain(holder).collect();
        if all.is_empty() {
            String::new()
        } else {
            format!(": {}", all.join("; "))
        }
    }
}

#[cfg(test)]
mod tests;
