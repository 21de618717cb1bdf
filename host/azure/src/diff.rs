//! The difference between what is wanted and what is there, as a list of changes. Pure.

use crate::intent::Intent;
use crate::names::region;
use crate::origin::{Members, Observed, ObservedOrigin, OriginState, key};
use portolan_core::id::RegionName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What one of our origins should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The region it stands for.
    pub region: RegionName,
    /// Its name.
    pub origin: String,
    /// What the region was made before.
    pub was: Intent,
    /// What it should be made.
    pub intent: Intent,
    /// The members that follow from that.
    pub state: OriginState,
}

/// A change of one origin. Absolute values: to send it twice does no harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The region it stands for.
    #[serde(with = "region")]
    pub region: RegionName,
    /// Its name.
    pub origin: String,
    /// What the region was made before.
    pub was: Intent,
    /// What the change makes it.
    pub intent: Intent,
    /// All three members as they will be.
    pub state: OriginState,
    /// The members that differ, as they are. Null when never set.
    pub from: Members,
    /// The members that differ, as they will be: all that is sent.
    pub set: Members,
}

impl Change {
    /// Why it is made, in one word.
    pub fn why(&self) -> &'static str {
        match (self.was, self.intent) {
            (was, now) if was == now => "correct",
            (_, Intent::Baseline) => "restore",
            (_, Intent::Demoted) => "demote",
            (_, Intent::Drained) => "drain",
        }
    }

    /// What could take capacity away goes last: first all that gives, then demotions, then what disables.
    fn order(&self) -> u8 {
        match (self.set.enabled, self.set.priority) {
            (Some(false), _) => 2,
            (_, Some(priority)) if priority > self.from.priority.unwrap_or(0) => 1,
            _ => 0,
        }
    }
}

/// The changes that lead from what is there to what is wanted, in the order in which to send them. Origins that are not
/// there are left alone: nothing is ever created.
pub fn diff(wanted: &[Wanted], observed: &Observed) -> Vec<Change> {
    let mut changes: Vec<Change> = wanted
        .iter()
        .filter_map(|wanted| {
            let there = observed.get(&wanted.origin)?.members;
            let goal = Members::from(wanted.state);
            (there != goal).then(|| Change {
                region: wanted.region.clone(),
                origin: wanted.origin.clone(),
                was: wanted.was,
                intent: wanted.intent,
                state: wanted.state,
                from: differing(&there, &goal),
                set: differing(&goal, &there),
            })
        })
        .collect();
    changes.sort_by_key(Change::order);
    changes
}

/// The members of one that are not the other's.
fn differing(of: &Members, to: &Members) -> Members {
    Members {
        priority: of.priority.filter(|_| of.priority != to.priority),
        weight: of.weight.filter(|_| of.weight != to.weight),
        enabled: of.enabled.filter(|_| of.enabled != to.enabled),
    }
}

/// What is there after a change.
pub fn apply(observed: &mut Observed, change: &Change) {
    if let Some(ObservedOrigin { members, .. }) = observed.origins.get_mut(&key(&change.origin)) {
        members.priority = change.set.priority.or(members.priority);
        members.weight = change.set.weight.or(members.weight);
        members.enabled = change.set.enabled.or(members.enabled);
    }
}

/// Takes out the changes after which no origin of the whole group would be enabled: the service refuses them, and a group
/// without an origin refuses everybody.
pub fn without_last_enabled(changes: Vec<Change>, observed: &Observed) -> (Vec<Change>, Vec<Change>) {
    let mut model = observed.clone();
    changes.into_iter().partition(|change| {
        let mut after = model.clone();
        apply(&mut after, change);
        let enabled = |observed: &Observed| {
            observed
                .origins
                .values()
                .any(|origin| origin.members.enabled == Some(true))
        };
        let allowed = change.set.enabled != Some(false) || enabled(&after);
        if allowed {
            model = after;
        }
        allowed
    })
}

/// What others changed between two readings, in words: origins that came and went, and members that are not ours.
pub fn others(earlier: &Observed, now: &Observed) -> Vec<String> {
    let mut said = Vec::new();
    for (name, origin) in &now.origins {
        match earlier.origins.get(name) {
            None => said.push(format!("origin {name} was added")),
            Some(before) => {
                let names = before
                    .rest
                    .keys()
                    .chain(origin.rest.keys().filter(|key| !before.rest.contains_key(*key)));
                for member in names {
                    let (old, new) = (before.rest.get(member), origin.rest.get(member));
                    if old != new {
                        said.push(format!(
                            "origin {name}: {member} changed from {} to {}",
                            Json(old),
                            Json(new)
                        ));
                    }
                }
            }
        }
    }
    let gone = earlier.origins.keys().filter(|name| !now.origins.contains_key(*name));
    said.extend(gone.map(|name| format!("origin {name} was removed")));
    said
}

struct Json<'a>(Option<&'a serde_json::Value>);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("nothing"),
        }
    }
}

#[cfg(test)]
mod tests;
