//! The health task: reads what the workers counted, makes the probes that are due, and tells what came out.
//!
//! What it means is decided in [`portolan_core::health::tracker`]; here are the clock, the counters and the sockets.

use super::probe::Prober;
use crate::vitals::{Totals, Vitals};
use portolan_core::config::Config;
use portolan_core::health::outlier::Traffic;
use portolan_core::health::probing::{ProbeFailure, ProbeResult};
use portolan_core::health::tracker::{DueProbe, Tracker};
use portolan_core::health::transition::{Cause, Transition};
use portolan_core::health::{HealthView, State};
use portolan_core::id::{GatewayId, RegionName, ServiceId, Slot};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

/// How often counters are read when nothing rings.
const TICK: Duration = Duration::from_millis(100);

/// How often counters are read at most because something rings: a dead region rings with every request.
const ALARM_PAUSE: Duration = Duration::from_millis(2);

/// The gateways of the current configuration with their counters.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The configuration.
    pub config: Arc<Config>,
    /// The counters by service and slot. Gateways that stay keep theirs.
    pub vitals: Vec<Vec<Arc<Vitals>>>,
}

/// An operator's order to drain a region, or to end that.
#[derive(Debug)]
pub struct Order {
    /// The region, in all services.
    pub region: RegionName,
    /// Whether it is to be drained.
    pub drained: bool,
    /// Told how many gateways the region has, when the order is carried out.
    pub reply: oneshot::Sender<usize>,
}

/// What the health task listens to.
#[derive(Debug)]
pub struct Inputs {
    /// Whom to watch. When its sender is gone, the task ends.
    pub watched: watch::Receiver<Watched>,
    /// Rung with every failed attempt.
    pub alarm: Arc<Notify>,
    /// From operators.
    pub orders: mpsc::Receiver<Order>,
}

/// What the health task has to tell.
#[derive(Clone, Debug)]
pub enum News {
    /// A new view of the gateways of this configuration.
    View(Arc<Config>, Arc<HealthView>),
    /// The state of a gateway changed. It is already in the log.
    Changed(Arc<Vitals>, Transition),
    /// A probe of a gateway ended.
    Probed(Arc<Vitals>, ProbeResult),
}

/// Watches the gateways for as long as there is a configuration. May be dropped at any time, and begun again. `seed` decides
/// the jitter of probes; `tell` is called with news as they come and must not block.
pub async fn run(inputs: &mut Inputs, prober: Arc<impl Prober>, seed: u64, tell: impl FnMut(News)) {
    let watched = inputs.watched.borrow_and_update().clone();
    let now = Instant::now();
    let mut health = Health {
        tracker: Tracker::new(&watched.config, seed, now.into_std()),
        seats: seats(&watched, Vec::new()),
        config: watched.config,
        isolated: false,
        prober,
        probes: JoinSet::new(),
        tickets: HashMap::new(),
        tell,
    };
    // What was counted before belongs to the run before, where there was one.
    for seat in health.seats.iter_mut().flatten() {
        seat.read = seat.vitals.totals();
    }
    health.settle(now);
    loop {
        let now = Instant::now();
        let tick = now + TICK;
        let timeout = health.tracker.poll_timeout().map_or(tick, Instant::from_std).min(tick);
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

/// What there is to do.
enum Woken {
    Configured(Watched),
    Ordered(Order),
    Probed(Result<(task::Id, ProbeResult), JoinError>),
    /// Time has passed, or a worker rang.
    Due,
}

struct Health<P, T> {
    tracker: Tracker,
    config: Arc<Config>,
    /// By service and slot.
    seats: Vec<Vec<Seat>>,
    isolated: bool,
    prober: Arc<P>,
    probes: JoinSet<ProbeResult>,
    /// The ticket and the gateway of every probe in flight: known also of one that panics.
    tickets: HashMap<task::Id, (u64, Arc<Vitals>)>,
    tell: T,
}

/// A gateway's counters, and how far they were read.
struct Seat {
    vitals: Arc<Vitals>,
    read: Totals,
}

impl<P: Prober, T: FnMut(News)> Health<P, T> {
    /// Counters come first, whatever the occasion: traffic is read before time passes.
    fn wake(&mut self, woken: Woken, now: Instant) {
        self.read_counters(now);
        match woken {
            Woken::Configured(watched) => {
                // What is due is still of the configuration before.
                self.settle(now);
                self.tracker.reconfigure(&watched.config, now.into_std());
                self.seats = seats(&watched, std::mem::take(&mut self.seats));
                self.config = watched.config;
            }
            Woken::Ordered(order) => self.obey(order, now),
            Woken::Probed(end) => self.probe_ended(end, now),
            Woken::Due => {}
        }
        self.settle(now);
    }

    fn read_counters(&mut self, now: Instant) {
        for (service, seats) in self.seats.iter_mut().enumerate() {
            for (slot, seat) in seats.iter_mut().enumerate() {
                let totals = seat.vitals.totals();
                let traffic: Traffic = totals.since(&seat.read).iter().collect();
                seat.read = totals;
                let gateway = GatewayId {
                    service: ServiceId(service as u16),
                    slot: Slot(slot as u8),
                };
                let traffic = traffic.with_in_flight(seat.vitals.in_flight());
                self.tracker.observe(gateway, &traffic, now.into_std());
            }
        }
    }

    fn obey(&mut self, order: Order, now: Instant) {
        let count = if order.drained {
            self.tracker.drain(&order.region, now.into_std())
        } else {
            self.tracker.undrain(&order.region, now.into_std())
        };
        // Who asked may have gone away; the order stands.
        let _ = order.reply.send(count);
    }

    fn probe_ended(&mut self, end: Result<(task::Id, ProbeResult), JoinError>, now: Instant) {
        let (id, result) = end.unwrap_or_else(|error| {
            tracing::error!(%error, "a probe could not be made");
            (error.id(), Err(ProbeFailure::Broken))
        });
        if let Some((ticket, vitals)) = self.tickets.remove(&id) {
            self.tracker.probe_finished(ticket, result, now.into_std());
            (self.tell)(News::Probed(vitals, result));
        }
    }

    /// Makes what became due, and tells what changed.
    fn settle(&mut self, now: Instant) {
        self.tracker.handle_timeout(now.into_std());
        for due in self.tracker.due_probes() {
            self.begin_probe(due);
        }
        for transition in self.tracker.transitions() {
            self.tell_transition(transition);
        }
        if let Some(view) = self.tracker.changed_view() {
            self.tell_isolation(&view);
            (self.tell)(News::View(Arc::clone(&self.config), Arc::new(view)));
        }
    }

    fn begin_probe(&mut self, due: DueProbe) {
        let Some(vitals) = self.vitals(due.gateway) else { return };
        let (ticket, prober) = (due.ticket, Arc::clone(&self.prober));
        let task = self.probes.spawn(async move { prober.probe(&due).await });
        self.tickets.insert(task.id(), (ticket, vitals));
    }

    fn tell_transition(&mut self, transition: Transition) {
        let Some(vitals) = self.vitals(transition.gateway) else {
            return;
        };
        let (service, region) = (&vitals.key.service, &vitals.key.region);
        let (from, to, cause) = (
            transition.from.as_str(),
            transition.to.as_str(),
            transition.cause.as_str(),
        );
        match transition.cause {
            Cause::ProbesFailed(failure) => tracing::warn!(%service, %region, from, to, cause, "a gateway {failure}"),
            _ if transition.to == State::Unhealthy => {
                tracing::warn!(%service, %region, from, to, cause, "a gateway is out")
            }
            _ => tracing::info!(%service, %region, from, to, cause, "a gateway changed"),
        }
        (self.tell)(News::Changed(vitals, transition));
    }

    fn tell_isolation(&mut self, view: &HealthView) {
        if view.is_isolated() && !self.isolated {
            tracing::error!(
                "no gateway of any service can be reached: this replica seems to have lost its own network"
            );
        } else if self.isolated && !view.is_isolated() {
            tracing::info!("gateways can be reached again");
        }
        self.isolated = view.is_isolated();
    }

    fn vitals(&self, gateway: GatewayId) -> Option<Arc<Vitals>> {
        let seat = self.seats.get(gateway.service.index())?.get(gateway.slot.index())?;
        Some(Arc::clone(&seat.vitals))
    }
}

/// A seat for every gateway. Counters that were read before are read on from there.
fn seats(watched: &Watched, before: Vec<Vec<Seat>>) -> Vec<Vec<Seat>> {
    let before = before.into_iter().flatten();
    let read: HashMap<*const Vitals, Totals> = before.map(|seat| (Arc::as_ptr(&seat.vitals), seat.read)).collect();
    let seat = |vitals: &Arc<Vitals>| Seat {
        read: read.get(&Arc::as_ptr(vitals)).copied().unwrap_or_default(),
        vitals: Arc::clone(vitals),
    };
    let services = watched.vitals.iter();
    services.map(|service| service.iter().map(seat).collect()).collect()
}
