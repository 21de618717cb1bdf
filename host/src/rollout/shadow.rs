//! Shadow: copies of requests are decided by a version that is not active, on a thread of its own, and compared with what was
//! decided. Requests wait for nothing: a copy that finds the queue full is dropped.

use super::TrialVitals;
use crate::cpu_time;
use crate::plugin::{Estimate, PluginEngine, PluginVersion, PluginWorker, RegionTable, RouteRequest, VisibleFields};
use http::{HeaderMap, Method, Version};
use portolan_core::config::Config;
use portolan_core::decision::RankedBy;
use portolan_core::geo::{Country, Point};
use portolan_core::id::{RegionName, ServiceId, Slot};
use portolan_core::rank::Ranking;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Copies of requests that wait at most.
const QUEUE: usize = 1_024;

/// The lowest priority: the thread runs when there is nothing else to do.
const NICE: i32 = 19;

/// Changes from one region to another that are counted apart; what comes later is not.
const CHANGES: usize = 256;

/// A version in shadow.
#[derive(Debug)]
pub struct Shadow {
    queue: SyncSender<Copy>,
    /// Whether the version may see fields of requests.
    reads_fields: bool,
    comparison: Arc<Comparison>,
}

/// What a decision needs of a request, and what was decided.
#[derive(Debug)]
struct Copy {
    config: Arc<Config>,
    service: ServiceId,
    regions: Arc<RegionTable>,
    method: Method,
    version: Version,
    host: Box<str>,
    path: Box<str>,
    query: Box<str>,
    statuses: Box<[u16]>,
    fields: HeaderMap,
    client: IpAddr,
    country: Country,
    point: Option<Point>,
    asn: u32,
    roll: u32,
    native: Ranking,
    chosen: Option<Slot>,
}

/// How the decisions of a version differ from those of the active one.
#[derive(Debug, Default)]
struct Comparison {
    waiting: AtomicUsize,
    dropped: AtomicU64,
    details: Mutex<ShadowReading>,
}

/// How often decisions differed, by country: compared, and of those, different in the first region.
pub type Countries = BTreeMap<Country, (u64, u64)>;

/// How the decisions of a version differ from those of the active one, so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShadowReading {
    /// Decisions that were compared.
    pub compared: u64,
    /// Of those, the ones with another first region.
    pub differed: u64,
    /// Copies that were dropped because too many waited.
    pub dropped: u64,
    /// By the client's country.
    pub countries: Countries,
    /// By the region that was chosen, and the one that this version would have chosen.
    pub changes: BTreeMap<(RegionName, RegionName), u64>,
    /// The sum of the changes of the estimated round trip in milliseconds, over all decisions whose client has a place; a decision
    /// that is the same changes nothing.
    pub round_trip_change_ms: f64,
    /// How many decisions that is the sum of.
    pub estimated: u64,
}

impl Shadow {
    pub(super) fn start(
        version: &Arc<PluginVersion>,
        vitals: &Arc<TrialVitals>,
        engine: &PluginEngine,
    ) -> io::Result<Self> {
        let (queue, copies) = sync_channel(QUEUE);
        let comparison = Arc::new(Comparison::default());
        let shadow = Self {
            queue,
            reads_fields: version.reads_fields(),
            comparison: Arc::clone(&comparison),
        };
        let (version, vitals, engine) = (Arc::clone(version), Arc::clone(vitals), engine.clone());
        let thread = thread::Builder::new().name("plugin-shadow".to_owned());
        thread.spawn(move || decide_all(&copies, &version, &vitals, engine, &comparison))?;
        Ok(shadow)
    }

    /// Takes a copy of a request for which this region was chosen.
    pub fn offer(
        &self,
        config: &Arc<Config>,
        service: ServiceId,
        regions: &Arc<RegionTable>,
        request: &RouteRequest<'_>,
        chosen: Option<Slot>,
    ) {
        // Nothing is copied for a queue that is full.
        if self.comparison.waiting.load(Relaxed) >= QUEUE {
            self.comparison.dropped.fetch_add(1, Relaxed);
            return;
        }
        let copy = Copy {
            config: Arc::clone(config),
            service,
            regions: Arc::clone(regions),
            method: request.method.clone(),
            version: request.version,
            host: request.host.into(),
            path: request.path.into(),
            query: request.query.into(),
            statuses: request.statuses.into(),
            fields: match self.reads_fields {
                true => request.fields.to_headers(),
                false => HeaderMap::new(),
            },
            client: request.client,
            country: request.country,
            point: request.point,
            asn: request.asn,
            roll: request.roll,
            native: request.native.clone(),
            chosen,
        };
        self.comparison.waiting.fetch_add(1, Relaxed);
        if self.queue.try_send(copy).is_err() {
            self.comparison.waiting.fetch_sub(1, Relaxed);
            self.comparison.dropped.fetch_add(1, Relaxed);
        }
    }

    /// How its decisions differ so far.
    pub fn read(&self) -> ShadowReading {
        let details = self.comparison.details.lock().unwrap_or_else(PoisonError::into_inner);
        ShadowReading {
            dropped: self.comparison.dropped.load(Relaxed),
            ..details.clone()
        }
    }
}

/// Decides copies until no more can come.
fn decide_all(
    copies: &Receiver<Copy>,
    version: &Arc<PluginVersion>,
    vitals: &TrialVitals,
    engine: PluginEngine,
    comparison: &Comparison,
) {
    // On Linux this is the priority of the thread alone.
    let _ = rustix::process::setpriority_process(None, NICE);
    // What the plugin counts here is not counted: it would be twice.
    let mut plugins = PluginWorker::new(engine, usize::MAX, 0);
    let thread = vitals.candidate.last_thread();
    while let Ok(copy) = copies.recv() {
        comparison.waiting.fetch_sub(1, Relaxed);
        // CPU time: at this priority, the thread is often interrupted.
        let before = cpu_time::of_thread();
        let answer = plugins.route(version, copy.service, &copy.regions, &copy.request());
        let took = cpu_time::of_thread().saturating_sub(before);
        let (by, chosen) = match answer {
            Ok(answer) => {
                let by = RankedBy::Plugin {
                    reason: answer.reason,
                    repaired: answer.repaired,
                    opinion: answer.opinion,
                    effects: answer.effects,
                };
                (by, answer.ranking.first())
            }
            Err(fault) => (RankedBy::Fallback(fault.as_str()), None),
        };
        vitals.candidate.called(thread, by, took);
        if let Some((before, now)) = copy.chosen.zip(chosen) {
            comparison.compare(&copy, before, now);
        }
    }
}

impl Copy {
    fn request(&self) -> RouteRequest<'_> {
        RouteRequest {
            method: &self.method,
            version: self.version,
            host: &self.host,
            path: &self.path,
            query: &self.query,
            // What is known of the connection stays with its worker.
            arrival: None,
            estimate: &|_| Estimate::default(),
            statuses: &self.statuses,
            time: None,
            fields: VisibleFields::all(&self.fields),
            client: self.client,
            country: self.country,
            point: self.point,
            asn: self.asn,
            roll: self.roll,
            native: &self.native,
            now: Instant::now(),
        }
    }

    /// The estimated round trip from the client to a region, in milliseconds.
    fn round_trip(&self, slot: Slot) -> Option<f64> {
        let gateway = self.config.service(self.service)?.gateway(slot)?;
        let vantage = portolan_geo::azure::round_trips().from_place(self.point?);
        Some(vantage.to(&gateway.region, gateway.point))
    }

    fn region(&self, slot: Slot) -> Option<RegionName> {
        Some(self.config.service(self.service)?.gateway(slot)?.region.clone())
    }
}

impl Comparison {
    fn compare(&self, copy: &Copy, before: Slot, now: Slot) {
        let differs = before != now;
        let change = match differs {
            true => copy
                .round_trip(now)
                .zip(copy.round_trip(before))
                .map(|(now, before)| now - before),
            false => copy.point.map(|_| 0.0),
        };
        let mut details = self.details.lock().unwrap_or_else(PoisonError::into_inner);
        details.compared += 1;
        details.differed += u64::from(differs);
        let of_country = details.countries.entry(copy.country).or_default();
        of_country.0 += 1;
        of_country.1 += u64::from(differs);
        if let Some(change) = change {
            details.round_trip_change_ms += change;
            details.estimated += 1;
        }
        if let Some(regions) = copy.region(before).zip(copy.region(now)).filter(|_| differs)
            && (details.changes.len() < CHANGES || details.changes.contains_key(&regions))
        {
            *details.changes.entry(regions).or_default() += 1;
        }
    }
}
