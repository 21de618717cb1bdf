//! Several instances in one view.

use super::attention::Attention;
use crate::admin::backend::AdminBackend;
use crate::admin::peers::PeerStatus;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Instant as Moment, SystemTime};

/// `GET /api/v1/instance`: what an instance says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// What it is called: `via` of its configuration, else the name of its host.
    pub name: String,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started: String,
    /// `ready`, `lame_duck` or `draining`.
    pub status: String,
    /// The number of its routing table.
    pub generation: u64,
    /// A digest of its configuration as it is written, with the names of variables instead of their values.
    pub configuration: String,
    /// Requests a second in its last interval of ten seconds.
    pub requests_per_second: f64,
    /// How much needs attention.
    pub attention: usize,
    /// The regions of its services.
    pub regions: Vec<InstanceRegion>,
}

/// A region as an instance sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRegion {
    /// The service.
    pub service: String,
    /// The region.
    pub region: String,
    /// `unknown`, `healthy`, `warming`, `unhealthy` or `draining`.
    pub state: String,
}

/// `GET /api/v1/instances`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instances {
    /// This one, then its peers.
    pub instances: Vec<Shown>,
    /// Regions that they see differently.
    pub differences: Vec<Difference>,
    /// How many different configurations they have.
    pub configurations: usize,
}

/// An instance as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// What it is called here.
    pub name: String,
    /// Its administration; `None` for this one.
    pub url: Option<String>,
    /// How long ago it answered; `None` before its first answer.
    pub seen_seconds_ago: Option<f64>,
    /// Why it did not answer the last question.
    pub error: Option<String>,
    /// Its last answer.
    pub instance: Option<Instance>,
}

/// A region that instances see differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The service.
    pub service: String,
    /// The region.
    pub region: String,
    /// Its state by the instances' names.
    pub states: BTreeMap<String, String>,
}

impl Instance {
    pub(in crate::admin) fn of(instance: &dyn AdminBackend) -> Self {
        let snapshot = instance.snapshot();
        let last = instance.history().since(0).pop();
        let requests = last.map(|sample| {
            let requests: u64 = sample.services.iter().map(|service| u64::from(service.requests)).sum();
            requests as f64 / sample.length.as_secs_f64().max(1.0)
        });
        let services = snapshot.config.services().iter().zip(snapshot.health.services());
        let regions = services.flat_map(|(service, health)| {
            let gateways = service.gateways().iter().zip(health.gateways());
            gateways.map(|(gateway, health)| InstanceRegion {
                service: service.name.to_string(),
                region: gateway.region.to_string(),
                state: health.state.as_str().into(),
            })
        });
        let digest = Sha256::digest(instance.configuration().to_string());
        Self {
            name: instance.name(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: humantime::format_rfc3339_seconds(snapshot.started).to_string(),
            status: instance.readiness().as_str().into(),
            generation: snapshot.generation.0,
            configuration: digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect(),
            requests_per_second: (requests.unwrap_or_default() * 10.0).round() / 10.0,
            attention: Attention::of(&snapshot, Moment::now(), SystemTime::now()).items.len(),
            regions: regions.collect(),
        }
    }
}

impl Instances {
    pub(in crate::admin) fn of(own: Instance, peers: &[PeerStatus], now: SystemTime) -> Self {
        let mut instances = vec![Shown {
            name: own.name.clone(),
            url: None,
            seen_seconds_ago: Some(0.0),
            error: None,
            instance: Some(own),
        }];
        instances.extend(peers.iter().map(|status| {
            let ago = |at| now.duration_since(at).unwrap_or_default().as_secs_f64();
            let parsed = status.answer.as_ref().map(|(answer, _)| Instance::deserialize(answer));
            let (instance, unknown) = match parsed {
                Some(Ok(instance)) => (Some(instance), None),
                Some(Err(error)) => (None, Some(format!("its answer is not that of this version: {error}"))),
                None => (None, None),
            };
            Shown {
                name: status.peer.name.to_string(),
                url: Some(status.peer.url.to_string()),
                seen_seconds_ago: status.answer.as_ref().map(|(_, at)| ago(*at)),
                error: status.error.clone().or(unknown),
                instance,
            }
        }));
        // Of one that does not answer it is not known what it sees now.
        let answering = instances.iter().filter(|shown| shown.error.is_none());
        let answering = answering.filter_map(|shown| Some((&shown.name, shown.instance.as_ref()?)));
        let (mut seen, mut configurations) = (BTreeMap::<_, BTreeMap<_, _>>::new(), BTreeSet::new());
        for (name, instance) in answering {
            configurations.insert(instance.configuration.clone());
            for region in &instance.regions {
                let key = (region.service.clone(), region.region.clone());
                seen.entry(key).or_default().insert(name.clone(), region.state.clone());
            }
        }
        let differs = |states: &BTreeMap<String, String>| {
            let distinct: BTreeSet<_> = states.values().map(String::as_str).collect();
            // One that has not looked yet does not disagree; an order is known at once.
            let seen = distinct.iter().filter(|state| **state != "unknown").count();
            distinct.len() > 1 && (seen > 1 || distinct.contains("draining"))
        };
        let differences = seen.into_iter().filter(|(_, states)| differs(states));
        Self {
            differences: differences
                .map(|((service, region), states)| Difference {
                    service,
                    region,
                    states,
                })
                .collect(),
            configurations: configurations.len(),
            instances,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Peer;

    fn instance(name: &str, configuration: &str, state: &str) -> Instance {
        Instance {
            name: name.into(),
            version: "0.1.0".into(),
            started: "2026-11-28T18:00:00Z".into(),
            status: "ready".into(),
            generation: 3,
            configuration: configuration.into(),
            requests_per_second: 1.5,
            attention: 0,
            regions: vec![InstanceRegion {
                service: "shop".into(),
                region: "westeurope".into(),
                state: state.into(),
            }],
        }
    }

    #[test]
    fn what_instances_see_differently_is_named_and_only_of_those_that_answer() {
        let now = SystemTime::now();
        let peer = |name: &str, state, error: Option<&str>| PeerStatus {
            peer: Peer {
                name: name.into(),
                url: "http://10.0.0.1:9900".parse().expect("a URL"),
                token_file: None,
                ca: None,
            },
            answer: Some((serde_json::to_value(instance(name, "bb", state)).expect("JSON"), now)),
            error: error.map(Into::into),
        };
        let own = instance("one", "aa", "healthy");
        let peers = [
            peer("two", "unhealthy", None),
            peer("three", "draining", Some("no answer within 3 s")),
        ];
        let shown = Instances::of(own.clone(), &peers, now);
        let [difference] = &shown.differences[..] else {
            panic!("{shown:?}")
        };
        let states: Vec<_> = difference.states.iter().collect();
        assert_eq!(
            states,
            [(&"one".into(), &"healthy".into()), (&"two".into(), &"unhealthy".into())]
        );
        assert_eq!((shown.instances.len(), shown.configurations), (3, 2));
        // What nobody has looked at yet is no difference.
        let with = |state| {
            Instances::of(own.clone(), &[peer("two", state, None)], now)
                .differences
                .len()
        };
        assert_eq!([with("unknown"), with("draining"), with("healthy")], [0, 1, 0]);
    }
}
