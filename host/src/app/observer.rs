//! Observes the instance for operators: collects samples of traffic and decisions, keeps the last hour, and records what begins to need attention
//! and has no event of its own.

use super::instance::RunningInstance;
use crate::admin::backend::AdminBackend;
use crate::admin::view::attention::{Attention, AttentionItem};
use crate::control::events::EventKind;
use crate::control::history::{INTERVAL, Observed};
use crate::record::DecisionRecord;
use crate::table::{RoutingTable, ServiceEntry, Tables};
use crate::vitals::{GatewayNumber, TrafficSamples};
use portolan_core::id::PluginName;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::{self, MissedTickBehavior};

/// How often samples are collected and attention is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The task that observes.
pub(super) struct Observer {
    instance: Arc<RunningInstance>,
    tables: Arc<Tables>,
    samples: Arc<TrafficSamples>,
    decisions: Receiver<DecisionRecord>,
    /// What needed attention at the last look, of what is recorded here.
    known: Vec<AttentionItem>,
}

impl Observer {
    pub(super) fn new(
        instance: Arc<RunningInstance>,
        tables: Arc<Tables>,
        (samples, decisions): (Arc<TrafficSamples>, Receiver<DecisionRecord>),
    ) -> Self {
        Self {
            instance,
            tables,
            samples,
            decisions,
            known: Vec::new(),
        }
    }

    /// Runs until it is dropped.
    pub(super) async fn run(&mut self) {
        let start = time::Instant::now();
        let mut looks = time::interval_at(start + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut due = start + INTERVAL;
        loop {
            let now = looks.tick().await;
            let table = self.tables.current();
            let reason = |gateway, reason| named(&table, gateway, reason);
            self.instance.traffic.add(&self.samples.take(), reason, now.into_std());
            let decided = |service: &str, client, reason| decided(&table, service, client, reason);
            self.instance.decisions.add(self.decisions.try_iter(), decided);
            self.record_attention();
            if now >= due {
                due = now + INTERVAL;
                self.instance.history.sample(&Observed::all(&table), SystemTime::now());
            }
        }
    }

    /// Records what has begun or ended since the last look. What a load or a change of health records itself is left out.
    fn record_attention(&mut self) {
        let items = Attention::of(&self.instance.snapshot(), Instant::now(), SystemTime::now()).items;
        let items: Vec<_> = items.into_iter().filter(|item| began(item).is_some()).collect();
        let is_in = |items: &[AttentionItem], item: &AttentionItem| {
            let mut same = items
                .iter()
                .filter(|it| it.kind == item.kind && it.subject == item.subject);
            same.next().is_some()
        };
        for item in items.iter().filter(|item| !is_in(&self.known, item)) {
            let event = began(item).map(|kind| kind.of(&item.subject).reason(&item.text));
            self.instance.events.extend(event);
        }
        for item in self.known.iter().filter(|item| !is_in(&items, item)) {
            let event = ended(item).map(|kind| kind.of(&item.subject));
            self.instance.events.extend(event);
        }
        self.known = items;
    }
}

/// The plugin of a gateway's service, and its name for a reason, where the active version and one that is being rolled out agree on it.
fn named(table: &RoutingTable, gateway: GatewayNumber, reason: u16) -> Option<(PluginName, String)> {
    let is_of = |entry: &&ServiceEntry| entry.gateways.iter().any(|target| target.vitals.number == gateway);
    let plugin = table.services.iter().find(is_of)?.plugin.as_ref()?;
    let name = plugin.version.reason(reason)?;
    let other = plugin.trial.as_ref().map(|trial| trial.version.reason(reason));
    let agreed = other.is_none_or(|other| other == Some(name));
    agreed.then(|| (plugin.version.name.clone(), name.to_owned()))
}

/// What the plugin of a service calls a reason that it gave for a client.
fn decided(table: &RoutingTable, service: &str, client: IpAddr, reason: u16) -> Option<String> {
    let index = table
        .config()
        .services()
        .iter()
        .position(|it| it.name.as_str() == service)?;
    table.services.get(index)?.plugin_reason(client, reason).map(Into::into)
}

fn began(item: &AttentionItem) -> Option<EventKind> {
    match item.kind.as_str() {
        "certificate_expiring" => Some(EventKind::CertificateExpiring),
        "certificate_expired" => Some(EventKind::CertificateExpired),
        "geo_stale" => Some(EventKind::GeoStale),
        "panic_mode" => Some(EventKind::PanicBegan),
        _ => None,
    }
}

fn ended(item: &AttentionItem) -> Option<EventKind> {
    (item.kind == "panic_mode").then_some(EventKind::PanicEnded)
}
