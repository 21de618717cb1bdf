//! The health task: reads the workers' counters, makes the probes that are due, and publishes the health of the gateways.
//!
//! Decisions are made in [`portolan_core::health::tracker`]; here are the clock, the counters and the sockets.

mod shadow;

use super::overrides::Overrides;
use super::probe::{Probed, Prober};
use super::waits::Waits;
use crate::drill::Drill;
use crate::tls::Origin;
use crate::vitals::{Totals, Vitals};
use portolan_core::config::Config;
use portolan_core::health::probing::{ProbeFailure, ProbeResult};
use portolan_core::health::tracker::{DueProbe, Tracker};
use portolan_core::health::traffic::Traffic;
use portolan_core::health::transition::{Cause, Transition};
use portolan_core::health::{HealthView, State};
use portolan_core::id::{GatewayId, RegionName, ServiceId, Slot};
use shadow::Shadow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

/// How often counters are read without an alarm.
const TICK: Duration = Duration::from_millis(100);

/// The shortest time between two readings because of an alarm: a dead region raises one with every request.
const ALARM_PAUSE: Duration = Duration::from_millis(2);

/// The gateways of the current configuration.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The configuration.
    pub config: Arc<Config>,
    /// By service and slot.
    pub gateways: Vec<Vec<WatchedGateway>>,
    /// TLS with what the gate of its failback asks, where that is asked over TLS. By service.
    pub gates: Vec<Option<Arc<Origin>>>,
}

/// A gateway of the current configuration.
#[derive(Clone, Debug)]
pub struct WatchedGateway {
    /// Its counters. A gateway that remains keeps them.
    pub vitals: Arc<Vitals>,
    /// TLS with it, where it is spoken to over TLS: requests use the same.
    pub tls: Option<Arc<Origin>>,
}

/// An operator's order about a region.
#[derive(Debug)]
pub struct Order {
    /// The region, in all services.
    pub region: RegionName,
    /// What becomes of it.
    pub action: RegionAction,
    /// Gets the number of gateways that it was about, when the order is carried out.
    pub reply: oneshot::Sender<usize>,
}

/// What operators order about a region.
#[derive(Clone, Debug)]
pub enum RegionAction {
    /// It gets no new requests.
    Drain,
    /// And back: it is ramped up.
    Undrain,
    /// It has recovered, waits for its failback, and shall wait no more.
    FailBack,
    /// It is lost to the clients of this drill: a view of its own shows them what that does.
    Lose(Arc<Drill>),
    /// And back.
    Find,
}

/// The inputs of the health task.
#[derive(Debug)]
pub struct Inputs {
    /// The gateways to watch. When its sender is gone, the task ends.
    pub watched: watch::Receiver<Watched>,
    /// Notified with every failed attempt.
    pub alarm: Arc<Notify>,
    /// From operators.
    pub orders: mpsc::Receiver<Order>,
    /// What operators have ordered before.
    pub overrides: Arc<Overrides>,
    /// The regions on their way back.
    pub waits: Arc<Waits>,
}

/// The outputs of the health task.
#[derive(Clone, Debug)]
pub enum News {
    /// A new view of the gateways of this configuration.
    View(Arc<Config>, Arc<HealthView>),
    /// A new view of the gateways of this configuration, as the clients of the drill see them.
    DrillView(Arc<Config>, Arc<HealthView>),
    /// The state of a gateway changed. It is already in the log.
    Changed(Arc<Vitals>, Transition),
    /// A probe of a gateway ended.
    Probed(Arc<Vitals>, ProbeResult),
}

/// Watches the gateways for as long as there is a configuration. May be dropped at any time, and begun again. `seed` decides
/// the jitter of probes; `publish` is called with news as they come and must not block.
pub async fn run(inputs: &mut Inputs, prober: Arc<impl Prober>, seed: u64, publish: impl FnMut(News)) {
    let watched = inputs.watched.borrow_and_update().clone();
    let now = Instant::now();
    let mut health = Health {
        tracker: tracker(&watched.config, &inputs.overrides, &inputs.waits, seed, now.into_std()),
        gateways: gateways(&watched, Vec::new()),
        gates: watched.gates,
        config: watched.config,
        isolated: false,
        prober,
        probes: JoinSet::new(),
        tickets: HashMap::new(),
        shadow: None,
        waits: Arc::clone(&inputs.waits),
        publish,
    };
    // Earlier counts belong to the run before, if there was one.
    for gateway in health.gateways.iter_mut().flatten() {
        gateway.read = gateway.vitals.totals();
    }
    health.settle(now);
    loop {
        let now = Instant::now();
        let tick = now + TICK;
        let timeouts = [
            health.tracker.poll_timeout(),
            health.shadow.as_ref().and_then(Shadow::poll_timeout),
        ];
        let timeout = timeouts.into_iter().flatten().min();
        let timeout = timeout.map_or(tick, Instant::from_std).min(tick);
        let alarm = async {
            sleep_until(now + ALARM_PAUSE).await;
            inputs.alarm.notified().await;
        };
        let woken = tokio::select! {
            changed = inputs.watched.changed() => match changed {
                Ok(()) => Woken::Configured(inputs.watched.borrow_and_update().clone()),
                Err(_) => return,
            },
            Some(order) = inputs.orders.recv() => Woken::Ordered(order),
            Some(end) = health.probes.join_next_with_id() => Woken::Probed(end),
            () = alarm => Woken::Due,
            () = sleep_until(timeout) => Woken::Due,
        };
        health.wake(woken, Instant::now());
    }
}

/// What is known of the gateways of a configuration before the first observation: what operators have ordered, and which of them are on
/// their way back.
pub(super) fn tracker(
    config: &Config,
    overrides: &Overrides,
    waits: &Waits,
    seed: u64,
    now: std::time::Instant,
) -> Tracker {
    let mut tracker = Tracker::new(config, seed, now);
    tracker.restore_drained(overrides.drains().into_keys().collect(), now);
    tracker.resume(&waits.all(), now);
    tracker
}

/// The next event.
enum Woken {
    Configured(Watched),
    Ordered(Order),
    Probed(Result<(task::Id, Probed), JoinError>),
    /// Time has passed, or there was an alarm.
    Due,
}

struct Health<P, T> {
    tracker: Tracker,
    config: Arc<Config>,
    /// By service and slot.
    gateways: Vec<Vec<Gateway>>,
    /// TLS with the gates. By service.
    gates: Vec<Option<Arc<Origin>>>,
    isolated: bool,
    prober: Arc<P>,
    probes: JoinSet<Probed>,
    /// The ticket of every probe in flight, also of one that panics, and what it is for.
    tickets: HashMap<task::Id, (u64, Asked)>,
    /// The drill that runs.
    shadow: Option<Shadow>,
    waits: Arc<Waits>,
    publish: T,
}

/// What a probe is for.
enum Asked {
    /// A gateway.
    Gateway(Arc<Vitals>),
    /// The gate of one.
    Gate,
    /// A gateway, in a drill.
    Shadow,
}

/// A gateway, and how far its counters were read.
struct Gateway {
    vitals: Arc<Vitals>,
    tls: Option<Arc<Origin>>,
    read: Totals,
}

impl<P: Prober, T: FnMut(News)> Health<P, T> {
    /// Counters come first: traffic is read before time passes.
    fn wake(&mut self, woken: Woken, now: Instant) {
        self.read_counters(now);
        match woken {
            Woken::Configured(watched) => {
                // What is due is still of the configuration before.
                self.settle(now);
                self.tracker.reconfigure(&watched.config, now.into_std());
                if let Some(shadow) = &mut self.shadow {
                    shadow.reconfigure(&watched.config, now.into_std());
                }
                self.gateways = gateways(&watched, std::mem::take(&mut self.gateways));
                self.gates = watched.gates;
                self.config = watched.config;
            }
            Woken::Ordered(order) => self.obey(order, now),
            Woken::Probed(end) => self.probe_ended(end, now),
            Woken::Due => {}
        }
        self.settle(now);
    }

    fn read_counters(&mut self, now: Instant) {
        for (service, gateways) in self.gateways.iter_mut().enumerate() {
            for (slot, gateway) in gateways.iter_mut().enumerate() {
                let totals = gateway.vitals.totals();
                let fresh = totals.since(&gateway.read);
                gateway.read = totals;
                let id = GatewayId {
                    service: ServiceId(service as u16),
                    slot: Slot(slot as u8),
                };
                let traffic: Traffic = fresh.iter().collect();
                let traffic = traffic
                    .with_in_flight(gateway.vitals.in_flight())
                    .with_unanswered(fresh.unanswered())
                    .with_late(fresh.late())
                    .with_answer_time(fresh.answer_time())
                    .with_disputed(fresh.disputed());
                if let Some(shadow) = &mut self.shadow {
                    shadow.observe(id, &gateway.vitals.key, &traffic, now.into_std());
                }
                self.tracker.observe(id, &traffic, now.into_std());
            }
        }
    }

    fn obey(&mut self, order: Order, now: Instant) {
        let now = now.into_std();
        let count = match order.action {
            RegionAction::Drain => {
                self.shadow.iter_mut().for_each(|it| it.drain(&order.region, true, now));
                self.tracker.drain(&order.region, now)
            }
            RegionAction::Undrain => {
                self.shadow
                    .iter_mut()
                    .for_each(|it| it.drain(&order.region, false, now));
                self.tracker.undrain(&order.region, now)
            }
            RegionAction::FailBack => self.tracker.fail_back(&order.region, now),
            RegionAction::Lose(drill) => {
                self.shadow = Some(Shadow::new(&self.tracker, drill, now));
                1
            }
            RegionAction::Find => usize::from(self.shadow.take().is_some()),
        };
        // The caller may have disconnected; the order is executed all the same.
        let _ = order.reply.send(count);
    }

    fn probe_ended(&mut self, end: Result<(task::Id, Probed), JoinError>, now: Instant) {
        let (id, result) = match end {
            Ok((id, probed)) => {
                let result = probed.result();
                if let Some((_, Asked::Gateway(vitals))) = self.tickets.get(&id) {
                    if let Some(took) = probed.connected() {
                        vitals.round_trip.probed(took, now.into_std());
                    }
                    for asked in probed.0 {
                        vitals
                            .endpoints
                            .probed(asked.address, asked.result.is_ok(), now.into_std());
                    }
                }
                (id, result)
            }
            Err(error) => {
                tracing::error!(%error, "a probe failed to run");
                (error.id(), Err(ProbeFailure::Broken))
            }
        };
        match self.tickets.remove(&id) {
            Some((ticket, Asked::Gateway(vitals))) => {
                vitals.checks.probed(result);
                self.tracker.probe_finished(ticket, result, now.into_std());
                (self.publish)(News::Probed(vitals, result));
            }
            Some((ticket, Asked::Shadow)) => {
                if let Some(shadow) = &mut self.shadow {
                    shadow.probe_finished(ticket, result, now.into_std());
                }
            }
            Some((ticket, Asked::Gate)) => self.tracker.gate_checked(ticket, result, now.into_std()),
            None => {}
        }
    }

    /// Begins the probes that became due, and publishes what changed.
    fn settle(&mut self, now: Instant) {
        self.tracker.handle_timeout(now.into_std());
        for due in self.tracker.due_probes() {
            self.begin_probe(due);
        }
        for due in self.tracker.due_checks() {
            let (ticket, prober) = (due.ticket, Arc::clone(&self.prober));
            let tls = self.gates.get(due.gateway.service.index()).cloned().flatten();
            let task = self.probes.spawn(async move { prober.probe(&due, tls).await });
            self.tickets.insert(task.id(), (ticket, Asked::Gate));
        }
        self.schedule_probes();
        for transition in self.tracker.transitions() {
            self.publish_transition(transition);
        }
        if let Some(view) = self.tracker.changed_view() {
            self.log_isolation(&view);
            (self.publish)(News::View(Arc::clone(&self.config), Arc::new(view)));
        }
        self.settle_shadow(now);
        if self.waits.tell(self.tracker.kept(now.into_std()), now.into_std()) {
            let waits = Arc::clone(&self.waits);
            task::spawn_blocking(move || waits.save());
        }
    }

    /// The same for the drill.
    fn settle_shadow(&mut self, now: Instant) {
        let Some(shadow) = &mut self.shadow else { return };
        for due in shadow.due_probes(&self.config, now.into_std()) {
            let gateway = self.gateways.get(due.gateway.service.index());
            let gateway = gateway.and_then(|gateways| gateways.get(due.gateway.slot.index()));
            let (ticket, tls) = (due.ticket, gateway.and_then(|gateway| gateway.tls.clone()));
            let prober = Arc::clone(&self.prober);
            let task = self.probes.spawn(async move { prober.probe(&due, tls).await });
            self.tickets.insert(task.id(), (ticket, Asked::Shadow));
        }
        if let Some(view) = shadow.changed_view(&self.config, now.into_std()) {
            (self.publish)(News::DrillView(Arc::clone(&self.config), Arc::new(view)));
        }
    }

    /// Shows when the next probe of each gateway begins.
    fn schedule_probes(&self) {
        for (id, gateway) in ids(&self.gateways) {
            gateway.vitals.checks.schedule(self.tracker.next_probe(id));
        }
    }

    fn begin_probe(&mut self, due: DueProbe) {
        let Some(gateway) = self.gateway(due.gateway) else {
            return;
        };
        let (vitals, tls) = (Arc::clone(&gateway.vitals), gateway.tls.clone());
        let (ticket, prober) = (due.ticket, Arc::clone(&self.prober));
        let task = self.probes.spawn(async move { prober.probe(&due, tls).await });
        self.tickets.insert(task.id(), (ticket, Asked::Gateway(vitals)));
    }

    fn publish_transition(&mut self, transition: Transition) {
        let Some(gateway) = self.gateway(transition.gateway) else {
            return;
        };
        let vitals = Arc::clone(&gateway.vitals);
        if let Cause::Ejected(fault) = transition.cause {
            vitals.checks.ejected(fault);
        }
        let (service, region) = (&vitals.key.service, &vitals.key.region);
        let (from, to, cause) = (
            transition.from.as_str(),
            transition.to.as_str(),
            transition.cause.as_str(),
        );
        let reason = transition.cause;
        if let Cause::Held(_) = transition.cause {
            tracing::info!(%service, %region, cause, %reason, "a gateway has recovered and waits for its failback");
        } else if transition.to == State::Unhealthy {
            tracing::warn!(%service, %region, from, to, cause, %reason, "a gateway is unhealthy");
        } else {
            tracing::info!(%service, %region, from, to, cause, %reason, "a gateway changed its state");
        }
        (self.publish)(News::Changed(vitals, transition));
    }

    fn log_isolation(&mut self, view: &HealthView) {
        if view.is_isolated() && !self.isolated {
            tracing::error!(
                "no gateway of any service can be reached: this instance's own network has probably failed"
            );
        } else if self.isolated && !view.is_isolated() {
            tracing::info!("gateways can be reached again");
        }
        self.isolated = view.is_isolated();
    }

    fn gateway(&self, gateway: GatewayId) -> Option<&Gateway> {
        self.gateways.get(gateway.service.index())?.get(gateway.slot.index())
    }
}

/// Every gateway with its id.
fn ids(gateways: &[Vec<Gateway>]) -> impl Iterator<Item = (GatewayId, &Gateway)> {
    gateways.iter().enumerate().flat_map(|(service, gateways)| {
        gateways.iter().enumerate().map(move |(slot, gateway)| {
            let id = GatewayId {
                service: ServiceId(service as u16),
                slot: Slot(slot as u8),
            };
            (id, gateway)
        })
    })
}

/// The gateways of a configuration. Counters that were read before are read on from there.
fn gateways(watched: &Watched, before: Vec<Vec<Gateway>>) -> Vec<Vec<Gateway>> {
    let before = before.into_iter().flatten();
    let read: HashMap<*const Vitals, Totals> = before.map(|it| (Arc::as_ptr(&it.vitals), it.read)).collect();
    let gateway = |watched: &WatchedGateway| Gateway {
        read: read.get(&Arc::as_ptr(&watched.vitals)).copied().unwrap_or_default(),
        vitals: Arc::clone(&watched.vitals),
        tls: watched.tls.clone(),
    };
    let services = watched.gateways.iter();
    services.map(|service| service.iter().map(gateway).collect()).collect()
}
