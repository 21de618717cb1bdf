//! Instances with the real clients, against the fakes of Azure, over sockets. Times are short; waits name what they wait for.

use bytes::Bytes;
use portolan_azure::health::{LocalView, RegionHealth};
use portolan_azure::names::VantageName;
use portolan_azure::net::Net;
use portolan_azure::origin::{Baseline, OriginState};
use portolan_azure::publisher::status::Status;
use portolan_azure::publisher::{Parts, Publisher};
use portolan_azure::settings::{
    Access, Credential, FrontDoorResource, Mode, SecretSource, Settings, StoreSettings, Timing, Vantage, VoteTiming,
};
use portolan_azure_fakes::arm::{Origin, OriginGroup, Profile};
use portolan_azure_fakes::blob::sign;
use portolan_azure_fakes::{Clock, Cloud, Endpoints, Recorded, entra};
use portolan_core::health::State;
use portolan_core::id::RegionName;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use url::Url;

pub(crate) const REGIONS: [&str; 3] = ["eus", "sea", "weu"];
/// No wait of these tests is longer; all are much shorter.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Azure, and the files that instances are given.
pub(crate) struct Azure {
    pub(crate) cloud: Cloud,
    files: TempDir,
    /// Where instances meet: a container, with a signature or over TLS.
    container: Url,
}

impl Azure {
    /// Everything over TLS, as it really is.
    pub(crate) async fn tls() -> Self {
        Self::with(Cloud::start_tls(&Clock::running()).await.unwrap())
    }

    pub(crate) async fn plain() -> Self {
        Self::with(Cloud::start(&Clock::running()).await.unwrap())
    }

    /// As [`Azure::tls`], but instances meet in the storage emulator that `PORTOLAN_AZURITE` names; `None` without one.
    pub(crate) async fn emulated(container: &str) -> Option<Self> {
        let account = std::env::var("PORTOLAN_AZURITE").ok()?;
        let mut azure = Self::tls().await;
        let container = Url::parse(&format!("{account}/{container}-{}", std::process::id())).unwrap();
        azure.container = sign(&container, SystemTime::now(), Duration::from_secs(3600));
        let mut create = azure.container.clone();
        create.query_pairs_mut().append_pair("restype", "container");
        let request = http::Request::put(create.as_str()).header("x-ms-version", "2025-11-05");
        let net = Net::new(Some(azure.cloud.authority.pem().as_bytes()), PATIENCE).unwrap();
        let created = net.call(&create, request.body(Bytes::new()).unwrap()).await.unwrap();
        assert_eq!(created.status(), 201);
        Some(azure)
    }

    fn with(cloud: Cloud) -> Self {
        let origin = |region: &str| Origin {
            name: format!("o-{region}"),
            host_name: format!("gw-{region}.example.net"),
            priority: Some(1),
            weight: Some(50),
            enabled: true,
        };
        cloud.arm.seed(&Profile {
            subscription: "00000000-0000-0000-0000-000000000001".to_owned(),
            resource_group: "edge".to_owned(),
            name: "shop".to_owned(),
            front_door_id: "3b4682da-b3e2-47a1-96ca-08ab3cb7294e".to_owned(),
            groups: vec![OriginGroup {
                name: "storefront".to_owned(),
                routed: true,
                origins: REGIONS.map(origin).to_vec(),
            }],
        });
        cloud.blob.create_container("portolan");
        // A lease of 15 s, the shortest there is, lasts 4.5 s; leaders trust it for 4 s.
        cloud.blob.lease_second(ms(300));
        let files = tempfile::tempdir().unwrap();
        let container = cloud.blob.container_url("portolan");
        let azure = Self {
            cloud,
            files,
            container,
        };
        azure.file("ca.pem", azure.cloud.authority.pem());
        azure.file("token", &azure.cloud.entra.federated_token());
        azure.file("secret", entra::CLIENT_SECRET);
        azure
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.files.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Settings of an instance that is alone, with short times, authenticated by its secret.
    pub(crate) fn alone(&self) -> Settings {
        let origin = |region: &str| Baseline {
            region: region.into(),
            origin: format!("o-{region}"),
            state: OriginState::default(),
        };
        let front_door = FrontDoorResource::Standard {
            subscription: "00000000-0000-0000-0000-000000000001".to_owned(),
            resource_group: "edge".to_owned(),
            profile: "shop".to_owned(),
            origin_group: "storefront".to_owned(),
        };
        let mut settings = Settings::new(
            front_door,
            REGIONS.map(origin).to_vec(),
            VantageName::new("weu").unwrap(),
        );
        settings.mode = Mode::Apply;
        settings.cloud.arm = self.cloud.arm.url();
        settings.cloud.authority = Some(self.cloud.entra.url());
        settings.cloud.ca_file = Some(self.files.path().join("ca.pem"));
        settings.credential = Credential::ClientSecret {
            tenant: entra::TENANT.to_owned(),
            client: entra::CLIENT_ID.to_owned(),
            secret: SecretSource::File(self.files.path().join("secret")),
        };
        settings.timing = Timing {
            sustain: ms(300),
            restore: ms(600),
            spacing: ms(500),
            window: ms(500),
            reconcile: ms(300),
            poll_least: ms(100),
            poll_most: ms(1000),
            poll_default: ms(200),
            operation_deadline: Duration::from_secs(30 * 60),
            request_timeout: Duration::from_secs(5),
            retry_least: ms(200),
            retry_most: Duration::from_secs(2),
        };
        settings.votes = VoteTiming {
            write: ms(300),
            read: ms(100),
            valid_for: Duration::from_secs(3),
            settle: ms(300),
        };
        settings.lease.duration = Duration::from_secs(15);
        settings.lease.renew = ms(400);
        settings.lease.margin = Duration::from_secs(11);
        settings.probe.healthy_after = ms(300);
        settings
    }

    /// Settings of one of three instances, authenticated by the federated token of its pod, that share a container.
    pub(crate) fn one_of_three(&self, vantage: &str) -> Settings {
        let mut settings = self.alone();
        let name = |text: &str| VantageName::new(text).unwrap();
        settings.vantage = name(vantage);
        settings.vantages = REGIONS.map(|region| Vantage::named(name(region))).to_vec();
        settings.credential = Credential::WorkloadIdentity {
            tenant: Some(entra::TENANT.to_owned()),
            client: Some(entra::CLIENT_ID.to_owned()),
            token_file: Some(self.files.path().join("token")),
        };
        settings.timing.sustain = ms(1500);
        settings.timing.restore = ms(3000);
        settings.timing.window = ms(1000);
        settings.store = Some(self.store(self.container.clone()));
        settings
    }

    /// Where instances meet: by identity where there is TLS, else by signature.
    pub(crate) fn store(&self, mut container: Url) -> StoreSettings {
        let signature = container.query().unwrap_or_default().to_owned();
        container.set_query(None);
        let access = match container.scheme() {
            "https" => Access::Identity,
            _ => Access::Signature(SecretSource::File(self.file("signature", &signature))),
        };
        StoreSettings {
            container,
            prefix: "shop".to_owned(),
            access,
        }
    }

    /// The same instance, by ports of its own.
    pub(crate) fn by_listener(&self, mut settings: Settings, listener: &Endpoints) -> Settings {
        settings.cloud.arm = listener.arm.clone();
        settings.cloud.authority = Some(listener.entra.clone());
        let container = self.cloud.blob.container_url_by(&listener.label, "portolan");
        settings.store = Some(self.store(container));
        settings
    }

    /// The requests that change origins, oldest first.
    pub(crate) fn writes(&self) -> Vec<Recorded> {
        let log = self.cloud.arm.log();
        log.into_iter()
            .filter(|request| request.method != http::Method::GET)
            .collect()
    }

    /// `PATCH o-weu {"properties":{"priority":5}}`, for each.
    pub(crate) fn written(&self) -> Vec<String> {
        let short = |request: Recorded| {
            let last = request.path.rsplit('/').next().unwrap_or_default().to_owned();
            format!("{} {last} {}", request.method, request.body)
        };
        self.writes().into_iter().map(short).collect()
    }

    pub(crate) async fn until_written(&self, count: usize) {
        let wait = self.cloud.arm.until(PATIENCE, |_| self.writes().len() >= count);
        wait.await
            .unwrap_or_else(|late| panic!("{count} changes: {late}\n{}", self.log()));
    }

    pub(crate) fn log(&self) -> String {
        self.cloud
            .arm
            .log()
            .iter()
            .map(|request| format!("{request}\n"))
            .collect()
    }

    /// All requests to the management API follow its contract.
    pub(crate) fn assert_by_contract(&self) {
        for request in self.cloud.arm.log() {
            assert!(request.violations.is_empty(), "{request}");
        }
    }
}

/// A running instance and its view.
pub(crate) struct Instance {
    pub(crate) publisher: Publisher,
    health: watch::Sender<LocalView>,
}

impl Instance {
    pub(crate) fn start(settings: Settings) -> Self {
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
        let parts = Parts::connect(&settings).unwrap();
        let publisher = Publisher::start(settings, parts, seen).unwrap();
        Self { publisher, health }
    }

    /// It begins to see a region like this.
    pub(crate) fn sees(&self, region: &str, state: State) {
        self.health.send_modify(|view| {
            let region = RegionName::from(region);
            let seen = view.regions.iter_mut().find(|health| health.region == region).unwrap();
            seen.state = state;
            seen.since = Instant::now();
        });
    }

    pub(crate) async fn until(&self, what: &str, like: impl FnMut(&Status) -> bool) -> Status {
        match timeout(PATIENCE, self.publisher.until(like)).await {
            Ok(status) => status,
            Err(_) => panic!("not in time: {what}\n{}", self.publisher.status().view()),
        }
    }

    /// Waits until it leads and nothing is under way.
    pub(crate) async fn until_idle(&self) -> Status {
        self.until("it leads and is idle", |status| {
            let pending = status.ledger().is_none_or(|ledger| ledger.pending.is_some());
            status.leader.leads && status.leader.plan.is_some() && !pending
        })
        .await
    }

    /// Lets it read Front Door so many times more: time enough for another change, if there were to be one.
    pub(crate) async fn until_read_on(&self, times: u64) -> Status {
        let reads = self.publisher.status().counters.reads.get();
        self.until("it reads on", |status| status.counters.reads.get() >= reads + times)
            .await
    }

    pub(crate) async fn until_alert(&self, code: &str) {
        self.until(code, |status| status.alerts().iter().any(|alert| alert.code == code))
            .await;
    }
}

/// Three instances.
pub(crate) struct Three(pub(crate) BTreeMap<&'static str, Instance>);

impl Three {
    pub(crate) fn start(settings: impl Fn(&str) -> Settings) -> Self {
        Self(
            REGIONS
                .map(|vantage| (vantage, Instance::start(settings(vantage))))
                .into(),
        )
    }

    pub(crate) fn all_see(&self, region: &str, state: State) {
        self.0.values().for_each(|instance| instance.sees(region, state));
    }

    pub(crate) async fn leader(&self) -> &'static str {
        let leads = |name: &'static str, instance| async move {
            let instance: &Instance = instance;
            instance.publisher.until(|status| status.leader.leads).await;
            name
        };
        let waits = self.0.iter().map(|(name, instance)| Box::pin(leads(name, instance)));
        match timeout(PATIENCE, futures::future::select_all(waits)).await {
            Ok((leader, ..)) => leader,
            Err(_) => {
                let views = self.0.values().map(|instance| instance.publisher.status().view());
                panic!(
                    "no leader in time\n{}",
                    views.map(|view| format!("{view}\n")).collect::<String>()
                );
            }
        }
    }
}
