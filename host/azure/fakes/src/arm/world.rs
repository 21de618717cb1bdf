//! The resources: what the control plane holds, what is on its way, what the edges see.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::Kind;

/// How many edges there are; a change reaches the first early, the last when propagation ends.
pub const EDGES: u32 = 4;

/// All resources, by their id in lower case.
#[derive(Debug, Default)]
pub(super) struct World {
    resources: BTreeMap<String, Resource>,
    /// When the last change of a profile or front door will have reached all edges.
    propagated: BTreeMap<String, SystemTime>,
}

#[derive(Debug)]
struct Resource {
    kind: Kind,
    /// What succeeded operations have made of it; `None` before its creation has succeeded.
    settled: Option<Value>,
    /// Accepted but not yet carried out, in order.
    pending: Vec<(u64, Change)>,
    /// The versions published to the edges.
    published: Vec<Published>,
}

#[derive(Debug)]
struct Published {
    from: SystemTime,
    takes: Duration,
    value: Option<Value>,
}

/// A change of one resource.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// Members named here change, all others stay.
    Merge(Value),
    /// The whole resource becomes this.
    Replace(Value),
    Delete,
}

impl Change {
    fn apply(&self, to: Option<Value>) -> Option<Value> {
        match self {
            Change::Merge(patch) => to.map(|mut value| {
                merge(&mut value, patch);
                value
            }),
            Change::Replace(value) => Some(value.clone()),
            Change::Delete => None,
        }
    }
}

impl World {
    /// Puts a resource there as if it had always been.
    pub(super) fn seed(&mut self, kind: Kind, value: Value) {
        let key = value["id"].as_str().unwrap_or_default().to_ascii_lowercase();
        let always = Published {
            from: SystemTime::UNIX_EPOCH,
            takes: Duration::ZERO,
            value: Some(value.clone()),
        };
        let resource = Resource {
            kind,
            settled: Some(value),
            pending: Vec::new(),
            published: vec![always],
        };
        self.resources.insert(key, resource);
    }

    /// A resource as GET answers it: with accepted changes, and the state they are in.
    pub(super) fn view(&self, key: &str) -> Option<Value> {
        self.resources.get(key)?.view()
    }

    /// All resources of a kind whose id begins so, in order of id.
    pub(super) fn list<'w>(&'w self, kind: Kind, prefix: &'w str) -> impl Iterator<Item = (&'w str, Value)> {
        let within = self
            .resources
            .iter()
            .filter(move |(key, r)| r.kind == kind && key.starts_with(prefix));
        within.filter_map(|(key, resource)| Some((key.as_str(), resource.view()?)))
    }

    /// Accepts a change, to be carried out when its operation ends.
    pub(super) fn accept(&mut self, kind: Kind, key: &str, operation: u64, change: Change) {
        let new = || Resource {
            kind,
            settled: None,
            pending: Vec::new(),
            published: Vec::new(),
        };
        self.resources
            .entry(key.to_owned())
            .or_insert_with(new)
            .pending
            .push((operation, change));
    }

    /// Applies an accepted change, or drops it; a success is published to the edges.
    pub(super) fn settle(&mut self, key: &str, operation: u64, succeeded: bool, at: SystemTime, takes: Duration) {
        let Some(resource) = self.resources.get_mut(key) else {
            return;
        };
        let Some(index) = resource.pending.iter().position(|(id, _)| *id == operation) else {
            return;
        };
        let (_, change) = resource.pending.remove(index);
        if succeeded {
            resource.settled = change.apply(resource.settled.take());
            set_state(resource.settled.as_mut(), "Succeeded");
            self.publish(key, at, takes);
        } else {
            set_state(resource.settled.as_mut(), "Failed");
        }
    }

    /// Changes a resource at once.
    pub(super) fn change(&mut self, key: &str, change: &Change, at: SystemTime, takes: Duration) {
        if let Some(resource) = self.resources.get_mut(key) {
            resource.settled = change.apply(resource.settled.take());
            self.publish(key, at, takes);
        }
    }

    /// A resource as an edge has it. Edges count from 0 to [`EDGES`] - 1.
    pub(super) fn at_edge(&self, key: &str, edge: u32, now: SystemTime) -> Option<Value> {
        let published = &self.resources.get(key)?.published;
        published.iter().rev().find(|p| p.reaches(edge) <= now)?.value.clone()
    }

    /// When a version next reaches an edge.
    pub(super) fn next_arrival(&self, now: SystemTime) -> Option<SystemTime> {
        let published = self.resources.values().flat_map(|resource| &resource.published);
        published
            .flat_map(|p| (0..EDGES).map(|edge| p.reaches(edge)))
            .filter(|at| *at > now)
            .min()
    }

    /// Publishes to the edges. A change waits for the one before it in the same profile.
    fn publish(&mut self, key: &str, at: SystemTime, takes: Duration) {
        let before = self.propagated.entry(scope(key)).or_insert(at);
        let from = at.max(*before);
        *before = from + takes;
        if let Some(resource) = self.resources.get_mut(key) {
            let value = resource.settled.clone();
            resource.published.push(Published { from, takes, value });
        }
    }
}

impl Resource {
    fn view(&self) -> Option<Value> {
        let Some((_, last)) = self.pending.last() else {
            return self.settled.clone();
        };
        // A resource that is being deleted is still shown.
        let changes = self
            .pending
            .iter()
            .filter(|(_, change)| !matches!(change, Change::Delete));
        let mut view = changes.fold(self.settled.clone(), |value, (_, change)| change.apply(value));
        let state = match last {
            Change::Delete => "Deleting",
            Change::Merge(_) | Change::Replace(_) if self.settled.is_none() => "Creating",
            Change::Merge(_) | Change::Replace(_) => "Updating",
        };
        set_state(view.as_mut(), state);
        view
    }
}

impl Published {
    fn reaches(&self, edge: u32) -> SystemTime {
        self.from + self.takes * (edge.min(EDGES - 1) + 1) / EDGES
    }
}

/// The profile or front door that an id belongs to; changes within one are made one after the other.
pub(super) fn scope(key: &str) -> String {
    // "", subscriptions, S, resourcegroups, RG, providers, NAMESPACE, TYPE, NAME
    key.split('/').take(9).collect::<Vec<_>>().join("/")
}

/// Named members change, objects member by member; null is kept as null.
fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(
                    into.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())),
                    value,
                );
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

fn set_state(resource: Option<&mut Value>, state: &str) {
    if let Some(properties) = resource
        .and_then(|r| r.get_mut("properties"))
        .and_then(Value::as_object_mut)
    {
        properties.insert("provisioningState".to_owned(), json!(state));
    }
}
