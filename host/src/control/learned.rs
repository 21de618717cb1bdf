//! The task that learns round trips: looks at the connections of clients now and then, prepares orders from the evidence,
//! and keeps it for the next start. While the feature is off it only waits for another configuration.

mod connections;
mod sock_diag;

use super::last_good::LastGood;
use super::publisher::{LearnedOrders, Update};
use crate::chance::Chance;
use crate::config::GeoNetwork;
use crate::geo::Geo;
use crate::learned::{Learned, Source, stored};
use crate::server::{Drain, ListenerSet};
use crate::table::{RoutingTable, Tables};
use connections::Connections;
use portolan_core::config::Config;
use portolan_core::learned::orders::Priors;
use portolan_core::learned::{Known, Orders, Prefix, Terms};
use portolan_core::networks::Networks;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

/// How often connections are looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

/// The part of the time that looking or preparing may take: with very many connections or prefixes they come less often.
const SHARE: u32 = 50;

/// How often orders are prepared anew while evidence changes, at most. Evidence fades as well, without any that is new.
const PREPARE: Duration = Duration::from_secs(2);
const PREPARE_FADED: Duration = Duration::from_secs(300);

/// How often the evidence is written to the state directory.
const KEEP: Duration = Duration::from_secs(60);

/// The task.
#[derive(Debug)]
pub struct LearnedTask {
    tables: Arc<Tables>,
    learned: Arc<Learned>,
    listeners: Arc<ListenerSet>,
    updates: mpsc::UnboundedSender<Update>,
    last_good: Option<LastGood>,
    connections: Arc<Connections>,
    /// Makes it hard to find prefixes that share a place in memory.
    seed: u64,
    look: Instant,
    keep: Instant,
    prepared: Prepared,
}

/// What the published orders were prepared from.
#[derive(Debug, Default)]
struct Prepared {
    config: Option<Arc<Config>>,
    geo: Option<Arc<Geo>>,
    version: u64,
    next: Option<Instant>,
    faded: Option<Instant>,
    orders: LearnedOrders,
}

impl LearnedTask {
    /// The task, which has learned nothing yet.
    pub fn new(
        tables: Arc<Tables>,
        learned: Arc<Learned>,
        listeners: Arc<ListenerSet>,
        updates: mpsc::UnboundedSender<Update>,
        last_good: Option<LastGood>,
    ) -> Self {
        let now = Instant::now();
        Self {
            tables,
            learned,
            listeners,
            updates,
            last_good,
            connections: Arc::default(),
            seed: Chance::new().roll(),
            look: now,
            keep: now + KEEP,
            prepared: Prepared::default(),
        }
    }

    /// Runs until the program drains; then the evidence is kept.
    pub async fn run(&mut self, mut drain: Drain) {
        let mut generations = self.tables.subscribe();
        loop {
            self.work().await;
            let is_on = self.learned.is_on();
            tokio::select! {
                changed = generations.changed() => if changed.is_err() { break },
                () = sleep_until(self.look), if is_on => {}
                () = drain.begun() => break,
            }
        }
        // Nothing is kept of what was turned off a moment ago.
        if self.tables.current().settings.learned.is_some() {
            self.keep().await;
        }
    }

    /// Does what is due.
    async fn work(&mut self) {
        let table = self.tables.current();
        self.configure(&table).await;
        let Some(settings) = &table.settings.learned else {
            return;
        };
        let terms = Terms {
            explore: settings.explore,
        };
        if Instant::now() >= self.look {
            self.look(&table).await;
        }
        self.prepare(&table, terms).await;
        if Instant::now() >= self.keep {
            self.keep = Instant::now() + KEEP;
            self.keep().await;
        }
    }

    /// Follows the configuration. What was kept of an earlier run is read when learning begins.
    async fn configure(&mut self, table: &RoutingTable) {
        let config = &table.settings.routing;
        if self
            .prepared
            .config
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, config))
        {
            return;
        }
        let was_on = self.learned.is_on();
        self.learned.configure(table.settings.learned.as_ref(), self.seed);
        // The table came without orders.
        self.prepared = Prepared {
            config: Some(Arc::clone(config)),
            ..Prepared::default()
        };
        if let Some(last_good) = self.last_good.clone().filter(|_| !was_on && self.learned.is_on()) {
            let learned = Arc::clone(&self.learned);
            blocking(move || restore(&last_good, &learned)).await;
        }
    }

    /// Looks at the connections of clients.
    async fn look(&mut self, table: &RoutingTable) {
        let begun = Instant::now();
        if let Some(region) = table.settings.here.clone() {
            let listeners = Arc::clone(&table.listeners);
            let (addresses, connections) = (self.listeners.addresses(), Arc::clone(&self.connections));
            let samples = blocking(move || connections.look(&listeners, &addresses)).await;
            self.learned
                .add(&region, samples.unwrap_or_default(), Source::Connection);
        }
        self.look = begun + LOOK.max(begun.elapsed() * SHARE);
    }

    /// Prepares the orders of all services, when there is something new.
    async fn prepare(&mut self, table: &Arc<RoutingTable>, terms: Terms) {
        let (now, version) = (Instant::now(), self.learned.version());
        let prepared = &self.prepared;
        let is_moved = !prepared.geo.as_ref().is_some_and(|geo| Arc::ptr_eq(geo, &table.geo));
        let is_new = prepared.version != version || prepared.faded.is_none_or(|faded| now >= faded);
        let is_due = prepared.next.is_none_or(|next| now >= next);
        if !(is_moved || is_new && is_due) {
            return;
        }
        let (of, learned) = (Arc::clone(table), Arc::clone(&self.learned));
        let Some(orders) = blocking(move || orders(&of, &learned, terms)).await else {
            return;
        };
        self.prepared.geo = Some(Arc::clone(&table.geo));
        self.prepared.version = version;
        self.prepared.next = Some(now + PREPARE.max(now.elapsed() * SHARE));
        self.prepared.faded = Some(now + PREPARE_FADED);
        if self.prepared.orders != orders {
            self.prepared.orders.clone_from(&orders);
            // The publisher lives as long as this task.
            let _ = self
                .updates
                .send(Update::Learned(Arc::clone(&table.settings.routing), orders));
        }
    }

    /// Writes the evidence to the state directory.
    async fn keep(&self) {
        let Some(last_good) = self.last_good.clone() else {
            return;
        };
        let Some(bytes) = self.learned.export() else { return };
        blocking(move || {
            if let Err(error) = last_good.keep_round_trips(&bytes) {
                tracing::warn!("failed to keep learned round trips for the next start: {error}");
            }
        })
        .await;
    }
}

/// Runs what takes longer elsewhere. `None` when it panics, which has been reported.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    spawn_blocking(work).await.ok()
}

/// Adds the evidence of an earlier run.
fn restore(last_good: &LastGood, learned: &Learned) {
    let Some(bytes) = last_good.round_trips(stored::MAX_BYTES as u64 + 1) else {
        return;
    };
    match stored::read(&bytes, crate::learned::now()) {
        Ok(kept) => {
            let records = learned.restore(&kept);
            tracing::info!(records, "learned round trips of the last run are used");
        }
        Err(error) => tracing::error!("learned round trips of the last run are ignored: {error}"),
    }
}

/// Leaves out the prefixes where the configuration names the region that clients prefer, even if only for a part of them.
fn leave_out(evidence: &mut Vec<(Prefix, Vec<Known>)>, networks: &[GeoNetwork]) {
    let preferring = || networks.iter().filter(|it| it.region.is_some()).map(|it| it.network);
    let around: Networks = preferring().collect();
    let within: HashSet<_> = preferring().map(|network| Prefix::lookup(network.addr())).collect();
    evidence.retain(|(prefix, _)| !around.contains(prefix.address()) && !within.contains(prefix));
}

/// The orders of all services that evidence changes.
fn orders(table: &RoutingTable, learned: &Learned, terms: Terms) -> LearnedOrders {
    let mut evidence = learned.gathered();
    leave_out(&mut evidence, &table.settings.geo.networks);
    let config = table.config();
    let services = config.services().iter().zip(&table.services);
    let orders = services.map(|(service, entry)| {
        if !Orders::fit(service) {
            return None;
        }
        let mut priors = Priors::new(portolan_geo::azure::round_trips(), config.fallback());
        let locate = |addr| table.geo.locate(addr);
        let orders = Orders::prepare(service, &entry.chart, &evidence, &mut priors, locate, terms);
        (!orders.is_empty()).then(|| Arc::new(orders))
    });
    orders.collect()
}
