//! The last hour of every service and region, sampled from the counters: in memory, and of a bounded size.
//!
//! A sample is what came in one interval. Nothing of this is on the path of requests: the control thread reads the counters that
//! metrics are made of.

use crate::table::RoutingTable;
use crate::telemetry::metrics::{RANKED_BY, Retry, ServiceTotals, ServiceVitals, Stage};
use crate::vitals::{Durations, GatewayNumber, RequestOutcome, Vitals};
use portolan_core::health::State;
use portolan_core::id::{RegionName, ServiceName};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// How long an interval is.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// How many samples are kept: those of an hour.
pub const KEPT: usize = 360;

/// The services and regions that are sampled at most, in configured order: 512 take about 5 MB.
const MOST: usize = 512;

/// The quantiles of durations that are kept.
pub const SHARES: [f64; 3] = [0.5, 0.95, 0.99];

/// Quantiles of durations in seconds, in the order of [`SHARES`]; `None` without any.
pub type Quantiles = Option<[f32; SHARES.len()]>;

/// What came in one interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its number, from 1 since the start of the program.
    pub number: u64,
    /// When the interval ended.
    pub time: SystemTime,
    /// How long it was.
    pub length: Duration,
    /// The services and regions of the configuration then.
    pub names: Arc<Names>,
    /// By service, in the order of the names.
    pub services: Vec<ServiceSample>,
    /// By region, of all services one after the other.
    pub regions: Vec<RegionSample>,
}

/// The services of a configuration, each with its regions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub Vec<(ServiceName, Vec<RegionName>)>);

/// A service in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServiceSample {
    /// Its requests, those that no region answered among them.
    pub requests: u32,
    /// Those that failed, other than by their clients.
    pub errors: u32,
    /// Further attempts after failed or slow ones.
    pub retries: u32,
    /// Decisions of the built-in policy because the plugin failed.
    pub fallbacks: u32,
    /// From requests to the ends of their responses.
    pub total: Quantiles,
    /// From requests to the choice of their regions: what this proxy takes of its own.
    pub decide: Quantiles,
}

/// A region in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RegionSample {
    /// Requests that it answered.
    pub requests: u32,
    /// Those that failed, other than by their clients.
    pub errors: u32,
    /// From the beginning of attempts to the heads of their responses.
    pub first_byte: Quantiles,
    /// Its state at the end.
    pub state: State,
}

/// A service with its counters and those of its gateways.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The service.
    pub service: &'a ServiceName,
    /// Its counters.
    pub vitals: &'a ServiceVitals,
    /// Its regions with the counters and the states of their gateways.
    pub gateways: Vec<(&'a RegionName, &'a Vitals, State)>,
}

impl<'a> Observed<'a> {
    /// The services of a routing table.
    pub fn all(table: &'a RoutingTable) -> Vec<Self> {
        let services = table.config().services().iter().zip(&table.services);
        let services = services.enumerate().map(|(index, (service, entry))| {
            let gateways = service.gateways().iter().zip(&*entry.gateways);
            let health = table.health.services().get(index);
            let gateways = service.slots().iter().zip(gateways).map(|(slot, (gateway, target))| {
                let state = health.map(|health| health.gateway(slot).state);
                (&gateway.region, &*target.vitals, state.unwrap_or_default())
            });
            Self {
                service: &service.name,
                vitals: &entry.vitals,
                gateways: gateways.collect(),
            }
        });
        services.collect()
    }
}

/// The samples of the last hour. Shared by the task that samples and the administration.
#[derive(Debug)]
pub struct History(Mutex<Record>);

#[derive(Debug)]
struct Record {
    samples: VecDeque<Sample>,
    number: u64,
    begun: SystemTime,
    services: HashMap<ServiceName, ServiceTotals>,
    gateways: HashMap<GatewayNumber, Reading>,
}

/// The counters of a gateway when they were read.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    outcomes: [u64; RequestOutcome::ALL.len()],
    first_byte: Durations,
}

impl Reading {
    fn of(vitals: &Vitals) -> Self {
        Self {
            outcomes: vitals.outcomes(),
            first_byte: vitals.first_byte(),
        }
    }
}

impl History {
    /// No samples. The first interval begins now.
    pub fn new(now: SystemTime) -> Self {
        Self(Mutex::new(Record {
            samples: VecDeque::new(),
            number: 0,
            begun: now,
            services: HashMap::new(),
            gateways: HashMap::new(),
        }))
    }

    /// Ends an interval: reads the counters of all services and regions.
    pub fn sample(&self, observed: &[Observed<'_>], now: SystemTime) {
        let mut record = self.record();
        let (of_services, of_gateways) = (
            std::mem::take(&mut record.services),
            std::mem::take(&mut record.gateways),
        );
        let (mut names, mut services, mut regions) = (Vec::new(), Vec::new(), Vec::new());
        for it in observed {
            if services.len() + regions.len() + 1 + it.gateways.len() > MOST {
                break;
            }
            let totals = it.vitals.totals();
            let mut sampled = of_service(&totals, of_services.get(it.service));
            for (_, vitals, state) in &it.gateways {
                let reading = Reading::of(vitals);
                let before = of_gateways.get(&vitals.number).copied().unwrap_or_default();
                let region = of_region(&reading, &before, *state);
                sampled.requests = sampled.requests.saturating_add(region.requests);
                sampled.errors = sampled.errors.saturating_add(region.errors);
                regions.push(region);
                record.gateways.insert(vitals.number, reading);
            }
            services.push(sampled);
            let of_regions = it.gateways.iter().map(|(region, ..)| (*region).clone());
            names.push((it.service.clone(), of_regions.collect()));
            record.services.insert(it.service.clone(), totals);
        }
        let names = Names(names);
        let same = record.samples.back().filter(|last| *last.names == names);
        let names = same.map_or_else(|| Arc::new(names), |last| Arc::clone(&last.names));
        record.number += 1;
        let sample = Sample {
            number: record.number,
            time: now,
            length: now.duration_since(record.begun).unwrap_or(INTERVAL),
            names,
            services,
            regions,
        };
        record.begun = now;
        if record.samples.len() >= KEPT {
            record.samples.pop_front();
        }
        record.samples.push_back(sample);
    }

    /// The samples after this number that are still kept, the earliest first.
    pub fn since(&self, number: u64) -> Vec<Sample> {
        let record = self.record();
        let after = record.samples.iter().filter(|sample| sample.number > number);
        after.cloned().collect()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without the requests that its regions answered.
fn of_service(now: &ServiceTotals, before: Option<&ServiceTotals>) -> ServiceSample {
    let nothing = ServiceTotals::default();
    let before = before.unwrap_or(&nothing);
    let (requests, errors) = outcomes(&now.outcomes, &before.outcomes);
    let retries = Retry::ALL.iter().position(|retry| *retry == Retry::Attempted);
    let fallbacks = RANKED_BY.iter().position(|by| *by == "fallback");
    let grown = |now: &[u64], before: &[u64], index: Option<usize>| {
        let at = |counts: &[u64]| index.and_then(|index| counts.get(index)).copied().unwrap_or_default();
        grown(at(now), at(before))
    };
    let stage = |stage: Stage| {
        let of = |totals: &ServiceTotals| totals.stages.get(stage as usize).copied().unwrap_or_default();
        quantiles(&of(now).since(&of(before)))
    };
    ServiceSample {
        requests,
        errors,
        retries: grown(&now.retries, &before.retries, retries),
        fallbacks: grown(&now.ranked, &before.ranked, fallbacks),
        total: stage(Stage::Total),
        decide: stage(Stage::Decide),
    }
}

fn of_region(now: &Reading, before: &Reading, state: State) -> RegionSample {
    let (requests, errors) = outcomes(&now.outcomes, &before.outcomes);
    RegionSample {
        requests,
        errors,
        first_byte: quantiles(&now.first_byte.since(&before.first_byte)),
        state,
    }
}

/// How many requests ended, and how many of those failed.
fn outcomes(now: &[u64], before: &[u64]) -> (u32, u32) {
    let ended = RequestOutcome::ALL.into_iter().zip(now.iter().zip(before));
    let mut counts = (0_u32, 0_u32);
    for (outcome, (now, before)) in ended {
        let more = grown(*now, *before);
        counts.0 = counts.0.saturating_add(more);
        if is_error(outcome) {
            counts.1 = counts.1.saturating_add(more);
        }
    }
    counts
}

/// Whether a request failed by a region's fault or the proxy's.
pub fn is_error(outcome: RequestOutcome) -> bool {
    use RequestOutcome as It;
    outcome.is_failure() || matches!(outcome, It::Shed | It::Draining | It::Full | It::Internal)
}

/// What was added to a counter, which may have begun anew.
fn grown(now: u64, before: u64) -> u32 {
    let more = now.checked_sub(before).unwrap_or(now);
    u32::try_from(more).unwrap_or(u32::MAX)
}

fn quantiles(durations: &Durations) -> Quantiles {
    let [half, most, nearly_all] = SHARES.map(|share| durations.quantile(share).map(|it| it.as_secs_f32()));
    Some([half?, most?, nearly_all?])
}

#[cfg(test)]
mod tests {
    use super::*;

    use portolan_core::decision::RankedBy;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_sample_is_what_came_since_the_one_before() {
        let (name, region) = (ServiceName::new("shop"), RegionName::new("westeurope"));
        let (service, west) = (ServiceVitals::new("shop".into(), 1), Vitals::in_region("westeurope"));
        let history = History::new(at(0));
        let sample = |west: &Vitals, seconds| {
            let gateways = vec![(&region, west, State::Healthy)];
            let observed = [Observed {
                service: &name,
                vitals: &service,
                gateways,
            }];
            history.sample(&observed, at(seconds));
        };
        for _ in 0..3 {
            west.finished(0, RequestOutcome::Success);
            west.answered(0, Duration::from_millis(8));
            service.took(0, Stage::Total, Duration::from_millis(9));
            service.decided(0, RankedBy::Fallback("trap"));
        }
        service.finished(0, RequestOutcome::AttemptsExhausted);
        service.finished(0, RequestOutcome::Denied);
        service.retried(0, Retry::Attempted);
        sample(&west, 10);
        west.finished(0, RequestOutcome::ServerError);
        sample(&west, 20);
        let moved = Vitals::in_region("westeurope");
        moved.finished(0, RequestOutcome::Success);
        sample(&moved, 32);
        let samples = history.since(0);
        let of_service: Vec<_> = samples
            .iter()
            .map(|it| (it.services[0].requests, it.services[0].errors))
            .collect();
        assert_eq!(of_service, [(5, 1), (1, 1), (1, 0)]);
        let of_region: Vec<_> = samples.iter().map(|it| it.regions[0].requests).collect();
        assert_eq!(of_region, [3, 1, 1], "a gateway elsewhere begins anew");
        let first = &samples[0];
        assert_eq!((first.services[0].fallbacks, first.services[0].retries), (3, 1));
        assert_eq!(samples[1].services[0].fallbacks, 0);
        let [half, ..] = first.services[0].total.expect("some ended");
        assert!((0.005..=0.01).contains(&half), "{half}");
        assert_eq!(samples[1].services[0].total, None);
        assert_eq!(samples[2].length, Duration::from_secs(12));
        assert!(Arc::ptr_eq(&samples[0].names, &samples[2].names), "names are kept once");
        assert_eq!(history.since(2).len(), 1);
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let history = History::new(at(0));
        (1..=KEPT as u64 + 7).for_each(|number| history.sample(&[], at(10 * number)));
        let samples = history.since(0);
        assert_eq!((samples.len(), samples[0].number), (KEPT, 8));
    }

    #[test]
    fn services_beyond_the_limit_are_left_out() {
        let names: Vec<_> = (0..MOST + 5)
            .map(|it| ServiceName::new(it.to_string().as_str()))
            .collect();
        let vitals = ServiceVitals::new("shop".into(), 1);
        let observed = names.iter().map(|service| Observed {
            service,
            vitals: &vitals,
            gateways: Vec::new(),
        });
        let history = History::new(at(0));
        history.sample(&observed.collect::<Vec<_>>(), at(10));
        assert_eq!(history.since(0)[0].services.len(), MOST);
    }
}
