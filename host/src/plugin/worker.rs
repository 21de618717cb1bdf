//! A worker's plugin instances: calling a plugin for one request.

use super::answer::{Invalid, PluginAnswer};
use super::answer_cache::AnswerCache;
use super::contract::Answer;
use super::engine::PluginEngine;
use super::error::PluginFault;
use super::host_state::{Counters, PluginState};
use super::instance::Failure;
use super::life::Lives;
use super::meters::StartReason;
use super::quarantine::{Quarantine, Quarantined, Quarantines};
use super::records::Inputs;
use super::regions::RegionTable;
use super::request::RouteRequest;
use super::version::PluginVersion;
use crate::chance::Chance;
use portolan_core::id::ServiceId;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// The plugin instances of one worker thread.
///
/// An instance belongs to one service, and is made when the service's first request comes and whenever the one before is
/// used up. With a new version of the plugin the old version's instance goes.
pub struct PluginWorker {
    engine: PluginEngine,
    worker: usize,
    chance: Chance,
    services: Vec<Option<ServicePlugin>>,
    /// Room for what is handed over of a request.
    inputs: Inputs,
    /// Those of versions that are being rolled out, where there are any.
    candidates: Option<Box<PluginWorker>>,
}

/// An active plugin version for one service.
struct ServicePlugin {
    version: Arc<PluginVersion>,
    plugin: Rc<RefCell<PluginState>>,
    quarantine: Quarantine,
    quarantines: Arc<Quarantines>,
    answer_cache: Option<AnswerCache>,
    lives: Lives,
}

impl fmt::Debug for PluginWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginWorker")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

impl PluginWorker {
    /// The instances of a worker, of which there are none yet. `worker` is its number, from 0: what plugins count for a
    /// worker that the engine was not made for is dropped, as when a decision is only explained. `seed` decides when
    /// instances are replaced.
    pub fn new(engine: PluginEngine, worker: usize, seed: u64) -> Self {
        Self {
            engine,
            worker,
            chance: Chance::seeded(seed),
            services: Vec::new(),
            inputs: Inputs::default(),
            candidates: None,
        }
    }

    /// The instances of versions that are being rolled out: a service has one of its active version besides.
    pub fn candidates(&mut self) -> &mut Self {
        let (engine, worker, chance) = (&self.engine, self.worker, &self.chance);
        self.candidates
            .get_or_insert_with(|| Box::new(Self::new(engine.clone(), worker, chance.roll())))
    }

    /// Asks the plugin of a service for the order of its regions. `table` are the service's regions in the routing table
    /// that the request goes by. Takes about a microsecond (see `benches`), and never more than the plugin's deadline and
    /// a millisecond of CPU time.
    ///
    /// # Errors
    /// Why there is no answer; the native order is to be used.
    pub fn route(
        &mut self,
        version: &Arc<PluginVersion>,
        service: ServiceId,
        table: &RegionTable,
        request: &RouteRequest<'_>,
    ) -> Result<PluginAnswer, PluginFault> {
        let place = service.index();
        if self.services.len() <= place {
            self.services.resize_with(place + 1, || None);
        }
        let service = match &mut self.services[place] {
            Some(service) if Arc::ptr_eq(&service.version, version) => service,
            other => other.insert(ServicePlugin::new(version, &self.engine, self.worker, request.now)),
        };
        service.answer(table, request, &mut self.inputs, &self.chance)
    }

    /// Drops the instances of the versions that are not to be kept: their memory goes with them, also of a service that is
    /// gone or gets no requests.
    pub fn retire(&mut self, keep: &dyn Fn(&PluginVersion) -> bool) {
        for service in &mut self.services {
            if service.as_ref().is_some_and(|service| !keep(&service.version)) {
                *service = None;
            }
        }
        if let Some(candidates) = &mut self.candidates {
            candidates.retire(keep);
        }
    }
}

impl ServicePlugin {
    fn new(version: &Arc<PluginVersion>, engine: &PluginEngine, worker: usize, now: Instant) -> Self {
        debug_assert!(
            Arc::ptr_eq(&engine.shared.meters.of(&version.name), &version.meter),
            "one engine per process"
        );
        let meter = Arc::clone(&version.meter);
        let counters = Counters {
            meter,
            worker,
            places: version.places.clone(),
        };
        Self {
            plugin: Rc::new(RefCell::new(PluginState::new(
                version.name.clone(),
                Some(counters),
                now,
            ))),
            quarantine: Quarantine::default(),
            quarantines: Arc::clone(&engine.shared.quarantines),
            answer_cache: version.setup.varies().map(AnswerCache::new),
            lives: Lives::new(worker),
            version: Arc::clone(version),
        }
    }

    fn answer(
        &mut self,
        table: &RegionTable,
        request: &RouteRequest<'_>,
        inputs: &mut Inputs,
        chance: &Chance,
    ) -> Result<PluginAnswer, PluginFault> {
        if !self.quarantine.allows(request.now) {
            return Err(PluginFault::Quarantined);
        }
        inputs.prepare(request, &self.version.setup);
        let mut key = None;
        if let Some(cache) = &self.answer_cache {
            let of_request = cache.key(table.generation(), request, inputs);
            if let Some(answer) = cache.get(of_request) {
                // Another route may allow other statuses.
                return match answer.allowed(request.statuses) {
                    Ok(()) => Ok(answer.clone()),
                    Err(invalid) => Err(self.fault(invalid.into(), request.now)),
                };
            }
            key = Some(of_request);
        }
        let answer = match self.ask(table, request, inputs, chance) {
            Ok(answer) => answer,
            Err(failure) => {
                self.lives.end(StartReason::Fault);
                return Err(self.fault(failure, request.now));
            }
        };
        let setup = &self.version.setup;
        match PluginAnswer::sound(answer, request.native, table.len(), setup, request.statuses) {
            Ok(answer) => {
                if let Some((cache, key)) = self.answer_cache.as_mut().zip(key) {
                    cache.put(key, &answer);
                }
                Ok(answer)
            }
            Err(invalid) => Err(self.fault(invalid.into(), request.now)),
        }
    }

    /// Calls the instance, after preparing it: the headers it may read, a new instance, new regions.
    fn ask(
        &mut self,
        table: &RegionTable,
        request: &RouteRequest<'_>,
        inputs: &mut Inputs,
        chance: &Chance,
    ) -> Result<Answer, Failure> {
        let reads_headers = self.version.blueprint.reads_headers;
        self.plugin.borrow_mut().now = request.now;
        if reads_headers {
            self.plugin.borrow_mut().lend(request.fields);
        }
        let (version, plugin) = (&self.version, &self.plugin);
        let instance = self.lives.instance(version, plugin, request.now, chance);
        let answer = instance.and_then(|instance| {
            instance.update(table)?;
            instance.route(request, &version.setup, inputs)
        });
        if reads_headers {
            self.plugin.borrow_mut().take_back();
        }
        answer
    }

    /// Records a fault and logs it.
    fn fault(&mut self, failure: Failure, now: Instant) -> PluginFault {
        let Failure { fault, detail } = failure;
        let rest = self.quarantine.fault(now);
        let (plugin, version) = (self.version.name.as_str(), self.version.short_digest());
        if let Some(rest) = rest {
            let seconds = rest.as_secs();
            tracing::error!(plugin, version, %fault, detail, seconds, "plugin quarantined after repeated faults");
            self.quarantines.add(Quarantined {
                plugin: self.version.name.clone(),
                digest: self.version.digest.clone(),
                fault,
                detail,
                rest,
            });
        } else if let Some(lost) = self.plugin.borrow_mut().may_log() {
            tracing::warn!(plugin, version, %fault, detail, lost, "plugin call failed");
        }
        fault
    }
}

impl From<Invalid> for Failure {
    fn from(Invalid { fault, why }: Invalid) -> Self {
        Self { fault, detail: why }
    }
}
