//! Prints events of the demo: failing regions, votes, quorum, plan, requests, operations, recovery. Pure: compares two
//! observations and returns lines.

use super::azure::origin;
use portolan_azure::publisher::status::Status;
use portolan_azure::vote::Ballot;
use portolan_azure_fakes::Recorded;
use portolan_azure_fakes::arm::Operation;
use portolan_core::health::State;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// The state of the demo at one moment.
pub(super) struct Look {
    /// Every gateway's region and how it behaves.
    pub(super) gateways: Vec<(String, &'static str)>,
    /// The status of each instance's publisher.
    pub(super) statuses: Vec<Status>,
    /// What Front Door's probes of each region are answered.
    pub(super) probes: Vec<(String, u16)>,
    /// The requests to the management API that change something.
    pub(super) changes: Vec<Recorded>,
    /// The operations there.
    pub(super) operations: Vec<Operation>,
    /// The regions whose origin is the same on all edges as in the management API.
    pub(super) followed: BTreeSet<String>,
}

/// What has been printed already.
#[derive(Default)]
pub(super) struct Narrator {
    gateways: BTreeMap<String, &'static str>,
    votes: BTreeSet<(String, String)>,
    unhealthy: BTreeSet<String>,
    probes: BTreeMap<String, u16>,
    leader: Option<(String, u64)>,
    started: u64,
    /// When the last change was sent.
    sent: Option<SystemTime>,
    operations: usize,
    awaited: BTreeSet<String>,
    alerts: BTreeMap<(String, String), u32>,
}

/// An alert that clears within this many looks is not printed.
const LASTING: u32 = 10;

impl Narrator {
    /// The new events. Each line begins with the kind of event.
    pub(super) fn news(&mut self, look: &Look) -> Vec<String> {
        let mut lines = Vec::new();
        let mut print = |what: &str, text: String| lines.push(format!("{what:<9} {text}"));
        for (region, behaviour) in &look.gateways {
            let before = self.gateways.insert(region.clone(), behaviour);
            if before.is_some_and(|before| before != *behaviour) {
                print("region", format!("{region} is {behaviour}"));
            }
        }
        self.elections(look, &mut print);
        self.votes(look, &mut print);
        for (region, status) in &look.probes {
            match self.probes.insert(region.clone(), *status) {
                Some(before) if before != *status && *status == 200 => {
                    print("probe", format!("of {region} is answered 200 again"));
                }
                Some(before) if before != *status => print(
                    "probe",
                    format!("of {region} is answered {status}: Front Door's own probes leave it within a minute"),
                ),
                _ => {}
            }
        }
        self.plans(look, &mut print);
        self.requests(look, &mut print);
        self.alerts(look, &mut print);
        lines
    }

    fn elections(&mut self, look: &Look, print: &mut impl FnMut(&str, String)) {
        let leads = look.statuses.iter().find(|status| status.leader.leads);
        let now = leads.and_then(|status| Some((status.settings.vantage.to_string(), status.ledger()?.epoch)));
        if let Some((vantage, epoch)) = now.filter(|now| self.leader.as_ref() != Some(now)) {
            print(
                "leader",
                format!("{vantage} holds the lease (epoch {epoch}) and publishes for all"),
            );
            self.leader = Some((vantage, epoch));
        }
    }

    fn votes(&mut self, look: &Look, print: &mut impl FnMut(&str, String)) {
        let Some(status) = look.statuses.first() else { return };
        let mut now = BTreeSet::new();
        for (vantage, ballot) in &status.votes.ballots {
            let Ballot::Cast { vote, .. } = ballot else { continue };
            for (region, opinion) in &vote.regions {
                if ballot.live().is_none() || opinion.state() != State::Unhealthy {
                    continue;
                }
                let key = (vantage.to_string(), region.to_string());
                if !self.votes.contains(&key) {
                    print(
                        "vote",
                        format!("{vantage} finds {region} unhealthy: {}", opinion.evidence),
                    );
                }
                now.insert(key);
            }
        }
        self.votes = now;
        for (region, tally) in &status.votes.tally.regions {
            let (votes, of) = (tally.unhealthy.votes, status.votes.tally.configured);
            match (
                tally.unhealthy.agreed_for.is_some(),
                self.unhealthy.contains(region.as_str()),
            ) {
                (true, false) => {
                    self.unhealthy.insert(region.to_string());
                    let sustain = status.settings.timing.sustain;
                    print(
                        "quorum",
                        format!(
                            "{votes} of {of} find {region} unhealthy; its origin is demoted if that lasts {sustain:?}"
                        ),
                    );
                }
                (false, true) => {
                    self.unhealthy.remove(region.as_str());
                    let restore = status.settings.timing.restore;
                    print(
                        "quorum",
                        format!(
                            "{region} is no longer unhealthy; a demoted origin is restored after {restore:?} of health"
                        ),
                    );
                }
                _ => {}
            }
        }
    }

    fn plans(&mut self, look: &Look, print: &mut impl FnMut(&str, String)) {
        let ledger = look
            .statuses
            .iter()
            .filter_map(Status::ledger)
            .max_by_key(|ledger| ledger.epoch);
        let Some(pending) = ledger.and_then(|ledger| ledger.pending.as_ref()) else {
            return;
        };
        let started = u64::try_from(pending.started.0).unwrap_or_default();
        if self.started == started {
            return;
        }
        self.started = started;
        for change in &pending.changes {
            let (from, to) = (&change.from, &change.set);
            let was = |value: Option<u32>| value.map_or("unset".to_owned(), |value| value.to_string());
            let mut parts = Vec::new();
            if let Some(priority) = to.priority {
                parts.push(format!("priority {} -> {priority}", was(from.priority)));
            }
            if let Some(weight) = to.weight {
                parts.push(format!("weight {} -> {weight}", was(from.weight)));
            }
            if let Some(enabled) = to.enabled {
                parts.push(format!("enabled -> {enabled}"));
            }
            let what = format!(
                "{} {} ({}): {}",
                change.why(),
                change.region,
                change.origin,
                parts.join(", ")
            );
            print("plan", what);
        }
    }

    fn requests(&mut self, look: &Look, print: &mut impl FnMut(&str, String)) {
        // By its time, since the log forgets what is old.
        let is_new = |request: &&Recorded| self.sent.is_none_or(|last| request.at > last);
        for request in look.changes.iter().filter(is_new) {
            let answer = request
                .status
                .map_or("no answer".to_owned(), |status| status.to_string());
            let path = request
                .path
                .split_once("/providers/")
                .map_or(&*request.path, |(_, path)| path);
            print(
                "sent",
                format!("{} …/{path} {} -> {answer}", request.method, request.body),
            );
            self.awaited.extend(
                look.gateways
                    .iter()
                    .map(|(region, _)| region.clone())
                    .filter(|region| request.path.ends_with(&origin(region))),
            );
        }
        self.sent = look.changes.last().map(|request| request.at).or(self.sent);
        let ended = look.operations.iter().filter(|operation| operation.ended).count();
        if ended > self.operations {
            print("done", "the operation has ended; Front Door's edges follow".to_owned());
        }
        self.operations = ended;
        let runs = look.operations.iter().any(|operation| !operation.ended);
        let followed: Vec<String> = self
            .awaited
            .iter()
            .filter(|region| !runs && look.followed.contains(*region))
            .cloned()
            .collect();
        for region in followed {
            self.awaited.remove(&region);
            print(
                "edges",
                format!("all of them know the new state of {}", origin(&region)),
            );
        }
    }

    fn alerts(&mut self, look: &Look, print: &mut impl FnMut(&str, String)) {
        let mut now = BTreeMap::new();
        for status in &look.statuses {
            for alert in status.alerts() {
                let key = (status.settings.vantage.to_string(), alert.code.to_string());
                let looks = self.alerts.get(&key).copied().unwrap_or_default().saturating_add(1);
                if looks == LASTING {
                    print("alert", format!("at {}: {}: {}", key.0, key.1, alert.text));
                }
                now.insert(key, looks);
            }
        }
        for (key, looks) in &self.alerts {
            if *looks >= LASTING && !now.contains_key(key) {
                print("over", format!("at {}: {}", key.0, key.1));
            }
        }
        self.alerts = now;
    }
}

/// Since the demo began, `02:07`.
pub(super) fn clock(since: Duration) -> String {
    let seconds = since.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}
