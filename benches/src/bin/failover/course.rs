//! Runs faults under steady load, with time before and after each, and records what happens.

use crate::fault::{Fault, REGIONS, Script};
use crate::noise::Noise;
use portolan::table::RoutingTable;
use portolan_core::health::State;
use portolan_tests::{Behaviour, NUMBER, Sent, Setup, Steady, World, from};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
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
    /// Whether the gateways are spoken to over TLS.
    pub(crate) tls: bool,
    /// Whether the gateways are spoken to in HTTP/2.
    pub(crate) http2: bool,
}

/// The period of a region that fails and recovers again and again.
const ALTERNATION: Duration = Duration::from_millis(700);

/// Traffic within this time shows which regions carry it.
const RECENT: Duration = Duration::from_secs(1);

/// The recorded course of a fault.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The regions that it affects.
    pub(crate) regions: Vec<&'static str>,
    /// When it began.
    pub(crate) begun: Instant,
    /// When it ended.
    pub(crate) recovered: Instant,
    /// The requests, from the calm before it to the calm after it.
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
    let stage = Stage::set(fault.holds_back, pace).await;
    sleep(pace.calm).await;
    let mut played = stage.play(fault, fault.nearest().to_vec(), pace).await;
    sleep(pace.after).await;
    let recorded = stage.strike().await;
    played.ended = Instant::now();
    recorded.of(played)
}

/// Runs faults one after the other against one proxy. Each affects the regions that carry the traffic when it begins.
pub(crate) async fn run_all(faults: &[&Fault], pace: &Pace) -> Vec<Seen> {
    let stage = Stage::set(false, pace).await;
    let mut played: Vec<Played> = Vec::new();
    for fault in faults {
        sleep(pace.calm).await;
        if let Some(before) = played.last_mut() {
            before.ended = Instant::now();
        }
        let regions = stage.busiest(fault.nearest().len());
        played.push(stage.play(fault, regions, pace).await);
    }
    sleep(pace.after).await;
    let recorded = stage.strike().await;
    if let Some(last) = played.last_mut() {
        last.ended = Instant::now();
    }
    played.into_iter().map(|played| recorded.of(played)).collect()
}

/// A proxy under load in front of its regions, and what is recorded of them.
struct Stage {
    world: World,
    load: Steady,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    tables: Avoided,
    watcher: JoinHandle<()>,
}

/// When a fault was played.
struct Played {
    regions: Vec<&'static str>,
    /// The beginning of the calm before it.
    calm: Instant,
    begun: Instant,
    recovered: Instant,
    /// The end of the calm after it.
    ended: Instant,
    noise: Duration,
}

/// Everything that was recorded.
struct Recorded {
    sent: Vec<Sent>,
    arrivals: Vec<Arrival>,
    tables: Vec<(Instant, Vec<String>)>,
}

impl Stage {
    async fn set(holds_back: bool, pace: &Pace) -> Self {
        let mut service = "health_check: { path: /healthz, interval: 500ms }".to_owned();
        if holds_back {
            service.push_str("\nretry: { hold_back_body: 64KiB }");
        }
        if pace.http2 {
            service.push_str("\nupstream: { protocol: h2 }");
        }
        let setup = Setup::three_regions().service(&service);
        let world = if pace.tls { setup.tls() } else { setup }.start();
        let arrivals = watch_arrivals(&world);
        world.until_healthy().await;
        let tables = Avoided::default();
        let watcher = tokio::spawn(watch_tables(Arc::clone(world.app().tables()), Arc::clone(&tables)));
        let load = Steady::start(world.proxy(), pace.rate, from::BRITAIN);
        Self {
            world,
            load,
            arrivals,
            tables,
            watcher,
        }
    }

    /// The regions that got most requests lately, then the nearest of the others.
    fn busiest(&self, count: usize) -> Vec<&'static str> {
        let since = Instant::now() - RECENT;
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |region: &str| {
            let late = arrivals.iter().rev().take_while(|it| it.at >= since);
            late.filter(|it| it.region == region).count()
        };
        let mut regions = REGIONS.to_vec();
        regions.sort_by_key(|region| std::cmp::Reverse(recent(region)));
        regions.truncate(count);
        regions
    }

    /// Breaks the regions until the fault ends.
    async fn play(&self, fault: &Fault, regions: Vec<&'static str>, pace: &Pace) -> Played {
        let noise = Noise::start();
        for region in &regions {
            self.world.gateway(region).pass_probes(fault.passes_probes);
        }
        let begun = Instant::now();
        play(fault, &regions, &self.world, begun + pace.fault).await;
        let recovered = Instant::now();
        for region in &regions {
            self.world.behave(region, Behaviour::Serve);
        }
        Played {
            regions,
            calm: begun - pace.calm,
            begun,
            recovered,
            ended: recovered,
            noise: noise.stop(),
        }
    }

    /// Ends the load.
    async fn strike(self) -> Recorded {
        let load = self.load;
        let sent = tokio::task::spawn_blocking(move || load.stop())
            .await
            .expect("the load ends");
        self.watcher.abort();
        Recorded {
            sent,
            arrivals: take(&self.arrivals),
            tables: take(&self.tables),
        }
    }
}

impl Recorded {
    /// The part of a fault.
    fn of(&self, played: Played) -> Seen {
        // What is in flight when the next fault begins belongs to that.
        let is_part = |sent: &&Sent| sent.due >= played.calm && sent.due + sent.took < played.ended;
        Seen {
            sent: self.sent.iter().filter(is_part).cloned().collect(),
            arrivals: self.arrivals.clone(),
            tables: self.tables.clone(),
            regions: played.regions,
            begun: played.begun,
            recovered: played.recovered,
            noise: played.noise,
        }
    }
}

/// Plays the fault until its end.
async fn play(fault: &Fault, regions: &[&str], world: &World, end: Instant) {
    let behave = |behaviour| regions.iter().for_each(|region| world.behave(region, behaviour));
    match fault.script {
        Script::Break(_, behaviour) => {
            behave(behaviour);
            sleep_until(end.into()).await;
        }
        Script::Alternate(behaviour) => {
            for behaviour in [behaviour, Behaviour::Serve].into_iter().cycle() {
                if Instant::now() >= end {
                    return;
                }
                behave(behaviour);
                sleep_until((Instant::now() + ALTERNATION).min(end).into()).await;
            }
        }
        Script::Nothing => sleep_until(end.into()).await,
    }
}

fn watch_arrivals(world: &World) -> Arc<Mutex<Vec<Arrival>>> {
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    for region in REGIONS {
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
