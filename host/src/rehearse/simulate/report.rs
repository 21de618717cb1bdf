//! Load, overload, latency and cost over time.

use super::SimulateError;
use super::gateways::Rates;
use super::snapshot::Snapshot;
use crate::config::{Happening, Scenario};
use crate::rehearse::estimate::Distribution;
use portolan_core::config::Config;
use portolan_core::health::transition::Transition;
use portolan_core::id::RegionName;
use std::collections::BTreeSet;
use std::time::Duration;

/// Bytes of a GB.
const GB: f64 = 1e9;

/// What a simulation found.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// What chance followed from: with it, the same configuration and the same scenario, the same comes out.
    pub seed: u64,
    /// How many clients there are.
    pub clients: usize,
    /// Where they are from.
    pub population: String,
    /// How long it lasted, on its clock.
    pub duration_s: f64,
    /// How many decisions were made.
    pub decisions: u64,
    /// How many in a second of this run.
    pub decisions_per_second: f64,
    /// All regions, in configured order. Numbers by region are in this order.
    pub regions: Vec<String>,
    /// The requests per second that each has capacity for; none where it is not given.
    pub capacity: Vec<Option<f64>>,
    /// One for each step: what happened since the one before.
    pub rows: Vec<Row>,
    /// State changes of gateways, in order.
    pub changes: Vec<StateChange>,
    /// Sums over all of the time.
    pub totals: Totals,
    /// What the simulation leaves out.
    pub notes: Vec<String>,
}

/// One step.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Row {
    /// When it ended, in seconds from the start.
    pub at_s: f64,
    /// Requests per second that each region answered.
    pub answered: Vec<f64>,
    /// Requests per second beyond the capacity of each.
    pub overload: Vec<f64>,
    /// Attempts per second that failed because the region was lost, and were made again elsewhere.
    pub failed: f64,
    /// Requests per second that no region answered.
    pub unserved: f64,
    /// Requests per second that another region than usual answered.
    pub displaced: f64,
    /// The mean of the estimated round trips, in milliseconds; none where no place is known.
    pub mean_ms: Option<f64>,
    /// What 99 of 100 do not exceed.
    pub p99_ms: Option<f64>,
    /// What displaced responses cost, by the prices.
    pub cost: f64,
}

/// A gateway changed its state.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StateChange {
    /// When, in seconds from the start.
    pub at_s: f64,
    /// Its service.
    pub service: String,
    /// Its region.
    pub region: String,
    /// Its state before.
    pub from: &'static str,
    /// Its state then.
    pub to: &'static str,
    /// Why.
    pub cause: String,
}

/// Sums.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Totals {
    /// Requests that a region answered.
    pub answered: f64,
    /// Requests beyond the capacity of their region.
    pub overload: f64,
    /// Attempts that failed and were made again elsewhere.
    pub failed: f64,
    /// Requests that no region answered.
    pub unserved: f64,
    /// Requests that another region than usual answered.
    pub displaced: f64,
    /// What those sent, in GB.
    pub displaced_gb: f64,
    /// What that costs, by the prices.
    pub cost: f64,
    /// The largest number of requests in a second that each region answered.
    pub peak: Vec<f64>,
    /// The mean of all estimated round trips, in milliseconds.
    pub mean_ms: Option<f64>,
    /// What 99 of 100 do not exceed.
    pub p99_ms: Option<f64>,
}

/// Checks that all regions of a scenario are some service's.
pub(super) fn check_regions(config: &Config, scenario: &Scenario) -> Result<(), SimulateError> {
    let known = regions(config);
    let events = scenario.events.iter().filter_map(|event| match &event.what {
        Happening::Lost(region) | Happening::Drained(region) => Some(region),
        Happening::Load(_) => None,
    });
    let prices = scenario.prices.iter().filter_map(|(region, _)| region.as_ref());
    let mut named = events
        .chain(prices)
        .chain(scenario.capacity.iter().map(|(region, _)| region));
    match named.find(|region| !known.contains(region)) {
        None => Ok(()),
        Some(region) => Err(SimulateError::Region {
            region: region.clone(),
            known: known.iter().map(RegionName::as_str).collect::<Vec<_>>().join(", "),
        }),
    }
}

/// The regions of all services, each once, in configured order.
fn regions(config: &Config) -> Vec<RegionName> {
    let gateways = config.services().iter().flat_map(|service| service.gateways());
    let mut seen = BTreeSet::new();
    gateways
        .map(|gateway| gateway.region.clone())
        .filter(|region| seen.insert(region.clone()))
        .collect()
}

/// What has happened so far.
#[derive(Debug)]
pub(super) struct Ledger {
    regions: Vec<RegionName>,
    /// The index in `regions`, by service and slot.
    places: Vec<Vec<usize>>,
    capacity: Vec<Option<f64>>,
    /// For a displaced response, by region.
    prices: Vec<f64>,
    response_gb: f64,
    /// Requests per second of one client.
    rate: f64,
    step: Duration,
    duration: Duration,
    /// Since the last row: requests, not rates.
    open: Row,
    latency: Distribution,
    /// Seconds of usual load whose latency was not counted yet.
    unweighed: f64,
    begun: Duration,
    rows: Vec<Row>,
    changes: Vec<StateChange>,
    totals: Totals,
    all_latency: Distribution,
    clients: usize,
}

impl Ledger {
    pub(super) fn new(config: &Config, scenario: &Scenario, clients: usize) -> Self {
        let regions = regions(config);
        let place = |region: &RegionName| regions.iter().position(|it| it == region).unwrap_or_default();
        let of = |region: &RegionName| scenario.prices.iter().find(|(it, _)| it.as_ref() == Some(region));
        let others = scenario.prices.iter().find(|(it, _)| it.is_none());
        let price = |region: &RegionName| of(region).or(others).map_or(0.0, |(_, price)| *price);
        let capacity = |region: &RegionName| scenario.capacity.iter().find(|(it, _)| it == region).map(|it| it.1);
        let services = config.services().iter();
        let places = services.map(|service| service.gateways().iter().map(|it| place(&it.region)).collect());
        let mut ledger = Self {
            places: places.collect(),
            capacity: regions.iter().map(capacity).collect(),
            prices: regions.iter().map(price).collect(),
            response_gb: scenario.response_size as f64 / GB,
            rate: scenario.requests_per_second / clients as f64,
            step: scenario.step,
            duration: scenario.duration,
            open: Row::default(),
            latency: Distribution::default(),
            unweighed: 0.0,
            begun: Duration::ZERO,
            rows: Vec::new(),
            changes: Vec::new(),
            totals: Totals::default(),
            all_latency: Distribution::default(),
            clients,
            regions,
        };
        ledger.open = ledger.empty();
        ledger.totals.peak = vec![0.0; ledger.regions.len()];
        ledger
    }

    fn empty(&self) -> Row {
        Row {
            answered: vec![0.0; self.regions.len()],
            overload: vec![0.0; self.regions.len()],
            ..Row::default()
        }
    }

    /// The rates of attempts, for health.
    pub(super) fn rates(&self, snapshot: &Snapshot, load: f64) -> Rates {
        let rates = |counts: &[Vec<u64>]| {
            let services = counts.iter();
            services
                .map(|counts| counts.iter().map(|count| *count as f64 * self.rate * load).collect())
                .collect()
        };
        Rates {
            answered: rates(&snapshot.served),
            failed: rates(&snapshot.failed),
        }
    }

    /// Some time passes, in which requests are answered like this.
    pub(super) fn pass(&mut self, snapshot: &Snapshot, load: f64, time: Duration) {
        let (rate, seconds) = (self.rate * load, time.as_secs_f64());
        let mut answered = vec![0.0; self.regions.len()];
        for (service, places) in self.places.iter().enumerate() {
            for (slot, place) in places.iter().enumerate() {
                answered[*place] += snapshot.served[service][slot] as f64 * rate;
                self.open.failed += snapshot.failed[service][slot] as f64 * rate * seconds;
                let displaced = snapshot.displaced[service][slot] as f64 * rate * seconds;
                self.open.displaced += displaced;
                self.open.cost += displaced * self.response_gb * self.prices[*place];
            }
        }
        for (place, rate) in answered.iter().enumerate() {
            self.open.answered[place] += rate * seconds;
            self.totals.peak[place] = self.totals.peak[place].max(*rate);
            if let Some(capacity) = self.capacity[place] {
                self.open.overload[place] += (rate - capacity).max(0.0) * seconds;
            }
        }
        self.open.unserved += snapshot.unserved as f64 * rate * seconds;
        self.unweighed += seconds * load;
    }

    /// Counts the latency of the time that has passed with this snapshot, weighted by time and load, to the millisecond.
    pub(super) fn settle(&mut self, snapshot: &Snapshot) {
        let weight = (std::mem::take(&mut self.unweighed) * 1e3).round() as u64;
        self.latency.merge_times(&snapshot.latency, weight);
    }

    /// When the next row ends.
    pub(super) fn next_row(&self) -> Duration {
        (self.begun + self.step).min(self.duration)
    }

    /// Whether a row ends now.
    pub(super) fn is_row(&self, now: Duration) -> bool {
        now > self.begun && now >= self.next_row()
    }

    /// Ends a row.
    pub(super) fn row(&mut self, now: Duration) {
        let seconds = (now - self.begun).as_secs_f64();
        let empty = self.empty();
        let mut row = std::mem::replace(&mut self.open, empty);
        let totals = &mut self.totals;
        totals.answered += row.answered.iter().sum::<f64>();
        totals.overload += row.overload.iter().sum::<f64>();
        totals.failed += row.failed;
        totals.unserved += row.unserved;
        totals.displaced += row.displaced;
        totals.displaced_gb += row.displaced * self.response_gb;
        totals.cost += row.cost;
        let sums = row.answered.iter_mut().chain(&mut row.overload);
        let sums = sums.chain([&mut row.failed, &mut row.unserved, &mut row.displaced]);
        sums.for_each(|sum| *sum /= seconds);
        let latency = std::mem::take(&mut self.latency);
        (row.at_s, row.mean_ms, row.p99_ms) = (now.as_secs_f64(), latency.mean(), latency.quantile(990));
        self.all_latency.merge(&latency);
        self.rows.push(row);
        self.begun = now;
    }

    /// A gateway changed its state.
    pub(super) fn changed(&mut self, config: &Config, transition: &Transition, now: Duration) {
        let service = config.service(transition.gateway.service);
        let Some((service, gateway)) = service.and_then(|it| Some((it, it.gateway(transition.gateway.slot)?))) else {
            return;
        };
        self.changes.push(StateChange {
            at_s: now.as_secs_f64(),
            service: service.name.to_string(),
            region: gateway.region.to_string(),
            from: transition.from.as_str(),
            to: transition.to.as_str(),
            cause: transition.cause.to_string(),
        });
    }

    pub(super) fn report(
        mut self,
        population: &str,
        seed: u64,
        (decisions, took): (u64, Duration),
        notes: Vec<String>,
    ) -> Report {
        self.totals.mean_ms = self.all_latency.mean();
        self.totals.p99_ms = self.all_latency.quantile(990);
        Report {
            seed,
            clients: self.clients,
            population: population.to_owned(),
            duration_s: self.duration.as_secs_f64(),
            decisions,
            decisions_per_second: decisions as f64 / took.as_secs_f64().max(1e-9),
            regions: self.regions.iter().map(ToString::to_string).collect(),
            capacity: self.capacity,
            rows: self.rows,
            changes: self.changes,
            totals: self.totals,
            notes,
        }
    }
}
