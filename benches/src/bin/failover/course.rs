//! Runs one fault under steady load, with time before and after it, and records what happens.

use crate::fault::{Fault, Script};
use crate::noise::Noise;
use portolan::table::RoutingTable;
use portolan_core::health::State;
use portolan_tests::{Behaviour, NUMBER, Sent, Setup, Steady, World, from};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{sleep, sleep_until};

/// Durations and load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Requests a second.
    pub(crate) rate: u32,
    /// Time before the fault.
    pub(crate) calm: Duration,
    /// Time of the fault.
    pub(crate) fault: Duration,
    /// Time after the fault.
    pub(crate) after: Duration,
}

/// The period of a flapping region.
const FLAP: Duration = Duration::from_millis(700);

/// The recorded course of a fault.
#[derive(Debug)]
pub(crate) struct Seen {
    /// When it began.
    pub(crate) begun: Instant,
    /// When it ended.
    pub(crate) recovered: Instant,
    /// The requests.
    pub(crate) sent: Vec<Sent>,
    /// What reached the regions.
    pub(crate) arrivals: Vec<Arrival>,
    /// When each table became active, and the regions that new requests avoid with it.
    pub(crate) tables: Vec<(Instant, Vec<String>)>,
    /// The longest delay of a thread that only waited for the clock.
    pub(crate) noise: Duration,
}

/// A request of a client that reached a region.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// The region.
    pub(crate) region: &'static str,
    /// The time.
    pub(crate) at: Instant,
    /// The request's number.
    pub(crate) number: u64,
}

/// Runs one fault against a proxy of its own.
pub(crate) async fn run(fault: &Fault, pace: &Pace) -> Seen {
    let mut service = "health_check: { path: /healthz, interval: 500ms }".to_owned();
    if fault.holds_back {
        service.push_str("\nretry: { hold_back_body: 64KiB }");
    }
    let world = Setup::three_regions().service(&service).start();
    let arrivals = watch_arrivals(&world);
    world.until_healthy().await;
    let tables = Arc::new(Mutex::new(Vec::new()));
    let watcher = tokio::spawn(watch_tables(Arc::clone(world.app().tables()), Arc::clone(&tables)));
    let load = Steady::start(world.proxy(), pace.rate, from::BRITAIN);
    let noise = Noise::start();
    sleep(pace.calm).await;

    for region in fault.regions() {
        world.gateway(region).pass_probes(fault.passes_probes);
    }
    let begun = Instant::now();
    play(fault, &world, begun + pace.fault).await;
    let recovered = Instant::now();
    for region in fault.regions() {
        world.behave(region, Behaviour::Serve);
    }
    sleep(pace.after).await;

    let noise = noise.stop();
    let sent = tokio::task::spawn_blocking(move || load.stop())
        .await
        .expect("the load ends");
    watcher.abort();
    Seen {
        begun,
        recovered,
        sent,
        arrivals: take(&arrivals),
        tables: take(&tables),
        noise,
    }
}

/// Plays the fault until its end.
async fn play(fault: &Fault, world: &World, end: Instant) {
    match fault.script {
        Script::Break(_, behaviour) => {
            for region in fault.regions() {
                world.behave(region, behaviour);
            }
            sleep_until(end.into()).await;
        }
        Script::Flap => {
            let turns = [Behaviour::Dead, Behaviour::Serve].into_iter().cycle();
            for behaviour in turns {
                if Instant::now() >= end {
                    return;
                }
                world.behave(fault.regions()[0], behaviour);
                sleep_until((Instant::now() + FLAP).min(end).into()).await;
            }
        }
    }
}

fn watch_arrivals(world: &World) -> Arc<Mutex<Vec<Arrival>>> {
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    for region in crate::fault::REGIONS {
        let seen = Arc::clone(&arrivals);
        world.gateway(region).on_request(move |head| {
            let number = head.headers.get(NUMBER).and_then(|it| it.to_str().ok()?.parse().ok());
            // Probes have none.
            if let Some(number) = number {
                let at = Instant::now();
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push(Arrival { region, at, number });
            }
        });
    }
    arrivals
}

type Avoided = Arc<Mutex<Vec<(Instant, Vec<String>)>>>;

async fn watch_tables(tables: Arc<portolan::table::Tables>, seen: Avoided) {
    let mut generations = tables.subscribe();
    loop {
        generations.borrow_and_update();
        note(&seen, avoided(&tables.current()));
        if generations.changed().await.is_err() {
            return;
        }
    }
}

fn note(seen: &Avoided, avoided: Vec<String>) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.last().is_none_or(|(_, before)| *before != avoided) {
        seen.push((Instant::now(), avoided));
    }
}

/// The regions that are out of rotation in a table.
fn avoided(table: &RoutingTable) -> Vec<String> {
    let service = &table.config().services()[0];
    let health = table.health.services()[0].gateways();
    let gateways = service.gateways().iter().zip(health);
    gateways
        .filter(|(_, health)| health.state == State::Unhealthy)
        .map(|(gateway, _)| gateway.region.to_string())
        .collect()
}

fn take<T>(shared: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
}
