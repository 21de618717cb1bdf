//! The harness of the integration tests: regions that fail on demand, clients placed on the globe, the real program in
//! between, all in this process on ports that the system chooses.
//!
//! Waits name the state they wait for and are woken by the generation of the routing table. Nothing sleeps.

mod client;
mod collector;
pub mod delays;
pub mod dns;
mod load;
mod log;
pub mod raw;
mod registry;
mod steady;
mod tls;
mod world;

pub use client::{Answer, Request, send};
pub use collector::{Collector, Mood, Received, Resource, attributes};
pub use delays::Delays;
pub use dns::NameServer;
pub use load::{Load, Tally};
pub use portolan::demo::gateway::{Behaviour, Gateway};
pub use registry::{FakeRegistry, RegistryReply, RegistryRequest};
pub use steady::{Came, NUMBER, Sent, Steady};
pub use world::{Setup, World};

/// Addresses with a known place in the embedded location table.
pub mod from {
    /// London.
    pub const BRITAIN: &str = "81.2.69.142";
    /// The east of the United States.
    pub const AMERICA: &str = "23.128.64.1";
    /// Singapore.
    pub const SINGAPORE: &str = "203.116.0.1";
    /// No place at all.
    pub const NOWHERE: &str = "10.1.2.3";
}

/// A file of the location data's fixtures.
pub fn fixture(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../geo-data/fixtures")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The plugin that does what a plugin must not do.
pub fn hostile() -> &'static [u8] {
    include_bytes!("../fixtures/hostile.wasm")
}

/// How often a plugin fault is counted in a page of metrics.
pub fn fault_count(metrics: &str, fault: &str) -> u64 {
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("portolan_plugin_faults_total{"));
    let of_fault = lines.filter(|line| line.contains(&format!("\"{fault}\"")));
    of_fault
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum()
}
