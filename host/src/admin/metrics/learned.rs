//! Learned round trips.

use super::Counted;
use crate::learned::{LearnedStatus, Source};
use crate::telemetry::exposition::{Exposition, Kind};

pub(super) fn learned(text: &mut Exposition, status: &LearnedStatus, services: &[Counted<'_>]) {
    for (name, help, value) in [
        (
            "portolan_learned_prefixes",
            "Client prefixes of which this instance has learned round trips.",
            status.prefixes,
        ),
        (
            "portolan_learned_max_prefixes",
            "Client prefixes that it can remember.",
            status.max_prefixes,
        ),
        (
            "portolan_learned_memory_bytes",
            "Memory of learned round trips, whether it is used or not.",
            status.bytes,
        ),
    ] {
        text.family(name, Kind::Gauge, help).sample(&[], value);
    }
    text.family(
        "portolan_learned_evictions_total",
        Kind::Counter,
        "Client prefixes that were forgotten to make room for others.",
    )
    .sample(&[], status.evictions);
    let mut family = text.family(
        "portolan_learned_samples_total",
        Kind::Counter,
        "Round trips that were measured, by source.",
    );
    for (source, count) in Source::ALL.into_iter().zip(status.samples) {
        family.sample(&[("source", source.as_str())], count);
    }
    let mut family = text.family(
        "portolan_learned_foreign_records",
        Kind::Gauge,
        "Learned round trips of other instances, by instance: one for each prefix and region.",
    );
    for (instance, count) in &status.others {
        family.sample(&[("instance", instance)], *count);
    }
    let mut family = text.family(
        "portolan_learned_orders",
        Kind::Gauge,
        "Client prefixes that have an order of regions of their own, because of learned round trips.",
    );
    for counted in services {
        family.sample(&[("service", counted.name())], counted.shown.learned_orders);
    }
}
