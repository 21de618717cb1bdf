//! `portolan_front_door_*`. Labels are names from the configuration and fixed words, so that their number is bounded.

use super::Snapshot;
use crate::telemetry::exposition::{Exposition, Kind};
use portolan_azure::origin::Members;
use portolan_azure::probe::ProbeAnswers;
use portolan_azure::publisher::status::{Alert, RegionView, View};
use portolan_azure::settings::Mode;
use tokio::time::Instant;

impl Snapshot {
    /// Writes all of it.
    pub fn write_metrics(&self, text: &mut Exposition) {
        probes(text, &self.answers);
        let mode = self.status.as_ref().map_or(Mode::Off, |status| status.settings.mode);
        let mut family = text.family(
            "portolan_front_door_mode",
            Kind::Gauge,
            "1 for the mode that is configured.",
        );
        for word in [Mode::Off, Mode::DryRun, Mode::Apply] {
            family.sample(&[("mode", word.as_str())], u8::from(word == mode));
        }
        let Some(status) = self.status.as_ref().filter(|_| mode != Mode::Off) else {
            return;
        };
        let view = status.view();
        leading(text, &view);
        votes(text, &view);
        regions(text, &view.regions);
        changes(text, &view);
        alerts(text, &view);
        work(text, &view);
    }
}

fn probes(text: &mut Exposition, answers: &ProbeAnswers) {
    let now = Instant::now();
    let mut family = text.family(
        "portolan_front_door_probe_healthy",
        Kind::Gauge,
        "1 when probes of a region are answered 200; with an empty region, those of the whole service.",
    );
    for service in answers.each(now) {
        let name = service.name.as_str();
        family.sample(&[("service", name), ("region", "")], u8::from(service.any.healthy));
        for (region, answer) in service.regions {
            family.sample(
                &[("service", name), ("region", region.as_str())],
                u8::from(answer.healthy),
            );
        }
    }
    text.family(
        "portolan_front_door_probe_age_seconds",
        Kind::Gauge,
        "Age of the view that probes are answered from.",
    )
    .sample(&[], answers.age(now).as_secs_f64());
}

fn leading(text: &mut Exposition, view: &View) {
    for (name, help, value) in [
        (
            "portolan_front_door_up",
            "1 while the publisher runs.",
            u64::from(!view.alerts.iter().any(|alert| alert.code == "publisher-down")),
        ),
        (
            "portolan_front_door_leads",
            "1 on the instance that leads: it alone changes origins.",
            u64::from(view.leads),
        ),
        (
            "portolan_front_door_epoch",
            "Number of the last leader's term; grows by one with every leader.",
            view.epoch,
        ),
    ] {
        text.family(name, Kind::Gauge, help).sample(&[], value);
    }
}

fn votes(text: &mut Exposition, view: &View) {
    for (name, help, value) in [
        ("portolan_front_door_votes_live", "Votes that count.", view.votes_live),
        (
            "portolan_front_door_votes_needed",
            "Votes needed for a quorum.",
            view.votes_needed,
        ),
    ] {
        text.family(name, Kind::Gauge, help).sample(&[], value);
    }
    let mut family = text.family(
        "portolan_front_door_vote_age_seconds",
        Kind::Gauge,
        "Age of a vantage's vote, by the store's clock.",
    );
    for vantage in &view.vantages {
        if let Some(age) = vantage.age_s {
            family.sample(&[("vantage", &vantage.vantage)], age);
        }
    }
    let mut family = text.family(
        "portolan_front_door_votes",
        Kind::Gauge,
        "Votes that a region is in this state.",
    );
    for region in &view.regions {
        for (state, count) in [("unhealthy", region.unhealthy), ("healthy", region.healthy)] {
            family.sample(&[("region", &region.region), ("state", state)], count.votes);
        }
    }
}

/// One number of an origin's members.
type Number = fn(Members) -> Option<u32>;

/// Origins as they should be and as last read: known on the leader, and in a dry run.
fn regions(text: &mut Exposition, regions: &[RegionView]) {
    let mut family = text.family(
        "portolan_front_door_intent",
        Kind::Gauge,
        "1 for the intended state of a region's origin.",
    );
    for region in regions {
        for intent in ["baseline", "demoted", "drained"] {
            let labels = [("region", region.region.as_str()), ("intent", intent)];
            family.sample(&labels, u8::from(region.intent == intent));
        }
    }
    let sides = |region: &RegionView| [("desired", region.desired), ("observed", region.observed)];
    let numbers: [(_, _, Number); 3] = [
        (
            "portolan_front_door_origin_priority",
            "Priority of a region's origin.",
            |members| members.priority,
        ),
        (
            "portolan_front_door_origin_weight",
            "Weight of a region's origin.",
            |members| members.weight,
        ),
        (
            "portolan_front_door_origin_enabled",
            "1 when a region's origin is enabled.",
            |members| members.enabled.map(u32::from),
        ),
    ];
    for (name, help, number) in numbers {
        let mut family = text.family(name, Kind::Gauge, help);
        for region in regions {
            for (side, members) in sides(region) {
                if let Some(value) = members.and_then(number) {
                    family.sample(&[("region", &region.region), ("side", side)], value);
                }
            }
        }
    }
}

fn changes(text: &mut Exposition, view: &View) {
    text.family(
        "portolan_front_door_pending",
        Kind::Gauge,
        "Origins in the change set in progress.",
    )
    .sample(&[], view.pending.as_ref().map_or(0, |pending| pending.changes.len()));
    text.family(
        "portolan_front_door_pending_age_seconds",
        Kind::Gauge,
        "Age of the change set in progress.",
    )
    .sample(&[], view.pending.as_ref().map_or(0.0, |pending| pending.age_s));
}

fn alerts(text: &mut Exposition, view: &View) {
    let mut family = text.family(
        "portolan_front_door_alerts",
        Kind::Gauge,
        "Alerts that are raised, by code.",
    );
    for code in Alert::CODES {
        let count = view.alerts.iter().filter(|alert| alert.code == code).count();
        family.sample(&[("code", code)], count);
    }
    let mut family = text.family(
        "portolan_front_door_last_error_age_seconds",
        Kind::Gauge,
        "Time since Front Door or the ledger failed the last time; absent when they never did.",
    );
    if let Some(error) = &view.last_error {
        family.sample(&[], error.age_s);
    }
}

/// Counters begin anew when a reload starts the publisher anew.
fn work(text: &mut Exposition, view: &View) {
    let counters = &view.counters;
    for (name, help, count) in [
        (
            "portolan_front_door_reads_total",
            "Readings of the origins.",
            &counters.reads,
        ),
        (
            "portolan_front_door_read_errors_total",
            "Readings that failed.",
            &counters.read_errors,
        ),
        (
            "portolan_front_door_writes_total",
            "Requests sent that change origins.",
            &counters.writes,
        ),
        (
            "portolan_front_door_write_errors_total",
            "Requests that change origins and were not accepted or not answered.",
            &counters.write_errors,
        ),
        (
            "portolan_front_door_throttled_total",
            "Answers with status 429.",
            &counters.throttled,
        ),
        (
            "portolan_front_door_polls_total",
            "Polls of changes in progress.",
            &counters.polls,
        ),
        (
            "portolan_front_door_published_total",
            "Change sets that are done.",
            &counters.published,
        ),
        (
            "portolan_front_door_failed_total",
            "Change sets that failed.",
            &counters.failed,
        ),
        (
            "portolan_front_door_terms_total",
            "Times that this instance became the leader.",
            &counters.terms,
        ),
        (
            "portolan_front_door_votes_written_total",
            "Votes written.",
            &counters.votes_written,
        ),
        (
            "portolan_front_door_store_errors_total",
            "Rounds of reading and writing in which the store failed.",
            &counters.store_errors,
        ),
    ] {
        text.family(name, Kind::Counter, help).sample(&[], count.get());
    }
    let mut family = text.family(
        "portolan_front_door_rate_limit_remaining",
        Kind::Gauge,
        "Requests that Azure still allows, as its last answer said.",
    );
    for (kind, left) in [("reads", view.allowance.reads), ("writes", view.allowance.writes)] {
        if let Some(left) = left {
            family.sample(&[("kind", kind)], left);
        }
    }
}
