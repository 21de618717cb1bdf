//! Simulation: the decisions about a population of clients while regions are lost, drained and return.
//!
//! The decision core, the routing table, the health tracker with its probes, outlier detection and slow start, and plugins are those
//! of the proxy; only the clock, the gateways and the clients are made up. Decisions are made again whenever the table that a proxy
//! would have published has changed.
//!
//! | module | what it does |
//! |---|---|
//! | [`Population`] | who the clients are |
//! | `gateways` | the health tracker on a clock of its own |
//! | `snapshot` | the decisions about all clients at one moment |
//! | `clock` | what happens when |
//! | [`Report`], `html` | load, overload, latency and cost over time |

mod chart;
mod clock;
mod gateways;
mod html;
mod population;
mod report;
mod snapshot;

pub use html::html;
pub use population::Population;
pub use report::{Report, Row, StateChange, Totals};

use super::estimate::Grid;
use crate::config::{Happening, Scenario};
use crate::control::basis::Basis;
use crate::table::RoutingTable;
use clock::Agenda;
use gateways::{Gateways, Rates};
use portolan_core::config::Policy;
use portolan_core::health::{GatewayHealth, HealthView};
use portolan_core::id::{RegionName, ServiceId};
use portolan_core::slots::Slots;
use report::Ledger;
use snapshot::{Moment, Snapshot};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use thiserror::Error;

/// How often traffic is read, as by the proxy.
const TICK: Duration = Duration::from_millis(100);

/// How long the proxy has run before the start, at least: its probes have passed.
const WARM_UP: Duration = Duration::from_secs(30);

/// What is decided about a client at a moment that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientDecision<'a> {
    /// The client.
    pub client: IpAddr,
    /// Its service; `None` where no route leads to one, or it is denied.
    pub service: Option<&'a str>,
    /// The region that answers; `None` where none does.
    pub region: Option<&'a RegionName>,
}

/// A scenario that does not fit the configuration.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SimulateError {
    /// It names a region that no service has.
    #[error("no service has a region {region}; there are: {known}")]
    Region {
        /// The region.
        region: RegionName,
        /// Those that there are.
        known: String,
    },
    /// There are no clients.
    #[error("there are no clients")]
    NoClients,
}

/// How a simulation is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What chance follows from.
    pub seed: u64,
    /// How many threads decide. Regions with `max_requests` are decided by one.
    pub threads: NonZeroUsize,
}

/// A moment, and what is called with the decision about every client then.
pub type Inspect<'a> = (Duration, &'a mut dyn FnMut(ClientDecision<'_>));

/// How far a simulation is: the time on its clock, and the decisions so far.
pub type Progress<'a> = &'a mut dyn FnMut(Duration, u64);

/// A simulation.
#[derive(Debug)]
pub struct Simulation {
    basis: Basis,
    scenario: Scenario,
    population: Population,
    options: Options,
    grids: Vec<Grid>,
    gateways: Gateways,
    table: Arc<RoutingTable>,
    /// What of the health decisions depend on, of the table.
    seen: Vec<(GatewayHealth, bool)>,
    homes: Vec<u8>,
    /// How many times as much as usual the clients send.
    load: f64,
    decisions: u64,
    deciding: Duration,
    begun: Instant,
    clock: SystemTime,
}

impl Simulation {
    /// Of this population by a basis.
    ///
    /// # Errors
    /// When the scenario names what is not there.
    pub fn new(
        basis: Basis,
        scenario: Scenario,
        population: Population,
        options: Options,
        clock: SystemTime,
    ) -> Result<Self, SimulateError> {
        if population.is_empty() {
            return Err(SimulateError::NoClients);
        }
        let table = Arc::clone(basis.table());
        report::check_regions(table.config(), &scenario)?;
        let config = &table.settings.routing;
        let grids = config.services().iter();
        let grids = grids.map(|service| Grid::new(service, table.geo.places.places(), config.fallback()));
        let begun = Instant::now();
        let mut simulation = Self {
            grids: grids.collect(),
            gateways: Gateways::new(config, options.seed, begun),
            basis,
            scenario,
            population,
            options,
            seen: Vec::new(),
            homes: Vec::new(),
            load: 1.0,
            decisions: 0,
            deciding: Duration::ZERO,
            begun,
            clock,
            table,
        };
        simulation.warm_up();
        Ok(simulation)
    }

    /// Lets the probes pass. The start is afterwards.
    fn warm_up(&mut self) {
        let services = self.table.config().services().iter();
        let checks = services.filter_map(|service| service.health_check.as_ref());
        let slowest = checks.map(|check| check.interval * (check.healthy_threshold + 1)).max();
        let start = self.begun + WARM_UP.max(slowest.unwrap_or_default());
        let (mut now, mut view) = (self.begun, None);
        while now < start {
            view = self.gateways.advance(&Rates::default(), Duration::ZERO, now).or(view);
            now = self
                .gateways
                .next()
                .map_or(start, |next| next.max(now + Duration::from_millis(1)).min(start));
        }
        self.gateways.transitions();
        if let Some(view) = view {
            self.publish(view);
        }
        self.begun = start;
    }

    /// Runs it to its end.
    pub fn run(mut self, progress: Progress<'_>, mut inspect: Option<Inspect<'_>>) -> Report {
        let mut ledger = Ledger::new(self.table.config(), &self.scenario, self.population.len());
        let mut agenda = Agenda::new(&self.scenario);
        // Who usually answers each, before anything happens.
        let mut snapshot = self.decide(Duration::ZERO);
        let mut rates = ledger.rates(&snapshot, self.load);
        let mut now = Duration::ZERO;
        let mut observed = now;
        loop {
            let mut changed = false;
            for happening in agenda.due(now) {
                changed |= self.happens(&happening.0, happening.1, now);
            }
            if now - observed >= TICK || changed || self.gateways.next().is_some_and(|next| next <= self.begun + now) {
                let view = self.gateways.advance(&rates, now - observed, self.begun + now);
                observed = now;
                for transition in self.gateways.transitions() {
                    ledger.changed(self.table.config(), &transition, now);
                }
                changed |= view.is_some_and(|view| self.publish(view));
            }
            if changed || (ledger.is_row(now) && self.has_plugin()) {
                ledger.settle(&snapshot);
                snapshot = self.decide(now);
                rates = ledger.rates(&snapshot, self.load);
            }
            if let Some((_, each)) = inspect.take_if(|it| it.0 <= now) {
                self.inspect(now, each);
            }
            if ledger.is_row(now) {
                ledger.settle(&snapshot);
                ledger.row(now);
                progress(now, self.decisions);
            }
            if now >= self.scenario.duration {
                break;
            }
            let next = self
                .gateways
                .next()
                .map(|next| next.saturating_duration_since(self.begun));
            let moments = [next, agenda.next(), Some(observed + TICK), Some(ledger.next_row())];
            let next = moments.into_iter().flatten().min().unwrap_or(self.scenario.duration);
            let next = next.max(now + Duration::from_micros(1)).min(self.scenario.duration);
            ledger.pass(&snapshot, self.load, next - now);
            now = next;
        }
        ledger.report(
            &self.population.source,
            self.options.seed,
            (self.decisions, self.deciding),
            self.notes(),
        )
    }

    /// Something begins or ends. Gives whether it changes decisions or load at once.
    fn happens(&mut self, what: &Happening, begins: bool, now: Duration) -> bool {
        match what {
            Happening::Lost(region) => self.gateways.lose(region, begins),
            Happening::Drained(region) => self.gateways.drain(region, begins, self.begun + now),
            Happening::Load(factor) => self.load = if begins { *factor } else { 1.0 },
        }
        true
    }

    /// Makes the table with this health. Gives whether decisions depend on what is new.
    fn publish(&mut self, view: HealthView) -> bool {
        let seen = self.seen(&view);
        let changed = seen != self.seen;
        if changed {
            self.table = self.basis.table_with(view);
            self.seen = seen;
        }
        changed
    }

    /// The part of the health that decisions depend on.
    fn seen(&self, view: &HealthView) -> Vec<(GatewayHealth, bool)> {
        let has_plugin = self.has_plugin();
        let services = view.services().iter().flat_map(|service| {
            service.gateways().iter().enumerate().map(|(slot, gateway)| {
                let mut health = GatewayHealth {
                    why: Default::default(),
                    ..*gateway
                };
                if !has_plugin && !matches!(health.state.as_str(), "unhealthy" | "draining" | "warming") {
                    health.state = Default::default();
                }
                (
                    health,
                    service.last_resort().contains(portolan_core::id::Slot(slot as u8)),
                )
            })
        });
        services.collect()
    }

    fn has_plugin(&self) -> bool {
        self.table.services.iter().any(|service| service.plugin.is_some())
    }

    fn decide(&mut self, now: Duration) -> Snapshot {
        let begun = Instant::now();
        let lost = self.lost();
        let mut homes = std::mem::take(&mut self.homes);
        let plugins = || self.basis.plugins(self.options.seed);
        let snapshot = self.moment(&lost, now).all(&self.population, &plugins, &mut homes);
        self.homes = homes;
        self.decisions += self.population.len() as u64;
        self.deciding += begun.elapsed();
        snapshot
    }

    fn inspect(&self, now: Duration, each: &mut dyn FnMut(ClientDecision<'_>)) {
        let lost = self.lost();
        let config = self.table.config();
        let plugins = self.basis.plugins(self.options.seed);
        self.moment(&lost, now)
            .each(&self.population, plugins, |client, choice| {
                let service = choice.service.and_then(|id| config.service(id));
                let gateway = service
                    .zip(choice.served)
                    .and_then(|(service, slot)| service.gateway(slot));
                each(ClientDecision {
                    client: client.addr,
                    service: service.map(|service| service.name.as_str()),
                    region: gateway.map(|gateway| &gateway.region),
                });
            });
    }

    fn lost(&self) -> Vec<Slots> {
        let services = 0..self.table.config().services().len();
        services
            .map(|index| self.gateways.lost(ServiceId(index as u16)))
            .collect()
    }

    fn moment<'a>(&'a self, lost: &'a [Slots], now: Duration) -> Moment<'a> {
        let requests = self.scenario.requests_per_second * self.load * self.scenario.request_time.as_secs_f64();
        Moment {
            table: &self.table,
            lost,
            grids: &self.grids,
            seed: self.options.seed,
            now: self.begun + now,
            time: self.clock + now,
            in_flight: requests / self.population.len() as f64,
            threads: self.options.threads,
        }
    }

    /// What the simulation leaves out.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "latency is the estimated round trip to the region that answers, without the time of failed attempts"
                .to_owned(),
        ];
        for (service, entry) in self.table.config().services().iter().zip(&self.table.services) {
            if service.affinity.is_some() {
                notes.push(format!(
                    "service {}: clients bring no session, so that affinity keeps none",
                    service.name
                ));
            }
            if let (Policy::Plugin(name), Some(plugin)) = (&service.policy, &entry.plugin)
                && plugin.version.reads_fields()
            {
                notes.push(format!(
                    "service {}: plugin {name} reads headers, and clients send none",
                    service.name
                ));
            }
        }
        notes
    }
}
