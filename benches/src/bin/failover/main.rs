//! Measures what clients see when regions fail: `cargo run --release -p portolan-benches --bin failover`.
//!
//! The proxy in front of three regions gets 200 requests a second on a fixed schedule, a tenth of them `POST`s. Each fault runs
//! against a proxy of its own, and is compared with its limits; with `--sequence`, fourteen faults run one after the other
//! against one proxy. See `benches/README.md`.

mod course;
mod fault;
mod figures;
mod noise;
mod table;

use clap::Parser;
use course::Pace;
use fault::{BEYOND, Fault, SEQUENCE, TABLE};
use portolan::telemetry::logging::{self, Format};
use std::process::ExitCode;
use std::time::Duration;
use table::Verdict;

/// How often a fault is repeated when the machine was too noisy to decide.
const REPEATS: u32 = 3;

/// Measures what clients see when regions fail, compared with limits.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only faults whose name contains one of these
    #[arg(value_name = "FAULT")]
    only: Vec<String>,
    /// Requests a second [default: 200; 300 with --sequence]
    #[arg(long)]
    rate: Option<u32>,
    /// Seconds before each fault
    #[arg(long, default_value_t = 3)]
    calm: u64,
    /// Seconds of each fault
    #[arg(long, default_value_t = 5)]
    fault: u64,
    /// Seconds after each fault
    #[arg(long, default_value_t = 3)]
    after: u64,
    /// How often every fault runs
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Only the faults of the first table
    #[arg(long)]
    table: bool,
    /// Fourteen faults one after the other against one proxy
    #[arg(long, conflicts_with = "table")]
    sequence: bool,
    /// Speak TLS with the gateways
    #[arg(long)]
    tls: bool,
    /// Speak HTTP/2 with the gateways
    #[arg(long)]
    http2: bool,
    /// Write the proxy's log to the standard error
    #[arg(long)]
    log: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let _log = arguments
        .log
        .then(|| logging::init(Format::Human).expect("the log is set up"));
    let pace = Pace {
        rate: arguments.rate.unwrap_or(if arguments.sequence { 300 } else { 200 }),
        calm: Duration::from_secs(arguments.calm),
        fault: Duration::from_secs(arguments.fault),
        after: Duration::from_secs(arguments.after),
        tls: arguments.tls,
        http2: arguments.http2,
    };
    let beyond = BEYOND.iter().filter(|_| !arguments.table);
    let is_wanted = |fault: &&Fault| {
        arguments.only.is_empty() || arguments.only.iter().any(|word| fault.name.contains(word.as_str()))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut sum = table::Sum::default();
    table::print_head(&pace);
    if arguments.sequence {
        for _ in 0..arguments.rounds {
            let faults: Vec<_> = SEQUENCE.iter().filter(is_wanted).collect();
            let seen = runtime.block_on(course::run_all(&faults, &pace));
            for (fault, seen) in faults.into_iter().zip(seen) {
                sum.add(fault, &seen, false);
            }
        }
        return sum.conclude();
    }
    for fault in TABLE.iter().chain(beyond).filter(is_wanted) {
        for _ in 0..arguments.rounds {
            let mut repeats = REPEATS;
            loop {
                let seen = runtime.block_on(course::run(fault, &pace));
                if sum.add(fault, &seen, repeats > 0) != Verdict::Noise || repeats == 0 {
                    break;
                }
                repeats -= 1;
            }
        }
    }
    sum.conclude()
}
