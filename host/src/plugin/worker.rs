//! A worker's instances: asking a plugin for one request.

use super::answer::PluginAnswer;
use super::breaker::Breaker;
use super::contract::{Decision, Request};
use super::desk::{Counters, Desk};
use super::engine::PluginEngine;
use super::error::PluginFault;
use super::instance::{Failure, Instance, Started};
use super::memo::Memo;
use super::regions::RegionTable;
use super::request::RouteRequest;
use super::settings::Isolation;
use super::version::PluginVersion;
use crate::chance::Chance;
use portolan_core::id::ServiceId;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many answers an instance gives, on average; 25 % more or less by chance, so that instances do not end together and
/// plugins cannot count on being kept.
const ANSWERS: u64 = 8192;
/// How long an instance is kept.
const AGE: Duration = Duration::from_secs(60);

/// The plugin instances of one worker thread.
///
/// An instance belongs to one service, and is made when the service's first request comes and whenever the one before is
/// used up. With a new version of the plugin the old version's instance goes.
pub struct PluginWorker {
    engine: PluginEngine,
    worker: usize,
    chance: Chance,
    seats: Vec<Option<Seat>>,
    /// Room for the declared headers of a request.
    fields: String,
}

/// A plugin version at work for one service.
struct Seat {
    version: Arc<PluginVersion>,
    desk: Rc<RefCell<Desk>>,
    breaker: Breaker,
    memo: Option<Memo>,
    life: Option<Life>,
}

/// An instance, and how long it is kept.
struct Life {
    instance: Box<Instance>,
    answers_left: u64,
    until: Instant,
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
            seats: Vec::new(),
            fields: String::new(),
        }
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
        if self.seats.len() <= place {
            self.seats.resize_with(place + 1, || None);
        }
        let seat = match &mut self.seats[place] {
            Some(seat) if Arc::ptr_eq(&seat.version, version) => seat,
            other => other.insert(Seat::new(version, &self.engine, self.worker, request.now)),
        };
        seat.answer(table, request, &mut self.fields, &self.chance)
    }

    /// Drops the instances of the versions that are not to be kept: their memory goes with them, also of a service that is
    /// gone or gets no requests.
    pub fn retire(&mut self, keep: impl Fn(&PluginVersion) -> bool) {
        for seat in &mut self.seats {
            if seat.as_ref().is_some_and(|seat| !keep(&seat.version)) {
                *seat = None;
            }
        }
    }
}

impl Seat {
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
            desk: Rc::new(RefCell::new(Desk::new(version.name.clone(), Some(counters), now))),
            breaker: Breaker::default(),
            memo: version.setup.vary.map(Memo::new),
            life: None,
            version: Arc::clone(version),
        }
    }

    fn answer(
        &mut self,
        table: &RegionTable,
        request: &RouteRequest<'_>,
        fields: &mut String,
        chance: &Chance,
    ) -> Result<PluginAnswer, PluginFault> {
        if !self.breaker.allows(request.now) {
            return Err(PluginFault::Quarantined);
        }
        let record = request.record(&self.version.setup, fields);
        let key = self.memo.as_ref().map(|memo| memo.key(table.generation().0, &record));
        let remembered = self.memo.as_ref().zip(key).and_then(|(memo, key)| memo.get(key));
        let decision = match remembered {
            Some(decision) => decision,
            None => match self.ask(table, record, request, chance) {
                Ok(decision) => decision,
                Err(failure) => {
                    self.life = None;
                    return Err(self.fault(failure, request.now));
                }
            },
        };
        let reasons = self.version.setup.reasons.len();
        let Some(answer) = PluginAnswer::sound(decision, request.native, table.len(), reasons) else {
            let detail = format!("it named no region that exists: {decision:x?}");
            return Err(self.fault(
                Failure {
                    fault: PluginFault::Nonsense,
                    detail,
                },
                request.now,
            ));
        };
        if let (Some(memo), Some(key), None) = (&mut self.memo, key, remembered) {
            memo.put(key, decision);
        }
        Ok(PluginAnswer {
            remembered: remembered.is_some(),
            ..answer
        })
    }

    /// Asks the instance, after what has to come before: the headers it may ask for, a new instance, new regions.
    fn ask(
        &mut self,
        table: &RegionTable,
        record: Request<'_>,
        request: &RouteRequest<'_>,
        chance: &Chance,
    ) -> Result<Decision, Failure> {
        let reads_headers = self.version.blueprint.reads_headers;
        self.desk.borrow_mut().now = request.now;
        if reads_headers {
            self.desk.borrow_mut().lend(request.headers);
        }
        let decision = self.instance(request.now, chance).and_then(|instance| {
            instance.update(table)?;
            instance.route(record)
        });
        if reads_headers {
            self.desk.borrow_mut().take_back();
        }
        decision
    }

    /// The instance for one answer: the one in use, or a new one when that is used up.
    fn instance(&mut self, now: Instant, chance: &Chance) -> Result<&mut Instance, Failure> {
        if self.life.as_ref().is_some_and(|life| life.over(now)) {
            // Gone before the next one comes: its place in the pool may be the last.
            self.life = None;
        }
        let life = match &mut self.life {
            Some(life) => {
                life.instance.begin();
                life
            }
            none => {
                let answers_left = match self.version.settings.isolation {
                    Isolation::Reuse => ANSWERS * 3 / 4 + chance.roll() % (ANSWERS / 2),
                    Isolation::Fresh => 1,
                };
                let instance = start(&self.version, &self.desk)?;
                none.insert(Life {
                    instance,
                    answers_left,
                    until: now + AGE,
                })
            }
        };
        life.answers_left -= 1;
        Ok(&mut life.instance)
    }

    /// Notes a fault, and says so in the log.
    fn fault(&mut self, failure: Failure, now: Instant) -> PluginFault {
        let Failure { fault, detail } = failure;
        let rest = self.breaker.fault(now);
        let (plugin, version) = (self.version.name.as_str(), self.version.short_digest());
        if let Some(rest) = rest {
            let seconds = rest.as_secs();
            tracing::error!(plugin, version, %fault, detail, seconds, "plugin fails again and again; not asked for a while");
        } else if let Some(lost) = self.desk.borrow_mut().may_log() {
            tracing::warn!(plugin, version, %fault, detail, lost, "plugin gave no answer");
        }
        fault
    }
}

impl Life {
    fn over(&self, now: Instant) -> bool {
        self.answers_left == 0 || now >= self.until || self.instance.grew()
    }
}

/// Starts an instance of a version that was started before, when it was loaded.
fn start(version: &PluginVersion, desk: &Rc<RefCell<Desk>>) -> Result<Box<Instance>, Failure> {
    match Instance::start(&version.blueprint, desk)? {
        Started::Instance(instance, _) => Ok(instance),
        Started::Refused(refusal) => {
            let detail = format!("it refuses its configuration now: {refusal}");
            Err(Failure {
                fault: PluginFault::Start,
                detail,
            })
        }
    }
}
