//! Metrics of the names of gateways. Labels are names of the configuration and words of fixed sets.

use super::backend::StatusSnapshot;
use crate::dns::{FamilyStatus, Name};
use crate::telemetry::exposition::{Exposition, Kind};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Writes the metrics of all names, each once.
pub(super) fn metrics(text: &mut Exposition, snapshot: &StatusSnapshot) {
    let names = snapshot.services.iter().flat_map(|service| &service.names).flatten();
    let names: BTreeMap<&str, &Name> = names.map(|name| (name.as_str(), &**name)).collect();
    let now = Instant::now().into_std();
    let all: Vec<(&str, FamilyStatus)> = names
        .into_iter()
        .flat_map(|(name, it)| it.status(now).map(|status| (name, status)))
        .collect();
    let mut family = text.family(
        "portolan_dns_addresses",
        Kind::Gauge,
        "Addresses that a gateway's name has.",
    );
    for (name, status) in &all {
        family.sample(&labels(name, status), status.addresses.len());
    }
    let mut family = text.family(
        "portolan_dns_answer_age_seconds",
        Kind::Gauge,
        "Time since the answer that these addresses are from.",
    );
    for (name, status) in &all {
        if let Some(age) = status.age {
            family.sample(&labels(name, status), age.as_secs_f64());
        }
    }
    let mut family = text.family(
        "portolan_dns_answer_ttl_seconds",
        Kind::Gauge,
        "Time for which that answer was good.",
    );
    for (name, status) in &all {
        if let Some(ttl) = status.ttl {
            family.sample(&labels(name, status), ttl.as_secs_f64());
        }
    }
    let mut family = text.family(
        "portolan_dns_lookup_error",
        Kind::Gauge,
        "1 while the last look-up of a name gave no addresses, by reason.",
    );
    for (name, status) in &all {
        if let Some(problem) = &status.problem {
            let [name, family_label] = labels(name, status);
            family.sample(&[name, family_label, ("reason", problem.reason)], 1);
        }
    }
    let mut family = text.family(
        "portolan_dns_lookups_total",
        Kind::Counter,
        "Look-ups of names by result: addresses, absent (a name server says that there are none), failed.",
    );
    for (name, status) in &all {
        for (result, count) in ["addresses", "absent", "failed"].into_iter().zip(status.lookups) {
            let [name, family_label] = labels(name, status);
            family.sample(&[name, family_label, ("result", result)], count);
        }
    }
}

fn labels<'a>(name: &'a str, status: &FamilyStatus) -> [(&'static str, &'a str); 2] {
    [("name", name), ("family", status.family.as_str())]
}
