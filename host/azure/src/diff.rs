//! The difference between desired and observed origins, as a list of changes. Pure.

use crate::intent::Intent;
use crate::names::region;
use crate::origin::{Members, Observed, ObservedOrigin, OriginState, key};
use portolan_core::id::RegionName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The desired state of a configured origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The region it stands for.
    pub region: RegionName,
    /// Its name.
    pub origin: String,
    /// The region's state before.
    pub was: Intent,
    /// The desired state of the region.
    pub intent: Intent,
    /// The members for that state.
    pub state: OriginState,
}

/// A change of one origin. Values are absolute, so that sending it twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The region it stands for.
    #[serde(with = "region")]
    pub region: RegionName,
    /// Its name.
    pub origin: String,
    /// The region's state before.
    pub was: Intent,
    /// The region's state after.
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

    /// Changes that add capacity go first, then demotions, then those that disable.
    fn order(&self) -> u8 {
        match (self.set.enabled, self.set.priority) {
            (Some(false), _) => 2,
            (_, Some(priority)) if priority > self.from.priority.unwrap_or(0) => 1,
            _ => 0,
        }
    }
}

/// The changes from the observed to the desired origins, in the order in which to send them. Missing origins are never
/// created.
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

/// The members of one that differ from the other's.
fn differing(of: &Members, to: &Members) -> Members {
    Members {
        priority: of.priority.filter(|_| of.priority != to.priority),
        weight: of.weight.filter(|_| of.weight != to.weight),
        enabled: of.enabled.filter(|_| of.enabled != to.enabled),
    }
}

/// The origins after a change.
pub fn apply(observed: &mut Observed, change: &Change) {
    if let Some(ObservedOrigin { members, .. }) = observed.origins.get_mut(&key(&change.origin)) {
        members.priority = change.set.priority.or(members.priority);
        members.weight = change.set.weight.or(members.weight);
        members.enabled = change.set.enabled.or(members.enabled);
    }
}

/// Separates the changes after which no origin of the group would be enabled: the service rejects them, and a group without
/// an enabled origin serves no request.
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

/// Changes by other clients between two reads, as text: added and removed origins, and members that are not managed here.
pub fn others(earlier: &Observed, now: &Observed) -> Vec<String> {
    let mut texts = Vec::new();
    for (name, origin) in &now.origins {
        match earlier.origins.get(name) {
            None => texts.push(format!("origin {name} was added")),
            Some(before) => {
                let names = before
                    .rest
                    .keys()
                    .chain(origin.rest.keys().filter(|key| !before.rest.contains_key(*key)));
                for member in names {
                    let (old, new) = (before.rest.get(member), origin.rest.get(member));
                    if old != new {
                        texts.push(format!(
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
    texts.extend(gone.map(|name| format!("origin {name} was removed")));
    texts
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
