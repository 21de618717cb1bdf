//! HTTP/2 to gateways: connections that carry many streams, and what becomes of requests when they end.

mod choices;
mod client;
mod endpoints;
mod ends;
mod failover;
mod frames;
mod gateway;
mod messages;
mod silence;
mod streams;

use client::Client;
use gateway::Gateway;
use portolan_tests::{Setup, World};
use std::time::Duration;

/// Nothing takes longer than this.
const TIMEOUT: Duration = Duration::from_secs(20);

/// No probes, no hedges; the first region first; prior knowledge.
const SERVICE: &str = "health_check: off\npolicy: priority\nretry: { hedge_after: off }\nupstream: { protocol: h2 }";

const LISTENER: &str = "- address: 127.0.0.1:0\n  name: web\n  http2: prior-knowledge\n  debug_headers: true";

const WEST: &str = "westeurope";
const EAST: &str = "eastus2";

/// The proxy in front of gateways, and a client of it.
struct Scene {
    world: World,
    client: Client,
}

impl Scene {
    /// In front of one gateway.
    async fn of(gateway: &Gateway) -> Self {
        Self::with(SERVICE, &[(WEST, gateway)]).await
    }

    async fn with(service: &str, gateways: &[(&str, &Gateway)]) -> Self {
        let setup = Setup::regions(&[]).service(service).listeners(LISTENER);
        let setup = gateways
            .iter()
            .fold(setup, |setup, (region, gateway)| setup.other(region, gateway.address()));
        Self::start(setup).await
    }

    async fn start(setup: Setup) -> Self {
        let world = setup.start();
        Self {
            client: Client::connect(world.proxy()).await,
            world,
        }
    }

    /// A counter or a gauge of the metrics page, all that match added up.
    async fn metric(&self, name: &str, label: &str) -> u64 {
        let text = self.world.admin(portolan_tests::Request::get("/metrics")).await.text();
        let lines = text
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(label));
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum()
    }
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let reached = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let reached = tokio::time::timeout(TIMEOUT, reached).await;
    reached.unwrap_or_else(|_| panic!("not in time: {what}"));
}
