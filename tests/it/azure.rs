//! A fake of Azure, and a fleet of three instances of the program that meet in it.

use bytes::Bytes;
use http::{Method, Request as HttpRequest};
use portolan::app::App;
use portolan::config;
use portolan::control::start::Start;
use portolan_azure::net::Net;
use portolan_azure::publisher::status::Status;
use portolan_azure_fakes::arm::{Origin, OriginGroup, Profile};
use portolan_azure_fakes::blob::sign;
use portolan_azure_fakes::{Clock, Cloud, Endpoints, Fault, Recorded, Requests, entra};
use portolan_core::health::State;
use portolan_tests::{Behaviour, Gateway, Request, send};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::sync::oneshot;
use url::Url;

/// An instance in each of these regions.
pub(crate) const VANTAGES: [&str; 3] = ["westeurope", "eastus2", "southeastasia"];
pub(crate) const DEMOTED: &str = r#"PATCH gw-westeurope {"properties":{"priority":5}}"#;
pub(crate) const RESTORED: &str = r#"PATCH gw-westeurope {"properties":{"priority":1}}"#;

/// No wait is longer; all are much shorter.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a region must be bad, and well.
pub(crate) const SUSTAIN: Duration = Duration::from_secs(3);
pub(crate) const RESTORE: Duration = Duration::from_secs(5);
const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";

/// The fake, on a thread of its own: instances that stop in order want answers meanwhile.
pub(crate) struct Azure {
    pub(crate) cloud: Cloud,
    listeners: Vec<Endpoints>,
    files: TempDir,
    /// A container of the emulator, if instances are to meet there.
    emulated: Option<Url>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Azure {
    /// Starts it. `account` is the storage emulator's, if that is to be the store.
    pub(crate) async fn start(account: Option<&str>) -> Self {
        let (opened, is_open) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            opened.send(runtime.block_on(open())).ok();
            runtime.block_on(stopped).ok();
        });
        let (cloud, listeners) = is_open.recv().expect("the fake starts");
        let files = tempfile::tempdir().expect("a folder");
        let mut azure = Self {
            cloud,
            listeners,
            files,
            emulated: None,
            stop: Some(stop),
            thread: Some(thread),
        };
        azure.file("ca.pem", azure.cloud.authority.pem());
        azure.file("token", &azure.cloud.entra.federated_token());
        if let Some(account) = account {
            azure.emulated = Some(azure.container(account).await);
        }
        azure
    }

    /// A new container of the emulator; its signature goes into a file.
    async fn container(&self, account: &str) -> Url {
        let unique = self
            .files
            .path()
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .to_lowercase();
        let name: String = unique.chars().filter(char::is_ascii_alphanumeric).collect();
        let container = Url::parse(&format!("{account}/{name}")).expect("a URL");
        let signed = sign(&container, SystemTime::now(), Duration::from_secs(3600));
        self.file("signature", signed.query().expect("a signature"));
        let mut create = signed.clone();
        create.query_pairs_mut().append_pair("restype", "container");
        let request = HttpRequest::put(create.as_str()).header("x-ms-version", "2025-11-05");
        let net = Net::new(Some(self.cloud.authority.pem().as_bytes()), PATIENCE).expect("a transport");
        let created = net.call(&create, request.body(Bytes::new()).expect("a request")).await;
        assert_eq!(created.expect("an answer").status(), 201);
        container
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.files.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    }

    /// Starts three gateways, and an instance for each region, each with ways of its own to all of Azure.
    pub(crate) fn fleet(&self) -> Fleet<'_> {
        self.fleet_at(|listener| listener.arm.clone())
    }

    /// As [`Azure::fleet`], but all reach the management API at one address, as in earnest.
    pub(crate) fn fleet_by_one_address(&self) -> Fleet<'_> {
        self.fleet_at(|_| self.cloud.arm.url())
    }

    fn fleet_at(&self, arm: impl Fn(&Endpoints) -> Url) -> Fleet<'_> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let gateways = VANTAGES.map(|region| Gateway::start(region, any).expect("a free port"));
        let apps = self.listeners.iter().map(|listener| {
            let path = self.file(
                &format!("{}.yaml", listener.label),
                &self.config(listener, &arm(listener), &gateways),
            );
            let settings = config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
            let app = App::begin(Start::unwatched(settings)).unwrap_or_else(|error| panic!("{error}"));
            (listener.label.clone(), app)
        });
        Fleet {
            azure: self,
            apps: apps.collect(),
            gateways,
        }
    }

    fn config(&self, listener: &Endpoints, arm: &Url, gateways: &[Gateway]) -> String {
        let vantage = &listener.label;
        let mut text = format!(
            "listeners: [ {{ address: 127.0.0.1:0 }} ]\nadmin: {{ address: 127.0.0.1:0 }}\nworkers: 1\nhere: {vantage}\n\
             access_log: off\n\
             routes: [ {{ host: \"*\", path: /, service: shop }} ]\nservices:\n  shop:\n    \
             health_check: {{ path: /healthz, interval: 100ms, timeout: 100ms }}\n    regions:\n"
        );
        let mut origins = String::new();
        for gateway in gateways {
            let (region, address) = (gateway.region(), gateway.address());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "      - {{ region: {region}, gateway: \"http://{address}\" }}");
            let _ = writeln!(origins, "    - {{ region: {region}, origin: gw-{region} }}");
        }
        let store = match &self.emulated {
            Some(container) => format!("container: \"{container}\", signature_file: ./signature"),
            None => format!("container: \"{}portolan\"", listener.blob),
        };
        let _ = write!(
            text,
            "front_door:\n  mode: apply\n  profile: {{ subscription: {SUBSCRIPTION}, resource_group: edge, name: shop, \
             origin_group: storefront }}\n  origins:\n{origins}  vantages: [{}]\n  store: {{ {store}, prefix: shop }}\n  \
             credential: {{ workload_identity: {{ tenant: {}, client: {}, token_file: ./token }} }}\n  \
             cloud: {{ arm: \"{}\", scope: \"https://management.azure.com/.default\", authority: \"{}\", ca_file: ./ca.pem }}\n  \
             timing: {{ sustain: {}s, restore: {}s, spacing: 1s, window: 1s, reconcile: 500ms, poll_least: 100ms, \
             poll_default: 200ms, request_timeout: 2s, retry_least: 200ms, retry_most: 2s }}\n  \
             votes: {{ write: 1s, read: 200ms, valid_for: 4s, settle: 500ms }}\n  lease: {{ duration: 15s, renew: 500ms, margin: 11s }}\n  \
             probe: {{ healthy_after: 500ms }}\n",
            VANTAGES.join(", "),
            entra::TENANT,
            entra::CLIENT_ID,
            arm,
            listener.entra,
            SUSTAIN.as_secs(),
            RESTORE.as_secs(),
        );
        text
    }

    /// Token service, management API and store all do this to every request, until they are well again.
    pub(crate) fn all_do(&self, fault: Option<&Fault>) {
        let Cloud { arm, entra, blob, .. } = &self.cloud;
        arm.clear_faults(None);
        entra.clear_faults(None);
        blob.clear_faults(None);
        if let Some(fault) = fault {
            arm.fault(Requests::all(), fault.clone());
            entra.fault(Requests::all(), fault.clone());
            blob.fault(Requests::all(), fault.clone());
        }
    }

    /// The changes of origins, oldest first: `PATCH gw-westeurope {"properties":{"priority":5}}`.
    pub(crate) fn written(&self) -> Vec<String> {
        let short = |request: Recorded| {
            let origin = request.path.rsplit('/').next().unwrap_or_default().to_owned();
            (request.method != Method::GET).then(|| format!("{} {origin} {}", request.method, request.body))
        };
        self.cloud.arm.log().into_iter().filter_map(short).collect()
    }

    /// How many polls of operations there were.
    pub(crate) fn polls(&self) -> usize {
        let log = self.cloud.arm.log();
        log.iter()
            .filter(|request| request.path.contains("operationresults"))
            .count()
    }

    pub(crate) async fn until(&self, so: impl Fn(&Self) -> bool) {
        let wait = self.cloud.arm.until(PATIENCE, |_| so(self)).await;
        wait.unwrap_or_else(|late| panic!("{late}\n{}", self.log()));
    }

    pub(crate) async fn until_written(&self, count: usize) {
        self.until(|azure| azure.written().len() >= count).await;
    }

    pub(crate) fn log(&self) -> String {
        let log = self.cloud.arm.log();
        log.iter().map(|request| format!("{request}\n")).collect()
    }

    /// All requests to the management API follow its contract.
    pub(crate) fn assert_by_contract(&self) {
        for request in self.cloud.arm.log() {
            assert!(request.violations.is_empty(), "{request}");
        }
    }
}

impl Drop for Azure {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported where it happened.
            let _ = thread.join();
        }
    }
}

async fn open() -> (Cloud, Vec<Endpoints>) {
    let cloud = Cloud::start_tls(&Clock::running()).await.expect("free ports");
    let origin = |region: &str| Origin {
        name: format!("gw-{region}"),
        host_name: format!("gw-{region}.example.net"),
        priority: Some(1),
        weight: Some(50),
        enabled: true,
    };
    cloud.arm.seed(&Profile {
        subscription: SUBSCRIPTION.to_owned(),
        resource_group: "edge".to_owned(),
        name: "shop".to_owned(),
        front_door_id: "3b4682da-b3e2-47a1-96ca-08ab3cb7294e".to_owned(),
        groups: vec![OriginGroup {
            name: "storefront".to_owned(),
            routed: true,
            origins: VANTAGES.map(origin).to_vec(),
        }],
    });
    cloud.blob.create_container("portolan");
    // A lease of 15 s, the shortest there is, lasts 4.5 s; leaders trust it for 4 s.
    cloud.blob.lease_second(Duration::from_millis(300));
    let mut listeners = Vec::new();
    for vantage in VANTAGES {
        listeners.push(cloud.open_listener(vantage).await.expect("free ports"));
    }
    (cloud, listeners)
}

/// An instance of the program in each region, and the regions' gateways.
pub(crate) struct Fleet<'a> {
    azure: &'a Azure,
    apps: BTreeMap<String, App>,
    gateways: [Gateway; 3],
}

impl Fleet<'_> {
    /// Makes a region behave otherwise.
    pub(crate) fn behave(&self, region: &str, behaviour: Behaviour) {
        let gateway = self.gateways.iter().find(|gateway| gateway.region() == region);
        gateway
            .expect("a region")
            .behave(behaviour)
            .expect("its port is still free");
    }

    /// The process of an instance dies, as far as anybody outside can see: nothing of it arrives any more.
    pub(crate) fn kill(&mut self, vantage: &str) -> JoinHandle<()> {
        self.azure.cloud.partition(vantage);
        let app = self.apps.remove(vantage).expect("an instance");
        std::thread::spawn(move || drop(app))
    }

    pub(crate) fn proxy(&self, vantage: &str) -> SocketAddr {
        self.apps[vantage].listeners()[0]
    }

    pub(crate) fn status(&self, vantage: &str) -> Status {
        let snapshot = self.apps[vantage].front_door().load();
        snapshot
            .and_then(|snapshot| snapshot.status.clone())
            .expect("a Front Door is described")
    }

    /// What an instance answers to Front Door's probe of a region.
    pub(crate) async fn probe(&self, vantage: &str, region: &str) -> u16 {
        let path = format!("/.portolan/probe/shop/{region}");
        let answer = send(self.proxy(vantage), &Request::new(Method::HEAD, &path)).await;
        answer.status.as_u16()
    }

    pub(crate) async fn until_probe(&self, vantage: &str, region: &str, status: u16) {
        let ask = async { while self.probe(vantage, region).await != status {} };
        let asked = tokio::time::timeout(PATIENCE, ask).await;
        asked.unwrap_or_else(|_| panic!("{vantage} never says {status} of {region}"));
    }

    /// Waits until an instance's status is so.
    pub(crate) async fn until(&self, vantage: &str, what: &str, so: impl Fn(&Status) -> bool) {
        self.look(what, || {
            let snapshot = self.apps[vantage].front_door().load()?;
            snapshot.status.as_ref().is_some_and(&so).then_some(())
        })
        .await;
    }

    /// Waits by looking: what an instance posts rings no bell.
    async fn look<T>(&self, what: &str, find: impl Fn() -> Option<T>) -> T {
        let looks = async {
            let mut looks = tokio::time::interval(Duration::from_millis(5));
            loop {
                looks.tick().await;
                if let Some(found) = find() {
                    return found;
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, looks).await;
        found.unwrap_or_else(|_| {
            let views = self
                .apps
                .keys()
                .map(|vantage| format!("{}\n", self.status(vantage).view()));
            panic!(
                "it never came about: {what}\n{}\n{}",
                views.collect::<String>(),
                self.azure.log()
            )
        })
    }

    pub(crate) async fn until_all_vote(&self) {
        for vantage in self.apps.keys() {
            let all = |status: &Status| status.votes.tally.live == VANTAGES.len();
            self.until(vantage, "all vote", all).await;
        }
    }

    /// Waits until one of them leads; who.
    pub(crate) async fn until_led_by(&self, candidates: &[&'static str]) -> &'static str {
        let leads = |vantage: &&&'static str| {
            let snapshot = self.apps.get(**vantage).and_then(|app| app.front_door().load());
            snapshot.is_some_and(|snapshot| snapshot.status.as_ref().is_some_and(|status| status.leader.leads))
        };
        self.look("somebody leads", || candidates.iter().find(leads).copied())
            .await
    }

    pub(crate) async fn until_led(&self) -> &'static str {
        self.until_led_by(&VANTAGES).await
    }

    /// Waits until the leader has nothing in progress.
    pub(crate) async fn until_idle(&self, leader: &str) {
        self.until(leader, "nothing is in progress", |status| {
            let pending = status.ledger().is_none_or(|ledger| ledger.pending.is_some());
            status.leader.leads && status.leader.plan.is_some() && !pending
        })
        .await;
    }

    /// Lets the leader read Front Door so many times more: time enough for another change, if there were to be one.
    pub(crate) async fn until_read_on(&self, leader: &str, times: u64) {
        let goal = self.status(leader).counters.reads.get() + times;
        self.until(leader, "it reads on", |status| status.counters.reads.get() >= goal)
            .await;
    }

    pub(crate) async fn until_alert(&self, vantage: &str, code: &str) {
        self.until(vantage, code, |status| {
            status.alerts().iter().any(|alert| alert.code == code)
        })
        .await;
    }

    /// Waits until an instance itself finds a region bad.
    pub(crate) async fn until_seen_bad(&self, vantage: &str, region: &str) {
        self.look("a region is seen bad", || {
            let table = self.apps[vantage].tables().current();
            let slot = table.config().services()[0].slot_of(&region.into())?;
            let state = table.health.services()[0].gateway(slot).state;
            (state == State::Unhealthy).then_some(())
        })
        .await;
    }
}
