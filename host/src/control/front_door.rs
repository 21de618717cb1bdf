//! The Front Door task: gives the publisher this instance's view, prepares the answers to Front Door's probes, and stores a
//! snapshot of both. Requests read the snapshot, and nothing else of it.

mod alert_log;
mod exchange;
mod local_health;
mod publishing;

use crate::config::FrontDoorSettings;
use crate::front_door::{Snapshot, SnapshotCell};
use crate::learned::Learned;
use crate::server::Drain;
use crate::table::{RoutingTable, Tables};
use crate::vitals::Vitals;
use alert_log::AlertLog;
use local_health::{LocalHealth, Observation};
use portolan_azure::probe::{GatewayView, ProbeAnswerer, ProbeAnswers, QuorumVerdict};
use portolan_azure::settings::ProbeTiming;
use portolan_core::config::Config;
use portolan_core::health::transition::Transition;
use publishing::Publishing;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// Answers are prepared anew at least this often: their times are kept to this precision.
const TICK: Duration = Duration::from_millis(200);

/// The task, and the reporter that feeds it the causes of health changes. Learned round trips are exchanged through the
/// publisher's store.
pub fn task(tables: Arc<Tables>, cell: Arc<SnapshotCell>, learned: Arc<Learned>) -> (HealthReporter, FrontDoorTask) {
    let (reports, observations) = mpsc::unbounded_channel();
    let task = FrontDoorTask {
        tables,
        cell,
        observations,
        local_health: LocalHealth::default(),
        probes: None,
        publishing: Publishing::new(learned),
        alert_log: AlertLog::default(),
    };
    (HealthReporter(reports), task)
}

/// Reports why the health of gateways changes: the routing table only has their states.
#[derive(Clone, Debug)]
pub struct HealthReporter(mpsc::UnboundedSender<Observation>);

impl HealthReporter {
    /// The state of a gateway changed.
    pub fn report(&self, vitals: &Vitals, transition: &Transition) {
        // The task may have ended.
        let _ = self.0.send(Observation::of(vitals, transition));
    }
}

/// The task.
#[derive(Debug)]
pub struct FrontDoorTask {
    tables: Arc<Tables>,
    cell: Arc<SnapshotCell>,
    observations: mpsc::UnboundedReceiver<Observation>,
    local_health: LocalHealth,
    probes: Option<Probes>,
    publishing: Publishing,
    alert_log: AlertLog,
}

/// Prepares the answers to probes, for one configuration.
#[derive(Debug)]
struct Probes {
    config: Arc<Config>,
    timing: ProbeTiming,
    answerer: ProbeAnswerer,
}

impl FrontDoorTask {
    /// Runs until the program drains; then the publisher releases its lease, so that another instance leads at once.
    pub async fn run(&mut self, mut drain: Drain) {
        let mut generations = self.tables.subscribe();
        loop {
            let tick = self.look();
            tokio::select! {
                changed = generations.changed() => if changed.is_err() { break },
                Some(observation) = self.observations.recv() => self.local_health.note(observation),
                () = self.publishing.changed() => {}
                () = sleep(tick.unwrap_or_default()), if tick.is_some() => {}
                () = drain.begun() => break,
            }
        }
        self.publishing.stop().await;
    }

    /// Takes in the table and stores a new snapshot. Returns when to do so again at the latest; `None` when Front Door is not
    /// configured.
    fn look(&mut self) -> Option<Duration> {
        let (table, now) = (self.tables.current(), Instant::now());
        let Some(settings) = &table.settings.front_door else {
            self.publishing.configure(None);
            self.probes = None;
            self.cell.store(None);
            return None;
        };
        let publication = settings.publication.as_ref();
        self.publishing
            .configure(publication.map(|publication| &publication.settings));
        if let Some(publication) = publication {
            self.publishing
                .set_view(self.local_health.look(&table, publication, now));
        }
        let answers = self.answers(&table, settings, now);
        let status = self.publishing.status();
        self.alert_log.note(status.as_ref(), now);
        self.cell.store(Some(Snapshot {
            settings: Arc::clone(settings),
            answers,
            status,
        }));
        Some(TICK.min(settings.probe.stale_after / 3))
    }

    fn answers(&mut self, table: &RoutingTable, settings: &FrontDoorSettings, now: Instant) -> Arc<ProbeAnswers> {
        let probes = Probes::renewed(&mut self.probes, &table.settings.routing, settings.probe);
        let (publishing, services) = (&self.publishing, table.config().services());
        let published = settings.publication.as_ref().map(|publication| &publication.service);
        probes.answerer.update(now, |service, slot| {
            let of = services.get(service.index()).filter(|of| Some(&of.name) == published);
            let region = of.and_then(|of| Some(&of.gateway(slot)?.region));
            GatewayView {
                own: local_health::own(table, service, slot),
                // There are no votes on other services.
                quorum: region.map_or(QuorumVerdict::Alone, |region| {
                    publishing.quorum(region, now, settings.probe.stale_after)
                }),
            }
        })
    }
}

impl Probes {
    /// Those for this configuration. The state of a gateway is kept over a reload.
    fn renewed<'a>(probes: &'a mut Option<Self>, config: &Arc<Config>, timing: ProbeTiming) -> &'a mut Self {
        let services = || {
            config.services().iter().map(|service| {
                let regions = service.gateways().iter().map(|gateway| gateway.region.clone());
                (service.name.clone(), regions.collect::<Vec<_>>())
            })
        };
        let probes = probes.get_or_insert_with(|| Self {
            config: Arc::clone(config),
            timing,
            answerer: ProbeAnswerer::new(timing, services()),
        });
        if !Arc::ptr_eq(&probes.config, config) || probes.timing != timing {
            probes.answerer.reconfigure(timing, services());
            probes.config = Arc::clone(config);
            probes.timing = timing;
        }
        probes
    }
}
