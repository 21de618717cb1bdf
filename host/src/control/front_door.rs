//! The Front Door task: tells the publisher what this instance sees, prepares the answers to Front Door's probes, and posts
//! what there is to show. It runs beside the requests: they read what it posts, and nothing else of it.

mod alarms;
mod publishing;
mod sights;

use crate::config::FrontDoor;
use crate::front_door::{Board, Notice};
use crate::server::Drain;
use crate::table::{RoutingTable, Tables};
use crate::vitals::Vitals;
use alarms::Alarms;
use portolan_azure::probe::{ProbeAnswers, ProbeBoard, QuorumVerdict, Sight};
use portolan_azure::settings::ProbeTiming;
use portolan_core::config::Config;
use portolan_core::health::transition::Transition;
use publishing::Publishing;
use sights::{Finding, Sights};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// Answers are prepared anew at least this often: their times are kept to this precision.
const TICK: Duration = Duration::from_millis(200);

/// The task and whoever tells it why gateways change.
pub fn task(tables: Arc<Tables>, board: Arc<Board>) -> (Witness, FrontDoorTask) {
    let (told, findings) = mpsc::unbounded_channel();
    let task = FrontDoorTask {
        tables,
        board,
        findings,
        sights: Sights::default(),
        probes: None,
        publishing: Publishing::default(),
        alarms: Alarms::default(),
    };
    (Witness(told), task)
}

/// Tells why gateways change: the routing table only has their states.
#[derive(Clone, Debug)]
pub struct Witness(mpsc::UnboundedSender<Finding>);

impl Witness {
    /// The state of a gateway changed.
    pub fn saw(&self, vitals: &Vitals, transition: &Transition) {
        // When the task is gone, nobody wants to know.
        let _ = self.0.send(Finding::of(vitals, transition));
    }
}

/// The task.
#[derive(Debug)]
pub struct FrontDoorTask {
    tables: Arc<Tables>,
    board: Arc<Board>,
    findings: mpsc::UnboundedReceiver<Finding>,
    sights: Sights,
    probes: Option<Probes>,
    publishing: Publishing,
    alarms: Alarms,
}

/// What probes are answered by, for one configuration.
#[derive(Debug)]
struct Probes {
    config: Arc<Config>,
    timing: ProbeTiming,
    board: ProbeBoard,
}

impl FrontDoorTask {
    /// Works until the program drains; then the publisher gives its lease back, so that another instance leads at once.
    pub async fn run(&mut self, mut drain: Drain) {
        let mut generations = self.tables.subscribe();
        loop {
            let tick = self.look();
            tokio::select! {
                changed = generations.changed() => if changed.is_err() { break },
                Some(finding) = self.findings.recv() => self.sights.note(finding),
                () = self.publishing.changed() => {}
                () = sleep(tick.unwrap_or_default()), if tick.is_some() => {}
                () = drain.begun() => break,
            }
        }
        std::mem::take(&mut self.publishing).stop().await;
    }

    /// Looks at everything and posts what came out. When to look again at the latest; with nothing configured, never.
    fn look(&mut self) -> Option<Duration> {
        let (table, now) = (self.tables.current(), Instant::now());
        let Some(settings) = &table.settings.front_door else {
            self.publishing.configure(None);
            self.probes = None;
            self.board.post(None);
            return None;
        };
        let publication = settings.publication.as_ref();
        self.publishing
            .configure(publication.map(|publication| &publication.settings));
        if let Some(publication) = publication {
            self.publishing.tell(self.sights.look(&table, publication, now));
        }
        let answers = self.answers(&table, settings, now);
        let status = self.publishing.status();
        self.alarms.note(status.as_ref(), now);
        self.board.post(Some(Notice {
            settings: Arc::clone(settings),
            answers,
            status,
        }));
        Some(TICK.min(settings.probe.stale_after / 3))
    }

    fn answers(&mut self, table: &RoutingTable, settings: &FrontDoor, now: Instant) -> Arc<ProbeAnswers> {
        let probes = Probes::renewed(&mut self.probes, &table.settings.routing, settings.probe);
        let (publishing, services) = (&self.publishing, table.config().services());
        let published = settings.publication.as_ref().map(|publication| &publication.service);
        probes.board.update(now, |service, slot| {
            let of = services.get(service.index()).filter(|of| Some(&of.name) == published);
            let region = of.and_then(|of| Some(&of.gateway(slot)?.region));
            Sight {
                own: sights::own(table, service, slot),
                // About other services nobody votes.
                quorum: region.map_or(QuorumVerdict::Alone, |region| {
                    publishing.quorum(region, now, settings.probe.stale_after)
                }),
            }
        })
    }
}

impl Probes {
    /// Those for this configuration. What is known of a gateway is kept over a reload.
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
            board: ProbeBoard::new(timing, services()),
        });
        if !Arc::ptr_eq(&probes.config, config) || probes.timing != timing {
            probes.board.reconfigure(timing, services());
            probes.config = Arc::clone(config);
            probes.timing = timing;
        }
        probes
    }
}
