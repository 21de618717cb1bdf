//! Three regions, the proxy before them, and a way to ask and to wait.

use crate::client::{Answer, Connection, Request};
use crate::load::Load;
use crate::tls;
use portolan::app::App;
use portolan::control::last_good::LastGood;
use portolan::control::start::Start;
use portolan::control::status::Kind;
use portolan::demo::gateway::{Behaviour, Gateway};
use portolan::table::RoutingTable;
use portolan::vitals::Vitals;
use portolan_core::health::{Evidence, GatewayHealth, State};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// How long a state may take to come about before a test fails.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a world is made of, before it starts.
#[derive(Debug)]
pub struct Setup {
    regions: Vec<(String, Gateway)>,
    names: BTreeMap<String, String>,
    others: Vec<(String, SocketAddr)>,
    urls: Vec<(String, String)>,
    listeners: String,
    access_log: &'static str,
    service: String,
    routes: String,
    rest: String,
    keeps: bool,
    tls: bool,
    folder: TempDir,
}

impl Setup {
    /// Western Europe, the American east and Southeast Asia, probed every 100 ms.
    pub fn three_regions() -> Self {
        Self::regions(&["westeurope", "eastus2", "southeastasia"])
    }

    /// These regions.
    pub fn regions(names: &[&str]) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let regions = names
            .iter()
            .map(|name| (String::new(), Gateway::start(name, any).expect("a free port")));
        Self {
            regions: regions.collect(),
            names: BTreeMap::new(),
            others: Vec::new(),
            urls: Vec::new(),
            listeners: "  - address: 127.0.0.1:0\n    client_address: { trusted_proxies: [127.0.0.0/8], header: \
                        x-forwarded-for }\n    debug_headers: true\n"
                .into(),
            access_log: "off",
            service: "    health_check: { path: /healthz, interval: 100ms, timeout: 100ms }\n".into(),
            routes: String::new(),
            rest: String::new(),
            keeps: false,
            tls: false,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// With gateways that are spoken to over TLS.
    #[must_use]
    pub fn tls(mut self) -> Self {
        let (config, ca) = tls::server();
        for (_, gateway) in &mut self.regions {
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            *gateway = Gateway::start_tls(gateway.region(), any, Arc::clone(&config)).expect("a free port");
        }
        self.tls = true;
        self.file("gateways.pem", ca)
    }

    /// With one more region, whose gateway the test provides.
    #[must_use]
    pub fn other(mut self, region: &str, gateway: SocketAddr) -> Self {
        self.others.push((region.into(), gateway));
        self
    }

    /// With one more region, whose gateway the test provides at this URL.
    #[must_use]
    pub fn gateway(mut self, region: &str, url: impl Into<String>) -> Self {
        self.urls.push((region.into(), url.into()));
        self
    }

    /// With more keys for a region, such as `priority: 1`.
    #[must_use]
    pub fn region(mut self, name: &str, keys: &str) -> Self {
        let region = self
            .regions
            .iter_mut()
            .find(|(_, gateway)| gateway.region() == name)
            .expect("a region");
        region.0 = format!(", {keys}");
        self
    }

    /// With these items in the list of listeners instead of the one that trusts loopback.
    #[must_use]
    pub fn listeners(mut self, items: &str) -> Self {
        self.listeners = items.lines().map(|line| format!("  {line}\n")).collect();
        self
    }

    /// With a region whose gateway is known by this name.
    #[must_use]
    pub fn by_name(mut self, region: &str, name: &str) -> Self {
        self.names.insert(region.into(), name.into());
        self
    }

    /// With these lines in the service instead of the health check.
    #[must_use]
    pub fn service(mut self, lines: &str) -> Self {
        self.service = lines.lines().map(|line| format!("    {line}\n")).collect();
        self
    }

    /// With these items in the list of routes before the one for everything.
    #[must_use]
    pub fn routes(mut self, items: &str) -> Self {
        self.routes = items.lines().map(|line| format!("  {line}\n")).collect();
        self
    }

    /// With an access log, for [`World::until_logged`].
    #[must_use]
    pub fn logging(mut self) -> Self {
        self.access_log = "{ file: access.log }";
        self
    }

    /// With this access log.
    #[must_use]
    pub fn logging_as(mut self, access_log: &'static str) -> Self {
        self.access_log = access_log;
        self
    }

    /// With these lines at the top level.
    #[must_use]
    pub fn with(mut self, lines: &str) -> Self {
        self.rest.push_str(lines);
        self.rest.push('\n');
        self
    }

    /// With a file beside the configuration.
    #[must_use]
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.folder.path().join(name), content).expect("written");
        self
    }

    /// The folder that the program will run on.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// With a state directory, in which the active files are stored for the next start.
    #[must_use]
    pub fn keeping(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// The configuration as text.
    pub fn config(&self) -> String {
        let mut text = format!(
            "listeners:\n{}admin: {{ address: 127.0.0.1:0 }}\nworkers: 2\naccess_log: {}\nservices:\n  shop:\n",
            self.listeners, self.access_log
        );
        text.push_str(&self.service);
        let scheme = if self.tls { "https" } else { "http" };
        if self.tls {
            text.push_str("    upstream: { tls: { ca: gateways.pem } }\n");
        }
        text.push_str("    regions:\n");
        for (keys, gateway) in &self.regions {
            let (region, address) = (gateway.region(), gateway.address());
            let address = match self.names.get(region) {
                Some(name) => format!("{name}:{}", address.port()),
                None => address.to_string(),
            };
            text.push_str(&format!(
                "      - {{ region: {region}, gateway: \"{scheme}://{address}\"{keys} }}\n"
            ));
        }
        for (region, address) in &self.others {
            let address = match self.names.get(region) {
                Some(name) => format!("{name}:{}", address.port()),
                None => address.to_string(),
            };
            text.push_str(&format!(
                "      - {{ region: {region}, gateway: \"http://{address}\" }}\n"
            ));
        }
        for (region, url) in &self.urls {
            text.push_str(&format!("      - {{ region: {region}, gateway: \"{url}\" }}\n"));
        }
        text.push_str("routes:\n");
        text.push_str(&self.routes);
        text.push_str("  - { host: \"*\", path: /, service: shop }\n");
        text.push_str(&self.rest);
        text
    }

    /// Starts the program on this configuration.
    pub fn start(self) -> World {
        std::fs::write(self.folder.path().join("portolan.yaml"), self.config()).expect("written");
        self.try_start().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts the program on what its folder holds.
    ///
    /// # Errors
    /// When the program fails to start.
    pub fn try_start(self) -> Result<World, String> {
        let regions = self.regions.into_iter().map(|(_, gateway)| gateway).collect();
        World::run(regions, self.folder, self.keeps)
    }
}

/// The running program and its regions.
#[derive(Debug)]
pub struct World {
    app: App,
    regions: Vec<Gateway>,
    folder: TempDir,
    keeps: bool,
}

impl World {
    /// Three regions with nothing special.
    pub fn start() -> Self {
        Setup::three_regions().start()
    }

    fn run(regions: Vec<Gateway>, folder: TempDir, keeps: bool) -> Result<Self, String> {
        crate::log::init();
        let path = folder.path().join("portolan.yaml");
        let last_good = keeps.then(|| LastGood::open(&folder.path().join("state"), false));
        let last_good = last_good.transpose().map_err(|error| error.to_string())?;
        let start = Start::read(&path, last_good);
        let app = App::begin(start.map_err(|errors| errors.to_string())?).map_err(|error| error.to_string())?;
        Ok(Self {
            app,
            regions,
            folder,
            keeps,
        })
    }

    /// Ends the program and starts it again on what its folder holds now.
    ///
    /// # Errors
    /// When the program fails to start.
    pub fn restart(self) -> Result<Self, String> {
        self.app.stop();
        Self::run(self.regions, self.folder, self.keeps)
    }

    /// Sends a request on a connection of its own.
    pub async fn send(&self, request: Request) -> Answer {
        self.try_send(&request).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sends a request that may fail.
    ///
    /// # Errors
    /// When the connection breaks before the answer is whole.
    pub async fn try_send(&self, request: &Request) -> Result<Answer, String> {
        Connection::open(self.proxy()).await?.send(request).await
    }

    /// The region that answers a client at this address.
    pub async fn region_for(&self, address: &str) -> String {
        self.send(Request::get("/").from(address)).await.region()
    }

    /// Asks the administration.
    pub async fn admin(&self, request: Request) -> Answer {
        let address = self.app.admin().tcp().expect("an address");
        let request = request.header("host", &address.to_string());
        let mut connection = Connection::open(address)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        connection
            .send(&request)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Where the proxy listens.
    pub fn proxy(&self) -> SocketAddr {
        self.app.listeners()[0]
    }

    /// The program.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// A region's gateway.
    pub fn gateway(&self, region: &str) -> &Gateway {
        self.regions
            .iter()
            .find(|gateway| gateway.region() == region)
            .expect("a region of this world")
    }

    /// Makes a region behave otherwise.
    pub fn behave(&self, region: &str, behaviour: Behaviour) {
        self.gateway(region).behave(behaviour).expect("its port is still free");
    }

    /// The folder of the configuration.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("portolan.yaml")
    }

    /// Replaces a file beside the configuration as deployments do: written aside, then renamed.
    pub fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        let aside = self.folder.path().join(format!("{name}.new"));
        std::fs::write(&aside, content).expect("written");
        std::fs::rename(aside, self.folder.path().join(name)).expect("renamed");
    }

    /// Changes the configuration file.
    pub fn reconfigure(&self, change: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(self.config_path()).expect("read");
        self.replace("portolan.yaml", change(text));
    }

    /// Waits until the routing table is so.
    pub async fn until(&self, what: &str, so: impl Fn(&RoutingTable) -> bool) -> Arc<RoutingTable> {
        let mut generations = self.app.tables().subscribe();
        let wait = async {
            loop {
                generations.borrow_and_update();
                let table = self.app.tables().current();
                if so(&table) {
                    return table;
                }
                generations.changed().await.expect("the publisher lives");
            }
        };
        tokio::time::timeout(TIMEOUT, wait)
            .await
            .unwrap_or_else(|_| panic!("it never came about that {what}"))
    }

    /// Waits until a region of the first service is in this state.
    pub async fn until_state(&self, region: &str, state: State) {
        let what = format!("{region} is {}", state.as_str());
        self.until(&what, |table| health(table, region).state == state).await;
    }

    /// Waits until this many requests are in flight to a region.
    pub async fn until_in_flight(&self, region: &str, count: u32) {
        let what = format!("{count} requests are in flight to {region}");
        self.poll(&what, || self.vitals(region).in_flight() == count).await;
    }

    /// Waits until the attempts so far have shown this of a region, in the order of [`Evidence::ALL`].
    pub async fn until_observed(&self, region: &str, wanted: [u64; Evidence::ALL.len()]) {
        let what = format!("{region} has {wanted:?}");
        self.poll(&what, || {
            self.vitals(region).totals().iter().map(|(_, count)| count).eq(wanted)
        })
        .await;
    }

    /// What was counted of a region of the first service.
    pub fn vitals(&self, region: &str) -> Arc<Vitals> {
        let table = self.app.tables().current();
        let slot = table.config().services()[0].slot_of(&region.into());
        let gateway = slot.and_then(|slot| table.services[0].gateway(slot));
        Arc::clone(&gateway.expect("a region of the service").vitals)
    }

    /// Waits until a replaced file was rejected.
    pub async fn until_rejected(&self, kind: Kind) {
        self.until_rejections(kind, 1).await;
    }

    /// Waits until this many files of a kind were rejected.
    pub async fn until_rejections(&self, kind: Kind, count: u64) {
        let what = format!("{count} of kind {} are rejected", kind.as_str());
        self.poll(&what, || self.app.status().of(kind).rejected >= count).await;
    }

    /// Waits until the active files have been stored this often since the start.
    pub async fn until_kept(&self, count: u64) {
        let what = format!("the active files are stored {count} times");
        self.poll(&what, || {
            self.app
                .status()
                .state_writes()
                .is_some_and(|writes| writes.kept >= count)
        })
        .await;
    }

    /// Waits until there are so many listeners; gives where they listen, in configured order.
    pub async fn until_listeners(&self, count: usize) -> Vec<SocketAddr> {
        let what = format!("there are {count} listeners");
        self.poll(&what, || self.app.listeners().len() == count).await;
        self.app.listeners()
    }

    /// Waits until the access log has so many lines; gives them.
    pub async fn until_logged(&self, count: usize) -> Vec<Value> {
        let path = self.folder.path().join("access.log");
        // A line may be there in part.
        let lines = || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines = text.lines().map(serde_json::from_str);
            lines.collect::<Result<Vec<Value>, _>>().unwrap_or_default()
        };
        self.poll(&format!("{count} requests are logged"), || lines().len() >= count)
            .await;
        lines()
    }

    /// Waits until nothing of a kind that is there now is rejected.
    pub async fn until_no_error(&self, kind: Kind) {
        let what = format!("no error of kind {} is left", kind.as_str());
        self.poll(&what, || self.app.status().of(kind).error.is_none()).await;
    }

    /// Waits for a state that rings no bell, by looking every millisecond.
    pub async fn poll(&self, what: &str, so: impl Fn() -> bool) {
        let looks = async {
            let mut looks = tokio::time::interval(Duration::from_millis(1));
            while !so() {
                looks.tick().await;
            }
        };
        tokio::time::timeout(TIMEOUT, looks)
            .await
            .unwrap_or_else(|_| panic!("it never came about that {what}"));
    }

    /// Waits until all regions are healthy.
    pub async fn until_healthy(&self) {
        let healthy = |table: &RoutingTable| {
            let mut regions = self.regions.iter();
            regions.all(|gateway| health(table, gateway.region()).state == State::Healthy)
        };
        self.until("all regions are healthy", healthy).await;
    }

    /// Begins to load the proxy with `GET`s from these addresses on as many connections.
    pub fn load(&self, clients: &[&str]) -> Load {
        Load::start(self.proxy(), clients)
    }
}

/// What a table says of a region of its first service.
fn health(table: &RoutingTable, region: &str) -> GatewayHealth {
    let service = &table.config().services()[0];
    let slot = service.slot_of(&region.into()).expect("a region of the service");
    table.health.services()[0].gateway(slot)
}
