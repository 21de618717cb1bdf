//! gRPC from clients to gateways, over HTTP/2 on both sides.

mod calls;
mod client;
mod deadlines;
mod ends;
mod probes;
mod server;

use client::Caller;
use portolan_tests::{Request, Setup, World};
use serde_json::Value;
use server::Server;
use std::time::Duration;

/// Nothing but what a test sends reaches a gateway.
const PLAIN: &str = "health_check: off\npolicy: priority\nupstream: { protocol: h2 }";

/// A listener of HTTP/2.
const LISTENER: &str = "- address: 127.0.0.1:0\n  http2: prior-knowledge";

/// The regions in the order in which they are tried.
const REGIONS: [&str; 2] = ["westeurope", "eastus2"];

/// Nothing takes longer than this.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The proxy in front of one or two regions.
struct Scene {
    world: World,
    servers: Vec<Server>,
}

impl Scene {
    /// With so many regions, and these lines in the service.
    fn new(regions: usize, lines: &str) -> Self {
        Self::made(regions, lines, |setup| setup)
    }

    fn made(regions: usize, lines: &str, setup: impl FnOnce(Setup) -> Setup) -> Self {
        let servers: Vec<_> = (0..regions).map(|_| Server::start()).collect();
        let plain = Setup::regions(&[])
            .service(&format!("{PLAIN}\n{lines}"))
            .listeners(LISTENER)
            .logging();
        let all = REGIONS.iter().zip(&servers);
        let plain = all.fold(plain, |setup, (region, server)| setup.other(region, server.address()));
        Self {
            world: setup(plain).start(),
            servers,
        }
    }

    async fn caller(&self) -> Caller {
        Caller::connect(self.world.proxy()).await
    }

    /// How many calls to a region (or none) ended with a status.
    async fn counted(&self, region: &str, status: &str) -> u64 {
        let text = self.world.admin(Request::get("/metrics")).await.text();
        let start =
            format!("portolan_grpc_calls_total{{service=\"shop\",region=\"{region}\",grpc_status=\"{status}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.map_or(0, |count| count.parse().expect("a number"))
    }

    /// Waits until so many calls were counted.
    async fn until_counted(&self, region: &str, status: &str, count: u64) {
        let reached = async {
            while self.counted(region, status).await != count {
                tokio::task::yield_now().await;
            }
        };
        let reached = tokio::time::timeout(TIMEOUT, reached).await;
        reached.unwrap_or_else(|_| panic!("{count} calls to {region:?} with {status}"));
    }

    /// The lines of the access log, when there are so many.
    async fn log(&self, count: usize) -> Vec<Value> {
        self.world.until_logged(count).await
    }
}
