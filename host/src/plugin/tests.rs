//! The host with real guests: the examples, and one that does what a plugin must not do.

mod answers;
mod contract;
mod corpus;
mod effects;
mod hostile;
mod lifetimes;
mod rejected;

use super::request::tests::estimate;
use super::*;
use crate::arrival::Arrival;
use http::{HeaderMap, Method, Version};
use portolan_core::geo::{Country, Point};
use portolan_core::id::{PluginName, ServiceId, Slot};
use portolan_core::rank::Ranking;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

const HOSTILE: &[u8] = include_bytes!("../../../tests/fixtures/hostile.wasm");

/// The process's engine.
fn engine() -> &'static PluginEngine {
    static ENGINE: OnceLock<PluginEngine> = OnceLock::new();
    ENGINE.get_or_init(|| PluginEngine::new(8).unwrap())
}

fn settings(config: &str) -> PluginSettings {
    PluginSettings {
        config: config.to_owned(),
        // A compiler without optimisation and a busy machine: what is not about time gets plenty of it.
        deadline: Duration::from_millis(500),
        ..PluginSettings::default()
    }
}

fn load(name: &str, bytes: &[u8], settings: &PluginSettings) -> Result<Arc<PluginVersion>, Problem> {
    let loaded = engine().load(&PluginName::from(name), bytes, settings, &[]);
    loaded.map_err(|error| error.problem)
}

/// A request that is easily changed. The client is in London, the regions are those of [`RegionTable::sample`].
struct Client {
    path: &'static str,
    query: &'static str,
    version: Version,
    host: &'static str,
    arrival: Option<Arrival>,
    statuses: Vec<u16>,
    time: SystemTime,
    headers: HeaderMap,
    ip: IpAddr,
    point: Option<Point>,
    native: Ranking,
    now: Instant,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            path: "/",
            query: "",
            version: Version::HTTP_11,
            host: "shop.example.net",
            arrival: None,
            statuses: Vec::new(),
            time: SystemTime::UNIX_EPOCH,
            headers: HeaderMap::new(),
            ip: [81, 2, 69, 142].into(),
            point: Point::new(51.5, -0.1).ok(),
            native: ranking([0, 1, 2]),
            now: Instant::now(),
        }
    }
}

impl Client {
    fn at(path: &'static str) -> Self {
        Self {
            path,
            ..Self::default()
        }
    }

    fn request(&self) -> RouteRequest<'_> {
        RouteRequest {
            method: &Method::GET,
            version: self.version,
            host: self.host,
            path: self.path,
            query: self.query,
            fields: VisibleFields::all(&self.headers),
            arrival: self.arrival.as_ref(),
            client: self.ip,
            country: Country::parse("GB").unwrap(),
            point: self.point,
            asn: 0,
            roll: 0,
            native: &self.native,
            estimate: &estimate,
            statuses: &self.statuses,
            now: self.now,
            time: Some(self.time),
        }
    }

    /// Asks a plugin about this request.
    fn ask(&self, worker: &mut PluginWorker, version: &Arc<PluginVersion>) -> Result<PluginAnswer, PluginFault> {
        worker.route(version, ServiceId(0), &RegionTable::sample(), &self.request())
    }
}

fn ranking(slots: impl IntoIterator<Item = u8>) -> Ranking {
    slots.into_iter().map(Slot).collect()
}

fn worker() -> PluginWorker {
    PluginWorker::new(engine().clone(), 0, 1)
}

/// How much a plugin's counter shows.
fn counted(plugin: &str, counter: &str) -> u64 {
    let readings = engine().counters().into_iter();
    readings
        .filter(|reading| reading.plugin.as_str() == plugin && reading.counter == counter)
        .map(|reading| reading.value)
        .sum()
}
