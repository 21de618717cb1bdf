//! A model of Front Door, a store that can be cut off, and instances around them, all on tokio's paused clock.

use portolan_azure::diff::Change;
use portolan_azure::health::{LocalView, RegionHealth};
use portolan_azure::names::VantageName;
use portolan_azure::operation::{Kind, Operation, Progress, Started};
use portolan_azure::origin::{Baseline, Members, Observed, ObservedOrigin, OriginState, Provisioning};
use portolan_azure::publisher::status::{Alert, Status};
use portolan_azure::publisher::{Parts, Publisher, Votes};
use portolan_azure::settings::{
    Access, FrontDoorResource, Mode, SecretSource, Settings, StoreSettings, Vantage, VoteTiming,
};
use portolan_azure::store::{Blob, LeaseId, MemoryStore, Read, Store, StoreError};
use portolan_azure::store_time::StoreTime;
use portolan_azure::target::{Target, TargetError};
use portolan_core::health::State;
use portolan_core::id::RegionName;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use url::Url;

pub(crate) const REGIONS: [&str; 3] = ["eus", "sea", "weu"];

pub(crate) const fn mins(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How the model behaves from now on.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// How long an operation runs.
    pub(crate) lasts: Duration,
    /// Whether it fails in the end.
    pub(crate) fails: bool,
    /// Whether polls of it may be read; else only the origin shows the result.
    pub(crate) readable: bool,
    /// Answers to changes before any is accepted.
    pub(crate) rejections: VecDeque<Rejection>,
    /// Whether readings fail.
    pub(crate) unreadable: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Rejection {
    Throttled(u64),
    Busy,
    Rejected,
    /// Accepted, but the answer is lost.
    AnswerLost,
    /// Never arrives, and no answer.
    RequestLost,
    /// Accepted, reported on another host.
    Foreign,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            lasts: secs(90),
            fails: false,
            readable: true,
            rejections: VecDeque::new(),
            unreadable: false,
        }
    }
}

/// A request that reached the model: when, by whom, what it sets.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) at: Duration,
    pub(crate) by: String,
    pub(crate) what: String,
}

#[derive(Debug)]
pub(crate) struct FrontDoorModel {
    began: Instant,
    state: Mutex<Model>,
}

#[derive(Debug)]
struct Model {
    origins: BTreeMap<String, Members>,
    manner: Manner,
    operation: Option<Running>,
    operations: u32,
    writes: Vec<Logged>,
    polls: Vec<Logged>,
}

#[derive(Debug)]
struct Running {
    number: u32,
    ends: Instant,
    fails: bool,
    undo: (String, Members),
}

impl FrontDoorModel {
    fn new() -> Self {
        let origins = REGIONS.map(|region| (format!("o-{region}"), OriginState::default().into()));
        Self {
            began: Instant::now(),
            state: Mutex::new(Model {
                origins: origins.into(),
                manner: Manner::default(),
                operation: None,
                operations: 0,
                writes: Vec::new(),
                polls: Vec::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, Model> {
        let mut state = self.state.lock().unwrap();
        if let Some(done) = state
            .operation
            .take_if(|running| Instant::now() >= running.ends && running.fails)
        {
            let (origin, before) = done.undo;
            state.origins.insert(origin, before);
        }
        state
            .operation
            .take_if(|running| Instant::now() >= running.ends && !running.fails);
        state
    }

    pub(crate) fn manner(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.state().manner);
    }

    /// The changes that reached it, `demote o-weu {"priority":5}`, in order.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.state().writes.iter().map(|logged| logged.what.clone()).collect()
    }

    pub(crate) fn log(&self) -> Vec<Logged> {
        self.state().writes.clone()
    }

    pub(crate) fn pollers(&self) -> Vec<String> {
        self.state().polls.iter().map(|logged| logged.by.clone()).collect()
    }

    pub(crate) fn members(&self, region: &str) -> Members {
        self.state().origins[&format!("o-{region}")]
    }

    /// An operator changes an origin by hand.
    pub(crate) fn operator(&self, region: &str, change: impl FnOnce(&mut Members)) {
        change(self.state().origins.get_mut(&format!("o-{region}")).unwrap());
    }

    fn accept(&self, by: &str, change: &Change) -> Started {
        let mut state = self.state();
        let origin = change.origin.to_ascii_lowercase();
        let before = state.origins[&origin];
        let there = state.origins.get_mut(&origin).unwrap();
        there.priority = change.set.priority.or(there.priority);
        there.weight = change.set.weight.or(there.weight);
        there.enabled = change.set.enabled.or(there.enabled);
        state.operations += 1;
        let (number, lasts, fails) = (state.operations, state.manner.lasts, state.manner.fails);
        let set = serde_json::to_string(&change.set).unwrap();
        state.writes.push(Logged {
            at: self.began.elapsed(),
            by: by.to_owned(),
            what: format!("{} {} {set}", change.why(), change.origin),
        });
        state.operation = Some(Running {
            number,
            ends: Instant::now() + lasts,
            fails,
            undo: (origin, before),
        });
        Started::Poll(Operation {
            url: Url::parse(&format!("https://arm.test/operations/{number}")).unwrap(),
            kind: Kind::AsyncOperation,
        })
    }
}

/// One instance's way to the model and to the store: it can be cut.
#[derive(Debug)]
struct Way<T> {
    name: String,
    to: T,
    cut: Arc<AtomicBool>,
}

impl<T> Way<T> {
    /// Hangs while cut: a partition answers nothing, not even an error.
    async fn open(&self) {
        while self.cut.load(Ordering::Relaxed) {
            tokio::time::sleep(secs(1)).await;
        }
    }
}

#[async_trait::async_trait]
impl Target for Way<Arc<FrontDoorModel>> {
    async fn observe(&self) -> Result<Observed, TargetError> {
        self.open().await;
        let state = self.to.state();
        if state.manner.unreadable {
            return Err(TargetError::Denied("403 AuthorizationFailed".to_owned()));
        }
        let busy = |name: &str| state.operation.as_ref().is_some_and(|running| running.undo.0 == name);
        let origins = state.origins.iter().map(|(name, members)| {
            let provisioning = match busy(name) {
                true => Provisioning::Running,
                false => Provisioning::Succeeded,
            };
            let origin = ObservedOrigin {
                members: *members,
                provisioning,
                rest: BTreeMap::new(),
            };
            (name.clone(), origin)
        });
        Ok(Observed {
            origins: origins.collect(),
        })
    }

    fn carries(&self, changes: &[Change]) -> usize {
        changes.len().min(1)
    }

    async fn send(&self, changes: &[Change]) -> Result<Started, TargetError> {
        self.open().await;
        let rejection = self.to.state().manner.rejections.pop_front();
        match rejection {
            None => Ok(self.to.accept(&self.name, &changes[0])),
            Some(Rejection::Throttled(after)) => Err(TargetError::Throttled(Some(secs(after)))),
            Some(Rejection::Busy) => Err(TargetError::Busy("409 Conflict".to_owned())),
            Some(Rejection::Rejected) => Err(TargetError::Rejected("400 BadRequest".to_owned())),
            Some(Rejection::AnswerLost) => {
                self.to.accept(&self.name, &changes[0]);
                std::future::pending().await
            }
            Some(Rejection::RequestLost) => std::future::pending().await,
            Some(Rejection::Foreign) => {
                self.to.accept(&self.name, &changes[0]);
                Ok(Started::Foreign("https://evil.example/operations/1".to_owned()))
            }
        }
    }

    async fn poll(&self, operation: &Operation) -> Result<Progress, TargetError> {
        self.open().await;
        let mut state = self.to.state();
        state.polls.push(Logged {
            at: self.to.began.elapsed(),
            by: self.name.clone(),
            what: operation.url.path().to_owned(),
        });
        if !state.manner.readable {
            return Ok(Progress::Unreadable);
        }
        let runs = |running: &Running| operation.url.path().ends_with(&format!("/{}", running.number));
        Ok(match &state.operation {
            Some(running) if runs(running) => Progress::Running(secs(5)),
            _ if state.manner.fails => Progress::Failed {
                code: "InternalError".to_owned(),
                message: "it failed".to_owned(),
            },
            _ => Progress::Succeeded,
        })
    }

    async fn watch(&self, changes: &[Change]) -> Result<Progress, TargetError> {
        let observed = self.observe().await?;
        let busy = changes.iter().any(|change| {
            observed
                .get(&change.origin)
                .is_some_and(|it| it.provisioning == Provisioning::Running)
        });
        Ok(if busy {
            Progress::Running(secs(5))
        } else {
            Progress::Succeeded
        })
    }
}

/// A store whose clock can be set.
#[derive(Debug, Default)]
pub(crate) struct Sundial {
    store: MemoryStore,
    ahead_ms: AtomicI64,
    /// Whether the next write under the lease is rejected, as if it had run out.
    lease_ran_out: AtomicBool,
    /// Whether no instance may acquire the lease.
    no_leases: AtomicBool,
    /// How far ahead it was when each blob was written.
    written_ahead: Mutex<BTreeMap<Blob, i64>>,
}

impl Sundial {
    pub(crate) fn jump(&self, by: Duration) {
        self.ahead_ms.fetch_add(by.as_millis() as i64, Ordering::Relaxed);
    }

    pub(crate) fn reject_next_leader_write(&self) {
        self.lease_ran_out.store(true, Ordering::Relaxed);
    }

    /// Nobody has the right to lease the leader's blob any more, or all have it again.
    pub(crate) fn deny_leases(&self, deny: bool) {
        self.no_leases.store(deny, Ordering::Relaxed);
    }

    pub(crate) fn set_back(&self, by: Duration) {
        self.ahead_ms.fetch_sub(by.as_millis() as i64, Ordering::Relaxed);
    }
}

#[async_trait::async_trait]
impl Store for Way<Arc<Sundial>> {
    async fn read(&self, blob: &Blob) -> Result<Read, StoreError> {
        self.open().await;
        let mut read = self.to.store.read(blob).await?;
        read.now = StoreTime(read.now.0 + self.to.ahead_ms.load(Ordering::Relaxed));
        if let Some(found) = &mut read.found {
            found.modified.0 += self.to.written_ahead.lock().unwrap().get(blob).copied().unwrap_or(0);
        }
        Ok(read)
    }

    async fn write(&self, blob: &Blob, bytes: Vec<u8>, lease: Option<&LeaseId>) -> Result<(), StoreError> {
        self.open().await;
        if lease.is_some() && self.to.lease_ran_out.swap(false, Ordering::Relaxed) {
            return Err(StoreError::Lost);
        }
        let ahead = self.to.ahead_ms.load(Ordering::Relaxed);
        self.to.written_ahead.lock().unwrap().insert(blob.clone(), ahead);
        self.to.store.write(blob, bytes, lease).await
    }

    async fn acquire(&self, lease: &LeaseId, duration: Duration) -> Result<(), StoreError> {
        self.open().await;
        if self.to.no_leases.load(Ordering::Relaxed) {
            return Err(StoreError::Denied("403 AuthorizationPermissionMismatch".to_owned()));
        }
        self.to.store.acquire(lease, duration).await
    }

    async fn renew(&self, lease: &LeaseId) -> Result<(), StoreError> {
        self.open().await;
        self.to.store.renew(lease).await
    }

    async fn release(&self, lease: &LeaseId) -> Result<(), StoreError> {
        self.open().await;
        self.to.store.release(lease).await
    }
}

pub(crate) struct Instance {
    pub(crate) publisher: Option<Publisher>,
    health: watch::Sender<LocalView>,
    cut: Arc<AtomicBool>,
    cut_target: Arc<AtomicBool>,
}

/// Three instances, one Front Door, one store.
pub(crate) struct World {
    pub(crate) front_door: Arc<FrontDoorModel>,
    pub(crate) store: Arc<Sundial>,
    pub(crate) instances: BTreeMap<&'static str, Instance>,
}

/// The settings of an instance: all defaults but the mode, and votes read less often, since the hours are many.
pub(crate) fn settings(vantage: &str) -> Settings {
    let origin = |region: &str| Baseline {
        region: region.into(),
        origin: format!("o-{region}"),
        state: OriginState::default(),
    };
    let front_door = FrontDoorResource::Standard {
        subscription: "sub".to_owned(),
        resource_group: "rg".to_owned(),
        profile: "shop".to_owned(),
        origin_group: "storefront".to_owned(),
    };
    let name = |text: &str| VantageName::new(text).unwrap();
    let mut settings = Settings::new(front_door, REGIONS.map(origin).to_vec(), name(vantage));
    settings.vantages = REGIONS.map(|region| Vantage::named(name(region))).to_vec();
    settings.store = Some(StoreSettings {
        container: Url::parse("https://store.test/portolan").unwrap(),
        prefix: String::new(),
        access: Access::Signature(SecretSource::Env("NOT_READ".to_owned())),
    });
    settings.mode = Mode::Apply;
    settings.votes.read = secs(6);
    settings
}

/// As often as by default, for tests of how fast it is.
pub(crate) fn by_default(settings: &mut Settings) {
    settings.votes = VoteTiming::default();
}

impl World {
    /// All instances up, all regions well, a leader elected.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(change: impl Fn(&mut Settings)) -> Self {
        let mut world = Self {
            front_door: Arc::new(FrontDoorModel::new()),
            store: Arc::new(Sundial::default()),
            instances: BTreeMap::new(),
        };
        for vantage in REGIONS {
            let mut settings = settings(vantage);
            change(&mut settings);
            world.add(vantage, settings);
        }
        world
    }

    pub(crate) fn add(&mut self, vantage: &'static str, settings: Settings) {
        let well = |region: &str| RegionHealth {
            region: region.into(),
            state: State::Healthy,
            since: Instant::now(),
            evidence: "probes".to_owned(),
        };
        let (health, seen) = watch::channel(LocalView {
            regions: REGIONS.map(well).to_vec(),
            isolated: false,
        });
        let (cut, cut_target) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let parts = Parts {
            store: Arc::new(Way {
                name: vantage.to_owned(),
                to: self.store.clone(),
                cut: cut.clone(),
            }),
            target: Arc::new(Way {
                name: vantage.to_owned(),
                to: self.front_door.clone(),
                cut: cut_target.clone(),
            }),
        };
        let publisher = Some(Publisher::start(settings, parts, seen).unwrap());
        self.instances.insert(
            vantage,
            Instance {
                publisher,
                health,
                cut,
                cut_target,
            },
        );
    }

    /// A link to the store for a client that is not an instance.
    pub(crate) fn way_to_store(&self, name: &str) -> impl Store + use<> {
        Way {
            name: name.to_owned(),
            to: self.store.clone(),
            cut: Arc::default(),
        }
    }

    /// A way to Front Door, likewise.
    pub(crate) fn way_to_front_door(&self, name: &str) -> impl Target + use<> {
        Way {
            name: name.to_owned(),
            to: self.front_door.clone(),
            cut: Arc::default(),
        }
    }

    /// A vantage begins to see a region like this.
    pub(crate) fn sees(&self, vantage: &str, region: &str, state: State) {
        self.instances[vantage].health.send_modify(|view| {
            let region = RegionName::from(region);
            let seen = view.regions.iter_mut().find(|health| health.region == region).unwrap();
            seen.state = state;
            seen.since = Instant::now();
        });
    }

    pub(crate) fn all_see(&self, region: &str, state: State) {
        REGIONS.iter().for_each(|vantage| self.sees(vantage, region, state));
    }

    /// Cuts a vantage off from store and Front Door, or puts it back.
    pub(crate) fn cut(&self, vantage: &str, cut: bool) {
        self.instances[vantage].cut.store(cut, Ordering::Relaxed);
        self.cut_target(vantage, cut);
    }

    /// Cuts a vantage off from the store only.
    pub(crate) fn cut_store(&self, vantage: &str, cut: bool) {
        self.instances[vantage].cut.store(cut, Ordering::Relaxed);
    }

    /// Cuts a vantage off from Front Door only.
    pub(crate) fn cut_target(&self, vantage: &str, cut: bool) {
        self.instances[vantage].cut_target.store(cut, Ordering::Relaxed);
    }

    /// The process of an instance dies.
    pub(crate) fn kill(&mut self, vantage: &str) {
        self.instances.get_mut(vantage).unwrap().publisher = None;
    }

    pub(crate) fn votes(&self, vantage: &str) -> watch::Receiver<Arc<Votes>> {
        self.instances[vantage].publisher.as_ref().unwrap().votes()
    }

    pub(crate) fn status(&self, vantage: &str) -> Status {
        self.instances[vantage].publisher.as_ref().unwrap().status()
    }

    pub(crate) fn alerts(&self, vantage: &str) -> Vec<&'static str> {
        let known = |alert: Alert| Alert::CODES.into_iter().find(|code| alert.code == *code);
        let alerts = self.status(vantage).alerts().into_iter();
        alerts.map(|alert| known(alert).expect("a known code")).collect()
    }

    /// Who leads, if one does. Two never do.
    pub(crate) fn leader(&self) -> Option<&'static str> {
        let alive = self.instances.iter().filter(|(_, it)| it.publisher.is_some());
        let leaders: Vec<_> = alive
            .map(|(name, _)| *name)
            .filter(|name| self.status(name).leader.leads)
            .collect();
        assert!(leaders.len() <= 1, "{leaders:?} all lead");
        leaders.first().copied()
    }

    /// Lets time pass until it is so, at most for `patience`. Returns how long it took.
    pub(crate) async fn until(&self, patience: Duration, what: &str, so: impl Fn(&Self) -> bool) -> Duration {
        let began = Instant::now();
        let wait = timeout(patience, async {
            while !so(self) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        if wait.await.is_err() {
            panic!("not within {patience:?}: {what}\n{:#?}", self.front_door.log());
        }
        began.elapsed()
    }

    pub(crate) async fn elected(&self) -> &'static str {
        self.until(secs(30), "a leader", |world| world.leader().is_some()).await;
        self.leader().unwrap()
    }
}

/// Lets time pass.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
