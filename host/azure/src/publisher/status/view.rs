//! The status as it is served, and read back.

use super::{Alert, Status};
use crate::arm::Allowance;
use crate::intent::Intent;
use crate::ledger::Pending;
use crate::origin::Members;
use crate::publisher::Counters;
use crate::quorum::Count;
use crate::target::About;
use crate::vote::Ballot;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use tokio::time::Instant;

/// The status as it is served.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct View {
    /// `off`, `dry-run` or `apply`.
    pub mode: Cow<'static, str>,
    /// The Front Door.
    pub front_door: String,
    /// This instance.
    pub vantage: String,
    /// The leader. Null when there is none, or when that is unknown.
    pub leader: Option<String>,
    /// The leader, or the last one.
    pub led_last: Option<String>,
    /// Its epoch.
    pub epoch: u64,
    /// Whether this instance leads.
    pub leads: bool,
    /// Whether this instance is its own quorum of one.
    pub alone: bool,
    /// Votes that count.
    pub votes_live: usize,
    /// Votes needed.
    pub votes_needed: usize,
    /// The vantages.
    pub vantages: Vec<VantageView>,
    /// The regions.
    pub regions: Vec<RegionView>,
    /// The plan as text; only on the leader, and in a dry run.
    pub plan: Option<String>,
    /// The change set in progress.
    pub pending: Option<PendingView>,
    /// Alerts that are raised.
    pub alerts: Vec<Alert>,
    /// Recent changes by other clients: of members that are not managed here, and of managed ones, which were reverted.
    pub changed_by_others: Vec<String>,
    /// What went wrong last.
    pub last_error: Option<ErrorView>,
    /// What was done so far.
    #[serde(with = "counters")]
    pub counters: Arc<Counters>,
    /// The remaining rate limit.
    pub allowance: Allowance,
    /// Facts about the Front Door.
    pub about: Option<About>,
    /// Settings that are allowed and probably not meant.
    pub warnings: Vec<String>,
}

/// A vantage and its vote.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VantageView {
    /// Its name.
    pub vantage: String,
    /// Whether its vote counts.
    pub live: bool,
    /// Whether its vote abstains, since it doubts its own view.
    pub doubted: bool,
    /// How old the vote is, in seconds.
    pub age_s: Option<f64>,
    /// What is wrong with the vote, if anything.
    pub invalid: Option<String>,
}

/// A region and its origin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegionView {
    /// The region.
    pub region: String,
    /// Its origin.
    pub origin: String,
    /// Its intended state.
    pub intent: Cow<'static, str>,
    /// Its members as they should be.
    pub desired: Option<Members>,
    /// Its members as last read.
    pub observed: Option<Members>,
    /// Votes that it is unhealthy, and for how long a quorum has held, in seconds.
    pub unhealthy: CountView,
    /// Votes that it is healthy, likewise.
    pub healthy: CountView,
    /// Why it is not made something else, yet or at all.
    pub held: Option<String>,
}

/// A count of votes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CountView {
    /// How many.
    pub votes: usize,
    /// How long the quorum has held, in seconds.
    pub agreed_for_s: Option<f64>,
}

/// The change set in progress.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PendingView {
    /// The changes as text.
    pub changes: Vec<String>,
    /// How many are done.
    pub done: usize,
    /// Where the service reports on the request in progress.
    pub operation: Option<String>,
    /// For how long it has been in progress, in seconds.
    pub age_s: f64,
}

/// An error of late.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorView {
    /// Its text.
    pub text: String,
    /// How long ago, in seconds.
    pub age_s: f64,
}

impl Status {
    /// The status as it is served.
    pub fn view(&self) -> View {
        let (votes, leader) = (&self.votes, &self.leader);
        let ledger = self.ledger();
        View {
            mode: self.settings.mode.as_str().into(),
            front_door: self.settings.front_door.name(),
            vantage: self.settings.vantage.to_string(),
            leader: self.leading().map(ToString::to_string),
            led_last: self.led_last().map(ToString::to_string),
            epoch: ledger.map_or(0, |ledger| ledger.epoch),
            leads: leader.leads,
            alone: self.settings.vantages.len() == 1,
            votes_live: votes.tally.live,
            votes_needed: votes.tally.majority,
            vantages: votes
                .ballots
                .iter()
                .map(|(vantage, ballot)| VantageView {
                    vantage: vantage.to_string(),
                    live: ballot.trusted().is_some(),
                    doubted: ballot.live().is_some_and(|(vote, _)| vote.doubted),
                    age_s: match ballot {
                        Ballot::Cast { age, .. } => Some(age.as_secs_f64()),
                        _ => None,
                    },
                    invalid: match ballot {
                        Ballot::Invalid(why) => Some(why.clone()),
                        _ => None,
                    },
                })
                .collect(),
            regions: self.regions(),
            plan: leader.plan.as_ref().map(ToString::to_string),
            pending: ledger
                .and_then(|ledger| ledger.pending.as_ref())
                .map(|pending| self.pending(pending)),
            alerts: self.alerts(),
            changed_by_others: leader.others.clone(),
            last_error: leader.error.as_ref().map(|error| ErrorView {
                text: error.text.clone(),
                age_s: Instant::now().saturating_duration_since(error.at).as_secs_f64(),
            }),
            counters: self.counters.clone(),
            allowance: self.allowance,
            about: leader.about.clone(),
            warnings: self.settings.warnings(),
        }
    }

    fn regions(&self) -> Vec<RegionView> {
        let plan = self.leader.plan.as_ref();
        let view = |origin: &crate::origin::Baseline| {
            let wanted = plan.and_then(|plan| plan.wanted.iter().find(|wanted| wanted.region == origin.region));
            let intent = match wanted {
                Some(wanted) => wanted.intent,
                None => self
                    .ledger()
                    .and_then(|ledger| ledger.intents.get(&origin.region).copied())
                    .unwrap_or(Intent::Baseline),
            };
            let tally = self
                .votes
                .tally
                .regions
                .get(&origin.region)
                .copied()
                .unwrap_or_default();
            let observed = self.leader.observed.as_ref();
            let held = plan.and_then(|plan| plan.decision.holds.iter().find(|hold| hold.region == origin.region));
            RegionView {
                region: origin.region.to_string(),
                origin: origin.origin.clone(),
                intent: intent.as_str().into(),
                desired: wanted.map(|wanted| wanted.state.into()),
                observed: observed
                    .and_then(|(observed, _)| observed.get(&origin.origin))
                    .map(|there| there.members),
                unhealthy: tally.unhealthy.into(),
                healthy: tally.healthy.into(),
                held: held.map(|hold| format!("{} {}", hold.wish.as_str(), hold.why)),
            }
        };
        self.settings.origins.iter().map(view).collect()
    }

    fn pending(&self, pending: &Pending) -> PendingView {
        let now = self.votes.clock.map(|clock| clock.now()).unwrap_or(pending.started);
        PendingView {
            changes: pending
                .changes
                .iter()
                .map(|change| format!("{} {} ({})", change.why(), change.region, change.origin))
                .collect(),
            done: pending.done,
            operation: pending.operation.as_ref().map(|operation| operation.url.to_string()),
            age_s: now.since(pending.started).as_secs_f64(),
        }
    }
}

/// `#[serde(with)]` for counters that are shared.
mod counters {
    use super::{Arc, Counters};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(counters: &Arc<Counters>, to: S) -> Result<S::Ok, S::Error> {
        counters.as_ref().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Counters>, D::Error> {
        Counters::deserialize(from).map(Arc::new)
    }
}

impl From<Count> for CountView {
    fn from(count: Count) -> Self {
        Self {
            votes: count.votes,
            agreed_for_s: count.agreed_for.map(|agreed| agreed.as_secs_f64()),
        }
    }
}
