//! Measures how many requests are lost around the idle time-outs of gateways: `cargo run -p portolan-benches --bin
//! idle-timeouts`.
//!
//! For each kind of gateway a proxy of its own, with a way of 20 ms in each direction between. Clients send a `GET` at
//! once, and a `POST` each, up to 150 ms before or after the gateway gives up the connections. See `benches/README.md`.

mod clients;
mod gateway;

use clap::Parser;
use clients::Lost;
use gateway::Kind;
use portolan_tests::Setup;
use std::process::ExitCode;
use std::time::Duration;

/// How many `POST`s may be lost, all in all: until an idle time-out has been observed.
const FIRST: usize = 10;

/// Measures how many requests are lost around the idle time-outs of gateways.
#[derive(Debug, Parser)]
struct Arguments {
    /// `POST`s to each gateway
    #[arg(long, default_value_t = 1_000)]
    posts: usize,
    /// Clients of each gateway
    #[arg(long, default_value_t = 30)]
    clients: usize,
    /// Milliseconds from the proxy to the gateways, and back again
    #[arg(long, default_value_t = 20)]
    way: u64,
    /// How requests use connections: always, safe or never
    #[arg(long, default_value = "always")]
    reuse: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runs: Vec<_> = gateway::KINDS
        .into_iter()
        .map(|kind| (kind, tokio::spawn(run(kind, arguments.posts, &arguments))))
        .collect();
    println!(
        "| gateway | closes after | POSTs | lost of the first {FIRST} | lost of the rest | GETs lost | connections |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut is_good = true;
    for (kind, run) in runs {
        let Ok((lost, connections)) = run.await else {
            return ExitCode::FAILURE;
        };
        let (from, to) = (kind.after.0.as_secs_f64(), kind.after.1.as_secs_f64());
        let Lost {
            posts,
            first,
            rest,
            gets,
        } = lost;
        println!(
            "| {} | {from} to {to} s | {posts} | {first} | {rest} | {gets} | {connections} |",
            kind.name
        );
        is_good &= rest == 0 && gets == 0;
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one gateway with its proxy. Gives what was lost, and how many connections were opened.
fn run(kind: Kind, posts: usize, arguments: &Arguments) -> impl Future<Output = (Lost, u64)> + use<> {
    let (clients, way) = (arguments.clients.max(1), Duration::from_millis(arguments.way));
    let service = format!("health_check: off\nupstream: {{ reuse: {} }}", arguments.reuse);
    async move {
        let gateway = gateway::start(kind, way).await.expect("a free port");
        let world = Setup::regions(&[])
            .other("westeurope", gateway)
            .service(&service)
            .start();
        let lost = clients::run(world.proxy(), kind, clients, posts, FIRST).await;
        let connections = world.vitals("westeurope").endpoints.opened_connections();
        (lost, connections)
    }
}
